"""What converting memory costs by itself, without a router: pin, pin again, unpin."""

import json
from pathlib import Path

import pytest

from benchmarks.report import medians
from memory_programs import memory_program, run

SOURCE = Path(__file__).parent / "programs" / "memory.c"
ROUNDS = 3
KIB, MIB = 1 << 10, 1 << 20


@pytest.mark.parametrize("threads", [0, 8])
@pytest.mark.parametrize("size, repeats, target_us", [(64 * KIB, 300, None), (MIB, 200, 2000), (64 * MIB, 5, 60000)],
                         ids=["64K", "1M", "64M"])
def test_conversion(figure, measured, size, repeats, target_us, threads):
    program, results = memory_program(SOURCE), []
    measured(ROUNDS, ours=lambda: results.append(json.loads(run([program, size, repeats, threads]))))
    middle = medians({name: [result[name] for result in results] for name in results[0]})
    what = f"{size // KIB} KB, {threads} other threads"
    how = f"median of {ROUNDS} × {repeats}"
    command = "make bench ARGS='-k conversion'"
    figure(f"pin {what}", middle["pin_us"], "µs", target_us, basis=how, command=command, samples=results)
    figure(f"pin again {what}", middle["again_us"], "µs", basis=how, command=command)
    figure(f"unpin {what}", middle["unpin_us"], "µs", basis=how, command=command)
