"""`python -m lstmgen` is `lstmgen`."""

from lstmgen.cli.app import main

if __name__ == "__main__":
    main()
