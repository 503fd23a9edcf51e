"""A reactor without rings: keeps sessions, notices hang-ups when asked, remembers what it was told."""

import errno
import os
import select


class FakeReactor:
    def __init__(self, stats_fd=-1, capacity=1024):
        self.capacity = capacity
        self.reaped_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.attached = {}  # number -> what attach() was given
        self.polling = "adaptive"
        self.running = False
        self.gids_set = []
        self.ports_set = []
        self.limits_set = []
        self.detached = []
        self._gone = []
        self._next = 1

    def start(self):
        self.running = True

    def stop(self):
        self.running = False
        for number in list(self.attached):
            self._end(number)

    def attach(self, sock_fd, control_fd, memory_fd, event_fd, gids, limits, name, pid, guid, port_up, mtus, party=0, buckets=(0, 0, 0)):
        if len(self.attached) >= self.capacity:
            raise OSError(errno.ENOSPC, "all sessions are taken")
        number, self._next = self._next, self._next + 1
        self.attached[number] = {"fds": (sock_fd, control_fd, memory_fd, event_fd), "gids": gids, "limits": limits,
                                 "name": name, "pid": pid, "guid": guid, "port_up": port_up}
        return number

    def detach(self, number, error):
        self.detached.append((number, error))
        self._end(number)

    def set_gids(self, number, gids):
        self.gids_set.append((number, gids))

    def set_port(self, number, up, mtus):
        self.ports_set.append((number, up))

    def set_limits(self, number, limits):
        self.limits_set.append((number, dict(limits)))

    def set_polling(self, mode):
        self.polling = mode

    def reaped(self):
        for number, session in list(self.attached.items()):
            poll = select.poll()
            poll.register(session["fds"][0], select.POLLHUP)
            if poll.poll(0):
                self._end(number)
        gone, self._gone = self._gone, []
        return gone

    def sessions(self):
        return [{"session": number, "container": session["name"], "pid": session["pid"]}
                for number, session in self.attached.items()]

    def _end(self, number):
        for fd in self.attached.pop(number)["fds"]:
            os.close(fd)
        self._gone.append(number)
        os.eventfd_write(self.reaped_fd, 1)
