"""freeflow policy set"""

import os
import sys

import click


def etcd_options(function):
    """Which etcd."""
    function = click.option("--hosts", metavar="FILE", help="In place of --etcd: a file whose table [etcd] says where it is, with TLS "
                                                             "and users (docs/map.md).")(function)
    return click.option("--etcd", metavar="URL[,URL]", help="The routers' etcd.")(function)


def publish(etcd, hosts, *arguments):
    """Becomes the program that tells etcd."""
    if bool(etcd) == bool(hosts):
        raise click.UsageError("one of --etcd and --hosts is needed: the etcd that the routers have")
    where = ["--etcd", etcd] if etcd else ["--hosts", hosts]
    os.execv(sys.executable, [sys.executable, "-m", "ffr.map.publish", *where, *arguments])


@click.command("set", short_help="Give all hosts of an etcd one policy.")
@click.argument("file", type=click.Path())
@etcd_options
def command(file, etcd, hosts):
    """Puts FILE, a policy file, into etcd, where all routers that have no --policy of their own follow it. One that is wrong is not put
    there. `freeflow policy show` on a host says whether its router took it."""
    publish(etcd, hosts, "--file", file)
