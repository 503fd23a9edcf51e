"""freeflow device-plugin"""

import re
import signal

import click

from ffcore.paths import RouterPaths
from freeflow.cli.options import router_options
from freeflow.errors import FreeFlowError

RESOURCE = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")  # as Kubernetes names them


@click.command("device-plugin", short_help="Offer FreeFlow's device to pods.")
@click.option("--resource", default="freeflow.dev/rdma", show_default=True, metavar="NAME", help="What pods ask for.")
@click.option("--cdi-device", default="freeflow.dev/rdma=ff0", show_default=True, metavar="NAME",
              help="What they get: a device of `freeflow cdi generate`.")
@click.option("--shares", default=1000, show_default=True, type=click.IntRange(1, 10_000), help="How many containers of a node.")
@click.option("--kubelet-dir", default="/var/lib/kubelet/device-plugins", show_default=True, metavar="DIRECTORY",
              help="Where the kubelet's socket for plugins is.")
@router_options
def command(resource, cdi_device, shares, kubelet_dir, directory, name):
    """Offer this node's router to pods as a resource, until SIGTERM or SIGINT. A kubelet that restarts finds it again.

    \b
        freeflow cdi generate --network POD-CIDR
        freeflow device-plugin
        freeflow device-plugin --resource freeflow.dev/tcp --cdi-device freeflow.dev/tcp=on
    """
    if not RESOURCE.fullmatch(resource):
        raise click.UsageError("--resource: a domain, a slash and a name, as in freeflow.dev/rdma")
    try:
        router = RouterPaths.of(directory, name)
        from freeflow.kubelet import Plugin
    except ValueError as error:
        raise FreeFlowError(str(error)) from None
    except ImportError as error:
        raise FreeFlowError(f"{error.name} is missing: pip install 'freeflow[kubernetes]'") from None
    plugin = Plugin(kubelet_dir, resource, cdi_device, shares, router)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: plugin.stop())
    click.echo(f"freeflow device-plugin: {resource} at {plugin.socket}")
    plugin.run()
