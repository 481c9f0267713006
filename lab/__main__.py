"""`python -m lab` is the `lab` command, also where the script is not on the path."""

from lab.cli import main

if __name__ == "__main__":
    main()
