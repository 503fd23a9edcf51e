"""Compiles the Cython cores. What is declarative stands in pyproject.toml."""

import os
import platform
import re
from functools import partial
from glob import glob
from pathlib import Path

from Cython.Build import cythonize
from Cython.Build.Dependencies import create_dependency_tree
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

os.chdir(Path(__file__).parent)
DIRECTIVES = {"language_level": 3, "cdivision": True, "boundscheck": False, "wraparound": False,
              "initializedcheck": False, "legacy_implicit_noexcept": False}
OPTIMISE = ["-O2", "-g1", "-std=gnu11", "-fno-strict-aliasing", "-Wall", "-Wno-unused-function"]
if platform.machine() == "x86_64":
    # gcc clears and copies structs of 100 bytes by `rep stos` and `rep movs`, which take 10 to 20 ns to begin with.
    OPTIMISE += [f"-m{what}-strategy=unrolled_loop:256:noalign,libcall:-1:noalign" for what in ("memset", "memcpy")]
BUILD = "build/cython"
INCLUDE = re.compile(r'(?:include|cdef extern from)\s+"([^"]+)"')

# Floors that Python imports: every .pyx is a module; a .c of the same folder is linked into the .pyx of its name.
MODULE_FLOORS = ["ffcore", "ffr", "freeflow"]

# Libraries that programs without Python load: name -> the sources of floor 1 that are linked into it.
SOCKET_SOURCES = sorted(glob("src/ffl/tcp/*.pyx") + glob("src/ffl/tcp/*.c"))
FILES_SOURCES = sorted(glob("src/ffl/files/*.c"))
VERBS_SOURCES = sorted({*glob("src/ffl/**/*.pyx", recursive=True), *glob("src/ffl/**/*.c", recursive=True)}
                       - {*SOCKET_SOURCES, *FILES_SOURCES})
LIBRARIES = {"libibverbs": VERBS_SOURCES, "libfsocket": SOCKET_SOURCES, "libffiles": FILES_SOURCES}
# No interpreter: what would touch it is unreferenced, and the linker drops it. -z defs makes the linker the lint.
# No stack protector: what it compares lies in the thread control block, which may be the page that is being moved.
NO_PYTHON = ["-fno-stack-protector", "-ffunction-sections", "-fdata-sections", "-DCYTHON_NO_PYINIT_EXPORT", "-DCYTHON_WITHOUT_ASSERTIONS",
             "-fno-semantic-interposition", "-include", "ffl/glibc.h"]


def depends(sources):
    """An edited header rebuilds what includes it, also through other headers and .pxd files; other flags rebuild everything."""
    seen, left = set(), list(sources)
    while left:
        path = Path(left.pop())
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        if path.suffix == ".pyx":
            left += create_dependency_tree().all_dependencies(str(path))
        for name in INCLUDE.findall(path.read_text()):
            left += [Path("src", name), path.parent / name]
    return sorted(map(str, seen)) + ["setup.py"]


def modules():
    for floor in MODULE_FLOORS:
        for path in sorted(Path("src", floor).rglob("*.pyx")):
            name = ".".join(path.relative_to("src").with_suffix("").parts)
            beside = path.with_name(f"{path.stem}_c.c")
            sources = [str(path)] + ([str(beside)] if beside.exists() else [])
            yield Extension(name, sources, include_dirs=["src"], depends=depends(sources), extra_compile_args=OPTIMISE)


def library(name, sources):
    pyx = [Extension(".".join(Path(s).relative_to("src").with_suffix("").parts), [s]) for s in sources
           if s.endswith(".pyx")]
    compiled = cythonize(pyx, compiler_directives=DIRECTIVES, build_dir=BUILD)
    # Its own folder first of all: session/names.c. (RPATH, for RUNPATH comes after LD_LIBRARY_PATH. The linker looks at 16 bytes
    # behind the dollar, and valgrind tells if there are fewer.)
    link = ["-Wl,--disable-new-dtags", "-Wl,-rpath,$ORIGIN/././././."] if name == "libibverbs" else []
    link += ["-Wl,--gc-sections", "-Wl,-z,defs", "-Wl,-z,nodelete", "-Wl,-z,now", f"-Wl,-soname,{name}.so.1",
            f"-Wl,--version-script=src/ffl/{name}.map"]
    return Extension(f"ffl.lib.{name}", [e.sources[0] for e in compiled] + [s for s in sources if s.endswith(".c")],
                     include_dirs=["src"], depends=depends(sources) + [f"src/ffl/{name}.map"],
                     extra_compile_args=OPTIMISE + NO_PYTHON, extra_link_args=link)


def compile_one(compile_, target, source, ext, arguments, last, *rest):
    """A library has modules of one name in several folders, and Cython names PyInit_ by the file alone."""
    if source.startswith(f"{BUILD}/src/ffl/"):
        module = Path(source).relative_to(f"{BUILD}/src").with_suffix("")
        last = [*last, f"-DPyInit_{module.name}=PyInit_{'_'.join(module.parts)}"]
    return compile_(target, source, ext, arguments, last, *rest)


class BuildExt(build_ext):
    def build_extensions(self):
        # Some interpreters hand their own library's folder to every link (pyenv). It means nothing in a container.
        self.compiler.linker_so = [word for word in self.compiler.linker_so if not word.startswith("-Wl,-rpath")]
        self.compiler._compile = partial(compile_one, self.compiler._compile)
        super().build_extensions()

    def copy_extensions_to_source(self):
        super().copy_extensions_to_source()
        other_name = Path("src/ffl/lib/libibverbs.so")  # why: src/ffl/session/names.c
        other_name.unlink(missing_ok=True)
        other_name.symlink_to("libibverbs.so.1")

    def get_ext_filename(self, fullname):
        name = super().get_ext_filename(fullname)
        # Asked with and without the package in front.
        is_library = fullname.rpartition(".")[2] in LIBRARIES
        return fullname.replace(".", "/") + ".so.1" if is_library else name


def cores():
    if os.environ.get("FREEFLOW_NO_CORES"):  # scripts/setup installs the metadata alone, then compiles in place
        return []
    return (cythonize(list(modules()), compiler_directives=DIRECTIVES, build_dir=BUILD)
            + [library(name, sources) for name, sources in LIBRARIES.items() if sources])


setup(cmdclass={"build_ext": BuildExt}, ext_modules=cores())
