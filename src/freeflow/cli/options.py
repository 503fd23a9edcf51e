"""Options that several commands share."""

import os

import click


def router_options(command):
    """--dir and --name: which router is meant."""
    command = click.option("--name", metavar="NAME", help="Router's name. Default: $FFR_NAME, or router.")(command)
    return click.option("--dir", "directory", metavar="DIR",
                        help="Router's directory. Default: $FREEFLOW_DIR, or /freeflow.")(command)


def json_option(command):
    return click.option("--json", "as_json", is_flag=True, help="For programs.")(command)


def lab_name():
    """Which lab is meant."""
    return os.environ.get("FREEFLOW_LAB") or "lab"
