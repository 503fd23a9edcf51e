from libc.errno cimport (EADDRNOTAVAIL, EAGAIN, EINVAL, EMSGSIZE, ENETUNREACH, ENODEV, ENOENT, ENOMEM, ENOSPC, ENOSYS)
from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy, memset

from ffr.cm.events cimport event_take, events_move
from ffr.cm.groups cimport group_join, group_leave
from ffr.cm.ids cimport gid_index, gid_near, id_migrate, id_new
from ffr.cm.machine cimport *
from ffr.cm.mad cimport IP_HEADER, mad_room
from ffr.cm.ports cimport address_any, address_loopback, port_bind, port_listen
from ffr.cm.query cimport address_read, query, query_mtu, query_qp, query_route
from ffr.cm.abi cimport *
from ffr.cm.state cimport *
from ffr.cm.talk cimport talk_address, talk_carry, talk_connect, talk_end, talk_tell
from ffr.ibv cimport IBV_EVENT_COMM_EST, IBV_QPT_RC, IBV_QPT_UC, IBV_QPT_UD, IBV_QPT_XRC_RECV, IBV_QPT_XRC_SEND
from ffr.state cimport FFR_CM_ID, FFR_NONE, object_move


cdef enum:
    UDP_QKEY = 0x01234567     # RDMA_UDP_QKEY
    OWN_QKEY = 1 << 31        # only the privileged may ask for one of those (IBTA 10.2.5)
    ACK_TIMEOUT = 19          # what Linux says of RoCE: packet life time 18, there and back
    ACK_DELAY = 15            # of our responder; as its device says
    HOP_LIMIT = 64
    OPTVAL = 24               # bytes of struct rdma_ucm_set_option, behind which its value comes

ctypedef int (*command)(ffr_router *r, cm_call *call) noexcept nogil


# ---- ids ----

cdef ffr_cm_id *find(ffr_router *r, const cm_call *call, uint32_t id) noexcept nogil:
    """An id of the channel, or NULL."""
    if id >= FFR_CM_IDS or not r.state.cm_id[id].o.used or r.state.cm_id[id].channel != call.channel:
        return NULL
    return &r.state.cm_id[id]


cdef int missing(ffr_router *r, uint32_t id) noexcept nogil:
    """As Linux has it: EINVAL for one of another descriptor."""
    return EINVAL if id < FFR_CM_IDS and r.state.cm_id[id].o.used else ENOENT


cdef int create_id(ffr_router *r, cm_call *call) noexcept nogil:
    cdef const rdma_ucm_create_id *c = <const rdma_ucm_create_id *>call.body
    cdef uint32_t id
    cdef uint8_t type
    if c.ps == RDMA_PS_TCP:
        type = IBV_QPT_RC
    elif c.ps == RDMA_PS_UDP or c.ps == RDMA_PS_IPOIB:
        type = IBV_QPT_UD
    elif c.ps == RDMA_PS_IB:
        type = c.qp_type
    else:
        return EINVAL
    id = id_new(r, call.session, call.channel)
    if id == FFR_NONE:
        return ENOMEM
    r.state.cm_id[id].uid = c.uid
    r.state.cm_id[id].space = c.ps
    r.state.cm_id[id].qp_type = type
    r.state.cm_id[id].qkey = UDP_QKEY
    (<rdma_ucm_create_id_resp *>call.reply).id = id
    call.reply_size = sizeof(rdma_ucm_create_id_resp)
    return 0


cdef int destroy_id(ffr_router *r, cm_call *call) noexcept nogil:
    cdef uint32_t id = (<const rdma_ucm_destroy_id *>call.body).id
    if find(r, call, id) == NULL:
        return missing(r, id)
    (<rdma_ucm_destroy_id_resp *>call.reply).events_reported = r.state.cm_id[id].reported
    call.reply_size = sizeof(rdma_ucm_destroy_id_resp)
    call.withdrawn = talk_end(r, id)
    return 0


