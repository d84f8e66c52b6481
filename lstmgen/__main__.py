"""`python -m lstmgen` runs the `lstmgen` command."""

from lstmgen.cli.app import main

if __name__ == "__main__":
    main()
