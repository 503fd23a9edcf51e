"""perftest's pairs (ib_send_bw, ib_read_lat, …): run one, and read the table that it prints.

    result = Perftest(enter).run("ib_send_lat", "-s", "64")
    result.rows[0]["t_typical[usec]"]

`enter(container)` gives the words that run a command inside a container: `freeflow lab exec NAME --` by default.
"""

import re
import sys
from dataclasses import dataclass

from freeflow.pair import PairError, run_pair

PORT = 18515  # perftest's own default; in a container's network namespace nobody else wants it

# Columns as perftest names them, in all its tables. The names hold blanks, so a header line cannot just be split.
COLUMN = re.compile(r"#bytes|#iterations|BW peak\[[^]]+\]|BW average\[[^]]+\]|MsgRate\[[^]]+\]|t_\w+\[usec\]"
                    r"|tps average|99(?:\.9)?% percentile\[usec\]|\S+\[[^]]+\]")
MEBI = 1 << 20

# What perftest says when its processor's clock and the wall's did not go along while it compared them, because something
# else ran meanwhile. It then ends in failure, or with -F prints figures that mean nothing.
CLOCK_DISTURBED = "Correlation coefficient r^2"
TRIES = 3


def parse(text):
    """The rows of every table in perftest's output: a list of {column: number}, in the order printed."""
    columns, rows = None, []
    for line in text.splitlines():
        if line.lstrip().startswith("#bytes"):
            columns = COLUMN.findall(line)
            continue
        words = line.split()
        if columns and len(words) == len(columns):
            try:
                rows.append(dict(zip(columns, map(float, words))))
            except ValueError:
                columns = None
    return rows


def gbit_per_s(row):
    """The average bandwidth of a row. perftest's MB are MiB."""
    return row["BW average[MB/sec]"] * MEBI * 8 / 1e9


def million_per_s(row):
    return row["MsgRate[Mpps]"]


def typical_us(row):
    """One way, at the median. With -D perftest keeps no samples, and the average is all there is."""
    return row.get("t_typical[usec]", row.get("t_avg[usec]"))


def clock_disturbed(*ended):
    """Whether perftest's check of its clock was disturbed on any side. ended: what has stdout and stderr."""
    return any(CLOCK_DISTURBED in side.stdout + side.stderr for side in ended)


def undisturbed(run):
    """run() -> (server, client), as run_pair has it; again while a clock's check was disturbed, TRIES times at the most.
    The last try is returned whatever became of it."""
    for _ in range(TRIES):
        ended = run()
        if not clock_disturbed(*ended):
            break
    return ended


@dataclass(frozen=True)
class Result:
    server: object
    client: object
    rows: list

    @property
    def row(self):
        """The last row: the only one, or with -a the largest size."""
        return self.rows[-1]


def lab_exec(container, *options):
    """The words that run a command inside a container of the running lab (FREEFLOW_LAB names it)."""
    return [sys.executable, "-m", "freeflow.cli.main", "lab", "exec", container, *options, "--"]


class Perftest:
    """Pairs between two containers, the server in the first."""

    def __init__(self, enter=lab_exec, server="h1c1", client="h1c2", timeout_s=60.0):
        self.enter, self.server, self.client, self.timeout_s = enter, server, client, timeout_s

    def run(self, program, *options, timeout_s=None):
        """Runs the pair; both ends must exit with 0 and print a table, or PairError says what they said instead."""
        words = [program, *map(str, options), "-p", str(PORT)]
        serve, connect = [*self.enter(self.server), *words], [*self.enter(self.client), *words, self.server]
        server, client = undisturbed(lambda: run_pair(serve, connect, PORT, timeout_s=timeout_s or self.timeout_s))
        rows = parse(client.stdout)
        if server.status != 0 or client.status != 0 or not rows or clock_disturbed(server, client):
            raise PairError(f"{program} failed\n-- server --\n{server}\n-- client --\n{client}")
        return Result(server, client, rows)
