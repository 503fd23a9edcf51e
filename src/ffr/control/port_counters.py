"""The port's counters as files: DIRECTORY/NETNS/counters/port_xmit_data and so on, a folder for each container.

The router writes them and knows nothing of who reads: whoever shows a container its device mounts the container's folder, read-only
(freeflow/device_files.py). The numbers are a tenth of a second old, and never go back: what ended sessions have done stays.
"""

import asyncio
import logging
import os
import shutil
from collections import Counter

log = logging.getLogger(__name__)

EVERY_S = 0.1
SHARE = 20  # of the control thread's time, one in so many: with a thousand sessions the numbers are older
KINDS = ("counters", "hw_counters")
SILENT = ("VL15_dropped", "excessive_buffer_overrun_errors", "link_downed", "link_error_recovery", "local_link_integrity_errors",
          "multicast_rcv_packets", "multicast_xmit_packets", "port_rcv_constraint_errors", "port_rcv_errors",
          "port_rcv_remote_physical_errors", "port_rcv_switch_relay_errors", "port_xmit_wait",
          "symbol_error")  # what this port has none of; who watches InfiniBand expects the names


def files(done):
    """{name of the file: number}; done: sums of struct ff_session_stats (ffcore/stats.h). Between containers of a host there are
    no packets, so a message, and a READ's or an atomic's request and answer, count as one each."""
    asked = done["reads"] + done["atomics"]
    sent, received = done["tx_messages"] + asked, done["rx_messages"] + asked
    port = dict.fromkeys(SILENT, 0) | {
        "port_xmit_data": done["tx_bytes"] // 4, "port_rcv_data": done["rx_bytes"] // 4,  # in words, as IBTA has them
        "port_xmit_packets": sent, "port_rcv_packets": received, "unicast_xmit_packets": sent, "unicast_rcv_packets": received,
        "port_xmit_discards": done["drops"],
        "port_xmit_constraint_errors": done["denied"]}  # what a partition's bounds would be to InfiniBand, rules of reach are here
    hardware = {"lifespan": int(1000 * EVERY_S), "rnr_nak_retry_err": done["rnr_waits"], "local_ack_timeout_err": done["retries"],
                "req_cqe_error": done["completion_errors"], "resp_remote_access_errors": done["access_errors"]}
    return ({f"counters/{name}": value for name, value in port.items()}
            | {f"hw_counters/{name}": value for name, value in hardware.items()})


class PortCounters:
    """row(number): what a session has done, a dict, also once it has ended and until its number is given out again. work(): a
    number that stays while nobody does anything."""

    def __init__(self, directory, row, work):
        self._directory, self._row, self._work = directory, row, work
        self._ended = {}  # container -> what its ended sessions have done
        self._written = {}  # container -> {file: number}
        self._task = None

    def start(self):
        self._remove()  # a dead router's
        self._directory.mkdir(mode=0o700)
        self._task = asyncio.create_task(self._keep())

    def close(self):
        if self._task:
            self._task.cancel()
        self._remove()

    def add(self, container):
        """Its files are there when this returns. Without room for them it has none."""
        self._ended[container], self._written[container] = Counter(), {}
        try:
            for kind in KINDS:
                (self._folder(container) / kind).mkdir(parents=True, exist_ok=True)
                (self._folder(container) / kind).chmod(0o755)  # whatever the umask is: the container's users read them
        except OSError as error:
            log.warning("container %s has no counters: %s", container.name, error)
        self._write(container)

    def remove(self, container):
        if self._ended.pop(container, None) is not None:
            del self._written[container]
            shutil.rmtree(self._folder(container), ignore_errors=True)

    def ended(self, container, number):
        """Before the session's number is given out again."""
        if container in self._ended:
            self._ended[container].update(numbers(self._row(number)))

    async def _keep(self):
        loop, seen, took_s = asyncio.get_running_loop(), None, 0
        while True:
            await asyncio.sleep(max(EVERY_S, SHARE * took_s))
            if (work := self._work()) != seen:
                seen, started = work, loop.time()
                for container in list(self._ended):
                    self._write(container)
                took_s = loop.time() - started

    def _write(self, container):
        """What has changed, by one write into the file that is there: readers keep it open (perftest). A number never gets shorter."""
        done = Counter(self._ended[container])
        for number in container.sessions:
            done.update(numbers(self._row(number)))
        before, now = self._written[container], files(done)
        for name, value in now.items():
            if before.get(name) != value:
                try:
                    put(self._folder(container) / name, f"{value}\n")
                except OSError as error:  # a full disk: the number stays behind
                    log.debug("%s: %s", name, error)
                    continue
                before[name] = value

    def _folder(self, container):
        return self._directory / str(container.namespace.id.inode)

    def _remove(self):
        shutil.rmtree(self._directory, ignore_errors=True)


def put(path, text):
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
    try:
        os.fchmod(file, 0o644)
        os.write(file, text.encode())
    finally:
        os.close(file)


def numbers(row):
    return {name: value for name, value in row.items() if isinstance(value, int)}
