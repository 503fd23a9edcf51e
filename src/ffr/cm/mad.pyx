from libc.string cimport memcpy, memset

from ffcore.roce cimport ff_get16, ff_get24, ff_get32, ff_put16, ff_put24, ff_put32
from ffr.cm.machine cimport (CM_DREP, CM_DREQ, CM_MRA, CM_REJ, CM_REP, CM_REQ, CM_RTU, CM_SIDR_REP, CM_SIDR_REQ)
from ffr.cm.state cimport FFR_CM_PRIVATE


cdef enum:
    HEADER = 24               # of a MAD, before its data
    BASE_VERSION = 1
    CLASS = 7                 # communication management
    CLASS_VERSION = 2
    METHOD_SEND = 3
    DEFAULT_PKEY = 0xFFFF
    PERMISSIVE_LID = 0xFFFF   # RoCE has none
    RESPONSE_TIMEOUT = 20     # 4.096 us * 2^20 = 4.3 s: what Linux says
    RETRIES = 15
    EXTENDED = 3              # transport of a REQ, whose type stands elsewhere (A14)
    EXTENDED_XRC = 1


cdef inline void put64(uint8_t *at, uint64_t value) noexcept nogil:
    ff_put32(at, <uint32_t>(value >> 32))
    ff_put32(at + 4, <uint32_t>value)


cdef inline uint64_t get64(const uint8_t *at) noexcept nogil:
    return <uint64_t>ff_get32(at) << 32 | ff_get32(at + 4)


cdef uint32_t private_at(uint32_t type) noexcept nogil:
    """Where private data begins in the data of a message; what follows is all its own."""
    if type == CM_REQ:
        return 140
    if type == CM_REP:
        return 36
    if type == CM_REJ:
        return 84
    if type == CM_MRA:
        return 10
    if type == CM_DREQ:
        return 12
    if type == CM_SIDR_REQ:
        return 16
    if type == CM_SIDR_REP:
        return 96
    return 8


cdef uint32_t mad_room(uint32_t type) noexcept nogil:
    return MAD_SIZE - HEADER - private_at(type)


# ---- out ----

cdef void emit_req(const cm_message *m, uint8_t *d) noexcept nogil:
    put64(d + 8, m.service)
    memcpy(d + 16, &m.guid, 8)
    ff_put32(d + 28, m.qkey)
    ff_put24(d + 32, m.qpn)
    d[35] = m.responder_resources
    d[39] = m.initiator_depth
    d[43] = RESPONSE_TIMEOUT << 3 | m.transport << 1 | m.flow_control
    ff_put24(d + 44, m.psn)
    d[47] = RESPONSE_TIMEOUT << 3 | m.retry_count
    ff_put16(d + 48, DEFAULT_PKEY)
    d[50] = m.mtu << 4 | m.rnr_retry
    d[51] = RETRIES << 4 | m.srq << 3 | (EXTENDED_XRC if m.transport == EXTENDED else 0)
    ff_put16(d + 52, PERMISSIVE_LID)
    ff_put16(d + 54, PERMISSIVE_LID)
    memcpy(d + 56, m.sgid, 16)
    memcpy(d + 72, m.dgid, 16)
    d[92] = m.traffic_class
    d[93] = m.hop_limit
    d[95] = m.ack_timeout << 3


cdef void emit_rep(const cm_message *m, uint8_t *d) noexcept nogil:
    ff_put32(d + 8, m.qkey)
    ff_put24(d + 12, m.qpn)
    ff_put24(d + 20, m.psn)
    d[24] = m.responder_resources
    d[25] = m.initiator_depth
    d[26] = m.ack_timeout << 3 | m.flow_control
    d[27] = m.rnr_retry << 5 | m.srq << 4
    memcpy(d + 28, &m.guid, 8)


cdef void emit_sidr(const cm_message *m, uint8_t *d) noexcept nogil:
    """Both have the requester's ID first."""
    if m.type == CM_SIDR_REQ:
        ff_put16(d + 4, DEFAULT_PKEY)
        put64(d + 8, m.service)
        return
    ff_put32(d, m.remote)
    ff_put32(d + 4, <uint32_t>(m.reason & 0xFF) << 24)
    ff_put24(d + 8, m.qpn)
    put64(d + 12, m.service)
    ff_put32(d + 20, m.qkey)


cdef void mad_emit(const cm_message *m, uint8_t *bytes) noexcept nogil:
    cdef uint8_t *d = bytes + HEADER
    memset(bytes, 0, MAD_SIZE)
    bytes[0], bytes[1], bytes[2], bytes[3] = BASE_VERSION, CLASS, CLASS_VERSION, METHOD_SEND
    put64(bytes + 8, m.tid)
    ff_put16(bytes + 16, m.type)
    ff_put32(d, m.local)
    ff_put32(d + 4, m.remote)
    if m.type == CM_REQ:
        emit_req(m, d)
    elif m.type == CM_REP:
        emit_rep(m, d)
    elif m.type == CM_SIDR_REQ or m.type == CM_SIDR_REP:
        emit_sidr(m, d)
    elif m.type == CM_REJ:
        d[8] = m.refers << 6
        ff_put16(d + 10, m.reason)
    elif m.type == CM_MRA:
        d[8] = m.refers << 6
        d[9] = m.wait << 3
    elif m.type == CM_DREQ:
        ff_put24(d + 8, m.qpn)
    memcpy(d + private_at(m.type), m.private_data, min(<uint32_t>m.private_size, mad_room(m.type)))


