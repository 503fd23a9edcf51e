"""Programs that connect by rdma_cm, in pairs: a listener is there when a client is not refused any more."""

import re
import time
from dataclasses import dataclass

from freeflow.pair import Side
from freeflow.perftest import clock_disturbed

REFUSED = re.compile(r"No route to host|REJECTED|refused|UNREACHABLE|unreachable|event 8|event: 8|Unknown error 28|Unknown error 8|error 8|errno=111")
LISTEN_S = 10.0
PATIENCE_S = 60.0
AFRESH_S = 15.0
LAST_S = 8.0  # from the client's end to the server's


@dataclass(frozen=True)
class Pair:
    """server, client: words; {address} is the server's. stays: the server serves for ever. groups: nobody connects, so that
    the client has no second try."""

    server: str
    client: str
    stays: bool = False


def run(lab, pair, server="h1c1", client="h1c2"):
    """Runs the pair; (how the server ended, how the client did)."""
    names = {"address": lab.plan.find(server).address, "client": lab.plan.find(client).address}
    below = Side(lab.words(server, *pair.server.format(**names).split()), lab.variables())
    deadline = time.monotonic() + LISTEN_S
    try:
        while True:
            above = Side(lab.words(client, *pair.client.format(**names).split()), lab.variables())
            try:
                ended = above.wait(PATIENCE_S)
            finally:
                above.stop()
            early = ended.status and REFUSED.search(ended.stdout + ended.stderr) and below.process.poll() is None
            if not early or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        return (below.stop() if pair.stays else below.wait(LAST_S)), ended
    finally:
        below.stop()


def run_afresh(lab, pair, server, client):
    """For programs that connect twice, the second time as soon as the first has spoken, whether or not their server listens again
    (perftest): on a busy machine they are refused and end, and their server waits for ever. Both begin anew."""
    words = [side.format(address=lab.plan.find(server).address).split() for side in (pair.server, pair.client)]
    for wait_s in (0.3, 1, 2, 4, 8):
        below = Side(lab.words(server, *words[0]), lab.variables())
        try:
            time.sleep(wait_s)
            above = Side(lab.words(client, *words[1]), lab.variables())
            try:
                ended = above.wait(AFRESH_S)
            finally:
                above.stop()
            if ended.status == 0 and not clock_disturbed(ended):
                return below.wait(LAST_S), ended
        finally:
            stopped = below.stop()
    return stopped, ended


def check(lab, pair, **where):
    below, above = run(lab, pair, **where)
    assert above.status == 0 and (pair.stays or below.status == 0), f"{below}\n{above}"
    return below, above
