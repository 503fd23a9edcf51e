"""C programs of tests/programs, compiled on demand and linked to FFL's memory code as it is shipped."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/tests"
GENERATED = ROOT / "build/cython/src/ffl"
COMPILE = ["gcc", "-O2", "-g", "-std=gnu11", "-fno-strict-aliasing", "-Wall", "-Wno-unused-function", f"-I{ROOT}/src",
           f"-I{ROOT}/tests/programs"]
PROGRAM_TIMEOUT_S = 110


def memory_library():
    """libffmem_test.so: the room src/ffl/memory alone, with all their functions exported."""
    library = BUILD / "libffmem_test.so"
    room = ROOT / "src/ffl/memory"
    pyx = sorted(room.rglob("*.pyx"))
    sources = [GENERATED / path.relative_to(ROOT / "src/ffl").with_suffix(".c") for path in pyx] + sorted(room.rglob("*.c"))
    headers = [*(ROOT / "src/ffl").rglob("*.h"), *(ROOT / "src/ffcore").glob("*.h")]
    for path, source in zip(pyx, sources):
        assert source.exists() and source.stat().st_mtime >= path.stat().st_mtime, f"{path} is not built: make build"
    if is_older(library, sources + headers):
        exports = BUILD / "memory.map"
        exports.write_text("{ global: ff_*; local: *; };\n")
        run([*COMPILE, "-fPIC", "-shared", f"-I{python_headers()}", "-ffunction-sections", "-fdata-sections",
             "-DCYTHON_NO_PYINIT_EXPORT", "-DCYTHON_WITHOUT_ASSERTIONS", "-fno-stack-protector", "-Wl,-z,now", "-include", "ffl/glibc.h", *sources,
             "-Wl,--gc-sections", "-Wl,-z,defs", f"-Wl,--version-script={exports}", "-o", library])
    return library


def python_headers():
    import sysconfig
    return sysconfig.get_paths()["include"]


def is_older(product, sources):
    product.parent.mkdir(parents=True, exist_ok=True)
    return not product.exists() or product.stat().st_mtime < max(s.stat().st_mtime for s in sources)


def memory_program(source):
    """The compiled program's path. source: a Path, or the name of one in tests/programs."""
    source = source if isinstance(source, Path) else ROOT / "tests/programs" / f"{source}.c"
    library, program = memory_library(), BUILD / f"{source.parent.parent.name}_{source.stem}"
    if is_older(program, [source, ROOT / "tests/programs/memory_test.h", library]):
        run([*COMPILE, source, library, f"-Wl,-rpath,{BUILD}", "-lpthread", "-lrt", "-o", program])
    return program


def run(command, timeout_s=PROGRAM_TIMEOUT_S, **environment):
    """Runs to the end; a failure shows what was printed. Returns standard output."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout_s,
                          env={**os.environ, **environment})
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def run_memory(name, *arguments, timeout_s=PROGRAM_TIMEOUT_S, **environment):
    return run([memory_program(name), *arguments], timeout_s, **environment)
