from libc.errno cimport EINVAL, ETIMEDOUT
from libc.string cimport memset

from ffr.cm.abi cimport *
from ffr.cm.state cimport *


cdef enum:
    TRIES = 8                 # of a message: 0.25 + 0.5 + 1 + 2 + 4 * 4 s, then nobody is there
    LAST_WORDS = 4            # of a DREQ: who does not answer for 4 s is not waited for
    FIRST_WAIT_MS = 250
    LONGEST_WAIT_MS = 4000
    SERVICE_TIMEOUT = 24      # what a MRA asks for: 4.096 us * 2^24 = 69 s, for a program to make up its mind
    PATIENCE_MS = 70000       # ... and what is waited for one of this router
    TIMEWAIT_MS = 2000
    MS = 1000000


cdef void step_begin(cm_step *step) noexcept nogil:
    step.send = step.carries = False
    step.event = CM_EV_NONE
    step.status = 0


cdef void wait_for(cm_conversation *c, uint64_t now, uint64_t ms) noexcept nogil:
    c.deadline_ns = now + ms * MS


cdef void say(cm_conversation *c, uint32_t type, cm_step *step) noexcept nogil:
    """A message that nothing but the conversation's IDs need be in."""
    memset(&step.out, 0, sizeof(cm_message))
    step.out.type = type
    step.out.tid = c.last.tid                # one for the whole conversation: the REQ's
    step.out.local = c.local
    step.out.remote = c.remote
    step.send = True


cdef void ask(cm_conversation *c, uint64_t now, cm_step *step) noexcept nogil:
    """... that wants an answer: it is sent again until there is one, but within a router, where nothing is lost."""
    c.last = step.out
    c.tries = 1
    wait_for(c, now, PATIENCE_MS if c.near else FIRST_WAIT_MS)


cdef void answered(cm_conversation *c, uint32_t state) noexcept nogil:
    c.state = state
    c.deadline_ns = 0


cdef void tell(cm_step *step, int event, int status, bint carries) noexcept nogil:
    step.event = event
    step.status = status
    step.carries = carries


cdef void refuse(cm_conversation *c, uint32_t refers, uint32_t reason, cm_step *step) noexcept nogil:
    say(c, CM_REJ, step)
    step.out.refers = refers
    step.out.reason = reason
    answered(c, CM_ENDED)


# ---- what a program does ----

cdef int machine_connect(cm_conversation *c, const cm_message *message, uint64_t now, cm_step *step) noexcept nogil:
    if c.state != CM_ROUTE:
        return EINVAL
    step.out = message[0]
    step.out.tid = <uint64_t>c.local << 32
    step.out.local = c.local
    step.out.psn = c.psn
    step.send = True
    c.state = CM_SIDR_SENT if message.type == CM_SIDR_REQ else CM_REQ_SENT
    ask(c, now, step)
    return 0


cdef int machine_accept(cm_conversation *c, const cm_message *message, uint64_t now, cm_step *step) noexcept nogil:
    """The passive side's REP or SIDR_REP; the active side's RTU."""
    if c.state == CM_REP_RCVD:
        say(c, CM_RTU, step)
        answered(c, CM_ESTABLISHED)
        return 0
    if c.state != CM_REQ_RCVD and c.state != CM_SIDR_RCVD:
        return EINVAL
    step.out = message[0]
    step.out.tid = c.last.tid
    step.out.local = c.local
    step.out.remote = c.remote
    step.out.psn = c.psn
    step.send = True
    if c.state == CM_SIDR_RCVD:
        c.last = step.out
        answered(c, CM_SIDR_DONE)
        return 0
    c.qpn = message.qpn
    c.responder_resources = message.responder_resources
    c.initiator_depth = message.initiator_depth
    c.state = CM_REP_SENT
    ask(c, now, step)
    return 0


cdef int machine_reject(cm_conversation *c, const cm_message *message, cm_step *step) noexcept nogil:
    if c.state != CM_REQ_RCVD and c.state != CM_REP_RCVD and c.state != CM_SIDR_RCVD:
        return EINVAL
    step.out = message[0]
    step.out.tid = c.last.tid
    step.out.local = c.local if c.state == CM_REP_RCVD else 0
    step.out.remote = c.remote
    step.send = True
    answered(c, CM_ENDED)
    return 0


cdef int machine_disconnect(cm_conversation *c, uint64_t now, cm_step *step) noexcept nogil:
    if c.state == CM_DREQ_RCVD:
        say(c, CM_DREP, step)
        c.state = CM_TIMEWAIT
        wait_for(c, now, TIMEWAIT_MS)
        return 0
    if c.state != CM_ESTABLISHED and c.state != CM_REP_SENT:
        return EINVAL
    say(c, CM_DREQ, step)
    step.out.qpn = c.remote_qpn
    c.state = CM_DREQ_SENT
    ask(c, now, step)
    return 0


