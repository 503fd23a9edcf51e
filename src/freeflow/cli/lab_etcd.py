"""freeflow lab etcd"""

import click

from freeflow.cli.options import lab_name


@click.command("etcd", short_help="Start the lab's etcd again.")
def command():
    """Start the etcd of a lab with several hosts again, with the data that it had. Nothing happens while it lives.

    `lab status` shows its pid, for whoever wants to see what routers do without it (docs/map.md).
    """
    from freeflow.lab.status import loaded
    from freeflow.lab.up import restart_etcd
    process = restart_etcd(loaded(lab_name()))
    click.echo(f"etcd  pid {process.pid}")
