"""freeflow lab status"""

import json

import click

from freeflow.cli.options import json_option, lab_name


@click.command("status", short_help="What the lab is made of, and its counters.")
@json_option
def command(as_json):
    """What the lab that FREEFLOW_LAB names (default: lab) is made of, and what its routers count."""
    from freeflow.lab.status import describe, loaded
    lab = describe(loaded(lab_name()))
    if as_json:
        click.echo(json.dumps(lab, indent=1))
        return
    for host in lab["hosts"]:
        print_host(host)


def print_host(host):
    router = host["router"]
    state = f"router {router['pid']}" if router["alive"] else f"router {router['pid']} DEAD"
    click.echo(f"{host['name']}  {host['ip']}  {state}  {router['dir']}")
    for container in host["containers"]:
        click.echo(f"  {container['name']}  {container['ip']}{'' if container['alive'] else '  DEAD'}")
