"""freeflow lab up"""

import os

import click

from ffcore.nics import LINKS, NICS
from freeflow.cli.options import lab_name
from freeflow.errors import FreeFlowError
from freeflow.lab import model


@click.command("up", short_help="Make hosts and containers on this machine.")
@click.option("--hosts", type=click.IntRange(1, model.HOSTS_MAX), default=1, show_default=True,
              help="Hosts, each with a router of its own.")
@click.option("--containers", type=click.IntRange(1, model.CONTAINERS_MAX), default=2, show_default=True,
              help="Containers of each host.")
@click.option("--mode", type=click.Choice(["isolated", "semi-isolated"]), default="isolated", show_default=True,
              help="Who moves the bytes: the router, or the library after the router's set-up.")
@click.option("--nic", type=click.Choice([*NICS, "verbs"]), default=NICS[0], show_default=True,
              help="What the routers reach containers by. auto: local (memory) inside a host, roce (UDP) between hosts. local: "
                   "no others than the host's own. roce: packets inside a host too.")
@click.option("--link", type=click.Choice(LINKS), default=LINKS[0], show_default=True,
              help="What carries connections between hosts: RoCEv2 over UDP, or the routers' TCP streams.")
@click.option("--overlay", type=click.Choice(model.OVERLAYS), default="bridge", show_default=True,
              help="How the containers' ordinary network crosses the wire.")
@click.option("--tenants", metavar="NAME,…", default="default", show_default=True,
              help="Whose the containers are: of each host's the first is the first one's, and so on in turn.")
@click.option("--policy", type=click.Path(exists=True, dir_okay=False, resolve_path=True),
              help="A policy file, which the routers follow.")
def command(hosts, containers, mode, nic, link, overlay, tenants, policy):
    """Make a lab: HOSTS network namespaces joined by a wire, each with a router, and CONTAINERS containers in each.

    Container h1c2 has 10.32.1.2, host h1 10.31.0.1. FREEFLOW_LAB names the lab (default: lab), so that several can
    stand side by side; WIRE_MTU is the wire's (default: 1500). Several hosts have an etcd, on h1, by which their routers
    find each other's containers. What a broken lab of that name left is cleaned up first.
    """
    if mode != "isolated":
        raise click.UsageError(f"--mode {mode} is not available yet: isolated is")
    if nic == "verbs":
        raise click.UsageError(f"--nic verbs is not available yet: {', '.join(NICS)} are")
    from freeflow.lab.up import up
    plan = model.Plan(lab_name(), hosts, containers, overlay, wire_mtu(), nic, link, tuple(tenants.split(",")), policy)
    record = up(plan, say=lambda text: click.echo(f"lab: {text}", err=True))
    if plan.etcd_url:
        click.echo(f"etcd  {plan.etcd_url}   pid {record.processes[model.ETCD].pid}")
    for host in plan.hosts:
        click.echo(f"{host.name}    {host.address}   router {record.processes[host.name].pid}")
        for container in host.containers:
            click.echo(f"{container.name}  {container.address}")


def wire_mtu():
    text = os.environ.get("WIRE_MTU") or "1500"
    if not text.isdigit():
        raise FreeFlowError(f"WIRE_MTU {text!r}: a number of bytes")
    return int(text)