cdef int machine_establish(cm_conversation *c, cm_step *step) noexcept nogil:
    """The QP has heard from the peer before its RTU came."""
    if c.state == CM_ESTABLISHED:
        return 0
    if c.state != CM_REP_SENT:
        return EINVAL
    answered(c, CM_ESTABLISHED)
    tell(step, CM_EV_ESTABLISHED, 0, False)
    return 0


cdef void machine_end(cm_conversation *c, cm_step *step) noexcept nogil:
    if c.state == CM_REQ_SENT:
        refuse(c, 0, CM_REJ_TIMEOUT, step)
    elif c.state == CM_REQ_RCVD:
        refuse(c, 0, CM_REJ_CONSUMER, step)
        step.out.local = 0
    elif c.state == CM_REP_SENT or c.state == CM_REP_RCVD:
        refuse(c, 1, CM_REJ_CONSUMER, step)
    elif c.state == CM_ESTABLISHED:
        say(c, CM_DREQ, step)
        step.out.qpn = c.remote_qpn
    elif c.state == CM_DREQ_RCVD:
        say(c, CM_DREP, step)
    elif c.state == CM_SIDR_RCVD:
        say(c, CM_SIDR_REP, step)
        step.out.reason = CM_SIDR_REJECT
    answered(c, CM_ENDED)


# ---- what the peer says ----

cdef void learn(cm_conversation *c, const cm_message *m) noexcept nogil:
    """Of a REQ or a REP. The peer's initiator depth is what we respond to, and the reverse."""
    c.remote = m.local
    c.remote_qpn = m.qpn
    c.remote_psn = m.psn
    c.responder_resources = m.initiator_depth
    c.initiator_depth = m.responder_resources
    c.rnr_retry = m.rnr_retry
    c.srq = m.srq
    c.flow_control = m.flow_control


cdef void machine_asked(cm_conversation *c, const cm_message *m, uint64_t now, cm_step *step) noexcept nogil:
    c.remote = m.local
    c.last.tid = m.tid
    c.near = m.peer_is_near
    if m.type == CM_SIDR_REQ:
        c.state = CM_SIDR_RCVD
        wait_for(c, now, PATIENCE_MS)
        return
    learn(c, m)
    c.retry_count = m.retry_count
    c.transport = m.transport
    c.mtu = m.mtu
    c.timeout = m.ack_timeout
    c.traffic_class = m.traffic_class
    c.hop_limit = m.hop_limit
    c.state = CM_REQ_RCVD
    wait_for(c, now, PATIENCE_MS)
    if not c.near:
        have_patience(c, 0, step)


cdef void have_patience(cm_conversation *c, uint32_t refers, cm_step *step) noexcept nogil:
    """A program decides, and that may take longer than the peer waits."""
    say(c, CM_MRA, step)
    step.out.refers = refers
    step.out.wait = SERVICE_TIMEOUT


cdef void take_rep(cm_conversation *c, const cm_message *m, uint64_t now, cm_step *step) noexcept nogil:
    if c.state == CM_REQ_SENT:
        learn(c, m)
        c.state = CM_REP_RCVD
        wait_for(c, now, PATIENCE_MS)
        tell(step, CM_EV_CONNECT_RESPONSE, 0, True)
        if not c.near:
            have_patience(c, 1, step)
    elif c.state == CM_REP_RCVD and c.remote == m.local:
        have_patience(c, 1, step)
    elif c.state == CM_ESTABLISHED and c.remote == m.local:
        say(c, CM_RTU, step)                 # the first one was lost


cdef void take_rej(cm_conversation *c, const cm_message *m, cm_step *step) noexcept nogil:
    if c.state == CM_REQ_SENT or c.state == CM_REP_SENT or c.state == CM_REP_RCVD or c.state == CM_REQ_RCVD:
        tell(step, CM_EV_REJECTED, m.reason, True)
        answered(c, CM_ENDED)


cdef void take_dreq(cm_conversation *c, cm_step *step) noexcept nogil:
    if c.state == CM_ESTABLISHED or c.state == CM_REP_SENT or c.state == CM_REP_RCVD:
        answered(c, CM_DREQ_RCVD)
        tell(step, CM_EV_DISCONNECTED, 0, True)
    elif c.state == CM_DREQ_SENT or c.state == CM_TIMEWAIT or c.state == CM_ENDED:
        say(c, CM_DREP, step)                # both have asked, or our answer was lost


