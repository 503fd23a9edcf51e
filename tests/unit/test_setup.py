"""scripts/setup's shell, piece by piece."""

import subprocess
from pathlib import Path

SETUP = Path(__file__).resolve().parents[2] / "scripts" / "setup"


def sh(tmp_path, function, *arguments, **programs):
    """Runs one function of the script with stand-ins for `programs` (name -> script). Returns what it printed."""
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    source = SETUP.read_text()
    body = source[source.index(f"{function}() {{"):]
    body = body[:body.index("\n}\n") + 3]
    return subprocess.run(["sh", "-euc", f"PATH={tmp_path}:$PATH\n{body}\n{function} {' '.join(arguments)}"],
                          check=True, capture_output=True, text=True).stdout


def test_services_of_what_was_installed_do_not_start_at_the_next_boot(tmp_path):
    said = sh(tmp_path, "disable_services", "redis-server", systemctl='echo "$@"', **{"dpkg": (
        "printf '%s\\n' /usr/bin/redis-server /lib/systemd/system/redis-server.service"
        " /lib/systemd/system/redis-server@.service /usr/lib/systemd/system/other.service /usr/share/doc/a.service")})
    assert said.splitlines() == ["-q disable redis-server.service", "-q disable other.service"]
