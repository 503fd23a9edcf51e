"""freeflow router"""

import os
import sys

import click

from ffcore.polling import MODES
from freeflow.cli.options import router_options


@click.command("router")
@router_options
@click.option("--polling", type=click.Choice(MODES), default=MODES[0], show_default=True)
@click.option("--policy", metavar="FILE", help="What sessions and tenants may use, as TOML (docs/operations.md).")
@click.option("--hosts", metavar="FILE", help="Which container is on which host, as TOML (docs/operations.md).")
def command(directory, name, polling, policy, hosts):
    """Run this host's router in the foreground, until SIGTERM or SIGINT."""
    arguments = [sys.executable, "-m", "ffr.daemon", "--polling", polling]
    if directory:
        arguments += ["--dir", directory]
    if name:
        arguments += ["--name", name]
    if policy:
        arguments += ["--policy", policy]
    if hosts:
        arguments += ["--hosts", hosts]
    os.execv(sys.executable, arguments)  # the router is one process, under the pid that its starter knows