cdef void take_dreq_crossing(cm_conversation *c, uint64_t now, cm_step *step) noexcept nogil:
    """Who has asked as well need not wait for an answer."""
    if c.state == CM_DREQ_SENT:
        c.state = CM_TIMEWAIT
        wait_for(c, now, TIMEWAIT_MS)
        tell(step, CM_EV_DISCONNECTED, 0, False)


cdef void take_sidr_rep(cm_conversation *c, const cm_message *m, cm_step *step) noexcept nogil:
    if c.state != CM_SIDR_SENT:
        return
    if m.reason == CM_SIDR_SUCCESS:
        c.remote_qpn = m.qpn
        answered(c, CM_SIDR_DONE)
        tell(step, CM_EV_ESTABLISHED, 0, True)
    else:
        answered(c, CM_ENDED)
        tell(step, CM_EV_UNREACHABLE, m.reason, True)


cdef void take_again(cm_conversation *c, cm_step *step) noexcept nogil:
    """The peer asks once more what it has asked already."""
    if c.state == CM_REQ_RCVD:
        have_patience(c, 0, step)
    elif c.state == CM_REP_SENT or c.state == CM_SIDR_DONE:
        step.out = c.last
        step.send = True


cdef void take_mra(cm_conversation *c, const cm_message *m, uint64_t now) noexcept nogil:
    """4.096 us * 2^wait, a minute or so at most."""
    cdef uint64_t ms = ((<uint64_t>4096) << min(m.wait, 24)) // MS
    if (c.state == CM_REQ_SENT and m.refers == 0) or (c.state == CM_REP_SENT and m.refers == 1):
        wait_for(c, now, ms + FIRST_WAIT_MS)


cdef void machine_take(cm_conversation *c, const cm_message *m, uint64_t now, cm_step *step) noexcept nogil:
    if m.type == CM_REP:
        take_rep(c, m, now, step)
    elif m.type == CM_REJ:
        take_rej(c, m, step)
    elif m.type == CM_RTU:
        if c.state == CM_REP_SENT:
            answered(c, CM_ESTABLISHED)
            tell(step, CM_EV_ESTABLISHED, 0, True)
    elif m.type == CM_DREQ:
        take_dreq(c, step)
        take_dreq_crossing(c, now, step)
    elif m.type == CM_DREP:
        if c.state == CM_DREQ_SENT:
            c.state = CM_TIMEWAIT
            wait_for(c, now, TIMEWAIT_MS)
            tell(step, CM_EV_DISCONNECTED, 0, True)
    elif m.type == CM_MRA:
        take_mra(c, m, now)
    elif m.type == CM_SIDR_REP:
        take_sidr_rep(c, m, step)
    elif m.type == CM_REQ or m.type == CM_SIDR_REQ:
        take_again(c, step)


cdef void machine_unreachable(cm_conversation *c, int status, cm_step *step) noexcept nogil:
    step_begin(step)
    answered(c, CM_ENDED)
    tell(step, CM_EV_UNREACHABLE, status, False)


# ---- what time does ----

cdef void give_up(cm_conversation *c, uint64_t now, cm_step *step) noexcept nogil:
    if c.state == CM_DREQ_SENT:
        c.state = CM_TIMEWAIT
        wait_for(c, now, TIMEWAIT_MS)
        tell(step, CM_EV_DISCONNECTED, -ETIMEDOUT, False)
        return
    if c.state == CM_SIDR_SENT:
        answered(c, CM_ENDED)
    else:
        refuse(c, 1 if c.state == CM_REP_SENT else 0, CM_REJ_TIMEOUT, step)
    tell(step, CM_EV_UNREACHABLE, -ETIMEDOUT, False)


cdef void machine_late(cm_conversation *c, uint64_t now, cm_step *step) noexcept nogil:
    cdef uint32_t most = LAST_WORDS if c.state == CM_DREQ_SENT else TRIES
    c.deadline_ns = 0
    if c.state == CM_REQ_SENT or c.state == CM_REP_SENT or c.state == CM_DREQ_SENT or c.state == CM_SIDR_SENT:
        if c.near or c.tries >= most:
            give_up(c, now, step)
            return
        step.out = c.last
        step.send = True
        wait_for(c, now, min(<uint64_t>FIRST_WAIT_MS << c.tries, <uint64_t>LONGEST_WAIT_MS))
        c.tries += 1
    elif c.state == CM_REQ_RCVD or c.state == CM_SIDR_RCVD or c.state == CM_REP_RCVD:
        pass                                 # its program may still decide; the peer has given up, and will say so
    elif c.state == CM_TIMEWAIT:
        c.state = CM_ENDED
        tell(step, CM_EV_TIMEWAIT_EXIT, 0, False)
