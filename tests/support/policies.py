"""Policy files that change under a router, and what its containers' sessions have counted."""

from freeflow.stats import Counters


def put(path, text):
    """Another content, at once: a router sees all of it or nothing."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)


def counted(lab, container, field):
    """The sum of that field of struct ff_session_stats over a container's sessions."""
    with lab.control(f"h{lab.plan.find(container).host}") as control:
        rows = Counters(control.call("status")["stats"]).sessions()
    return sum(int(row[field]) for row in rows if row["container"].decode() == container)
