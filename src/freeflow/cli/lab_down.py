"""freeflow lab down"""

import click

from freeflow.cli.options import lab_name


@click.command("down", short_help="Remove the lab.")
def command():
    """Remove the lab that FREEFLOW_LAB names (default: lab): its processes, namespaces, cgroups and files."""
    from freeflow.lab.down import down
    name = lab_name()
    if not down(name):
        click.echo(f"lab: no lab {name} is up", err=True)
