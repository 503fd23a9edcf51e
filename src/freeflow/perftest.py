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
        words = [program, *map(str, options)]
        server, client = run_pair([*self.enter(self.server), *words, "-p", str(PORT)],
                                  [*self.enter(self.client), *words, "-p", str(PORT), self.server], PORT,
                                  timeout_s=timeout_s or self.timeout_s)
        rows = parse(client.stdout)
        if server.status != 0 or client.status != 0 or not rows:
            raise PairError(f"{program} failed\n-- server --\n{server}\n-- client --\n{client}")
        return Result(server, client, rows)
