"""`python -m ffr.policy.check FILE`, which `freeflow policy check` becomes: is this a policy file? Asks no router."""

import sys

from ffr.policy.registry import settings_of


def main(path):
    """Exit status: 0, or 1 with one line on stderr."""
    try:
        settings_of(path)
    except OSError as error:
        sys.exit(f"freeflow: {path}: {error.strerror}")
    except ValueError as error:
        sys.exit(f"freeflow: {error}")


if __name__ == "__main__":
    main(sys.argv[1])
