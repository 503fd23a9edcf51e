"""The wheel: its tag is true, what it installs works without a compiler, and the sources beside it build."""

import re
import subprocess
import sys
import zipfile

import pytest

from lab_checks import said

pytestmark = pytest.mark.timeout(300)  # the first one builds the wheel
LIBRARIES = {"ffl/lib/libibverbs.so.1", "ffl/lib/libfsocket.so.1", "ffl/lib/libffiles.so.1"}


def call(installed, *words):
    return said(subprocess.run([installed.bin / words[0], *words[1:]], capture_output=True, text=True, timeout=30))


def test_auditwheel_agrees_with_its_tag(installed):
    told = said(subprocess.run([sys.executable, "-m", "auditwheel", "show", installed.wheel], capture_output=True, text=True))
    tag = re.search(r'following\s+platform tag:\s+"([^"]+)"', told)[1]
    assert tag.startswith("manylinux_2_") and installed.wheel.name.endswith(f"-{tag}.whl")


def test_the_libraries_are_in_it_and_bind_nothing_newer_than_2_28(installed, tmp_path):
    with zipfile.ZipFile(installed.wheel) as wheel:
        assert LIBRARIES <= set(wheel.namelist())
        for name in LIBRARIES:
            symbols = said(subprocess.run(["readelf", "-W", "--dyn-syms", wheel.extract(name, tmp_path)], capture_output=True,
                                          text=True))
            versions = [tuple(map(int, found.split("."))) for found in re.findall(r"@GLIBC_([0-9.]+)", symbols)]
            assert versions and max(versions) <= (2, 28), name


def test_it_starts_by_either_name(installed):
    assert call(installed, "freeflow", "--version") == call(installed, "python", "-m", "freeflow", "--version")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(installed, shell):
    told = call(installed, "freeflow", "completion", shell)
    assert f"_FREEFLOW_COMPLETE={shell}_complete" in told


def test_bash_completes_the_commands(installed):
    words = {"_FREEFLOW_COMPLETE": "bash_complete", "COMP_WORDS": "freeflow conta", "COMP_CWORD": "1"}
    done = subprocess.run([installed.bin / "freeflow"], env=words, capture_output=True, text=True)
    assert done.stdout == "plain,container\n", done


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_the_sources_build(installed, tmp_path):
    said(subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, installed.sdist],
                        capture_output=True, text=True))
    assert len(list(tmp_path.glob("freeflow-*.whl"))) == 1
