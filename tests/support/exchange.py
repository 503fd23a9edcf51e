"""Runs tests/programs/hosts_exchange.c between the first containers of two hosts."""

from freeflow.pair import run_pair
from programs import program

PORT = 18517


def exchange(lab, transport, seconds):
    """(how many the client sent, how many the server saw)."""
    inside = {place: lab.put(place, program("hosts_exchange")) for place in ("h1c1", "h2c1")}
    ended = run_pair(["env", f"FREEFLOW_LAB={lab.name}", *lab.words("h1c1", inside["h1c1"], "serve", PORT, transport)],
                     ["env", f"FREEFLOW_LAB={lab.name}", *lab.words("h2c1", inside["h2c1"], "connect", PORT, transport,
                                                                    lab.plan.find("h1c1").address, seconds)], PORT)
    assert [end.status for end in ended] == [0, 0], f"{ended[0]}\n{ended[1]}"
    return int(ended[1].stdout), int(ended[0].stdout.split()[-1])
