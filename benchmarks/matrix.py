"""What `make perftest-matrix` runs: perftest's tests × transports × ways of running them, and why some are left out.

    for case in cases(): case.program, case.options, case.name
    for case, why in forbidden(): ...

A combination is left out only when perftest 4.5 itself refuses it, or has no such option; the reason says which.
"""

from dataclasses import dataclass

VERBS = ("send", "write", "read", "atomic")
KINDS = ("bw", "lat")
TRANSPORTS = ("RC", "UC", "UD", "XRC")

# ::ffff:239.0.0.7, bytes in decimal as perftest reads them. ib_send_bw refuses its own, which is no IPv4 group; with
# ib_send_lat both ends would be in this one and hear themselves.
GROUP = "0:0:0:0:0:0:0:0:0:0:255:255:239:0:0:7"
ENDLESS = "--run_infinitely"

WAYS = {
    "plain": (),
    "-e": ("-e",),
    "-b": ("-b",),
    "-q 8": ("-q", "8"),
    "-q 64": ("-q", "64"),
    "-a": ("-a",),
    "-I 64": ("-I", "64", "-s", "64"),
    "-l 16": ("-l", "16"),
    "--use-srq": ("--use-srq",),
    "-r 64": ("-r", "64"),
    "-D 2": ("-D", "2"),
    ENDLESS: (ENDLESS, "-D", "1"),  # a line a second, until it is stopped
    "-g": ("-g",),
    "--odp": ("--odp",),
    "--mr_per_qp": ("--mr_per_qp", "-q", "8"),
    "--use_old_post_send": ("--use_old_post_send",),
}

BANDWIDTH_ALONE = {"-b", "-q 8", "-q 64", "-l 16", ENDLESS, "--mr_per_qp"}
RECEIVES_ALONE = {"--use-srq", "-r 64", "-g"}

# Enough to have figures, few enough for the whole matrix in minutes. With a time there is no number.
ITERATIONS = {"bw": 1000, "lat": 500}
FEWER = {("-a", "bw"): 50, ("-a", "lat"): 10, ("-q 64", "bw"): 64, ("-q 8", "bw"): 200, ("--mr_per_qp", "bw"): 200,
         ("-l 16", "bw"): 960}  # a multiple of 16
TIMED = {"-D 2", ENDLESS}
NOT_REFUSED = "multicast is UD's, and perftest makes UD of it"


@dataclass(frozen=True)
class Case:
    verb: str
    kind: str
    transport: str
    way: str

    @property
    def name(self):
        return f"{self.program} {self.transport} {self.way}"

    @property
    def program(self):
        return f"ib_{self.verb}_{self.kind}"

    @property
    def options(self):
        count = [] if self.way in TIMED else ["-n", str(FEWER.get((self.way, self.kind), ITERATIONS[self.kind]))]
        group = ["-M", GROUP] if self.way == "-g" and self.kind == "bw" else []
        return ["-c", self.transport, *WAYS[self.way], *group, *count]


def why_not_transport(verb, transport):
    """Why perftest has no such test at all, or None."""
    if transport == "UD" and verb != "send":
        return "UD has SEND alone"
    if transport == "UC" and verb in ("read", "atomic"):
        return "UC has no READ and no ATOMIC"
    return None


def why_not(case):
    """Why perftest refuses a combination, or None when it must run."""
    verb, kind, way = case.verb, case.kind, case.way
    if why := why_not_transport(verb, case.transport):
        return why
    if kind == "lat" and way in BANDWIDTH_ALONE:
        return "an option of the bandwidth tests"
    if verb != "send" and way in RECEIVES_ALONE:
        return "an option of the SEND tests: nobody else posts receives"
    if way == "-e" and verb == "write":
        return "a WRITE's target has no completion to sleep for"
    if way == "-a" and verb == "atomic":
        return "an atomic has 8 bytes"
    if way == "--odp" and (verb == "atomic" or case.transport == "UC"):
        return "perftest has neither UC nor atomics with demand paging"
    if way == "-I 64" and verb in ("read", "atomic"):
        return "only what is sent can be inline"
    if way == "-g" and case.transport != "UD":
        return NOT_REFUSED
    return None


def everything():
    return [Case(verb, kind, transport, way) for verb in VERBS for kind in KINDS for transport in TRANSPORTS
            for way in WAYS]


def cases():
    """All that perftest allows, in the order of the tables above."""
    return [case for case in everything() if why_not(case) is None]


def forbidden():
    """[(case, why)] of all others."""
    return [(case, why) for case in everything() if (why := why_not(case))]
