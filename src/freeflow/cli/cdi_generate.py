"""freeflow cdi generate"""

import json

import click

from ffcore.paths import RouterPaths
from freeflow import cdi
from freeflow.cli.options import router_options
from freeflow.errors import FreeFlowError


@click.command("generate", short_help="Write the CDI specs of this host.")
@click.option("--network", "networks", multiple=True, metavar="CIDR",
              help="A network out of which the engine gives containers their addresses. Repeat it for more. Default: those of "
                   "the Podman and Docker on this host.")
@click.option("--tenant", default="default", show_default=True, help="Whose the containers are.")
@click.option("--output", default=cdi.STATIC, show_default=True, metavar="DIRECTORY",
              help=f"Where engines look: {cdi.STATIC}, or {cdi.CLEARED_AT_BOOT}. `-`: print them.")
@click.option("--vendor", default=cdi.VENDOR, show_default=True, help="The first word of the devices' names.")
@router_options
def command(networks, tenant, output, vendor, directory, name):
    """Write the CDI specs of this host, and put the libraries into the router's directory. Then:

    \b
        podman run --device freeflow.dev/rdma=ff0 IMAGE ib_send_bw
        podman run --device freeflow.dev/tcp=on IMAGE redis-server

    A hook tells the router of each such container. Its addresses are those that its interfaces have out of the networks
    named here: an address of any other network is ignored, whatever the container says. Once more after an upgrade.
    """
    try:
        router = RouterPaths.of(directory, name)
    except ValueError as error:
        raise FreeFlowError(str(error)) from None
    networks = cdi.checked(networks or cdi.engines_networks())
    if not networks:
        raise FreeFlowError("neither Podman nor Docker says what networks it has: name them with --network CIDR")
    made = cdi.specs(router, networks, vendor, tenant)
    if output == "-":
        click.echo("\n".join(json.dumps(spec, indent=1) for spec in made.values()))
        return
    from freeflow.furnish import furnish
    try:
        furnish(router.directory)
    except OSError as error:
        raise FreeFlowError(f"{error.filename}: {error.strerror}") from None
    for path in cdi.write(made, output):
        click.echo(path)
