"""The contract of a store, and the store of a single host, which is the HostMap itself: nobody else is to be told.

It is also the one behind a written map (`--hosts`, the op hosts.set), which changes when somebody writes it anew.
"""


class Store:
    """Fills a HostMap from what other hosts say, and tells them of this one. All in the control thread."""

    name = "embedded"

    def start(self):
        """From now on; never waits for others, and never fails for want of them."""

    async def close(self):
        """The others may forget this host. Bounded."""

    def claim(self, container):
        """A container (container.Container) of this host was registered, or got addresses."""

    def release(self, addresses):
        """A container of this host has them no more."""

    def status(self):
        """For `freeflow doctor` and people: plain values."""
        return {}
