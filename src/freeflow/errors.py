"""What goes wrong, said for a person: every error that reaches the command line has one line of text and a cure."""


class FreeFlowError(Exception):
    """A mistake or a condition that a person can mend. Its text is one line without a trailing full stop."""


class RouterUnreachable(FreeFlowError):
    """No router answers on the control socket."""


class RouterRefused(FreeFlowError):
    """The router understood and said no; the text is the router's own."""