cdef int migrate_id(ffr_router *r, cm_call *call) noexcept nogil:
    """Events in the old channel's descriptor: what it told of them is taken back by whoever asks there in vain."""
    cdef const rdma_ucm_migrate_id *c = <const rdma_ucm_migrate_id *>call.body
    cdef cm_call old = call[0]
    old.channel = call.other
    if call.other == FFR_NONE:
        return EINVAL
    if find(r, &old, c.id) == NULL:
        return missing(r, c.id)
    (<rdma_ucm_migrate_resp *>call.reply).events_reported = r.state.cm_id[c.id].reported
    call.reply_size = sizeof(rdma_ucm_migrate_resp)
    if call.other == call.channel:
        return 0
    call.withdrawn = events_move(r, c.id, call.channel)
    id_migrate(r, c.id, call.channel)
    if r.state.cm_id[c.id].groups == 0 and r.state.cm_id[c.id].o.session != r.state.cm_channel[call.channel].o.session:
        object_move(r, FFR_CM_ID, c.id, r.state.cm_channel[call.channel].o.session)
    return 0


# ---- addresses ----

cdef void attach(ffr_router *r, ffr_cm_id *a, uint32_t index) noexcept nogil:
    a.attached = 1
    a.sgid_index = index
    memcpy(a.sgid, r.state.session[a.o.session].gid[index], 16)


cdef int bind_to(ffr_router *r, uint32_t id, const cm_address *at) noexcept nogil:
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    cdef uint32_t index = FFR_NONE
    cdef int error
    if a.c.state != CM_IDLE:
        return EINVAL
    if not address_any(at):
        index = gid_near(r, a.o.session, at.family, at.ip) if address_loopback(at) else gid_index(r, a.o.session, at.ip)
        if index == FFR_NONE:
            return EADDRNOTAVAIL if not address_loopback(at) else ENODEV
    a.here = at[0]
    error = port_bind(r, id)
    if error:
        memset(&a.here, 0, sizeof(cm_address))
        return error
    if index != FFR_NONE:
        attach(r, a, index)
    a.c.state = CM_BOUND
    return 0


cdef int bind_ip(ffr_router *r, cm_call *call) noexcept nogil:
    cdef const rdma_ucm_bind_ip *c = <const rdma_ucm_bind_ip *>call.body
    cdef cm_address at
    if not address_read(&at, &c.addr, sizeof(sockaddr_in6)):
        return EINVAL
    return missing(r, c.id) if find(r, call, c.id) == NULL else bind_to(r, c.id, &at)


cdef int bind_any(ffr_router *r, cm_call *call) noexcept nogil:
    cdef const rdma_ucm_bind *c = <const rdma_ucm_bind *>call.body
    cdef cm_address at
    if not address_read(&at, &c.addr, c.addr_size):
        return EINVAL
    return missing(r, c.id) if find(r, call, c.id) == NULL else bind_to(r, c.id, &at)


cdef int resolve(ffr_router *r, uint32_t id, const cm_address *source, const cm_address *to) noexcept nogil:
    """Nothing has to be asked for: who has the address is known when it is connected to."""
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    cdef cm_address any_
    cdef uint32_t index
    cdef int error
    if a.c.state == CM_IDLE:
        memset(&any_, 0, sizeof(any_))
        any_.family = to.family
        if to.family == 4:
            any_.ip[10] = any_.ip[11] = 0xff
        error = bind_to(r, id, source if source.family else &any_)
        if error:
            return error
    if a.c.state != CM_BOUND or a.here.family != to.family:
        return EINVAL
    a.there = to[0]
    if not a.attached:
        index = gid_near(r, a.o.session, to.family, to.ip)
        if index == FFR_NONE:
            talk_tell(r, id, CM_EV_ADDR_ERROR, -ENETUNREACH)
            return 0
        attach(r, a, index)
        memcpy(a.here.ip, to.ip if address_loopback(to) else a.sgid, 16)
    memcpy(a.dgid, a.sgid if address_loopback(to) or address_any(to) else to.ip, 16)
    a.c.state = CM_ADDRESS
    talk_tell(r, id, CM_EV_ADDR_RESOLVED, 0)
    return 0


cdef int resolve_ip(ffr_router *r, cm_call *call) noexcept nogil:
    cdef const rdma_ucm_resolve_ip *c = <const rdma_ucm_resolve_ip *>call.body
    cdef cm_address source
    cdef cm_address to
    if (not address_read(&source, &c.src_addr, sizeof(sockaddr_in6)) and c.src_addr.sin6_family
            or not address_read(&to, &c.dst_addr, sizeof(sockaddr_in6))):
        return EINVAL
    return missing(r, c.id) if find(r, call, c.id) == NULL else resolve(r, c.id, &source, &to)


