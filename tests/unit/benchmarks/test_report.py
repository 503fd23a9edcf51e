"""Benchmarks that nobody runs each day still load, and the table says met and short where it should."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.report import Figure, interleaved, markdown, medians, short

ROOT = Path(__file__).resolve().parents[3]


def test_all_benchmarks_can_be_collected():
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "--collect-only", "benchmarks"], cwd=ROOT,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("latency", "bandwidth", "message_rate", "control", "idle"):
        assert f"bench_{name}.py::" in done.stdout


@pytest.mark.parametrize("value, target, at_least, met", [
    (1.0, 1.5, False, True), (1.5, 1.5, False, True), (1.6, 1.5, False, False),
    (1.0, 1.5, True, False), (1.5, 1.5, True, True), (1.0, None, False, None)])
def test_met_or_short(value, target, at_least, met):
    assert Figure("a", value, "x", target, at_least).met is met


def test_markdown_escapes_the_bars_of_a_command():
    assert "one \\| two" in markdown([Figure("a", 2.0, "x", 1.0, command="one | two")])


@pytest.mark.parametrize("value, text", [(12345.6, "12,346"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"),
                                         (0.1, "0.10"), (0.0123, "0.0123")])
def test_three_digits(value, text):
    assert short(value) == text


def test_interleaving_takes_turns():
    order = []
    samples = interleaved(3, a=lambda: order.append("a") or len(order), b=lambda: order.append("b") or len(order))
    assert order == ["a", "b"] * 3 and medians(samples) == {"a": 3, "b": 4}
