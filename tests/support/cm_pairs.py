"""Programs that connect by rdma_cm, in pairs: a listener was there when its client was not refused."""

import re
import time
from dataclasses import dataclass

from freeflow.pair import Side
from freeflow.perftest import clock_disturbed

REFUSED = re.compile(r"No route to host|REJECTED|refused|UNREACHABLE|unreachable|event 8|event: 8|Unknown error 28|Unknown error 8|error 8|errno=111")
LISTEN_S = (0.2, 0.5, 1, 2, 4, 8)  # given to a server, from try to try
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


def refused(ended):
    return ended.status and REFUSED.search(ended.stdout + ended.stderr)


def run(lab, pair, server="h1c1", client="h1c2", again=refused, patience_s=PATIENCE_S):
    """Runs the pair; (how the server ended, how the client did). again: whether a client's end calls for another try.

    A client of many connections may be refused the first and be let in with the rest, for its server has come to listen
    meanwhile. That server has then served somebody who is gone, and would wait for ever for those that are still to come: so
    both begin anew.
    """
    names = {"address": lab.plan.find(server).address, "client": lab.plan.find(client).address}
    for wait_s in LISTEN_S:
        below = Side(lab.words(server, *pair.server.format(**names).split()), lab.variables())
        try:
            time.sleep(wait_s)
            above = Side(lab.words(client, *pair.client.format(**names).split()), lab.variables())
            try:
                ended = above.wait(patience_s)
            finally:
                above.stop()
            if not again(ended):
                return (below.stop() if pair.stays else below.wait(LAST_S)), ended
        finally:
            stopped = below.stop()
    return stopped, ended


def run_afresh(lab, pair, server, client):
    """For programs that connect twice, the second time as soon as the first has spoken, whether or not their server listens again
    (perftest): on a busy machine they are refused and end, and their server waits for ever."""
    return run(lab, pair, server, client, lambda ended: ended.status != 0 or clock_disturbed(ended), AFRESH_S)


def check(lab, pair, **where):
    below, above = run(lab, pair, **where)
    assert above.status == 0 and (pair.stays or below.status == 0), f"{below}\n{above}"
    return below, above
