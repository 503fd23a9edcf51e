"""Figures with their targets, and the table that sets them side by side."""

import statistics
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
        sign = "≥" if figure.at_least else "≤"
        target = f"{sign} {short(figure.target)} {figure.unit}" if figure.target is not None else ""
        verdict = {True: "[green]met[/]", False: "[red]short[/]", None: ""}[figure.met]
        drawn.add_row(figure.name, target, f"{short(figure.value)} {figure.unit}", verdict, figure.basis)
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
