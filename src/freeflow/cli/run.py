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

    Root's programs get /sys/class/infiniband and /dev/infiniband/uverbs0 as well, in a mount namespace of their own,
    unless whoever made the container has mounted them.

    The exit status is CMD's. 125: it could not be started, 126: it is not executable, 127: not found.
    """
    with launching():
        from freeflow import device_files, launch
        router = launch.router_at(directory, name)
        variables = launch.environment(router, os.environ, tcp)
        device_files.provide(router)
        launch.replace_by(list(program), variables)
