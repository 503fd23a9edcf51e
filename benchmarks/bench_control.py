"""What setting up costs a program: a QP to RTS, and registering memory."""

from pathlib import Path

from benchmarks.compiled import build, run
from benchmarks.report import medians

PROGRAM = Path(__file__).parent / "programs" / "control.c"
ROUNDS = 3
PROCMAP_QUERY_SINCE = (6, 11)


def kernel():
    import platform
    return tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])


def test_control_path(figure, measured, lab):
    inside = lab.put("h1c1", build(PROGRAM, "-libverbs"))
    results = []
    measured(ROUNDS, ours=lambda: results.append(run(lab.words("h1c1", inside))))
    middle = medians({name: [result[name] for result in results] for name in results[0]})
    again = 30 if kernel() >= PROCMAP_QUERY_SINCE else 150
    command = "make bench ARGS='-k control_path'"
    how = "median of 3 × 200"
    figure("QP to RTS (create, three modifies)", middle["rts_us"], "µs", 150, basis=how, command=command, samples=results)
    figure("reg_mr 1 MB", middle["reg_first_us"], "µs", 2000, basis=f"{how}, pages never registered", command=command)
    figure("reg_mr 1 MB again", middle["reg_again_us"], "µs", again, basis=f"{how}, pages already converted",
           command=command)
    figure("dereg_mr 1 MB", middle["dereg_us"], "µs", basis=f"{how}, pages given back", command=command)
