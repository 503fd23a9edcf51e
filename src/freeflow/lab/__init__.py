"""The lab: hosts and containers on one machine, made of namespaces, each host with its own router.

    model       what a lab is: names, addresses, limits (no root, no side effects)
    network     the wire and the overlay, as `ip` batches
    cgroups     a cpu and a memory cgroup for each container
    linux       the system calls that Python does not have
    processes   processes named by pid and start time, so that a recorded pid is never a stranger's
    state       what is recorded under /run/freeflow/labs, and the lock on it
    init        PID 1 of a container
    routers     a host's router: start, wait until it accepts, introduce the containers
    up, down, status, enter   the four verbs of `freeflow lab`
"""
