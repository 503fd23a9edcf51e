from libc.errno cimport EINVAL
from libc.string cimport memcpy, memset

from ffcore.control cimport ff_ah_attr
from ffcore.roce cimport ff_get16, ff_put16, ff_put32
from ffr.cm.abi cimport *
from ffr.cm.state cimport *
from ffr.ibv cimport (IBV_ACCESS_REMOTE_ATOMIC, IBV_ACCESS_REMOTE_READ, IBV_ACCESS_REMOTE_WRITE, IBV_QPS_INIT, IBV_QPS_RTR, IBV_QPS_RTS,
                      IBV_QPT_RC, IBV_QPT_UD, IBV_QPT_XRC_RECV, IBV_QPT_XRC_SEND, IBV_QP_ACCESS_FLAGS, IBV_QP_AV, IBV_QP_DEST_QPN, IBV_QP_MAX_DEST_RD_ATOMIC,
                      IBV_QP_MAX_QP_RD_ATOMIC, IBV_QP_MIN_RNR_TIMER, IBV_QP_PATH_MTU, IBV_QP_PKEY_INDEX, IBV_QP_PORT, IBV_QP_QKEY,
                      IBV_QP_RETRY_CNT, IBV_QP_RNR_RETRY, IBV_QP_RQ_PSN, IBV_QP_SQ_PSN, IBV_QP_STATE, IBV_QP_TIMEOUT)
from ffr.nic.base cimport nic_mtu


cdef extern from "<sys/socket.h>" nogil:
    enum:
        AF_INET
        AF_INET6

cdef enum:
    AF_IB = 27
    SOCKADDR_IN = 16
    SOCKADDR_IN6 = 28
    SOCKADDR_IB = 48
    SIB_GID = 8               # where struct sockaddr_ib has its address
    STORAGE = 128
    PKEY = 0xFFFF
    PATH_DATA = 72            # struct ib_path_rec_data: flags, a word, and a record of 64 bytes as the SA has it
    EXACTLY = 2
    RATE_40_GBPS = 7          # enum ibv_rate
    HOP_LIMIT = 64
    LIFE_TIME = 18            # 4.096 us * 2^18: what Linux says of RoCE


# ---- socket addresses ----

cdef bint address_read(cm_address *a, const void *sockaddr, uint32_t room) noexcept nogil:
    cdef const uint8_t *at = <const uint8_t *>sockaddr
    cdef uint16_t family
    memset(a, 0, sizeof(cm_address))
    memcpy(&family, at, 2)
    a.port = ff_get16(at + 2)
    if family == AF_INET and room >= SOCKADDR_IN:
        a.family = 4
        a.ip[10] = a.ip[11] = 0xff
        memcpy(a.ip + 12, at + 4, 4)
    elif family == AF_INET6 and room >= SOCKADDR_IN6:
        a.family = 6
        memcpy(a.ip, at + 8, 16)
    else:
        return False
    return True


cdef uint32_t address_write(void *sockaddr, const cm_address *a) noexcept nogil:
    cdef uint8_t *at = <uint8_t *>sockaddr
    cdef uint16_t family = AF_INET if a.family == 4 else AF_INET6
    if a.family == 0:
        return 0
    memcpy(at, &family, 2)
    ff_put16(at + 2, a.port)
    if a.family == 4:
        memcpy(at + 4, a.ip + 12, 4)
        return SOCKADDR_IN
    memcpy(at + 8, a.ip, 16)
    return SOCKADDR_IN6


# ---- routes ----

cdef uint8_t query_mtu(ffr_router *r, uint32_t id) noexcept nogil:
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    cdef ff_ah_attr to
    cdef uint32_t bytes_
    cdef uint8_t mtu = 1
    memset(&to, 0, sizeof(to))
    memcpy(to.dgid, a.dgid, 16)
    to.sgid_index = <uint8_t>a.sgid_index
    bytes_ = nic_mtu(r, a.o.session, &to)
    while mtu < 5 and (<uint32_t>128 << (mtu + 1)) <= bytes_:
        mtu += 1
    return mtu


cdef bint has_route(const ffr_cm_id *a) noexcept nogil:
    return a.c.state >= CM_ROUTE and a.c.state != CM_LISTEN


cdef void query_route(ffr_router *r, uint32_t id, rdma_ucm_query_route_resp *reply) noexcept nogil:
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    cdef ib_user_path_rec *path = &reply.ib_route[0]
    address_write(&reply.src_addr, &a.here)
    address_write(&reply.dst_addr, &a.there)
    if not a.attached:
        return
    reply.node_guid = r.state.session[a.o.session].guid
    reply.port_num = 1
    memcpy(path.sgid, a.sgid, 16)
    memcpy(path.dgid, a.dgid, 16)
    path.pkey = PKEY
    if not has_route(a):
        return
    reply.num_paths = 1
    path.reversible = 1
    path.numb_path = 1
    path.mtu_selector = path.rate_selector = path.packet_life_time_selector = EXACTLY
    path.mtu = query_mtu(r, id)
    path.rate = RATE_40_GBPS
    path.packet_life_time = LIFE_TIME
    path.hop_limit = HOP_LIMIT
    path.traffic_class = a.traffic_class


cdef uint32_t addresses(ffr_router *r, const ffr_cm_id *a, rdma_ucm_query_addr_resp *reply) noexcept nogil:
    if a.attached:
        reply.node_guid = r.state.session[a.o.session].guid
        reply.port_num = 1
        reply.pkey = PKEY
    reply.src_size = <uint16_t>address_write(&reply.src_addr, &a.here)
    reply.dst_size = <uint16_t>address_write(&reply.dst_addr, &a.there)
    return sizeof(rdma_ucm_query_addr_resp)


