"""Metrics of a host's router for Prometheus, read when they are asked for: its counters in shared memory, the port's counters of
each container as files, and what its control socket says of containers. The router does nothing for it in between.

Names follow node_exporter's collector of InfiniBand (port_data_transmitted_bytes_total, ...) with the prefix freeflow_; those of
hardware counters are sysfs's. Who a container is, freeflow_container_info says, to be joined on `container`.
"""

import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

from freeflow.control import Control
from freeflow.errors import FreeFlowError

DEVICE, PORT_NUMBER = "ff0", "1"
PORT_LABELS = ["container", "device", "port"]
WORD = 4  # bytes: port_xmit_data counts such
ACTIVE, DOWN = 4, 1  # enum ibv_port_state
RATE_BYTES_S = 100e9 / 8
REQUEST_S, REQUESTS_MAX = 5, 16
# Of a container's port: name -> (file below the router's counters, factor, what it is).
PORT_COUNTERS = {
    "port_data_received_bytes": ("counters/port_rcv_data", WORD, "Payload that arrived"),
    "port_data_transmitted_bytes": ("counters/port_xmit_data", WORD, "Payload that was sent"),
    "port_packets_received": ("counters/port_rcv_packets", 1, "Messages that arrived"),
    "port_packets_transmitted": ("counters/port_xmit_packets", 1, "Messages that were sent"),
    "port_discards_transmitted": ("counters/port_xmit_discards", 1, "UC and UD messages that were dropped"),
    "rnr_nak_retry_err": ("hw_counters/rnr_nak_retry_err", 1, "Waits for a receive that was not posted"),
    "local_ack_timeout_err": ("hw_counters/local_ack_timeout_err", 1, "Requests that were sent again"),
    "req_cqe_error": ("hw_counters/req_cqe_error", 1, "Completions with an error"),
    "denied": ("counters/port_xmit_constraint_errors", 1, "Connections and address handles that rules of reach denied"),
    "resp_remote_access_errors": ("hw_counters/resp_remote_access_errors", 1, "Requests of peers that memory's rights refused"),
}
# Of the router: name -> (word of struct ff_stats_header, what it is).
ROUTER_COUNTERS = {
    "work_requests": ("wqes", "Work requests that were carried out"),
    "payload_bytes": ("bytes", "Payload that was moved"),
    "sessions_opened": ("sessions_opened", "Programs that opened the device"),
    "sessions_refused": ("sessions_refused", "Programs that were refused"),
    "commands": ("commands", "Verbs that the router answered"),
    "reactor_passes": ("passes", "Looks of the reactor at all queues"),
    "reactor_busy_passes": ("busy_passes", "... that found work"),
    "reactor_sleeps": ("sleeps", "Times that the reactor went to sleep"),
    "memory_faults": ("faults", "Holes in registered memory that were met"),
}
# Of a container's open sessions: name -> (field of struct ff_session_stats, what it is).
SESSION_GAUGES = {"queue_pairs": ("qps", "Queue pairs"), "completion_queues": ("cqs", "Completion queues"),
                  "memory_regions": ("mrs", "Memory regions"), "registered_bytes": ("pinned_bytes", "Registered memory")}
INFO_LABELS = ("tenant", "engine", "image", "pod", "namespace")


class Collector:
    def __init__(self, directory=None, name=None):
        self._router = directory, name

    def collect(self):
        try:
            with Control(*self._router) as control:
                status, containers = control.call("status"), control.call("container.list")["containers"]
                counters = control.paths.port_counters
        except FreeFlowError:
            yield GaugeMetricFamily("freeflow_up", "Whether the router answers", value=0)
            return
        yield GaugeMetricFamily("freeflow_up", "Whether the router answers", value=1)
        yield _labelled(GaugeMetricFamily, "build_info", "FreeFlow's version", ["version", "layout"],
                        [([status["version"], str(status["layout_version"])], 1)])
        yield from _of_router(status)
        yield from _of_containers(containers)
        yield from _of_ports(containers, counters)
        yield from _of_sessions(status["stats"])


