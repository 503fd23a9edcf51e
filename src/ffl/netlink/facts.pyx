"""What is told of ff0 by netlink, asked of the router."""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from ffcore.control cimport (FF_CMD_QUERY_GIDS, FF_CMD_QUERY_HELD, FF_CMD_QUERY_PORT, ff_reply_gids, ff_reply_held, ff_reply_port)
from ffl.session.call_api cimport ff_call_session
from ffl.session.session_api cimport ff_session_get, ff_session_open
from ffl.verbs.qp_api cimport ff_gid_interface
from ffl.ibv cimport IBV_PORT_ACTIVE


cdef extern from "ffl/netlink/netlink.h" nogil:
    struct ff_facts:
        uint64_t guid
        uint32_t state, physical, ndev_index
        char *ndev
        uint32_t *held

cdef extern from "<net/if.h>" nogil:
    char *if_indextoname(unsigned int index, char *name)

cdef enum:
    LINK_UP = 5               # enum ib_port_phys_state
    DISABLED = 3


cdef public int ff_netlink_facts(ff_facts *facts) noexcept nogil:
    cdef ff_reply_port port
    cdef ff_reply_gids gids
    cdef ff_reply_held held
    cdef int error = ff_session_open()
    memset(facts, 0, sizeof(ff_facts))
    error = error or ff_call_session(FF_CMD_QUERY_PORT, NULL, 0, &port, sizeof(port))
    error = error or ff_call_session(FF_CMD_QUERY_GIDS, NULL, 0, &gids, sizeof(gids))
    error = error or ff_call_session(FF_CMD_QUERY_HELD, NULL, 0, &held, sizeof(held))
    if error:
        return error
    facts.guid = ff_session_get().device.guid
    facts.state = port.state
    facts.physical = LINK_UP if port.state == IBV_PORT_ACTIVE else DISABLED
    facts.held[0], facts.held[1], facts.held[2] = held.pds, held.cqs, held.qps
    facts.held[3], facts.held[4] = held.mrs, held.srqs
    facts.ndev_index = ff_gid_interface(gids.gid[0])
    if facts.ndev_index and if_indextoname(facts.ndev_index, facts.ndev) == NULL:
        facts.ndev_index = 0                         # gone meanwhile
    return 0
