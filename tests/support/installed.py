"""FreeFlow as a user has it: a wheel in an environment of its own, run by somebody who is nobody here."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOBODY, SOMEBODY_ELSE = 65534, 1
TIMEOUT_S = 90


class Installed:
    """The wheel, installed where every user can read it. wheel (Path), bin (Path)."""

    def __init__(self):
        self.place = Path(tempfile.mkdtemp(prefix=f"ff-test-{os.getpid()}-", dir="/tmp"))
        self.place.chmod(0o755)
        said = subprocess.run([ROOT / "scripts/wheel", self.place / "dist"], capture_output=True, text=True)
        assert said.returncode == 0, said.stdout + said.stderr
        self.wheel = Path(said.stdout.split()[-1])
        self.sdist = next(self.wheel.parent.glob("*.tar.gz"))
        subprocess.run(["/usr/bin/python3", "-m", "venv", self.place / "env"], check=True)
        self.bin = self.place / "env/bin"
        self.pip("install", str(self.wheel))

    def pip(self, *words):
        """Without a compiler in reach."""
        said = subprocess.run([self.bin / "python", "-m", "pip", "-q", "--disable-pip-version-check", *words],
                              capture_output=True, text=True, env=os.environ | {"CC": "/bin/false", "CXX": "/bin/false"})
        assert said.returncode == 0, said.stdout + said.stderr

    def remove(self):
        shutil.rmtree(self.place, ignore_errors=True)


class Mortal(subprocess.Popen):
    def __exit__(self, *exception):
        self.kill()
        super().__exit__(*exception)


class User:
    """An account without privileges, an empty home, and a place for temporary files. Or root without any (uid 0)."""

    def __init__(self, installed, uid=NOBODY):
        self.uid, self.installed = uid, installed
        self.home = Path(tempfile.mkdtemp(prefix=f"ff-test-{os.getpid()}-", dir="/tmp"))  # a socket's path is short
        os.chown(self.home, uid, uid)
        self.directory = self.home / f"freeflow-{uid}"
        self.seen = set()  # pids of its routers
        self.variables = {"PATH": f"{installed.bin}:/usr/bin:/bin:/usr/sbin", "HOME": str(self.home), "TMPDIR": str(self.home)}

    def words(self, *command, within=()):
        """within: words that start it elsewhere, as root."""
        return [*within, "setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups", "--no-new-privs",
                "--inh-caps=-all", "--bounding-set=-all", *map(str, command)]

    def run(self, *command, within=(), **variables):
        return subprocess.run(self.words(*command, within=within), capture_output=True, text=True, timeout=TIMEOUT_S,
                              env=self.variables | variables, cwd=self.home)

    def start(self, *command, **options):
        """A Popen. Killed at the end of the `with` that it stands in."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | options
        return Mortal(self.words(*command), text=True, env=self.variables, cwd=self.home, start_new_session=True, **options)

    def routers(self):
        """{pid: its parent} of this user's routers and of what stands beside them."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if "ffr.control" in (process / "cmdline").read_text() and f"TMPDIR={self.home}\0" in (process / "environ").read_text():
                    found[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                pass
        self.seen |= set(found)
        return found

    def traces(self):
        """What is left of private routers: processes, files, counters."""
        running = self.routers()
        counters = [path for path in Path("/dev/shm").glob("freeflow-*") if int(path.name.rpartition("-")[2]) in self.seen]
        return [*running, *self.directory.glob("*"), *counters]

    def remove(self):
        shutil.rmtree(self.home, ignore_errors=True)
