"""The habits that a program can check: arrows between the floors, sizes, and what does not belong into the repository.

The floors are read from the sources' own words: Python's and Cython's imports, C's includes.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = {  # floor -> the floors that it may use besides itself (docs/design.md)
    "ffcore": set(),
    "ffl": {"ffcore"},
    "ffr": {"ffcore"},
    "freeflow": {"ffcore"},
}
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 600
ASSEMBLY = {"wait_at_gate"}  # one instruction a line, for two processors
LONG = {"src/ffl/ibv.pxd"}  # nothing but the declarations of verbs.h, in its order
GENERATED = {"build", "dist", ".venv", ".git", ".pytest_cache", ".benchmarks", "__pycache__", "results"}
CODE = {".py", ".pyx", ".pxd", ".c", ".h"}
TEXT = CODE | {".md", ".toml", ".map", ".def", ".in", ".sh", ".yml", ".cfg", ""}

PYTHON_IMPORT = re.compile(r"^\s*(?:from|c?import)\s+([\w.]+(?:\s*(?:as\s+\w+)?\s*,\s*[\w.]+)*)", re.MULTILINE)
PLAIN_IMPORT = re.compile(r"^[ \t]*c?import[ \t]+([\w.]+(?:[ \t]+as[ \t]+\w+)?(?:[ \t]*,[ \t]*[\w.]+(?:[ \t]+as[ \t]+\w+)?)*)", re.MULTILINE)
FROM_IMPORT = re.compile(r"^[ \t]*from[ \t]+([\w.]+)[ \t]+c?import[ \t]+(\([^)]*\)|[^\n]*)", re.MULTILINE)
EXTERN = re.compile(r'^\s*cdef\s+extern\s+from\s+["<]([^">]+)[">]', re.MULTILINE)
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.MULTILINE)
PYX_FUNCTION = re.compile(r"^(\s*)(?:async\s+)?(?:def|cdef|cpdef)\b(?!\s+class)[^=]*\(")
C_FUNCTION = re.compile(r"^[A-Za-z_].*\)\s*$|^[A-Za-z_].*\)\s*\{$")


def files(*suffixes):
    for path in sorted(ROOT.rglob("*")):
        inside = path.relative_to(ROOT)
        if path.is_file() and path.suffix in suffixes and not GENERATED & set(inside.parts) \
                and not any(part.endswith(".egg-info") for part in inside.parts):
            yield path


def none(wrong, rule):
    """Fails with all of them, a line each."""
    assert not wrong, "\n".join([rule, *wrong])


def named(paths):
    return {str(path.relative_to(ROOT)): path for path in paths}


def used_floors(path):
    """Which of the floors a source names."""
    text = path.read_text()
    if path.suffix in (".c", ".h"):
        words = INCLUDE.findall(text)
    else:
        words = [name.strip() for group in PYTHON_IMPORT.findall(text) for name in group.split(",")]
        words += EXTERN.findall(text)
    return {re.split(r"[./\s]", word)[0] for word in words} & set(FLOORS)


@pytest.mark.parametrize("floor", FLOORS)
def test_arrows_point_down(floor):
    wrong = {name: used - FLOORS[floor] - {floor} for name, path in named(files(*CODE)).items()
             if name.startswith(f"src/{floor}/") and (used := used_floors(path)) - FLOORS[floor] - {floor}}
    assert not wrong


def test_the_arrows_are_seen_at_all(tmp_path):
    """Each way to name a floor, so that the test above cannot be silent for want of eyes."""
    for suffix, line in [(".py", "from ffr.state import x"), (".py", "import ffr"), (".pyx", "cimport ffr.state as s"),
                         (".pyx", "from ffr.state cimport x"), (".pyx", "    import os, ffr.state"),
                         (".pxd", 'cdef extern from "ffr/state.h" nogil:'), (".c", '#include "ffr/state.h"'),
                         (".h", "# include <ffr/reactor/loop.h>")]:
        source = tmp_path / f"source{suffix}"
        source.write_text(f"\n{line}\n")
        assert used_floors(source) == {"ffr"}, line


def modules(root):
    """The modules below a folder, by their names, with their sources: a .pyx and its .pxd are one."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.suffix in (".py", ".pyx", ".pxd") and not GENERATED & set(path.relative_to(root).parts):
            name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            found.setdefault(name, []).append(path)
    return found


