"""RDMA for Python: arrays that move into another machine's memory, on any verbs device.

    from freeflow import rdma

    with rdma.listen(port=7471) as listener, listener.accept() as peer:      # one process
        array = rdma.allocate(1000)
        peer.send_remote(peer.expose(array))
        peer.wait_notify()                                                   # array has what the other wrote

    with rdma.connect("10.32.1.1", 7471) as peer:                            # the other
        remote = peer.recv_remote()
        remote[:500] = numpy.ones(500)
        peer.notify(1)

`rdma.aio` has the same for asyncio. The device is the first whose port is up; `rdma.Device(name)` is another. Nothing here
knows FreeFlow's router: whatever libibverbs.so.1 is loaded will do.
"""

from freeflow.rdma import aio, errors
from freeflow.rdma.blocking import Connection, Listener, connect, listen
from freeflow.rdma.datagram import AsyncDatagrams, DatagramAddress, Datagrams
from freeflow.rdma.device import Device, default_device, device_names
from freeflow.rdma.errors import *  # noqa: F403: every exception by its name
from freeflow.rdma.memory import allocate
from freeflow.rdma.remote import RemoteBuffer

__all__ = ["AsyncDatagrams", "Connection", "DatagramAddress", "Datagrams", "Device", "Listener", "RemoteBuffer", "aio", "allocate", "connect", "default_device", "device_names",
           "errors", "listen", *errors.__all__]
