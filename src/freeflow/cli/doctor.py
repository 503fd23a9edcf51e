"""freeflow doctor"""

import json
import sys
from dataclasses import asdict

import click

from freeflow.cli.options import json_option, router_options

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command("doctor", short_help="Say what is wrong here, and how to mend it.")
@json_option
@router_options
def command(as_json, directory, name):
    """Say what is wrong here, how to mend it, and which path traffic takes. Exit status 1 if anything fails.

    Works on a host and inside a container, for any user.
    """
    from freeflow.doctor import FAIL, examine
    findings = examine(directory, name)
    if as_json:
        click.echo(json.dumps([asdict(found) for found in findings], indent=1))
    else:
        for found in findings:
            click.echo(f"{click.style(f'{found.state:4}', fg=COLOURS[found.state])}  {found.check:12}  {found.text}")
            if found.cure:
                click.echo(f"{'':20}-> {found.cure}")
    sys.exit(any(found.state == FAIL for found in findings))
