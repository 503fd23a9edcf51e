"""freeflow systemd"""

import os
import shlex
import sys
from pathlib import Path

import click

from freeflow.errors import FreeFlowError

UNIT = Path(__file__).resolve().parent.parent / "deploy" / "freeflow-router.service"


@click.command("systemd", short_help="A systemd unit of this host's router.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[-- ROUTER-OPTION...]")
def command(options):
    """Print a unit that runs `freeflow router` with these options, from where this freeflow is installed:

    \b
        freeflow systemd > /etc/systemd/system/freeflow-router.service
        freeflow systemd -- --etcd http://10.0.0.1:2379 > ...
        systemctl enable --now freeflow-router
    """
    program = Path(sys.executable).parent / "freeflow"
    if not os.access(program, os.X_OK):
        raise FreeFlowError(f"no {program}: install FreeFlow where systemd can start it (pip install)")
    words = shlex.join([str(program), "router", *options]).replace("%", "%%").replace("$", "$$")
    click.echo(UNIT.read_text().replace("@FREEFLOW@ router", words), nl=False)