def imports_of(path, known):
    """Which of the known modules a source imports or cimports, wherever in it, and in whichever way it says so."""
    used = set()
    text = path.read_text()
    for group in PLAIN_IMPORT.findall(text):
        used |= {re.split(r"\s", name.strip())[0] for name in group.split(",")}
    for source, group in FROM_IMPORT.findall(text):
        words = {name.split()[0] for name in group.strip("()").split(",") if name.strip()}
        inside = {f"{source}.{word}" for word in words} & known
        used |= inside if len(inside) == len(words) else inside | {source}  # who imports a package's modules means those alone
    return used & known


def circles(root):
    """The sets of modules below a folder that import each other, in whatever detour; sorted."""
    sources = modules(root)
    below = {name: set().union(*(imports_of(path, set(sources)) for path in paths)) - {name} for name, paths in sources.items()}
    for middle in below:  # what is reached by way of it, too
        for name in below:
            if middle in below[name]:
                below[name] |= below[middle]
    return sorted({tuple(sorted(other for other in below[name] if name in below[other])) for name in below if name in below[name]})


def test_no_circles_inside_a_floor():
    none([" <-> ".join(circle) for circle in circles(ROOT / "src")], "modules that import each other are one module, or need a"
         " table that is filled at start")


@pytest.mark.parametrize("sources", [
    {"a.pyx": "from b cimport x", "b.pxd": "from a cimport y"},
    {"a.pxd": "from b cimport x", "b.pyx": "cimport a"},
    {"a.py": "def later():\n    import os, b", "b.py": "from a import (\n    x,\n    y)"},
    {"p/__init__.py": "", "p/a.py": "from p import b as c", "p/b.pyx": "from p.d cimport (x,\n  y)", "p/d.pyx": "import p.a as q"}])
def test_circles_are_seen_at_all(tmp_path, sources):
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert len(circles(tmp_path)) == 1
    (tmp_path / next(name for name, text in sources.items() if text)).write_text("import os\n")
    assert not circles(tmp_path)


def nics_named(path, nics):
    """The NICs that a source imports something of, or names a module of."""
    return {nic for nic in nics if re.search(rf"\bffr[./]nic[./]{nic}[./]|\bffr\.nic import .*\b{nic}\b", path.read_text())}


def test_only_the_registries_name_nics():
    """Whatever else wants something of a NIC asks through the contract: base.pxd, backend.py."""
    floor = ROOT / "src/ffr/nic"
    nics = {path.name for path in floor.iterdir() if (path / "__init__.py").exists()}
    assert {"local", "roce"} <= nics
    registries = {floor / "registry.pyx", floor / "backends.py"}
    wrong = []
    for path in files(".py", ".pyx", ".pxd", ".c", ".h"):
        if path.is_relative_to(ROOT / "src") and path not in registries:
            own = path.relative_to(floor).parts[0] if path.is_relative_to(floor) else None
            code = nics_named(path, nics) - {own}
            wrong += [f"{path.relative_to(ROOT)}: {nic}" for nic in sorted(code)]
    assert all(nics_named(path, nics) for path in registries), "they are seen at all"
    none(wrong, "named outside its package")


def test_the_plan_of_the_house_has_every_room():
    rooms = {f"{path.parent.name}/{path.name}/" for floor in FLOORS for path in (ROOT / "src" / floor).iterdir()
             if path.is_dir() and path.name not in GENERATED | {"lib"} and any(path.iterdir())}
    plan = (ROOT / "docs/design.md").read_text()
    told = {room for room in rooms if f"`{room}`" in plan or f"`{room.split('/')[1]}/`" in plan}
    none(sorted(rooms - told), "a line each in docs/design.md, \"The plan of the house\"")


