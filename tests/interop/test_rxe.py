"""Linux's own RoCEv2, which nobody here wrote: perftest between a container and rxe in a guest, in both directions.

`make interop`; it takes minutes, for the guest's processor is emulated, and no figure here says anything about speed.
"""

import pytest

from freeflow.perftest import PORT
from pairs import pair

READS = ["-o", "16"]  # ours answers 16 at once, as NICs do; rxe would ask for 128, and perftest does not settle on less
SLOWLY = ["-s", "1024"]  # without acknowledgements an emulated receiver is soon overrun
CASES = [("RC", verb, what, options) for verb in ("send", "write", "read", "atomic") for what in ("bw", "lat")
         for options in ((), ("-s", "16384")) if not (verb == "atomic" and options)]
CASES += [("RC", "send", "bw", ("-b",)), ("RC", "write", "bw", ("-q", "8")), ("RC", "send", "bw", ("-e",)),
          ("RC", "read", "bw", ("-q", "4", "-b")), ("RC", "write", "bw", ("-a", "-n", "5"))]
CASES += [("UC", verb, what, SLOWLY) for verb in ("send", "write") for what in ("bw", "lat")]
CASES += [("UC", verb, "bw", ("-s", "4096", "-n", "20")) for verb in ("send", "write")]
CASES += [("UD", "send", what, SLOWLY) for what in ("bw", "lat")]


def words(kind, verb, what, options):
    """perftest's, as both ends get them."""
    return [f"ib_{verb}_{what}", "-F", "-p", str(PORT), *([] if "-n" in options else ["-n", "200"]),
            *(["-c", kind] if kind != "RC" else []), *(READS if verb in ("read", "atomic") else []), *options]


@pytest.mark.parametrize("kind, verb, what, options", CASES, ids=lambda part: "".join(part) if part else "plain")
@pytest.mark.parametrize("serves", ["rxe", "freeflow"])
def test_perftest(lab, guest, serves, kind, verb, what, options):
    """`serves`: who waits; the other one connects, and in what goes one way is the one that asks or sends."""
    pair(lab, guest, serves, words(kind, verb, what, options))
