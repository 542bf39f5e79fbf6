"""``python -m framelane``: the command line."""

from framelane.cli import main

if __name__ == "__main__":
    main()
