"""Running a program inside the lab, in the foreground, as if it had been started directly.

The caller's process stays as a stand-in: it enters the container's namespaces and forks, for a pid namespace takes
effect for children only. Standard streams, terminal and process group are shared, so what the terminal sends reaches
both by itself; what was sent to the stand-in alone it passes on; and it ends as the program ended.
"""

import os
import resource
import select
import signal
import sys
from contextlib import contextmanager, suppress

from ffcore.paths import RouterPaths
from freeflow import launch
from freeflow.errors import FreeFlowError
from freeflow.lab import cgroups, linux, routers
from freeflow.lab.model import HOME_INSIDE, ROUTER_INSIDE, ROUTER_NAME, Container

# Faults stay with the process that made them.
FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS}
FORWARDED = signal.valid_signals() - FAULTS - {signal.SIGKILL, signal.SIGSTOP}
SI_KERNEL = 0x80  # of a signal that the terminal's driver sent to the whole foreground group


def enter(record, name, command, mode="verbs"):
    """Runs `command` in the container or on the host `name` of the lab `record`, and exits as it does; never returns.

    mode: "verbs", "tcp" (TCP mode as well) or "plain" (without FreeFlow). On a host it runs as root, in the host's
    network namespace alone. Raises FreeFlowError for what is wrong before the program starts.
    """
    if os.geteuid() != 0:
        raise FreeFlowError("entering a lab's namespaces needs root")
    place = record.plan.find(name)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # a caller that ignores it would never let us hear of the end
    where, groups = working_directory(), []
    if isinstance(place, Container):
        groups = cgroups.join_files(record.cgroups_of(place))
        go_inside(record.processes[name])
        router, variables = RouterPaths(ROUTER_INSIDE, ROUTER_NAME), of_container(os.environ, place)
    else:
        with open_namespace(place.netns_path) as descriptor:
            linux.setns(descriptor, linux.CLONE_NEWNET)
        router, variables = RouterPaths(place.router_directory, ROUTER_NAME), dict(os.environ)
    if mode == "plain":
        variables = launch.plain(variables)
    else:
        variables = launch.environment(router, variables | routers.prefixes(), tcp=mode == "tcp")

    stand_in = os.pidfd_open(os.getpid())
    with kept_terminal():
        child = os.fork()
        if not child:
            become_program(place, command, variables, where, groups, stand_in, mask)
        status = stand_by(child)
    end_as(status)


def go_inside(process):
    """All of a container's namespaces at once, by its PID 1."""
    try:
        with process.pidfd() as descriptor:
            linux.setns(descriptor, linux.CONTAINER_NAMESPACES)
    except (ProcessLookupError, OSError) as error:
        raise FreeFlowError(f"the container is gone ({error}): freeflow lab up makes the lab anew") from None


@contextmanager
def open_namespace(path):
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise FreeFlowError(f"{path} is gone: freeflow lab up makes the lab anew") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def of_container(base, container):
    """The caller's environment with what is the container's own."""
    variables = {key: value for key, value in base.items() if key not in ("OLDPWD", "XDG_RUNTIME_DIR", "MAIL")}
    return variables | {"HOME": str(HOME_INSIDE), "TMPDIR": "/tmp", "USER": container.name, "LOGNAME": container.name,
                        "HOSTNAME": container.name}


def become_program(place, command, variables, where, groups, stand_in, mask):
    """In the child: from here to exec, or to an exit status that says why not."""
    status = launch.LAUNCHER_FAILED
    try:
        cgroups.join(groups)
        if isinstance(place, Container):
            linux.become(place.uid)
        die_with(stand_in)  # after the change of user, which clears it
        variables["PWD"] = stay_at(where, variables.get("HOME", "/"))
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these; a program expects its default
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        launch.replace_by(command, variables)
    except launch.LaunchError as error:
        print(f"freeflow: {error}", file=sys.stderr)
        status = error.status
    except BaseException as error:
        print(f"freeflow: {place.name}: {error}", file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(status)


def die_with(stand_in):
    """A stand-in that is killed takes the program along; it may be dead already, which only its pidfd can tell."""
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    poll = select.poll()
    poll.register(stand_in, select.POLLIN)
    if poll.poll(0):
        os._exit(launch.LAUNCHER_FAILED)


def working_directory():
    try:
        return os.getcwd()
    except FileNotFoundError:  # removed under the caller
        return "/"


def stay_at(where, home):
    """The caller's working directory when the program may be there, else its home: to a person that is said."""
    for directory in (where, home, "/"):
        with suppress(OSError):
            os.chdir(directory)
            if directory != where and sys.stderr.isatty():
                print(f"freeflow: the container's user may not be in {where}; the program runs in {directory}", file=sys.stderr)
            return directory


def stand_by(child):
    """Passes signals on until the program has ended. Returns its wait status."""
    while True:
        received = signal.sigwaitinfo(FORWARDED)
        if received.si_signo == signal.SIGCHLD:
            pid, status = os.waitpid(child, os.WNOHANG | os.WUNTRACED)
            if pid and os.WIFSTOPPED(status):
                os.kill(os.getpid(), signal.SIGSTOP)  # the caller's shell takes over; its SIGCONT is passed on
            elif pid:
                return status
        elif received.si_code != SI_KERNEL:
            os.kill(child, received.si_signo)


@contextmanager
def kept_terminal():
    """A shell inside makes its own process group the terminal's; afterwards it is the caller's again."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        yield
        return
    before = os.tcgetpgrp(terminal)
    yield
    with suppress(OSError):
        if before == os.getpgrp() and os.tcgetpgrp(terminal) != before:
            os.tcsetpgrp(terminal, before)
    os.close(terminal)


def end_as(status):
    """Exits with the program's status, or dies of the signal that it died of."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