cdef int resolve_any(ffr_router *r, cm_call *call) noexcept nogil:
    cdef const rdma_ucm_resolve_addr *c = <const rdma_ucm_resolve_addr *>call.body
    cdef cm_address source
    cdef cm_address to
    if (not address_read(&source, &c.src_addr, c.src_size) and c.src_size
            or not address_read(&to, <const uint8_t *>&c.src_addr + 128, c.dst_size)):
        return EINVAL
    return missing(r, c.id) if find(r, call, c.id) == NULL else resolve(r, c.id, &source, &to)


cdef int resolve_route(ffr_router *r, cm_call *call) noexcept nogil:
    cdef uint32_t id = (<const rdma_ucm_resolve_route *>call.body).id
    cdef ffr_cm_id *a = find(r, call, id)
    if a == NULL:
        return missing(r, id)
    if a.c.state != CM_ADDRESS:
        return EINVAL
    a.c.state = CM_ROUTE
    talk_tell(r, id, CM_EV_ROUTE_RESOLVED, 0)
    return 0


# ---- queries ----

cdef int ask_route(ffr_router *r, cm_call *call) noexcept nogil:
    cdef uint32_t id = (<const rdma_ucm_query *>call.body).id
    if find(r, call, id) == NULL:
        return missing(r, id)
    query_route(r, id, <rdma_ucm_query_route_resp *>call.reply)
    call.reply_size = sizeof(rdma_ucm_query_route_resp)
    return 0


cdef int ask(ffr_router *r, cm_call *call) noexcept nogil:
    cdef const rdma_ucm_query *c = <const rdma_ucm_query *>call.body
    if find(r, call, c.id) == NULL:
        return missing(r, c.id)
    call.reply_size = query(r, c.id, c.option, call.reply)
    return 0 if call.reply_size else ENOSYS


cdef int init_qp_attr(ffr_router *r, cm_call *call) noexcept nogil:
    cdef const rdma_ucm_init_qp_attr *c = <const rdma_ucm_init_qp_attr *>call.body
    if find(r, call, c.id) == NULL:
        return missing(r, c.id)
    call.reply_size = sizeof(ib_uverbs_qp_attr)
    return query_qp(r, c.id, c.qp_state, <ib_uverbs_qp_attr *>call.reply)


# ---- conversations ----

cdef int compose(ffr_router *r, uint32_t id, uint32_t type, const rdma_ucm_conn_param *p, cm_message *m) noexcept nogil:
    """A message of that type, with what the program wants to say. 0 or EINVAL: too much private data."""
    cdef uint32_t own = IP_HEADER if type == CM_REQ or type == CM_SIDR_REQ else 0
    memset(m, 0, sizeof(cm_message))
    m.type = <uint16_t>type
    if own + p.private_data_len > mad_room(type):
        return EINVAL
    talk_address(r, id, m)
    m.qpn = p.qp_num & 0xFFFFFF
    m.responder_resources = p.responder_resources
    m.initiator_depth = p.initiator_depth
    m.retry_count = p.retry_count & 7
    m.rnr_retry = p.rnr_retry_count & 7
    m.srq = p.srq != 0
    m.flow_control = p.flow_control != 0
    m.traffic_class = r.state.cm_id[id].traffic_class
    m.hop_limit = HOP_LIMIT
    m.private_size = <uint8_t>(own + p.private_data_len)
    memcpy(m.private_data + own, p.private_data, p.private_data_len)
    return 0


cdef void remember(ffr_cm_id *a, const cm_message *m) noexcept nogil:
    """Of a REQ: what our own QP needs as well."""
    a.c.qpn = m.qpn
    a.c.responder_resources = m.responder_resources
    a.c.initiator_depth = m.initiator_depth
    a.c.retry_count = m.retry_count
    a.c.mtu = m.mtu
    a.c.timeout = m.ack_timeout


cdef int connect(ffr_router *r, cm_call *call) noexcept nogil:
    cdef const rdma_ucm_connect *c = <const rdma_ucm_connect *>call.body
    cdef ffr_cm_id *a = find(r, call, c.id)
    cdef cm_message m
    cdef int error
    if a == NULL:
        return missing(r, c.id)
    if not c.conn_param.valid or a.c.state != CM_ROUTE:
        return EINVAL
    error = compose(r, c.id, CM_SIDR_REQ if a.qp_type == IBV_QPT_UD else CM_REQ, &c.conn_param, &m)
    if error:
        return error
    if a.qp_type == IBV_QPT_UC:
        m.transport = 1
    elif a.qp_type == IBV_QPT_XRC_SEND:
        m.transport = 3
    m.mtu = query_mtu(r, c.id)
    m.ack_timeout = a.ack_timeout if a.ack_timeout else ACK_TIMEOUT
    remember(a, &m)
    return talk_connect(r, c.id, &m)


