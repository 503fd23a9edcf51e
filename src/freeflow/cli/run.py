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
    """Run CMD so that it finds the device ff0.

    Its router is that of --dir and --name, or FREEFLOW_DIR and FFR_NAME; without these your own (`freeflow router`), or
    that of /freeflow. Where there is none, a private one starts, which all that you run so on this machine share, and which
    ends with the last of them: no root is needed.

    \b
        freeflow run -- ib_send_bw &                      # in one terminal
        freeflow run -- ib_send_bw localhost              # in another
        freeflow run -- mpirun -np 4 ./program

    Programs find /sys/class/infiniband and /dev/infiniband/uverbs0 as well: mounted for them alone by root, shown by a
    library that is preloaded for others, unless whoever made the container has mounted them.

    The exit status is CMD's. 125: it could not be started, 126: it is not executable, 127: not found.
    """
    with launching():
        from freeflow import device_files, launch, private
        router = private.router_for(directory, name)
        variables = launch.environment(router, os.environ, tcp, files=device_files.provide(router))
        launch.replace_by(list(program), variables)
