"""The device's files in containers (/sys/class/infiniband) follow what happens to the container's addresses.

Who writes them is not the router: it starts a command for that, with the descriptor of a process of the container (a
pidfd) as its last argument. One at a time, and one a second for each container, so that containers which change their
addresses all the time keep no core busy.
"""

import asyncio
import logging
import os
import signal

from ffr.control.identity import NamespaceId

log = logging.getLogger(__name__)

GAP_S = 1.0
RUN_S = 10.0  # for the command


class DeviceFiles:
    def __init__(self, command, paths):
        """command: a list of words; without any the files stay as they are. paths: the router's (RouterPaths)."""
        self._command = command or []
        self._environment = os.environ | {"FREEFLOW_DIR": str(paths.directory), "FFR_NAME": paths.name}
        self._processes = {}  # container name -> pidfd
        self._stale = {}  # container name -> when it may be brought up to date
        self._wake, self._task = asyncio.Event(), None

    def start(self):
        self._task = asyncio.create_task(self._keep())

    def close(self):
        if self._task:
            self._task.cancel()
        for descriptor in self._processes.values():
            os.close(descriptor)

    def add(self, container, pid):
        """pid: of a process that sees the container's files, or None. A process of another network namespace (its pid is
        somebody else's by now) does not count."""
        if pid is None or not self._command or container.name in self._processes:
            return
        try:
            descriptor = os.pidfd_open(pid)
        except (OSError, ValueError) as error:
            log.warning("container %s: no process %d: %s", container.name, pid, error)
            return
        try:
            found = os.stat(f"/proc/{pid}/ns/net")
            signal.pidfd_send_signal(descriptor, 0)  # asked last: what was looked at was this process's
            if NamespaceId(found.st_dev, found.st_ino) != container.namespace.id:
                raise OSError("it is in another network namespace")
        except OSError as error:
            os.close(descriptor)
            log.warning("container %s: process %d: %s", container.name, pid, error)
            return
        self._processes[container.name] = descriptor

    def remove(self, container):
        if (descriptor := self._processes.pop(container.name, None)) is not None:
            os.close(descriptor)

    def refresh(self, container):
        """Soon."""
        if container.name in self._processes:
            self._stale.setdefault(container.name, 0)
            self._wake.set()

    async def _keep(self):
        last_s = {}
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._stale:
                name = next(iter(self._stale))
                await asyncio.sleep(max(0, last_s.get(name, 0) + GAP_S - asyncio.get_running_loop().time()))
                del self._stale[name]
                if name in self._processes:
                    await self._run(name)
                    last_s[name] = asyncio.get_running_loop().time()
                else:
                    last_s.pop(name, None)

    async def _run(self, name):
        descriptor = os.dup(self._processes[name])  # the container may be removed meanwhile
        process = None
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, str(descriptor), pass_fds=(descriptor,), env=self._environment,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE)
            _, said = await asyncio.wait_for(process.communicate(), RUN_S)
            if process.returncode:
                log.info("container %s: its device's files stay as they are: %s", name,
                         said.decode(errors="replace").strip()[:300])
        except (OSError, TimeoutError) as error:
            log.warning("container %s: its device's files stay as they are: %s", name, error or "no answer")
        finally:
            os.close(descriptor)
            if process and process.returncode is None:
                process.kill()