cdef int listen(ffr_router *r, cm_call *call) noexcept nogil:
    cdef const rdma_ucm_listen *c = <const rdma_ucm_listen *>call.body
    cdef ffr_cm_id *a = find(r, call, c.id)
    cdef cm_address any_
    cdef int error
    if a == NULL:
        return missing(r, c.id)
    if a.c.state == CM_IDLE:
        memset(&any_, 0, sizeof(any_))
        any_.family = 4
        any_.ip[10] = any_.ip[11] = 0xff
        error = bind_to(r, c.id, &any_)
        if error:
            return error
    if a.c.state != CM_BOUND:
        return EINVAL
    error = port_listen(r, c.id)
    if error:
        return error
    a.room = c.backlog if 0 < c.backlog < FFR_CM_BACKLOG else <uint32_t>FFR_CM_BACKLOG
    a.c.state = CM_LISTEN
    return 0


cdef int accept(ffr_router *r, cm_call *call) noexcept nogil:
    """The passive side's with parameters, and the program's name for the id; the active side's without."""
    cdef const rdma_ucm_accept *c = <const rdma_ucm_accept *>call.body
    cdef ffr_cm_id *a = find(r, call, c.id)
    cdef cm_message m
    cdef cm_step step
    cdef uint64_t uid
    cdef int error = 0
    if a == NULL:
        return missing(r, c.id)
    memset(&m, 0, sizeof(m))
    if c.conn_param.valid:
        error = compose(r, c.id, CM_SIDR_REP if a.qp_type == IBV_QPT_UD else CM_REP, &c.conn_param, &m)
        if a.qp_type == IBV_QPT_UD and c.conn_param.qkey:
            a.qkey = c.conn_param.qkey
        m.qkey = a.qkey if a.qp_type == IBV_QPT_UD else 0
        m.ack_timeout = ACK_DELAY
    elif a.c.state != CM_REP_RCVD:
        error = EINVAL
    if error:
        return error
    uid = a.uid
    if c.conn_param.valid:
        a.uid = c.uid                        # before the step: it may bring the first event
    step_begin(&step)
    error = machine_accept(&a.c, &m, r.now_ns, &step)
    if error:
        a.uid = uid
        return error
    talk_carry(r, c.id, &step)
    return 0


cdef int reject(ffr_router *r, cm_call *call) noexcept nogil:
    cdef const rdma_ucm_reject *c = <const rdma_ucm_reject *>call.body
    cdef ffr_cm_id *a = find(r, call, c.id)
    cdef cm_message m
    cdef cm_step step
    cdef int error
    if a == NULL:
        return missing(r, c.id)
    memset(&m, 0, sizeof(m))
    m.type = CM_SIDR_REP if a.qp_type == IBV_QPT_UD else CM_REJ
    m.reason = CM_SIDR_REJECT if a.qp_type == IBV_QPT_UD else c.reason if c.reason else <uint16_t>CM_REJ_CONSUMER
    m.refers = a.c.state == CM_REP_RCVD
    if c.private_data_len > mad_room(m.type):
        return EINVAL
    m.private_size = c.private_data_len
    memcpy(m.private_data, c.private_data, c.private_data_len)
    step_begin(&step)
    error = machine_reject(&a.c, &m, &step)
    if error == 0:
        talk_carry(r, c.id, &step)
    return error


cdef int disconnect(ffr_router *r, cm_call *call) noexcept nogil:
    cdef uint32_t id = (<const rdma_ucm_disconnect *>call.body).id
    cdef ffr_cm_id *a = find(r, call, id)
    cdef cm_step step
    cdef int error
    if a == NULL:
        return missing(r, id)
    step_begin(&step)
    error = machine_disconnect(&a.c, r.now_ns, &step)
    if error == 0:
        talk_carry(r, id, &step)
    return error if a.c.state <= CM_LISTEN else 0        # what has ended, or not begun, needs no end


cdef int notify(ffr_router *r, cm_call *call) noexcept nogil:
    cdef const rdma_ucm_notify *c = <const rdma_ucm_notify *>call.body
    cdef ffr_cm_id *a = find(r, call, c.id)
    cdef cm_step step
    cdef int error
    if a == NULL:
        return missing(r, c.id)
    if c.event != IBV_EVENT_COMM_EST:
        return 0
    step_begin(&step)
    error = machine_establish(&a.c, &step)
    if error == 0:
        talk_carry(r, c.id, &step)
    return error


