from libc.errno cimport EHOSTUNREACH
from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memcpy, memset

from ffr.cm.events cimport event_put, event_unask, events_withdraw
from ffr.cm.groups cimport groups_leave
from ffr.cm.ids cimport gid_index, id_by_number, id_by_remote, id_free, id_new, id_remember, share_of
from ffr.cm.machine cimport *
from ffr.cm.mad cimport IP_HEADER, MAD_SIZE, ip_header_emit, ip_header_parse, mad_emit, mad_parse, mad_room
from ffr.cm.ports cimport port_listener
from ffr.cm.abi cimport *
from ffr.cm.state cimport *
from ffr.cm.timers cimport timer_due, timer_set
from ffr.ibv cimport IBV_QPT_RC, IBV_QPT_UC, IBV_QPT_UD
from ffr.nic.base cimport nic_send_mad
from ffr.objects.reach cimport reach_deny, reach_from, reach_to
from ffr.state cimport FFR_NONE


cdef enum:
    DUE = 64                  # timers served in a pass


# ---- events ----

cdef uint32_t hidden(const cm_message *m) noexcept nogil:
    """Bytes of private data that are the CM's own: addresses."""
    return IP_HEADER if m.type == CM_REQ or m.type == CM_SIDR_REQ else 0


cdef void fill_connected(rdma_ucm_conn_param *to, const cm_message *m) noexcept nogil:
    """The peer's initiator depth is what we respond to, and the reverse."""
    to.qp_num = m.qpn
    to.qkey = m.qkey
    to.responder_resources = m.initiator_depth
    to.initiator_depth = m.responder_resources
    to.flow_control = m.flow_control
    to.retry_count = m.retry_count
    to.rnr_retry_count = m.rnr_retry
    to.srq = m.srq
    to.private_data_len = <uint8_t>(mad_room(m.type) - hidden(m))
    memcpy(to.private_data, m.private_data + hidden(m), to.private_data_len)


cdef void fill_datagram(ffr_router *r, uint32_t id, rdma_ucm_ud_param *to, const cm_message *m) noexcept nogil:
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    to.qp_num = m.qpn
    to.qkey = m.qkey
    memcpy(to.ah_attr.grh.dgid, a.dgid, 16)
    to.ah_attr.grh.sgid_index = <uint8_t>a.sgid_index
    to.ah_attr.grh.hop_limit = 64
    to.ah_attr.grh.traffic_class = a.traffic_class
    to.ah_attr.is_global = 1
    to.ah_attr.port_num = 1
    to.private_data_len = <uint8_t>(mad_room(m.type) - hidden(m))
    memcpy(to.private_data, m.private_data + hidden(m), to.private_data_len)


cdef bint tell(ffr_router *r, uint32_t id, int event, int status, const cm_message *m, uint32_t fresh) noexcept nogil:
    """m: what the peer said, or NULL. False: there is no room for the event."""
    cdef rdma_ucm_event_resp body
    memset(&body, 0, sizeof(body))
    body.event = event
    body.status = <uint32_t>status
    if m != NULL and r.state.cm_id[id].qp_type == IBV_QPT_UD:
        fill_datagram(r, fresh if fresh != FFR_NONE else id, &body.param.ud, m)
    elif m != NULL:
        fill_connected(&body.param.conn, m)
    return event_put(r, id, fresh, FFR_NONE, &body)


cdef void talk_tell(ffr_router *r, uint32_t id, int event, int status) noexcept nogil:
    tell(r, id, event, status, NULL, FFR_NONE)


# ---- out ----

cdef bint send(ffr_router *r, const uint8_t *sgid, const uint8_t *dgid, cm_message *m, bint near) noexcept nogil:
    """Within a router it is delivered at once: a conversation's answers are at most three deep (DREQ, DREP, nothing). False:
    nobody is reached there."""
    cdef uint8_t mad[MAD_SIZE]
    memcpy(m.sgid, sgid, 16)
    memcpy(m.dgid, dgid, 16)
    m.peer_is_near = near
    if near:
        hear(r, m)
        return True
    mad_emit(m, mad)
    return nic_send_mad(r, sgid, dgid, mad)


cdef bint carry(ffr_router *r, uint32_t id, cm_step *step, const cm_message *heard) noexcept nogil:
    """False: what was to be sent reaches nobody."""
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    cdef uint8_t sgid[16]
    cdef uint8_t dgid[16]
    timer_set(r, id)
    if step.event != CM_EV_NONE:
        tell(r, id, step.event, step.status, heard if step.carries else NULL, FFR_NONE)
    if step.send:
        memcpy(sgid, a.sgid, 16)             # the id may be gone before the message is delivered
        memcpy(dgid, a.dgid, 16)
        return send(r, sgid, dgid, &step.out, a.c.near)
    return True


