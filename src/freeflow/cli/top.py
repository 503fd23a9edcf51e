"""freeflow top"""

import json
import time
from pathlib import Path

import click

from ffcore.polling import MODES
from freeflow.cli.options import json_option, router_options
from freeflow.errors import FreeFlowError

RATES = ("tx_messages", "tx_bytes", "rx_messages", "rx_bytes", "reads", "atomics")


@click.command("top")
@click.option("--once", is_flag=True, help="One look instead of a living table.")
@click.option("--interval", default=1.0, show_default=True, type=click.FloatRange(min=0.1), metavar="SECONDS")
@json_option
@router_options
def command(once, interval, as_json, directory, name):
    """Who moves how much through the router. Reads its counters; the router is not asked.

    With --json: raw counters, one object per look, for whoever wants to take differences.
    """
    from freeflow.stats import Counters
    counters = Counters.of_router(directory, name)
    try:
        _print_json(counters, once, interval) if as_json else _show(counters, once, interval)
    except KeyboardInterrupt:
        pass


def _print_json(counters, once, interval):
    while True:
        _check_alive(counters)
        click.echo(json.dumps(Look(counters).raw()))
        if once:
            return
        time.sleep(interval)


def _show(counters, once, interval):
    from rich.console import Console
    from rich.live import Live
    before = Look(counters)
    time.sleep(interval)
    now = Look(counters)
    if once:
        Console().print(table(before, now))
        return
    with Live(table(before, now), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            _check_alive(counters)
            before, now = now, Look(counters)
            live.update(table(before, now), refresh=True)


def _check_alive(counters):
    """The counters of a router that crashed stay readable until the next one starts."""
    pid = int(counters.header["router_pid"])
    if not Path(f"/proc/{pid}").exists():
        raise FreeFlowError(f"the router (pid {pid}) is gone")


class Look:
    """The counters at one moment."""

    def __init__(self, counters):
        self.time_s = time.monotonic()
        self.header = counters.header.copy()
        self.sessions = counters.sessions()

    def raw(self):
        from freeflow.stats import as_dict
        return {"time_s": self.time_s, "router": as_dict(self.header), "sessions": [as_dict(s) for s in self.sessions]}


def table(before, now):
    """What happened between two Looks, as a rich table."""
    from rich.markup import escape
    from rich.table import Table
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), title=_summary(before, now), title_justify="left",
                  title_style="")
    shown.add_column("container", no_wrap=True, min_width=9)
    for heading in ("pid", "QPs", "MRs", "pinned", "tx/s", "tx B/s", "rx/s", "rx B/s", "reads/s", "atom/s",
                    "errors"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for row, rates in per_session(before, now):
        shown.add_row(escape(row["container"].decode("utf-8", "replace")), str(row["pid"]), str(row["qps"]), str(row["mrs"]),
                      scaled(row["pinned_bytes"], 1024), *(scaled(rates[name]) for name in RATES),
                      str(row["completion_errors"]))
    return shown


def per_session(before, now):
    """(row, {counter: per second}) of each session, the busiest first."""
    seconds = max(now.time_s - before.time_s, 1e-9)
    earlier = {(row["session"], row["pid"]): row for row in before.sessions}
    found = []
    for row in now.sessions:
        old = earlier.get((row["session"], row["pid"]))  # a new session's counters started at 0
        found.append((row, {name: (int(row[name]) - (int(old[name]) if old is not None else 0)) / seconds
                            for name in RATES}))
    return sorted(found, key=lambda pair: -pair[1]["tx_bytes"] - pair[1]["rx_bytes"])


def _summary(before, now):
    seconds = max(now.time_s - before.time_s, 1e-9)
    done = {name: int(now.header[name]) - int(before.header[name])
            for name in ("passes", "busy_passes", "sleeps", "wqes", "bytes", "commands")}
    busy = 100 * done["busy_passes"] / done["passes"] if done["passes"] else 0
    state = "asleep" if now.header["asleep"] else "awake"
    return (f"router {now.header['router_pid']}, {MODES[now.header['polling']]}, {state}; sessions "
            f"{len(now.sessions)}, refused {now.header['sessions_refused']}; {scaled(done['commands'] / seconds)} "
            f"commands/s\n{scaled(done['wqes'] / seconds)} WQE/s, {scaled(done['bytes'] / seconds, unit='B/s')}; {busy:.0f} % of "
            f"{scaled(done['passes'] / seconds)} passes/s busy, {scaled(done['sleeps'] / seconds)} sleeps/s\n")


def scaled(amount, step=1000, unit=""):
    """A number in at most four digits: 950, 1.2 k, 31 MB/s; with step 1024 Ki, Mi."""
    for prefix in ("", "k", "M", "G", "T"):
        if amount < step or prefix == "T":
            break
        amount = amount / step
    if step == 1024 and prefix:
        prefix = prefix.upper() + "i"
    digits = f"{amount:.0f}" if amount >= 10 or float(amount).is_integer() else f"{amount:.1f}"
    return f"{digits} {prefix}{unit}".rstrip()
