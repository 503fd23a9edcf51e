"""freeflow policy check"""

import os
import sys

import click


@click.command("check", short_help="Say what is wrong with a policy file.")
@click.argument("file", type=click.Path())
def command(file):
    """Is FILE a policy file (docs/operations.md)? Says what is wrong in one line, with status 1; asks no router, changes nothing."""
    os.execv(sys.executable, [sys.executable, "-m", "ffr.policy.check", file])
