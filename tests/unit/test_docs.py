"""What people read leads somewhere, and the Python API says what everything is."""

import inspect
import re
from pathlib import Path

import pytest

from freeflow import rdma

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")


def anchors(page):
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+\s+(.*)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page):
    dead = []
    for path, anchor in LINK.findall(page.read_text()):
        target = page.parent / path if path else page
        if not target.exists() or anchor and target.suffix == ".md" and anchor not in anchors(target):
            dead.append(f"{path}#{anchor}")
    assert dead == []


def public(module, prefix=""):
    for name in module.__all__:
        found = getattr(module, name)
        if inspect.ismodule(found):
            if not prefix:
                yield from public(found, f"{name}.")
            continue
        yield prefix + name, found
        if inspect.isclass(found):
            yield from ((f"{prefix}{name}.{part}", member) for part, member in vars(found).items()
                        if not part.startswith("_") and (callable(member) or isinstance(member, property)))


@pytest.mark.parametrize("name, found", list(public(rdma)), ids=lambda value: value if isinstance(value, str) else "")
def test_the_api_is_told(name, found):
    assert inspect.getdoc(found), f"{name} has no docstring"
    if callable(found) and not inspect.isclass(found):
        inspect.signature(found)  # raises when there is none to show
