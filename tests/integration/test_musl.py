"""Programs of musl, as in Alpine's images, with the libraries for verbs preloaded: nothing changes for them. (test_tcp_musl.py
has the sockets'.)"""

import os
import subprocess

import pytest

import musl
from freeflow.launch import BUILT, FILES_LIBRARY, VERBS_LIBRARY, environment

# What the libraries stand before, and what their constructors and fork handlers might meet.
TALK = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
static void *thread(void *data) { return data; }
int main(int count, char **words)
{
	char text[64] = "", path[PATH_MAX], *again;
	struct dirent **found;
	struct stat file;
	pthread_t made;
	int ends[2], status, fd, listed;
	FILE *stream;
	DIR *folder;
	void *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mremap(memory, 1 << 20, 2 << 20, MREMAP_MAYMOVE) == MAP_FAILED || socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		return 1;
	if (chdir(words[1]) || (fd = open("file", O_RDWR | O_CREAT, 0640)) < 0 || fstat(fd, &file) || (file.st_mode & 0777) != 0640)
		return 2;
	if (send(ends[0], "to", 2, 0) != 2 || read(ends[1], text, 2) != 2 || write(fd, text, 2) != 2 || close(fd))
		return 3;
	snprintf(path, sizeof(path), "%s/file", words[1]);
	if (!(stream = fopen(path, "a+")) || fputs("gether\n", stream) < 0 || fclose(stream))
		return 4;
	if (!(again = realpath("file", NULL)) || strcmp(again, path) || !realpath("./file", path) || strcmp(again, path))
		return 5;
	if ((listed = scandir(words[1], &found, NULL, alphasort)) < 3 || !(folder = opendir(words[1])) || closedir(folder))
		return 6;
	if (open("none", O_RDONLY) >= 0 || fopen("none", "r") || realpath("none", NULL) || stat(words[1], &file) || !access("none", R_OK))
		return 7;
	if (pthread_create(&made, NULL, thread, NULL) || pthread_join(made, NULL))
		return 8;
	if (fork() == 0)
		_exit(system("exit 5") >> 8);
	if (wait(&status) < 0 || WEXITSTATUS(status) != 5)
		return 9;
	stream = fopen("file", "r");
	printf("%s%d %s", fgets(text, sizeof(text), stream) ? text : "?", listed, found[listed - 1]->d_name);
	return 0;
}
"""

VERBS = r"""
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
int main(int count, char **words)
{
	void *library = dlopen(words[1], RTLD_NOW);
	void **(*list)(int *) = library ? (void **(*)(int *))dlsym(library, "ibv_get_device_list") : NULL;
	int devices = 9, none;

	if (!list)
		return puts(dlerror()) + 1;
	none = list(&devices) == NULL && errno == ENOSYS;
	printf("%d %d", none, devices);
	return 0;
}
"""

READ = r"""
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
	char text[64] = "";
	struct dirent **found;
	FILE *stream = fopen("/sys/class/infiniband/ff0/fw_ver", "r");

	if (!stream || !fgets(text, sizeof(text), stream) || scandir("/sys/class/infiniband/ff0", &found, NULL, alphasort) != 3)
		return 1;
	printf("%s %s %s", text, found[2]->d_name, realpath("/sys/class/infiniband/ff0/fw_ver", NULL));
	return 0;
}
"""


@pytest.fixture
def run(tmp_path):
    def run(source, *words, **variables):
        plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        program = musl.compile(source, tmp_path / "program")
        return subprocess.run([program, *words], env=plain | variables, text=True, timeout=30, capture_output=True)
    return run


@pytest.mark.parametrize("library", [VERBS_LIBRARY, FILES_LIBRARY])
def test_a_program_does_as_without(run, tmp_path, library):
    outcomes = []
    for number, variables in enumerate([{}, {"LD_PRELOAD": str(BUILT / library), "LD_LIBRARY_PATH": str(BUILT)}]):
        folder = tmp_path / f"in-{number}"
        folder.mkdir()
        done = run(TALK, folder, **variables)
        outcomes.append((done.returncode, done.stdout, done.stderr))
    assert outcomes == [(0, "together\n3 file", "")] * 2


def test_its_verbs_find_no_device_and_say_why(run, shared_router):
    done = run(VERBS, BUILT / VERBS_LIBRARY, **environment(shared_router.paths, {}))
    assert (done.returncode, done.stdout) == (0, "1 0"), done
    assert len(done.stderr.splitlines()) == 1 and "its device is for programs of glibc" in done.stderr


def test_the_device_s_files_are_there_all_the_same(run, tmp_path):
    where = tmp_path / "tree/class/infiniband/ff0"
    where.mkdir(parents=True)
    (where / "fw_ver").write_text("1.2.3")
    done = run(READ, FREEFLOW_FILES=str(tmp_path / "tree"), LD_PRELOAD=str(BUILT / FILES_LIBRARY))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"1.2.3 fw_ver {where / 'fw_ver'}", "")
