"""Figures with their targets, and the table that sets them side by side.

    python -m benchmarks.report benchmarks/results/….json     the same as Markdown, with the command behind each figure
"""

import json
import statistics
import sys
from dataclasses import asdict, dataclass, field

from rich import box
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One measured figure. `value` is met when it is at most (at_least: at least) `target`; without one, it informs."""

    name: str
    value: float
    unit: str
    target: float | None = None
    at_least: bool = False
    basis: str = ""  # what a ratio was made of, or how it was measured
    command: str = ""  # what a person types to see it
    samples: dict = field(default_factory=dict)

    @property
    def met(self):
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target

    @property
    def asked(self):
        """The target as text; empty when there is none."""
        if self.target is None:
            return ""
        return f"{'≥' if self.at_least else '≤'} {short(self.target)} {self.unit}"

    def plain(self):
        return asdict(self) | {"met": self.met}


def short(value):
    """Three significant digits, without an exponent."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.095 else 4
    return f"{value:,.{digits}f}"


def table(figures, title):
    drawn = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for column, justify in (("figure", "left"), ("target", "right"), ("measured", "right"), ("", "left"), ("of", "left")):
        drawn.add_column(column, justify=justify, overflow="fold")
    for figure in figures:
        verdict = {True: "[green]met[/]", False: "[red]short[/]", None: ""}[figure.met]
        drawn.add_row(figure.name, figure.asked, f"{short(figure.value)} {figure.unit}", verdict, figure.basis)
    return drawn


def interleaved(rounds, **measures):
    """Runs the measures in turn, `rounds` times over, so that a slow minute slows all of them.

    Returns {name: samples}; compare medians.
    """
    samples = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            samples[name].append(measure())
    return samples


def medians(samples):
    return {name: statistics.median(values) for name, values in samples.items()}


def markdown(figures):
    """The figures as a Markdown table."""
    lines = ["| figure | target | measured | | of | seen by |", "|---|---|---|---|---|---|"]
    for figure in figures:
        verdict = {True: "met", False: "**short**", None: ""}[figure.met]
        command = f"`{figure.command}`".replace("|", "\\|") if figure.command else ""
        lines.append(f"| {figure.name} | {figure.asked} | {short(figure.value)} {figure.unit} | {verdict} | "
                     f"{figure.basis} | {command} |")
    return "\n".join(lines)


def load(path):
    """The figures of a results file, in the order measured, and its machine."""
    with open(path) as file:
        results = json.load(file)
    made = [{key: value for key, value in plain.items() if key != "met"}
            for benchmark in results["benchmarks"] for plain in benchmark["extra_info"].get("figures", [])]
    return [Figure(**plain) for plain in made], results["machine_info"]


if __name__ == "__main__":
    from freeflow.machine import one_line
    figures_found, machine = load(sys.argv[1])
    print(f"{one_line(machine)}; TCP: {machine.get('tcp', 'not measured')}.\n\n{markdown(figures_found)}")
