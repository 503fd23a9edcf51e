from ffr.nic.base cimport ffr_nic, nic_add
from ffr.nic.datagrams cimport (datagrams_enter, datagrams_expired, datagrams_leave, datagrams_reach, datagrams_ready,
                                datagrams_run)
from ffr.nic.local.connected cimport local_expired, local_mtu, local_reaches, local_ready, local_run
from ffr.nic.local.datagrams cimport local_send_datagram, local_spread
from ffr.nic.roce.datagrams cimport roce_send_datagram, roce_spread, roce_ud_enter, roce_ud_leave
from ffr.nic.roce.mads cimport roce_send_mad
from ffr.nic.roce.driver cimport roce_deadline, roce_enter, roce_leave, roce_mtu, roce_poll, roce_reaches, roce_run

cdef ffr_nic datagrams, local, roce           # zero: what is not said below is NULL
cdef bint filled = False

datagrams.name = b"datagrams"
datagrams.reaches, datagrams.run = datagrams_reach, datagrams_run
datagrams.ready, datagrams.expired = datagrams_ready, datagrams_expired
datagrams.enter, datagrams.leave = datagrams_enter, datagrams_leave

local.name = b"local"
local.reaches, local.mtu, local.run = local_reaches, local_mtu, local_run
local.ready, local.expired = local_ready, local_expired
local.send_datagram, local.spread = local_send_datagram, local_spread

roce.name = b"roce"                           # it keeps its own timers
roce.reaches, roce.mtu, roce.run = roce_reaches, roce_mtu, roce_run
roce.paces = True
roce.enter, roce.leave = roce_enter, roce_leave
roce.send_datagram, roce.spread = roce_send_datagram, roce_spread
roce.send_mad = roce_send_mad
roce.datagram_enter, roce.datagram_leave = roce_ud_enter, roce_ud_leave
roce.poll, roce.deadline = roce_poll, roce_deadline


cdef void nics_fill() noexcept:
    global filled
    if filled:
        return
    filled = True
    nic_add(&datagrams, False)
    nic_add(&local, True)
    nic_add(&roce, False)