cdef void talk_carry(ffr_router *r, uint32_t id, cm_step *step) noexcept nogil:
    carry(r, id, step, NULL)


cdef void talk_address(ffr_router *r, uint32_t id, cm_message *m) noexcept nogil:
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    m.service = <uint64_t>a.space << 16 | (a.there.port if m.type == CM_REQ or m.type == CM_SIDR_REQ else a.here.port)
    m.guid = r.state.session[a.o.session].guid
    if hidden(m):
        ip_header_emit(&a.here, &a.there, m.private_data)


cdef void deny(ffr_router *r, uint32_t id, bint datagram) noexcept nogil:
    """The request is not sent: it is answered here as the peer's host would."""
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    cdef cm_message answer
    cdef cm_step step
    reach_deny(r, a.o.session, a.dgid, False)
    memset(&answer, 0, sizeof(answer))
    answer.type = CM_SIDR_REP if datagram else CM_REJ
    answer.reason = CM_SIDR_REJECT if datagram else CM_REJ_CONSUMER
    step_begin(&step)
    machine_take(&a.c, &answer, r.now_ns, &step)
    carry(r, id, &step, &answer)


cdef int talk_connect(ffr_router *r, uint32_t id, cm_message *message) noexcept nogil:
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    cdef cm_step step
    cdef int error
    step_begin(&step)
    a.c.near = not r.wire_only and share_of(r, a.dgid) != FFR_NONE
    error = machine_connect(&a.c, message, r.now_ns, &step)
    if error:
        return error
    if not reach_to(r, a.o.session, a.dgid):
        deny(r, id, message.type == CM_SIDR_REQ)
        return 0
    if carry(r, id, &step, NULL):
        return 0
    machine_unreachable(&a.c, -EHOSTUNREACH, &step)
    talk_carry(r, id, &step)
    return 0


# ---- in ----

cdef void refuse(ffr_router *r, cm_message *m, uint32_t reason) noexcept nogil:
    """A request that no id of ours answers."""
    cdef cm_message out
    memset(&out, 0, sizeof(out))
    out.type = CM_SIDR_REP if m.type == CM_SIDR_REQ else CM_REJ
    out.remote = m.local
    out.tid = m.tid
    out.service = m.service
    out.reason = reason
    if m.type == CM_SIDR_REQ:
        out.reason = CM_SIDR_UNSUPPORTED if reason == CM_REJ_INVALID_SERVICE else CM_SIDR_REJECT
    send(r, m.dgid, m.sgid, &out, m.peer_is_near)


cdef bint suits(const ffr_cm_id *listener, const cm_message *m) noexcept nogil:
    if m.type == CM_SIDR_REQ:
        return listener.qp_type == IBV_QPT_UD
    if m.transport == 0:
        return listener.qp_type == IBV_QPT_RC
    if m.transport == 1:
        return listener.qp_type == IBV_QPT_UC
    return m.transport == 3 and listener.qp_type != IBV_QPT_UD


cdef uint32_t find_listener(ffr_router *r, const cm_message *m, cm_address *from_, cm_address *to) noexcept nogil:
    cdef uint32_t share = share_of(r, m.dgid)
    if share == FFR_NONE or m.service >> 32 or not ip_header_parse(m.private_data, from_, to):
        return FFR_NONE
    to.port = <uint16_t>m.service
    return port_listener(r, share, <uint16_t>(m.service >> 16), to)


cdef uint32_t receive(ffr_router *r, uint32_t listener, const cm_message *m, const cm_address *from_,
                      const cm_address *to) noexcept nogil:
    """A new id for a request, or FFR_NONE."""
    cdef ffr_cm_id *l = &r.state.cm_id[listener]
    cdef uint32_t id = id_new(r, l.o.session, l.channel)
    cdef ffr_cm_id *a
    if id == FFR_NONE:
        return FFR_NONE
    a = &r.state.cm_id[id]
    a.space = l.space
    a.qp_type = l.qp_type
    a.attached = 1
    a.here = to[0]
    a.there = from_[0]
    memcpy(a.sgid, m.dgid, 16)
    memcpy(a.dgid, m.sgid, 16)
    a.sgid_index = gid_index(r, l.o.session, m.dgid)
    a.traffic_class = l.traffic_class
    a.qkey = l.qkey
    a.listener = listener
    return id


