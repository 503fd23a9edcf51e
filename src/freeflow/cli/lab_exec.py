"""freeflow lab exec"""

import click

from freeflow.cli.launching import launching
from freeflow.cli.options import lab_name


@click.command("exec", short_help="Run a program in a container of the lab.")
@click.argument("place")
@click.option("--plain", "mode", flag_value="plain", help="Without FreeFlow, for baselines.")
@click.option("--tcp", "mode", flag_value="tcp", help="Sockets through FreeFlow too (TCP mode).")
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD [ARG]...")
def command(place, mode, program):
    """Run CMD in container PLACE (h1c2), in the foreground, as its unprivileged user; or on host PLACE (h1), as root.

    Its exit status, output and signals are CMD's own. 125: it could not be started, 126: it is not executable,
    127: not found.
    """
    with launching():
        from freeflow.lab import enter, status
        enter.enter(status.loaded(lab_name()), place, list(program), mode or "verbs")
