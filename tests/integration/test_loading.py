"""Under which names programs look for libibverbs, and what else they bring along of it: they find FreeFlow all the same."""

import subprocess

import pytest

from ffl_nodes import RELEASES
from programs import program

WAYS = {"both": (), "preload": ("LD_LIBRARY_PATH",), "path": ("LD_PRELOAD",)}


def without(router, *variables):
    return {key: value for key, value in router.environment().items() if key not in variables}


@pytest.mark.parametrize("name", ["libibverbs.so", "libibverbs.so.1"])
@pytest.mark.parametrize("absent", WAYS.values(), ids=WAYS)
def test_loaded_by_name(shared_router, name, absent):
    """NCCL, RCCL and brpc ask for libibverbs.so; a machine with headers for verbs has another one of that name."""
    done = shared_router.run(program("names"), name, env=without(shared_router, *absent))
    count, file = done.stdout.split()
    assert (count, done.stderr) == ("1", "") and file.startswith(str(shared_router.directory)), done.stdout


# ---- another library of verbs' functions, as a wheel bundles it or a provider was linked to ----

def compile(folder, name, source, *words):
    (folder / f"{name}.c").write_text(source)
    subprocess.run(["gcc", "-w", "-o", folder / name, folder / f"{name}.c", *words], check=True)


def make_library(folder, soname, versions):
    """Stubs with these names, {node: functions}, none of which finds a device. Returns its path."""
    functions = [f for names in versions.values() for f in names]
    (folder / "map").write_text("".join(f"{node} {{ global: {' '.join(f'{name};' for name in names)} }};\n"
                                        for node, names in versions.items()))
    compile(folder, soname, "".join(f"long {name}(int *count) {{ if (count) *count = 0; return 0; }}\n" for name in functions),
            "-shared", "-fPIC", f"-Wl,-soname,{soname}", f"-Wl,--version-script={folder}/map")
    return folder / soname


@pytest.mark.parametrize("absent", [WAYS["both"], WAYS["preload"]], ids=["both", "preload"])
def test_bundled_under_another_name(shared_router, tmp_path, absent):
    """As wheels do it (NIXL): a module whose own copy has a name of its own. What is preloaded stands before it."""
    bundled = make_library(tmp_path, "libibverbs-0a1b2c3d.so.1.14.44.0", {"IBVERBS_1.1": ["ibv_get_device_list"]})
    compile(tmp_path, "module.so", "void *ibv_get_device_list(int *);\n"
            "void *list(int *count) { return ibv_get_device_list(count); }\n", "-shared", "-fPIC", bundled, "-Wl,-rpath,$ORIGIN")
    done = shared_router.run(program("names"), tmp_path / "module.so", "list", env=without(shared_router, *absent))
    assert done.stdout.split()[0] == "1", done.stdout + done.stderr
    alone = subprocess.run([program("names"), tmp_path / "module.so", "list"], capture_output=True, text=True)
    assert alone.stdout.split()[0] == "0"  # it is the bundled one that answers without FreeFlow


@pytest.mark.parametrize("release", RELEASES)
def test_a_provider_of_any_release(shared_router, tmp_path, release):
    """Images have providers (libmlx5, ...) that programs or libraries are linked to, at their release's private node."""
    library = make_library(tmp_path, "libibverbs.so.1", {"IBVERBS_1.1": ["ibv_get_device_list"], f"IBVERBS_PRIVATE_{release}": [
        f"verbs_register_driver_{release}", "verbs_init_cq"]})
    compile(tmp_path, "provider.so", f"void verbs_register_driver_{release}(void); void verbs_init_cq(void);\n"
            "void *other(void) { return verbs_init_cq; }\n"
            f"__attribute__((constructor)) static void start(void) {{ verbs_register_driver_{release}(); }}\n",
            "-shared", "-fPIC", library)
    compile(tmp_path, "main", "#include <stdio.h>\nvoid *ibv_get_device_list(int *); void *other(void);\nint main(void)"
            ' { int count = 0; ibv_get_device_list(&count); printf("%d %d\\n", count, !!other()); return 0; }\n',
            tmp_path / "provider.so", library)
    done = shared_router.run(tmp_path / "main")
    assert (done.stdout, done.stderr) == ("1 1\n", "")