cdef void request(ffr_router *r, cm_message *m) noexcept nogil:
    cdef cm_address from_
    cdef cm_address to
    cdef cm_step step
    cdef uint32_t listener = find_listener(r, m, &from_, &to), id
    if listener == FFR_NONE:
        refuse(r, m, CM_REJ_INVALID_SERVICE)
        return
    if not reach_from(r, m.sgid, r.state.cm_id[listener].o.session):
        reach_deny(r, r.state.cm_id[listener].o.session, m.sgid, True)
        refuse(r, m, CM_REJ_CONSUMER)
        return
    if not suits(&r.state.cm_id[listener], m) or r.state.cm_id[listener].room == 0:
        refuse(r, m, CM_REJ_CONSUMER)
        return
    id = receive(r, listener, m, &from_, &to)
    if id == FFR_NONE:
        refuse(r, m, CM_REJ_NO_RESOURCES)
        return
    step_begin(&step)
    machine_asked(&r.state.cm_id[id].c, m, r.now_ns, &step)
    id_remember(r, id)
    if not tell(r, listener, CM_EV_CONNECT_REQUEST, 0, m, id):
        id_free(r, id)
        refuse(r, m, CM_REJ_NO_RESOURCES)
        return
    r.state.cm_id[listener].room -= 1
    carry(r, id, &step, m)


cdef void stranger(ffr_router *r, cm_message *m) noexcept nogil:
    """A message for a conversation that is none: who asks for its end is told that it has come (12.9.8)."""
    cdef cm_message out
    if m.type != CM_DREQ:
        return
    memset(&out, 0, sizeof(out))
    out.type = CM_DREP
    out.local = m.remote
    out.remote = m.local
    out.tid = m.tid
    send(r, m.dgid, m.sgid, &out, m.peer_is_near)


cdef void hear(ffr_router *r, cm_message *m) noexcept nogil:
    cdef uint32_t id
    cdef cm_step step
    if m.type == CM_REQ or m.type == CM_SIDR_REQ:
        id = id_by_remote(r, m.sgid, m.local)
        if id == FFR_NONE:
            request(r, m)
            return
    elif m.remote == 0 and m.type == CM_REJ:
        return
    else:
        id = id_by_number(r, m.remote)
        if id == FFR_NONE or memcmp(r.state.cm_id[id].dgid, m.sgid, 16):
            stranger(r, m)
            return
    step_begin(&step)
    machine_take(&r.state.cm_id[id].c, m, r.now_ns, &step)
    carry(r, id, &step, m)


cdef void talk_hear(ffr_router *r, const uint8_t *mad, const uint8_t *sgid, const uint8_t *dgid) noexcept nogil:
    cdef cm_message m
    memset(&m, 0, sizeof(m))
    if not mad_parse(&m, mad):
        return
    memcpy(m.sgid, sgid, 16)                 # what the packet says, whatever a REQ does
    memcpy(m.dgid, dgid, 16)
    hear(r, &m)


# ---- ends ----

cdef void talk_part(ffr_router *r, uint32_t id) noexcept nogil:
    cdef cm_step step
    step_begin(&step)
    if machine_disconnect(&r.state.cm_id[id].c, r.now_ns, &step) == 0:
        carry(r, id, &step, NULL)


cdef void end_one(ffr_router *r, uint32_t id) noexcept nogil:
    cdef cm_step step
    step_begin(&step)
    if r.state.cm_id[id].listener != FFR_NONE:
        event_unask(r, id)
    machine_end(&r.state.cm_id[id].c, &step)
    carry(r, id, &step, NULL)
    groups_leave(r, id)
    id_free(r, id)


cdef uint32_t talk_end(ffr_router *r, uint32_t id) noexcept nogil:
    cdef uint32_t fresh, next, told = events_withdraw(r, id, FFR_NONE, &fresh)
    while fresh != FFR_NONE:                 # bound: a listener's backlog
        next = r.state.cm_id[fresh].listener
        r.state.cm_id[fresh].listener = FFR_NONE             # the request has gone with the listener's events
        end_one(r, fresh)
        fresh = next
    end_one(r, id)
    return told


# ---- time ----

cdef int talk_poll(ffr_router *r) noexcept nogil:
    cdef uint32_t id
    cdef cm_step step
    cdef int n
    for n in range(DUE):
        id = timer_due(r)
        if id == FFR_NONE:
            return n
        step_begin(&step)
        machine_late(&r.state.cm_id[id].c, r.now_ns, &step)
        carry(r, id, &step, NULL)
    return DUE
