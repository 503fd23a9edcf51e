"""freeflow metrics"""

from pathlib import Path

import click

from freeflow.cli.options import router_options
from freeflow.errors import FreeFlowError

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"


@click.command("metrics", short_help="The router's counters for Prometheus.")
@click.option("--listen", default="127.0.0.1:9420", show_default=True, metavar="IP:PORT", help="Where to answer.")
@click.option("--alerts", is_flag=True, help="Print alert rules for Prometheus instead.")
@click.option("--dashboard", is_flag=True, help="Print a dashboard for Grafana instead.")
@router_options
def command(listen, alerts, dashboard, directory, name):
    """Answer /metrics, /livez and /readyz over HTTP, for the router of this host, as its owner, until SIGTERM or SIGINT.

    \b
        freeflow metrics --listen 0.0.0.0:9420 &
        freeflow metrics --alerts > /etc/prometheus/freeflow.yml
        freeflow metrics --dashboard > dashboard.json
    """
    if alerts or dashboard:
        click.echo((DEPLOY / ("alerts.yml" if alerts else "dashboard.json")).read_text(), nl=False)
        return
    from freeflow import metrics
    address, _, port = listen.rpartition(":")
    if not port.isdigit() or not address:
        raise click.UsageError("--listen: an address and a port, as in 127.0.0.1:9420")
    try:
        server = metrics.server(address.strip("[]"), int(port), directory, name)
    except (OSError, OverflowError) as error:
        raise FreeFlowError(f"{listen}: {error}") from None
    click.echo(f"freeflow metrics: http://{address}:{server.server_port}/metrics")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