cdef int get_event(ffr_router *r, cm_call *call) noexcept nogil:
    call.reply_size = sizeof(rdma_ucm_event_resp)
    if call.room < sizeof(rdma_ucm_event_resp) - 8:          # older programs know no ECE
        return ENOSPC
    return 0 if event_take(r, call.channel, <rdma_ucm_event_resp *>call.reply) else EAGAIN


# ---- options ----

cdef int set_id_option(ffr_cm_id *a, uint32_t name, const uint8_t *value, uint32_t size) noexcept nogil:
    cdef int number = 0
    if name == RDMA_OPTION_ID_TOS or name == RDMA_OPTION_ID_ACK_TIMEOUT:
        if size != 1:
            return EINVAL
        if name == RDMA_OPTION_ID_TOS:
            a.traffic_class = value[0]
        elif value[0] > 31 or (a.qp_type != IBV_QPT_RC and a.qp_type != IBV_QPT_XRC_SEND):
            return EINVAL
        else:
            a.ack_timeout = value[0]
        return 0
    if name != RDMA_OPTION_ID_REUSEADDR and name != RDMA_OPTION_ID_AFONLY:
        return ENOSYS
    if size != 4:
        return EINVAL
    memcpy(&number, value, 4)
    if name == RDMA_OPTION_ID_REUSEADDR:
        a.reuse = number != 0
        return 0
    if a.c.state != CM_IDLE and a.c.state != CM_BOUND:
        return EINVAL
    a.afonly = number != 0
    return 0


cdef int set_option(ffr_router *r, cm_call *call) noexcept nogil:
    cdef const rdma_ucm_set_option *c = <const rdma_ucm_set_option *>call.body
    cdef ffr_cm_id *a = find(r, call, c.id)
    cdef const uint8_t *value = <const uint8_t *>call.body + OPTVAL
    if a == NULL:
        return missing(r, c.id)
    if call.size < OPTVAL + c.optlen:
        return EINVAL
    if c.level == RDMA_OPTION_ID:
        return set_id_option(a, c.optname, value, c.optlen)
    if c.level != RDMA_OPTION_IB or c.optname != RDMA_OPTION_IB_PATH:
        return ENOSYS
    if c.optlen == 0 or c.optlen % 72 or a.c.state != CM_ADDRESS:      # struct ibv_path_data
        return EINVAL
    a.c.state = CM_ROUTE                     # the path is the one that there is
    talk_tell(r, c.id, CM_EV_ROUTE_RESOLVED, 0)
    return 0


# ---- multicast ----

cdef int join(ffr_router *r, cm_call *call, uint32_t id, uint64_t uid, const cm_address *at, uint32_t flags) noexcept nogil:
    cdef ffr_cm_id *a = find(r, call, id)
    if a == NULL:
        return missing(r, id)
    if a.c.state < CM_BOUND or not a.attached or a.qp_type != IBV_QPT_UD or flags > 1:
        return EINVAL
    call.reply_size = sizeof(rdma_ucm_create_id_resp)
    return group_join(r, id, uid, at, &(<rdma_ucm_create_id_resp *>call.reply).id)


cdef int join_ip(ffr_router *r, cm_call *call) noexcept nogil:
    cdef const rdma_ucm_join_ip_mcast *c = <const rdma_ucm_join_ip_mcast *>call.body
    cdef cm_address at
    if not address_read(&at, &c.addr, sizeof(sockaddr_in6)):
        return EINVAL
    return join(r, call, c.id, c.uid, &at, 0)


cdef int join_any(ffr_router *r, cm_call *call) noexcept nogil:
    cdef const rdma_ucm_join_mcast *c = <const rdma_ucm_join_mcast *>call.body
    cdef cm_address at
    if not address_read(&at, &c.addr, c.addr_size):
        return EINVAL
    return join(r, call, c.id, c.uid, &at, c.join_flags)


cdef int leave(ffr_router *r, cm_call *call) noexcept nogil:
    cdef uint32_t group = (<const rdma_ucm_destroy_id *>call.body).id
    if group >= FFR_CM_GROUPS or not r.state.cm_group[group].o.used:
        return ENOENT
    if r.state.cm_id[r.state.cm_group[group].id].channel != call.channel:
        return EINVAL
    (<rdma_ucm_destroy_id_resp *>call.reply).events_reported = r.state.cm_group[group].reported
    call.reply_size = sizeof(rdma_ucm_destroy_id_resp)
    call.withdrawn = group_leave(r, group)
    return 0