# ---- in ----

cdef void parse_req(cm_message *m, const uint8_t *d) noexcept nogil:
    m.service = get64(d + 8)
    memcpy(&m.guid, d + 16, 8)
    m.qkey = ff_get32(d + 28)
    m.qpn = ff_get24(d + 32)
    m.responder_resources = d[35]
    m.initiator_depth = d[39]
    m.transport = d[43] >> 1 & 3
    if m.transport == EXTENDED and d[51] & 7 != EXTENDED_XRC:
        m.transport = 2
    m.flow_control = d[43] & 1
    m.psn = ff_get24(d + 44)
    m.retry_count = d[47] & 7
    m.mtu = d[50] >> 4
    m.rnr_retry = d[50] & 7
    m.srq = d[51] >> 3 & 1
    memcpy(m.sgid, d + 56, 16)
    memcpy(m.dgid, d + 72, 16)
    m.traffic_class = d[92]
    m.hop_limit = d[93]
    m.ack_timeout = d[95] >> 3


cdef void parse_rep(cm_message *m, const uint8_t *d) noexcept nogil:
    m.qkey = ff_get32(d + 8)
    m.qpn = ff_get24(d + 12)
    m.psn = ff_get24(d + 20)
    m.responder_resources = d[24]
    m.initiator_depth = d[25]
    m.ack_timeout = d[26] >> 3
    m.flow_control = d[26] & 1
    m.rnr_retry = d[27] >> 5
    m.srq = d[27] >> 4 & 1
    memcpy(&m.guid, d + 28, 8)


cdef void parse_rest(cm_message *m, const uint8_t *d) noexcept nogil:
    if m.type == CM_REJ:
        m.refers = d[8] >> 6
        m.reason = ff_get16(d + 10)
    elif m.type == CM_MRA:
        m.refers = d[8] >> 6
        m.wait = d[9] >> 3
    elif m.type == CM_DREQ:
        m.qpn = ff_get24(d + 8)
    elif m.type == CM_SIDR_REQ:
        m.remote = 0
        m.service = get64(d + 8)
    elif m.type == CM_SIDR_REP:
        m.remote = m.local
        m.local = 0
        m.reason = d[4]
        m.qpn = ff_get24(d + 8)
        m.service = get64(d + 12)
        m.qkey = ff_get32(d + 20)


cdef bint mad_parse(cm_message *m, const uint8_t *bytes) noexcept nogil:
    cdef const uint8_t *d = bytes + HEADER
    if bytes[0] != BASE_VERSION or bytes[1] != CLASS or bytes[2] != CLASS_VERSION or bytes[3] != METHOD_SEND:
        return False
    m.type = ff_get16(bytes + 16)
    if m.type < CM_REQ or m.type > CM_SIDR_REP:
        return False
    m.tid = get64(bytes + 8)
    m.local = ff_get32(d)
    m.remote = ff_get32(d + 4)
    if m.type == CM_REQ:
        m.remote = 0
        parse_req(m, d)
    elif m.type == CM_REP:
        parse_rep(m, d)
    else:
        parse_rest(m, d)
    m.private_size = <uint8_t>min(mad_room(m.type), <uint32_t>FFR_CM_PRIVATE)
    memcpy(m.private_data, d + private_at(m.type), m.private_size)
    return True


# ---- IP addresses ----

cdef void put_address(uint8_t *at, const cm_address *a) noexcept nogil:
    """IPv4 addresses stand in the last four of sixteen bytes."""
    memset(at, 0, 16)
    if a.family == 4:
        memcpy(at + 12, a.ip + 12, 4)
    else:
        memcpy(at, a.ip, 16)


cdef void get_address(const uint8_t *at, uint8_t family, cm_address *a) noexcept nogil:
    memset(a, 0, sizeof(cm_address))
    a.family = family
    if family == 4:
        a.ip[10] = a.ip[11] = 0xff
        memcpy(a.ip + 12, at + 12, 4)
    else:
        memcpy(a.ip, at, 16)


cdef void ip_header_emit(const cm_address *from_, const cm_address *to, uint8_t *bytes) noexcept nogil:
    bytes[0] = 0
    bytes[1] = from_.family << 4
    ff_put16(bytes + 2, from_.port)
    put_address(bytes + 4, from_)
    put_address(bytes + 20, to)


cdef bint ip_header_parse(const uint8_t *bytes, cm_address *from_, cm_address *to) noexcept nogil:
    if bytes[0] != 0 or (bytes[1] >> 4 != 4 and bytes[1] >> 4 != 6):
        return False
    get_address(bytes + 4, bytes[1] >> 4, from_)
    get_address(bytes + 20, bytes[1] >> 4, to)
    from_.port = ff_get16(bytes + 2)
    return True
