"""`python -m cgnnp`: list the commands, or run the command that is named."""

from cgnnp.commands.overview import main

if __name__ == "__main__":
    main()
