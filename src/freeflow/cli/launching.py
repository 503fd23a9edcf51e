"""For the commands that become another program: their exit status is the program's."""

import sys
from contextlib import contextmanager

import click

from freeflow.errors import FreeFlowError
from freeflow.launch import LAUNCHER_FAILED


@contextmanager
def launching():
    """FreeFlow's own failures get a status that no program is likely to use (126, 127 and 125 else)."""
    try:
        yield
    except FreeFlowError as error:
        click.echo(f"freeflow: {error}", err=True)
        sys.exit(getattr(error, "status", LAUNCHER_FAILED))
