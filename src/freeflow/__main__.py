"""`python -m freeflow` is `freeflow`."""

from freeflow.cli.main import main

if __name__ == "__main__":
    main()