def python_functions(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.end_lineno - node.lineno + 1


def cython_functions(path):
    """By indentation: a function is its head and what is indented deeper, blank lines at its end left out."""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        head = PYX_FUNCTION.match(line)
        if not head:
            continue
        end = last = number
        body = False
        for below in lines[number + 1:]:
            end += 1
            if not below.strip():
                continue
            deeper = len(below) - len(below.lstrip()) > len(head[1])
            if body and not deeper:
                break
            body = body or deeper
            last = end
        yield line.strip(), last - number + 1


def c_functions(path):
    """From a head in the first column to the closing brace in the first column."""
    start = None
    for number, line in enumerate(path.read_text().splitlines()):
        if C_FUNCTION.match(line) and not line.startswith(("#", "//", "/*", " *")):
            start, head = number, line
        elif line.startswith("}") and start is not None:
            yield head, number - start + 1
            start = None


def test_a_function_does_one_thing():
    readers = {".py": python_functions, ".pyx": cython_functions, ".pxd": cython_functions, ".c": c_functions,
               ".h": c_functions}
    long = [f"{name}: {head[:60]} ({lines} lines)" for name, path in named(files(*CODE)).items()
            for head, lines in readers[path.suffix](path) if lines > FUNCTION_LINES_MAX and not any(word in head for word in ASSEMBLY)]
    none(long, f"over {FUNCTION_LINES_MAX} lines is two functions")


def test_a_file_can_be_read_in_one_go():
    long = [f"{name} ({lines} lines)" for name, path in named(files(*CODE)).items()
            if name not in LONG and (lines := path.read_text().count("\n")) > FILE_LINES_MAX]
    none(long, f"over {FILE_LINES_MAX} lines is two files")


def test_lines_end():
    wrong = []
    for name, path in named(files(*CODE)).items():
        text = path.read_text()
        if name.startswith("src/"):
            wrong += [f"{name}:{number}" for number, line in enumerate(text.splitlines(), 1) if line != line.rstrip()]
        if text and not text.endswith("\n"):
            wrong.append(name)
    none(wrong, "blanks at the end of a line, or no newline at the end of a file")


def says_what_it_is_for(path):
    return re.match(r'#(?!!)|(#![^\n]*\n)?\s*r?"""', path.read_text())


def test_every_module_says_what_it_is_for():
    """In its first words; a .pyx may leave that to the .pxd beside it, which is its header."""
    wrong = [name for name, path in named(files(".py", ".pyx")).items()
             if path.read_text().strip() and not says_what_it_is_for(path)
             and not (path.with_suffix(".pxd").exists() and says_what_it_is_for(path.with_suffix(".pxd")))]
    none(wrong, "a module begins with what it is for")


def test_no_test_skips():
    """A prerequisite that is missing is a failure: a suite that skips says nothing about this machine."""
    word = "skip"
    pattern = re.compile(rf"pytest\.{word}\b|importor{word}|mark\.{word}|{word}if\b|unittest\.{word}")
    wrong = [name for name, path in named(files(".py")).items()
             if name.startswith(("tests/", "benchmarks/")) and pattern.search(path.read_text())]
    none(wrong, "tests that may skip")


def test_only_what_holds_anywhere():
    """No path of one person's machine, and no package index: pip and apt know where theirs are."""
    pattern = re.compile("|".join([r"(?<![\w.])/work" + r"/\w", r"/home" + r"/(?!\$)\w", r"py" + r"pi\.org",
                                   r"files\.python" + r"hosted", r"deb\.debian" + r"\.org"]))
    wrong = [f"{name}:{text.count(chr(10), 0, found.start()) + 1}: {found[0]}"
             for name, path in named(files(*TEXT)).items()
             for text in [path.read_text(errors="replace")] for found in pattern.finditer(text)]
    none(wrong, "does not hold on other machines")


def test_every_command_has_its_file():
    """One file per command, and no file that no command leads to (helpers apart, which define none)."""
    from freeflow.cli.main import COMMANDS
    folder = ROOT / "src/freeflow/cli"
    defining = {path.stem for path in folder.glob("*.py") if re.search(r"^def command\(", path.read_text(), re.MULTILINE)}
    assert defining == set(COMMANDS.values())
