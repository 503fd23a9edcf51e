"""freeflow demo"""

import sys

import click


@click.command("demo", short_help="perftest between two containers, and TCP.")
def command():
    """Make a lab of two containers, run the eight tests of perftest between them, measure TCP between the same two, and
    end with one table. The lab is gone afterwards.

    As root, with perftest, ibverbs-utils, iperf3 and sockperf installed. Without root, two programs talk like this:

    \b
        freeflow run -- ib_send_bw &
        freeflow run -- ib_send_bw localhost
    """
    from freeflow.demo import main
    sys.exit(main())
