"""Processes named by pid and start time: a recorded pid that is somebody else's by now is not ours to touch."""

import os
import select
import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass

KILL_WAIT_S = 5.0  # for the kernel to take down what was killed: a container is a pid namespace of many processes


@dataclass(frozen=True)
class Process:
    """pid, and the start time of /proc/PID/stat in clock ticks since boot."""

    pid: int
    start: int

    @classmethod
    def of(cls, pid):
        """Raises ProcessLookupError."""
        try:
            with open(f"/proc/{pid}/stat") as file:
                # The second field is the command in parentheses, which may hold spaces and parentheses itself.
                fields = file.read().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            raise ProcessLookupError(f"no process {pid}") from None
        return cls(pid, int(fields[19]))  # field 22 of proc(5), counted from 1, two of them cut off

    @contextmanager
    def pidfd(self):
        """A descriptor of exactly this process. Raises ProcessLookupError when it is gone."""
        descriptor = os.pidfd_open(self.pid)
        try:
            if Process.of(self.pid) != self:  # looked at after the open, so the descriptor cannot be a successor's
                raise ProcessLookupError(f"process {self.pid} is gone, and its pid is another's")
            yield descriptor
        finally:
            os.close(descriptor)

    def alive(self):
        """A zombie is not."""
        return not self.gone_within(0)

    def gone_within(self, timeout_s):
        try:
            with self.pidfd() as descriptor:
                poll = select.poll()
                poll.register(descriptor, select.POLLIN)
                return bool(poll.poll(timeout_s * 1000))
        except ProcessLookupError:
            return True

    def send(self, number):
        with suppress(ProcessLookupError), self.pidfd() as descriptor:
            signal.pidfd_send_signal(descriptor, number)


def end(processes, grace_s=0.0):
    """TERM and a while to comply (none with grace_s 0), then KILL. Returns those that outlived even that."""
    if grace_s:
        for process in processes:
            process.send(signal.SIGTERM)
        _wait(processes, grace_s)
    for process in processes:
        process.send(signal.SIGKILL)
    return _wait(processes, KILL_WAIT_S)


def _wait(processes, timeout_s):
    deadline = time.monotonic() + timeout_s
    return [process for process in processes if not process.gone_within(max(0.0, deadline - time.monotonic()))]


def living_in(namespaces):
    """The processes, this one apart, whose network namespace is one of these files."""
    wanted = {(found.st_dev, found.st_ino) for found in map(os.stat, namespaces)}
    for pid in filter(str.isdigit, os.listdir("/proc") if wanted else ()):
        with suppress(OSError):  # gone meanwhile
            found = os.stat(f"/proc/{pid}/ns/net")
            if (found.st_dev, found.st_ino) in wanted and int(pid) != os.getpid():
                yield Process.of(int(pid))
