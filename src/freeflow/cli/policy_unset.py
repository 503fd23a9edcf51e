"""freeflow policy unset"""

import click

from freeflow.cli.policy_set import etcd_options, publish


@click.command("unset", short_help="Take the common policy out of an etcd.")
@etcd_options
def command(etcd, hosts):
    """Takes the policy that all hosts share out of etcd: they have none then, but for those with a --policy of their own."""
    publish(etcd, hosts)
