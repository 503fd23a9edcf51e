"""freeflow run"""

import os

import click

from freeflow.cli.launching import launching
from freeflow.cli.options import router_options


@click.command("run", short_help="Run a program with FreeFlow in it.")
@click.option("--tcp", is_flag=True, help="Sockets through FreeFlow too (TCP mode).")
@router_options
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD [ARG]...")
def command(tcp, directory, name, program):
    """Run CMD so that it finds the device ff0, whose router is that of FREEFLOW_DIR and FFR_NAME.

    The exit status is CMD's. 125: it could not be started, 126: it is not executable, 127: not found.
    """
    with launching():
        from freeflow import launch
        launch.replace_by(list(program), launch.environment(launch.router_at(directory, name), os.environ, tcp))