# ---- the table ----

cdef enum:
    COMMANDS = 23

cdef struct entry:
    command run
    uint32_t size              # bytes of the struct that must be there
    uint32_t room              # ... of the reply, for which there must be room

cdef entry commands[COMMANDS]

commands[RDMA_USER_CM_CMD_CREATE_ID] = entry(create_id, sizeof(rdma_ucm_create_id), sizeof(rdma_ucm_create_id_resp))
commands[RDMA_USER_CM_CMD_DESTROY_ID] = entry(destroy_id, sizeof(rdma_ucm_destroy_id), sizeof(rdma_ucm_destroy_id_resp))
commands[RDMA_USER_CM_CMD_BIND_IP] = entry(bind_ip, sizeof(rdma_ucm_bind_ip), 0)
commands[RDMA_USER_CM_CMD_RESOLVE_IP] = entry(resolve_ip, sizeof(rdma_ucm_resolve_ip), 0)
commands[RDMA_USER_CM_CMD_RESOLVE_ROUTE] = entry(resolve_route, sizeof(rdma_ucm_resolve_route), 0)
commands[RDMA_USER_CM_CMD_QUERY_ROUTE] = entry(ask_route, sizeof(rdma_ucm_query), sizeof(rdma_ucm_query_route_resp) - 8)
commands[RDMA_USER_CM_CMD_CONNECT] = entry(connect, sizeof(rdma_ucm_connect) - 8, 0)     # 8: the ECE, which is newer
commands[RDMA_USER_CM_CMD_LISTEN] = entry(listen, sizeof(rdma_ucm_listen), 0)
commands[RDMA_USER_CM_CMD_ACCEPT] = entry(accept, sizeof(rdma_ucm_accept) - 8, 0)
commands[RDMA_USER_CM_CMD_REJECT] = entry(reject, sizeof(rdma_ucm_reject), 0)
commands[RDMA_USER_CM_CMD_DISCONNECT] = entry(disconnect, sizeof(rdma_ucm_disconnect), 0)
commands[RDMA_USER_CM_CMD_INIT_QP_ATTR] = entry(init_qp_attr, sizeof(rdma_ucm_init_qp_attr), sizeof(ib_uverbs_qp_attr))
commands[RDMA_USER_CM_CMD_GET_EVENT] = entry(get_event, 8, 0)
commands[RDMA_USER_CM_CMD_SET_OPTION] = entry(set_option, OPTVAL, 0)
commands[RDMA_USER_CM_CMD_NOTIFY] = entry(notify, sizeof(rdma_ucm_notify), 0)
commands[RDMA_USER_CM_CMD_JOIN_IP_MCAST] = entry(join_ip, sizeof(rdma_ucm_join_ip_mcast), sizeof(rdma_ucm_create_id_resp))
commands[RDMA_USER_CM_CMD_LEAVE_MCAST] = entry(leave, sizeof(rdma_ucm_destroy_id), sizeof(rdma_ucm_destroy_id_resp))
commands[RDMA_USER_CM_CMD_MIGRATE_ID] = entry(migrate_id, sizeof(rdma_ucm_migrate_id), sizeof(rdma_ucm_migrate_resp))
commands[RDMA_USER_CM_CMD_QUERY] = entry(ask, sizeof(rdma_ucm_query), sizeof(rdma_ucm_query_path_resp))
commands[RDMA_USER_CM_CMD_BIND] = entry(bind_any, sizeof(rdma_ucm_bind), 0)
commands[RDMA_USER_CM_CMD_RESOLVE_ADDR] = entry(resolve_any, sizeof(rdma_ucm_resolve_addr), 0)
commands[RDMA_USER_CM_CMD_JOIN_MCAST] = entry(join_any, sizeof(rdma_ucm_join_mcast), sizeof(rdma_ucm_create_id_resp))


cdef int cm_command(ffr_router *r, uint32_t command, cm_call *call) noexcept nogil:
    """GET_OPTION is ENOSYS with Linux, too."""
    if command >= COMMANDS:
        return EINVAL
    if commands[command].run == NULL:
        return ENOSYS
    if call.size < commands[command].size:
        return EINVAL
    if call.room < commands[command].room:
        return ENOSPC
    return commands[command].run(r, call)
