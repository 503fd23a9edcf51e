"""freeflow lab status"""

import json

import click

from freeflow.cli.options import json_option, lab_name

COLUMNS = {"sessions": "sessions", "qps": "QPs", "mrs": "MRs", "pinned_bytes": "pinned", "tx_messages": "tx",
           "tx_bytes": "tx B", "rx_messages": "rx", "rx_bytes": "rx B", "completion_errors": "errors"}


@click.command("status", short_help="What the lab is made of, and its counters.")
@json_option
def command(as_json):
    """What the lab that FREEFLOW_LAB names (default: lab) is made of, and what its routers count.

    A container's counters are those of its open sessions: programs that have ended are no longer in them.
    """
    from freeflow.lab.status import describe, loaded
    lab = describe(loaded(lab_name()))
    if as_json:
        click.echo(json.dumps(lab, indent=1))
        return
    if etcd := lab["etcd"]:
        click.echo(f"etcd  {etcd['url']}  pid {etcd['pid']}{'' if etcd['alive'] else ' (dead)'}")
    from rich.console import Console
    for host in lab["hosts"]:
        click.echo(summary(host))
        Console().print(table(host["containers"]))


def summary(host):
    router, counters = host["router"], host["counters"]
    line = f"{host['name']}  {host['ip']}  router {router['pid']}{'' if router['alive'] else ' (dead)'}"
    if counters is None:
        return f"{line}: {router['why']}"
    return (f"{line}, {counters['sessions_opened']} sessions opened, {counters['sessions_refused']} refused, "
            f"{counters['wqes']} work requests, {counters['bytes']} bytes")


def table(containers):
    from rich.table import Table

    from freeflow.cli.top import scaled
    shown = Table("container", "address", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in COLUMNS.values():
        shown.add_column(heading, justify="right", no_wrap=True)
    for container in containers:
        counts = container["counters"]
        address = container["ip"] if container["alive"] else f"{container['ip']} (dead)"
        shown.add_row(container["name"], address, *(scaled(counts.get(name, 0), 1024 if name == "pinned_bytes" else 1000) for name in COLUMNS))
    return shown
