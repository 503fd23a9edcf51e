"""The command `freeflow`. To add one: a file beside this one that defines `command`, and its line in COMMANDS."""

import sys
from importlib import import_module

import click

from freeflow.errors import FreeFlowError

# Words of the command -> module of this package. A module is imported when its command is asked for, and not before:
# `freeflow run` starts programs, so it should not wait for the table drawing of `freeflow top`.
COMMANDS = {
    "router": "router_run",
    "container add": "container_add",
    "container address": "container_address",
    "container remove": "container_remove",
    "container list": "container_list",
    "cdi generate": "cdi_generate",
    "policy show": "policy_show",
    "policy check": "policy_check",
    "policy set": "policy_set",
    "policy unset": "policy_unset",
    "polling": "polling_set",
    "top": "top",
    "device-plugin": "device_plugin",
    "metrics": "metrics",
    "doctor": "doctor",
    "run": "run",
    "lab up": "lab_up",
    "lab exec": "lab_exec",
    "lab status": "lab_status",
    "lab etcd": "lab_etcd",
    "lab down": "lab_down",
    "systemd": "systemd_unit",
    "demo": "demo",
    "completion": "completion",
}

# First words that gather several commands.
GROUPS = {
    "lab": "Hosts and containers on this machine, to try things in.",
    "policy": "What sessions and tenants may use, and whom they reach.",
    "cdi": "FreeFlow as a device of Podman, Docker and containerd.",
    "container": "Tell the router whose network namespace is whose.",
}


class LazyGroup(click.Group):
    """A click group whose commands come from COMMANDS, imported on demand."""

    def __init__(self, prefix="", **options):
        super().__init__(**options)
        self.prefix = prefix

    def list_commands(self, ctx):
        below = [words.removeprefix(self.prefix) for words in COMMANDS if words.startswith(self.prefix)]
        return sorted({words.split()[0] for words in below})

    def get_command(self, ctx, cmd_name):
        words = self.prefix + cmd_name
        if words in COMMANDS:
            return import_module(f"freeflow.cli.{COMMANDS[words]}").command
        if not self.prefix and cmd_name in GROUPS:
            return LazyGroup(prefix=f"{cmd_name} ", name=cmd_name, help=GROUPS[cmd_name])
        return None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="freeflow", prog_name="freeflow")
def cli():
    """RDMA and fast sockets for containers, without giving them the NIC."""


def main(arguments=None):
    """Entry point. Exit status: a command's own, 1 for an error that has its text on stderr, 2 for wrong usage."""
    try:
        cli.main(args=arguments, prog_name="freeflow")
    except FreeFlowError as error:
        click.echo(f"freeflow: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
