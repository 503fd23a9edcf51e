"""For tests of who is let in: a namespace that exists only by its number, and the catching of a refusal."""

import pytest

from ffr.errors import Refused
from ffr.control.identity import NamespaceId


class StandIn:
    def __init__(self, inode, foreign=False):
        self.id, self.foreign, self.open = NamespaceId(4, inode), foreign, True

    def is_foreign(self):
        return self.foreign

    def close(self):
        self.open = False


def refused(function, *arguments):
    with pytest.raises(Refused) as caught:
        function(*arguments)
    return caught.value