def _of_router(status):
    for name, (word, text) in ROUTER_COUNTERS.items():
        yield CounterMetricFamily(f"freeflow_{name}", text, value=status["counters"][word])
    yield GaugeMetricFamily("freeflow_sessions", "Programs that have the device open", value=status["sessions"])
    tcp = {name: count for name, count in status["tcp"].items() if isinstance(count, int) and not isinstance(count, bool)}
    yield _labelled(CounterMetricFamily, "tcp_connects", "Connections of TCP mode by what became of them", ["outcome"],
                    [([name], count) for name, count in tcp.items()])
    yield GaugeMetricFamily("freeflow_hosts", "Other hosts that the map knows", value=len(status["map"]["hosts"]))
    if etcd := status["map"].get("etcd"):
        yield GaugeMetricFamily("freeflow_etcd_connected", "Whether the map follows etcd", value=int(etcd["connected"]))


def _of_containers(containers):
    yield _labelled(GaugeMetricFamily, "container_info", "Who a container is", ["container", *INFO_LABELS],
                    [([c["name"], c["tenant"], *(c["labels"].get(label, "") for label in INFO_LABELS[1:])], 1)
                     for c in containers])
    yield _labelled(GaugeMetricFamily, "container_sessions", "Programs of a container that have the device open", ["container"],
                    [([c["name"]], c["sessions"]) for c in containers])
    yield _labelled(GaugeMetricFamily, "container_addresses", "Addresses that a container has", ["container"],
                    [([c["name"]], len(c["addresses"])) for c in containers])


def _of_ports(containers, counters):
    """counters: Path of the router's files, which its owner alone may read."""
    yield _labelled(GaugeMetricFamily, "state_id", "State of the port: 1 down, 4 active", PORT_LABELS,
                    [(_port(c), ACTIVE if c["port"] == "up" else DOWN) for c in containers])
    yield _labelled(GaugeMetricFamily, "rate_bytes_per_second", "What the port says of its speed", PORT_LABELS,
                    [(_port(c), RATE_BYTES_S) for c in containers])
    for name, (file, factor, text) in PORT_COUNTERS.items():
        values = [(_port(c), value * factor) for c in containers
                  if (value := _number(counters / str(c["netns_inode"]) / file)) is not None]
        yield _labelled(CounterMetricFamily, name, text, PORT_LABELS, values)


def _of_sessions(stats_name):
    from freeflow.stats import Counters
    try:
        rows = Counters(stats_name).sessions()
    except FreeFlowError:  # it has ended meanwhile, or this is not its owner
        return
    names = [row.decode(errors="replace") for row in rows["container"]]
    for name, (field, text) in SESSION_GAUGES.items():
        sums = dict.fromkeys(names, 0)
        for container, value in zip(names, rows[field]):
            sums[container] += int(value)
        yield _labelled(GaugeMetricFamily, f"container_{name}", f"{text} of open sessions", ["container"],
                        [([container], total) for container, total in sums.items()])


def _labelled(family, name, text, labels, values):
    made = family(f"freeflow_{name}", text, labels=labels)
    for names, value in values:
        made.add_metric(names, value)
    return made


def _port(container):
    return [container["name"], DEVICE, PORT_NUMBER]


def _number(path):
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return None


# ---- over HTTP ----

def server(address, port, directory=None, name=None):
    """A ThreadingHTTPServer that answers /metrics, /livez (this process) and /readyz (the router). Raises OSError."""
    registry = CollectorRegistry()
    registry.register(Collector(directory, name))
    turns = threading.BoundedSemaphore(REQUESTS_MAX)

    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_S

        def do_GET(self):
            if not turns.acquire(blocking=False):
                return self._answer(503, "too many at once\n")
            try:
                self._get(self.path.partition("?")[0])
            finally:
                turns.release()

        def _get(self, path):
            if path == "/metrics":
                encode, kind = choose_encoder(self.headers.get("Accept", ""))
                return self._answer(200, encode(registry), kind)
            if path == "/livez":
                return self._answer(200, "ok\n")
            if path in ("/readyz", "/healthz"):
                why = _why_not_ready(directory, name)
                return self._answer(503 if why else 200, f"{why or 'ok'}\n")
            return self._answer(404, "/metrics, /livez, /readyz\n")

        def _answer(self, status, body, kind="text/plain; charset=utf-8"):
            body = body.encode() if isinstance(body, str) else body
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError, TimeoutError):  # who asked is gone
                self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    made = ThreadingHTTPServer((address, port), Handler)
    made.daemon_threads = True
    return made


def _why_not_ready(directory, name):
    try:
        with Control(directory, name) as control:
            control.call("status")
    except FreeFlowError as error:
        return str(error)
    return None
