"""The policy that all hosts of an etcd share: what stands under PREFIX policy, as a policy file has it.

What was last good there is kept in a file, and holds from the start of the next router on, until etcd says something else.
"""

import logging
import os

from ffr.policy.registry import Policies, settings_in

log = logging.getLogger(__name__)


class SharedPolicy:
    """path, error: as of a PolicyFile, for people."""

    def __init__(self, key, copy, use):
        """key: its name in etcd. copy: the Path of the file that keeps it. use(settings): puts them in force."""
        self.path, self.error = f"etcd: {key}", None
        self._copy, self._use = copy, use
        self._taken = _good(copy)

    async def watch(self):
        """Nothing to be looked for: etcd tells."""

    def take(self, content):
        """What etcd has now, bytes; None: nothing."""
        if content == self._taken and self.error is None:
            return
        try:
            self._use(settings_in(content or b"", self.path))
        except ValueError as error:
            if self.error != str(error):
                log.warning("policy: the last good one stays: %s", error)
            self.error = str(error)
            return
        self.error, self._taken = None, content
        log.info("policy: %s is in force", self.path if content else "none of etcd's")
        try:
            _keep(self._copy, content)
        except OSError as error:
            log.warning("policy: %s cannot be written, so the next router begins without it: %s", self._copy, error.strerror)


def kept(copy):
    """The Policies of the file that keeps the last good one; those without a policy, where there is none."""
    content = _good(copy)
    return Policies(settings_in(content, str(copy))) if content is not None else Policies()


def _good(copy):
    """What is kept, if it is a policy."""
    try:
        content = copy.read_bytes()
        settings_in(content, str(copy))
        return content
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # of another version, perhaps
        log.warning("policy: what was kept does not hold any more: %s", error)
        return None


def _keep(copy, content):
    if content is None:
        copy.unlink(missing_ok=True)
        return
    copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = copy.with_suffix(".new")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
    beside.replace(copy)