cdef uint16_t gid_write(uint8_t *at, const uint8_t *gid) noexcept nogil:
    """struct sockaddr_ib"""
    cdef uint16_t family = AF_IB
    memcpy(at, &family, 2)
    ff_put16(at + 2, PKEY)
    memcpy(at + SIB_GID, gid, 16)
    return SOCKADDR_IB


cdef uint32_t gids(ffr_router *r, const ffr_cm_id *a, rdma_ucm_query_addr_resp *reply) noexcept nogil:
    addresses(r, a, reply)
    memset(&reply.src_addr, 0, 2 * STORAGE)
    reply.src_size = gid_write(&reply.src_addr, a.sgid)
    reply.dst_size = gid_write(&reply.dst_addr, a.dgid)
    return sizeof(rdma_ucm_query_addr_resp)


cdef uint32_t paths(ffr_router *r, uint32_t id, uint8_t *reply) noexcept nogil:
    """A path record as the SA's (IBTA 15.2.5.16)."""
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    cdef uint8_t *path = reply + 16
    if not has_route(a):
        return 8
    (<rdma_ucm_query_path_resp *>reply).num_paths = 1
    reply[8] = 0x3D                          # GMP, primary, outbound, inbound, ... as librdmacm's RAI_... have it
    memcpy(path + 8, a.dgid, 16)
    memcpy(path + 24, a.sgid, 16)
    path[47] = HOP_LIMIT
    path[48] = a.traffic_class
    path[49] = 0x81                          # reversible, one path
    ff_put16(path + 50, PKEY)
    path[54] = EXACTLY << 6 | query_mtu(r, id)
    path[55] = EXACTLY << 6 | RATE_40_GBPS
    path[56] = EXACTLY << 6 | LIFE_TIME
    return 8 + PATH_DATA


cdef uint32_t query(ffr_router *r, uint32_t id, uint32_t option, void *reply) noexcept nogil:
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    if option == RDMA_USER_CM_QUERY_ADDR:
        return addresses(r, a, <rdma_ucm_query_addr_resp *>reply)
    if option == RDMA_USER_CM_QUERY_GID:
        return gids(r, a, <rdma_ucm_query_addr_resp *>reply)
    if option == RDMA_USER_CM_QUERY_PATH:
        return paths(r, id, <uint8_t *>reply)
    return 0


# ---- what a QP needs to know ----

cdef void fill_address(const ffr_cm_id *a, ib_uverbs_ah_attr *ah) noexcept nogil:
    memcpy(ah.grh.dgid, a.dgid, 16)
    ah.grh.sgid_index = <uint8_t>a.sgid_index
    ah.grh.hop_limit = HOP_LIMIT
    ah.grh.traffic_class = a.traffic_class
    ah.is_global = 1
    ah.port_num = 1


cdef bint talks(const ffr_cm_id *a) noexcept nogil:
    return CM_REQ_RCVD <= a.c.state <= CM_DREQ_RCVD


cdef int for_init(const ffr_cm_id *a, ib_uverbs_qp_attr *reply) noexcept nogil:
    reply.qp_attr_mask = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT
    reply.port_num = 1
    if a.qp_type == IBV_QPT_UD:
        reply.qp_attr_mask |= IBV_QP_QKEY
        reply.qkey = a.qkey
        return 0
    reply.qp_attr_mask |= IBV_QP_ACCESS_FLAGS
    if talks(a) or a.c.state == CM_REQ_SENT:
        reply.qp_access_flags = IBV_ACCESS_REMOTE_WRITE
        if a.c.responder_resources:
            reply.qp_access_flags |= IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC
    return 0


cdef int for_rtr(const ffr_cm_id *a, ib_uverbs_qp_attr *reply) noexcept nogil:
    reply.qp_attr_mask = IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN
    fill_address(a, &reply.ah_attr)
    reply.path_mtu = a.c.mtu
    reply.dest_qp_num = a.c.remote_qpn
    reply.rq_psn = a.c.remote_psn
    if a.qp_type == IBV_QPT_RC or a.qp_type == IBV_QPT_XRC_RECV:
        reply.qp_attr_mask |= IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER
        reply.max_dest_rd_atomic = a.c.responder_resources
    return 0


cdef int for_rts(const ffr_cm_id *a, ib_uverbs_qp_attr *reply) noexcept nogil:
    reply.qp_attr_mask = IBV_QP_STATE | IBV_QP_SQ_PSN
    reply.sq_psn = a.c.psn
    if a.qp_type == IBV_QPT_RC or a.qp_type == IBV_QPT_XRC_SEND:
        reply.qp_attr_mask |= IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC
        reply.retry_cnt = a.c.retry_count
        reply.rnr_retry = a.c.rnr_retry
        reply.max_rd_atomic = a.c.initiator_depth
    if a.qp_type == IBV_QPT_RC or a.qp_type == IBV_QPT_XRC_SEND or a.qp_type == IBV_QPT_XRC_RECV:
        reply.qp_attr_mask |= IBV_QP_TIMEOUT
        reply.timeout = a.c.timeout
    return 0


cdef int query_qp(ffr_router *r, uint32_t id, uint32_t state, ib_uverbs_qp_attr *reply) noexcept nogil:
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    if not a.attached:
        return EINVAL
    reply.qp_state = state
    if state == IBV_QPS_INIT:
        return for_init(a, reply)
    if a.qp_type == IBV_QPT_UD or not talks(a):
        return EINVAL
    if state == IBV_QPS_RTR:
        return for_rtr(a, reply)
    return for_rts(a, reply) if state == IBV_QPS_RTS else EINVAL
