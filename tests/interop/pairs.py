"""perftest between a container and the guest."""

from functools import cache

from freeflow.pair import Side
from freeflow.perftest import PORT, parse

PAIR_S = 60
LISTENING = f"{PORT:04X} 00000000:0000 0A"


def pair(lab, guest, serves, command):
    """Both ends, one after the other has begun to listen; `serves`: "rxe" or "freeflow". Both must end well."""
    foreign = [*command, "-d", "rxe0", "-x", gid_index(guest, guest.address)]
    if serves == "rxe":
        theirs = serve_in_guest(guest, foreign)
        mine = ours(lab, [*command, guest.address])
        check(mine.wait(PAIR_S), theirs.wait(10))
        return
    mine = ours(lab, command)
    mine.wait_listening(PORT, 20)
    theirs = guest.run(f"timeout {PAIR_S} {' '.join([*foreign, lab.plan.find('h1c1').address])}")
    check(mine.wait(10), theirs)


@cache
def gid_index(guest, address):
    """Of the guest's GID for one of its addresses, as the kernel numbers them."""
    wanted = "0000:0000:0000:0000:0000:ffff:" + "{:02x}{:02x}:{:02x}{:02x}".format(*map(int, address.split(".")))
    said = guest.run(f"cd /sys/class/infiniband/rxe0/ports/1/gids; grep -l {wanted} *")
    assert said.status == 0, said
    return said.stdout.split()[0]


def ours(lab, command):
    return Side(["env", f"FREEFLOW_LAB={lab.name}", *lab.words("h1c1"), *command])


def serve_in_guest(guest, command):
    """Returns the Command once it listens."""
    serving = guest.start(f"timeout {PAIR_S} {' '.join(command)}")
    waited = guest.run(f"for i in $(seq 200); do grep -q '{LISTENING}' /proc/net/tcp* && exit; sleep 0.05; done; false")
    assert waited.status == 0, serving.wait(1)
    return serving


def check(mine, theirs):
    assert (mine.status, theirs.status) == (0, 0), f"ours: {mine}\n\nrxe's: {theirs}"
    assert parse(mine.stdout) or parse(theirs.stdout), f"{mine}\n{theirs}"
