"""`python -m cgnnp`: list the commands."""

from cgnnp.commands.overview import main

if __name__ == "__main__":
    main()
