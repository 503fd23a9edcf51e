"""The router process: `python -m ffr.control.daemon`, which `freeflow router` becomes.

Two threads. The reactor's moves the messages and never holds the GIL; this one admits, registers and answers the
control socket. What this one does, garbage collection included, delays no message.
"""

import argparse
import asyncio
import logging
import os
import resource
import shlex
import signal
import socket
import sys
from contextlib import ExitStack

from ffcore.nics import LINKS, NICS
from ffcore.paths import RouterPaths
from ffcore.polling import MODES
from ffr.control import private
from ffr.control.counters import Counters, sweep
from ffr.control.identity import has_net_admin
from ffr.map import static
from ffr.map.settings import Settings
from ffr.control.place import Place, PlaceTaken
from ffr.nic.backends import Backends
from ffr.control.policy_shared import kept
from ffr.policy.registry import Policies
from ffr.control.router import Router
from ffr.control.userfaultfd import WISHES

LOG_LEVELS = {"error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}

KEY_BYTES_MAX = 4096

log = logging.getLogger("ffr")


def main(arguments=None):
    """Exit status: 0 after SIGTERM, SIGINT, SIGHUP or the op `stop`; 1 when it could not start, with one line on stderr."""
    options = _parse(arguments)
    logging.basicConfig(format="freeflow router: %(levelname)s: %(message)s", stream=sys.stderr,
                        level=LOG_LEVELS.get(os.environ.get("FREEFLOW_LOG", "warn"), logging.WARNING))
    try:
        paths = RouterPaths.to_run(options.dir, options.name)
        if options.held:
            private.detach(paths)
        where, copy = map_of(options), paths.policy_copy(options.state)
        policies = Policies.of_file(options.policy) if options.policy else kept(copy) if where.get("etcd") else Policies()
        asyncio.run(serve(paths, policies, options.polling, where, key_of(options.key),
                          shlex.split(options.device_files), options.nic, options.userfaultfd, options.held,
                          options.link, options.policy, copy))
    except (PlaceTaken, ValueError, OSError) as error:
        log.debug("cannot start", exc_info=True)
        sys.exit(f"freeflow router: {_told(error)}")


def _told(error):
    """What a person needs of an OSError: the file, what is the matter, and what to do when it is who they are."""
    if not isinstance(error, OSError) or not error.filename:
        return str(error)
    cure = ": name a directory of yours with --dir" if isinstance(error, PermissionError) and os.geteuid() else ""
    return f"{error.filename}: {error.strerror}{cure}"


def map_of(options):
    """Where the map of hosts comes from, as Router.use_map takes it. Raises ValueError."""
    if options.hosts:
        hosts, etcd = static.load(options.hosts)
        return {"hosts": hosts, "etcd": etcd}
    if options.etcd:
        table = {"endpoints": options.etcd.split(",")} | ({"address": options.address} if options.address else {})
        return {"etcd": Settings.of_table(table)}
    return {}


def key_of(path):
    """The hosts' common key, from a file that its owner alone can read; None without one. Raises ValueError, OSError."""
    if not path:
        return None
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise ValueError(f"the key {path} can be read by others than its owner: chmod 600 {path}")
        return file.read(KEY_BYTES_MAX).strip()


async def serve(paths, policies, polling, where=None, key=None, device_files=None, nic="auto", userfaultfd="auto",
                held=False, link="udp", policy_file=None, policy_copy=None):
    """From the first file to the last: what is set up here is taken down here, in reverse. held: see private.py."""
    from ffr.reactor.reactor import Reactor  # here, so that the command line's mistakes are told without it
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    _raise_descriptor_limit()
    if not has_net_admin():
        log.info("no CAP_NET_ADMIN: it serves its own user's programs, in its own network namespace")
    with ExitStack() as undo:
        undo.callback(Place(paths).close)
        if held:
            holders = private.Held(paths)
            undo.callback(paths.log_file.unlink, missing_ok=True)
            undo.callback(holders.close)
        if gone := sweep():
            log.info("removed the counters of dead routers: %s", ", ".join(gone))
        counters = Counters(paths.stats_name(os.getpid()))
        undo.callback(counters.close)
        reactor = Reactor(counters.fd)
        reactor.set_polling(polling)
        nics = Backends(reactor, nic, link, key)
        reactor.start()
        undo.callback(reactor.stop)
        router = Router(paths, reactor, counters, policies, stopped, nics, key, device_files, userfaultfd, policy_file,
                        policy_copy)
        undo.callback(router.close)
        router.use_map(**(where or {}))
        await router.start()
        print(f"freeflow router: ready on {paths.session_socket}", flush=True)
        _tell_systemd("READY=1")
        if held:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # who waited for that line waits for no other
            asyncio.create_task(holders.let_go(router.sessions)).add_done_callback(lambda done: stopped.set())
        await stopped.wait()
        _tell_systemd("STOPPING=1")
        await router.leave()


def _tell_systemd(text):
    """sd_notify(3), for Type=notify: one datagram to whom the environment names, if anybody."""
    if not (place := os.environ.get("NOTIFY_SOCKET")):
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect("\0" + place[1:] if place.startswith("@") else place)
            sock.send(text.encode())
    except OSError as error:
        log.warning("systemd does not hear %s: %s", text, error)


def _parse(arguments):
    parser = argparse.ArgumentParser(prog="freeflow router", usage="freeflow router [OPTIONS]",
                                     description="The FreeFlow router of a host.")
    parser.add_argument("--dir", help="where its sockets are; default $FREEFLOW_DIR, or /freeflow")
    parser.add_argument("--name", help="its name there; default $FFR_NAME, or router")
    parser.add_argument("--polling", choices=MODES, default=MODES[0])
    parser.add_argument("--policy", metavar="FILE", help="limits, as TOML; see docs/operations.md")
    parser.add_argument("--state", metavar="DIR", help="what is to outlive it: the last policy that etcd had; default /var/lib/freeflow")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--hosts", metavar="FILE", help="which container is on which host, or where etcd is, as TOML;"
                                                       " see docs/map.md")
    where.add_argument("--etcd", metavar="URL[,URL]", help="the etcd that says which container is on which host")
    parser.add_argument("--address", metavar="IP", help="this host's among them (with --etcd); found out where there is"
                                                        " no doubt")
    parser.add_argument("--key", metavar="FILE", help="the hosts' common secret, for TCP mode; see docs/tcp-mode.md")
    parser.add_argument("--nic", choices=NICS, default=NICS[0], help="what containers are reached by")
    parser.add_argument("--link", choices=LINKS, default=LINKS[0], help="what carries connections to other hosts; see docs/roce.md")
    parser.add_argument("--userfaultfd", choices=WISHES, default=WISHES[0],
                        help="off: programs get no descriptor of /dev/userfaultfd; see docs/design-memory.md")
    parser.add_argument("--device-files", metavar="COMMAND", default="", help="brings the device's files in a container up to"
                                                                             " date (src/ffr/control/device_files.py)")
    parser.add_argument("--held", action="store_true", help="in the background, for as long as somebody holds NAME.held (private.py)")
    options = parser.parse_args(arguments)
    if options.address and not options.etcd:
        parser.error("--address goes with --etcd; in a file of --hosts, the table [etcd] has a line for it")
    return options


def _raise_descriptor_limit():
    """A session takes five descriptors and one more per channel."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
