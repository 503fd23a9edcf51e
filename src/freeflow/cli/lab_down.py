"""freeflow lab down"""

import click

from freeflow.cli.options import lab_name
from freeflow.errors import FreeFlowError


@click.command("down", short_help="Remove the lab.")
def command():
    """Remove the lab that FREEFLOW_LAB names (default: lab): its processes, namespaces, cgroups and files."""
    from freeflow.lab.down import down
    name = lab_name()
    try:
        found = down(name)
    except KeyboardInterrupt:
        raise FreeFlowError(f"interrupted: lab {name} may be half there; freeflow lab down removes the rest") from None
    if not found:
        click.echo(f"lab: no lab {name} is up", err=True)
