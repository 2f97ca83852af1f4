"""`python -m cgnnp`: what the commands are."""

from cgnnp.commands.overview import main

if __name__ == "__main__":
    main()
