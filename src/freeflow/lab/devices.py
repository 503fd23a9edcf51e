"""The device's files in a container of the lab, mounted once its router knows it."""

import os

from freeflow import device, device_files
from freeflow.lab import linux
from freeflow.lab.model import ROUTER_INSIDE, ROUTER_NAME
from freeflow.launch import VERBS_LIBRARY

SEEN_FROM = linux.CLONE_NEWNS | linux.CLONE_NEWNET  # its files, and its identity towards the router


def show(process):
    """Mounts them in the namespaces of the container whose PID 1 is `process`, or brings them up to date. Returns why
    that failed, or None."""
    reader, writer = os.pipe()
    child = os.fork()  # the namespaces, and the library's session, end with it
    if not child:
        try:
            said = _show(process)
        except BaseException as error:
            said = str(error) or repr(error)
        os.write(writer, said.encode()[:1024])
        os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8", errors="replace") as pipe:
        why = pipe.read()
    os.waitpid(child, 0)
    return why or None


def _show(process):
    with process.pidfd() as descriptor:
        linux.setns(descriptor, SEEN_FROM)
    os.environ["FREEFLOW_DIR"], os.environ["FFR_NAME"] = str(ROUTER_INSIDE), ROUTER_NAME
    found = device.describe(ROUTER_INSIDE / VERBS_LIBRARY)
    if device_files.are_there(found.name, found.uverbs):
        device_files.write(found)
    else:
        device_files.plant(found)
    return ""
