"""What the benchmarks share: a lab of two containers, the figures, and where they go.

Results: benchmarks/results/*.json (pytest-benchmark's format; each figure is in its benchmark's extra_info, the machine
in machine_info), and a table of all figures beside their targets at the end.
"""

import time
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import report
from freeflow import machine, sockets
from freeflow.perftest import Perftest
from places import Lab, remove_stale

RESULTS = Path(__file__).parent / "results"
FIGURES = pytest.StashKey[list]()
TCP = pytest.StashKey[str]()


def pytest_configure(config):
    config.stash[FIGURES] = []
    if not config.option.benchmark_json and not config.option.collectonly:
        RESULTS.mkdir(exist_ok=True)
        config.option.benchmark_json = str(RESULTS / time.strftime("%Y%m%d-%H%M%S.json"))
    config.option.benchmark_quiet = True  # its table shows how long a measurement took, which is not the figure


def pytest_collection_modifyitems(config, items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(300))


def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info.update(machine.describe())
    if TCP in config.stash:
        machine_info["tcp"] = config.stash[TCP]


def pytest_terminal_summary(terminalreporter, config):
    figures = config.stash[FIGURES]
    if not figures:
        return
    console = Console(width=max(120, Console().width))
    console.print()
    console.print(machine.one_line(machine.describe()))
    if TCP in config.stash:
        console.print(f"TCP between the containers: {config.stash[TCP]}")
    console.print(report.table(figures, "Figures and their targets"))
    console.print(f"all samples: {config.option.benchmark_json}")


@pytest.fixture(scope="session")
def lab():
    """One host, two containers. A lab of this run's own."""
    remove_stale()
    made = Lab(host_count=1, container_count=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FREEFLOW_LAB", made.name)
        yield made
    made.down()


@pytest.fixture(scope="session")
def perftest(lab):
    return Perftest(lab.words, timeout_s=60)


@pytest.fixture(scope="session")
def tcp(lab, request):
    """(words of the server's container, words of the client's, server's address), without FreeFlow."""
    server, client = lab.words("h1c1", mode="plain"), lab.words("h1c2", mode="plain")
    request.config.stash[TCP] = str(sockets.describe(client))
    return server, client, lab.plan.find("h1c1").address


@pytest.fixture
def figure(benchmark, request):
    """figure(name, value, unit, target=…, …) records a benchmark's figure: in the JSON, and in the table at the end."""
    recorded = []

    def record(*arguments, **named):
        made = report.Figure(*arguments, **named)
        recorded.append(made.plain())
        benchmark.extra_info["figures"] = recorded
        request.config.stash[FIGURES].append(made)
        verdict = {True: "met", False: "short", None: ""}[made.met]
        print(f"\n{made.name}: {report.short(made.value)} {made.unit} {verdict}")

    return record


@pytest.fixture
def measured(benchmark):
    """measured(rounds, name=function, …): interleaved samples, {name: list}. Wall time goes to pytest-benchmark."""

    def measure(rounds, **measures):
        samples = {name: [] for name in measures}

        def once():
            for name, values in report.interleaved(1, **measures).items():
                samples[name] += values

        benchmark.pedantic(once, rounds=rounds, iterations=1, warmup_rounds=0)
        return samples

    return measure
