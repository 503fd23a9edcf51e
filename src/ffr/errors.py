"""A refusal: what a container or a person asked for, and is not given."""


class Refused(Exception):
    """Carries the errno for the program and one line for the person behind it."""

    def __init__(self, errno, reason):
        super().__init__(reason)
        self.errno = errno
        self.reason = reason
