"""The policy file, followed while the router runs: another content is in force within a second; a wrong one is said, and the
last good one stays."""

import asyncio
import logging
import os

from ffr.policy.registry import settings_of

log = logging.getLogger(__name__)

LOOK_S = 0.25  # a change is taken when two looks find the same: after 0.5 s, and seldom half of what an editor writes


class PolicyFile:
    def __init__(self, path, use):
        """path: None without one. use(settings): puts them in force."""
        self.path, self.error = path, None
        self._use = use
        self._taken = self._seen = self._look() if path else None

    async def watch(self):
        """Until cancelled."""
        while self.path:
            await asyncio.sleep(LOOK_S)
            self.step()

    def step(self):
        now = self._look()
        settled, self._seen = now == self._seen, now
        if not settled or now == self._taken:
            return
        self._taken = now
        try:
            self._use(settings_of(self.path))
            self.error = None
            log.info("policy: %s is in force", self.path)
        except (ValueError, OSError) as error:
            self.error = str(error)
            log.warning("policy: the last good one stays: %s", error)

    def _look(self):
        """What tells one content from another. A file that is replaced, by a rename, has another inode."""
        try:
            found = os.stat(self.path)
        except OSError as error:
            return error.errno
        return found.st_ino, found.st_size, found.st_mtime_ns
