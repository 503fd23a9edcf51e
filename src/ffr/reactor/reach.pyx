"""The control thread's side makes a table of rules and has it taken in place of the one before: so there is no moment between
one set of rules and the next. What they no longer allow is looked for afterwards, once, among all connections."""

import threading

from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from ffcore.shm cimport ff_load64_acquire
from ffr.cm.state cimport CM_ESTABLISHED
from ffr.cm.talk cimport talk_part
from ffr.ibv cimport IBV_QPT_UD
from ffr.nic.message cimport receives
from ffr.objects.qp cimport qp_error
from ffr.objects.reach cimport reach_allows, reach_both, reach_deny, reach_is_open, reach_party, reach_place
from ffr.reach cimport (FFR_DENIALS, FFR_NOBODY, FFR_PARTIES, FFR_PARTY_WORDS, FFR_RANGES, FFR_STRANGER, ffr_denial,
                        ffr_party_gid, ffr_reach_ask, ffr_rules)
from ffr.reactor.state cimport ADMIN_REACH
from ffr.state cimport FFR_CM_ID, FFR_NONE, FFR_QP, FFR_SESSIONS, ffr_cm_id, ffr_qp

STRANGER, NOBODY, PARTIES, RANGES = FFR_STRANGER, FFR_NOBODY, FFR_PARTIES, FFR_RANGES
ROW_BYTES = FFR_PARTY_WORDS * 8


# ---- the reactor's side ----

cdef uint32_t end_conversations(ffr_router *r) noexcept nogil:
    """Bound: the ids that this router ever had. Their programs are told as if the peer had hung up."""
    cdef uint32_t i, ended = 0
    cdef ffr_cm_id *a
    for i in range(r.state.table.fresh[FFR_CM_ID]):
        a = &r.state.cm_id[i]
        if a.o.used and a.c.state == CM_ESTABLISHED and not reach_both(r, a.o.session, a.dgid):
            talk_part(r, i)
            ended += 1
    return ended


cdef uint32_t end_connections(ffr_router *r) noexcept nogil:
    """Bound: the QPs that this router ever had."""
    cdef uint32_t i, ended = 0
    cdef ffr_qp *q
    for i in range(r.state.table.fresh[FFR_QP]):
        q = &r.state.qp[i]
        if q.o.used and q.type != IBV_QPT_UD and receives(q) and not reach_both(r, q.o.session, q.attr.ah.dgid):
            reach_deny(r, q.o.session, q.attr.ah.dgid, False)
            qp_error(r, i, True)
            ended += 1
    return ended


cdef void reach_obey(ffr_router *r) noexcept nogil:
    cdef ffr_reach_ask *ask = r.reach.ask
    cdef ffr_rules *before = r.reach.rules
    cdef uint32_t i
    if ask.rules != NULL:
        r.reach.rules, ask.rules = ask.rules, before
    for i in range(ask.count):
        ask.refused += not reach_place(r, ask.place[i].gid, ask.place[i].party)
    if ask.session != FFR_NONE:
        r.state.session[ask.session].party = ask.party
    if ask.sweep and not reach_is_open(r):
        end_conversations(r)
        ask.ended = end_connections(r)


# ---- the control thread's side ----

cdef ffr_reach_ask nothing() noexcept:
    cdef ffr_reach_ask ask
    memset(&ask, 0, sizeof(ask))
    ask.session = FFR_NONE
    return ask


cdef class Reach:
    """What the reactor knows of who may talk to whom. Every call raises TimeoutError when the reactor does not answer; then
    nothing has changed."""

    cdef ffr_router *r
    cdef object reactor, lock

    def __cinit__(self, reactor):
        """reactor: a Reactor, whose state this is a part of."""
        self.reactor = reactor
        self.r = <ffr_router *>PyCapsule_GetPointer(reactor.router, "ffr_router")
        self.lock = threading.Lock()

    cdef _ask(self, ffr_reach_ask *ask):
        with self.lock:
            self.r.reach.ask = ask
            self.reactor._ask(ADMIN_REACH, 0)

    def set_rules(self, rows, ranges, bint closed, tenants=()):
        """rows: for each party an integer whose bit b says that it may begin with party b. ranges: (gid, leading bits, party) of
        strangers, the longest first. closed: somebody may not reach somebody. tenants: of each party, 32 bits that stand for its
        tenant on all hosts. Raises ValueError, MemoryError."""
        cdef ffr_reach_ask ask = nothing()
        cdef bytes packed
        cdef uint32_t i
        if len(rows) > FFR_PARTIES or len(ranges) > FFR_RANGES:
            raise ValueError(f"{len(rows)} parties and {len(ranges)} ranges: at most {FFR_PARTIES} and {FFR_RANGES}")
        ask.rules = <ffr_rules *>calloc(1, sizeof(ffr_rules))
        if ask.rules == NULL:
            raise MemoryError
        try:
            ask.rules.closed = closed
            ask.rules.ranges = len(ranges)
            for i, (gid, bits, party) in enumerate(ranges):
                memcpy(ask.rules.range[i].gid, <const char *><bytes>gid, 16)
                ask.rules.range[i].bits, ask.rules.range[i].party = bits, party
            for i, tenant in enumerate(tenants[:FFR_PARTIES]):
                ask.rules.tenant[i] = tenant
            for i, row in enumerate(rows):
                packed = row.to_bytes(ROW_BYTES, "little")
                memcpy(ask.rules.may[i], <const char *>packed, ROW_BYTES)
            self._ask(&ask)
        finally:
            free(ask.rules)                  # the ones before, or those that were not taken

    def place(self, places):
        """places: (gid, party) of addresses; STRANGER: nobody tells of that one any more. Returns how many found no room."""
        cdef ffr_reach_ask ask = nothing()
        cdef ffr_party_gid *all = <ffr_party_gid *>calloc(max(len(places), 1), sizeof(ffr_party_gid))
        cdef uint32_t i
        if all == NULL:
            raise MemoryError
        try:
            for i, (gid, party) in enumerate(places):
                memcpy(all[i].gid, <const char *><bytes>gid, 16)
                all[i].party = party
            ask.place, ask.count = all, len(places)
            self._ask(&ask)
            return ask.refused
        finally:
            free(all)

    def set_party(self, uint32_t session, uint32_t party):
        cdef ffr_reach_ask ask = nothing()
        ask.session, ask.party = session, party
        self._ask(&ask)

    def sweep(self):
        """Ends the connections that are not allowed, and returns how many QPs that were."""
        cdef ffr_reach_ask ask = nothing()
        ask.sweep = True
        self._ask(&ask)
        return ask.ended

    @property
    def is_open(self):
        """Everybody reaches everybody, and nothing is looked up."""
        return reach_is_open(self.r)

    def may_begin(self, bytes a, bytes b):
        """Whether who has GID `a` may begin with who has `b`, as the reactor has it."""
        return reach_is_open(self.r) or reach_allows(self.r, reach_party(self.r, a), reach_party(self.r, b))

    def denials(self, uint64_t since):
        """(how many there have been, the last of them after the `since`th: (container, gid, whether it came from there))."""
        cdef uint64_t count = ff_load64_acquire(&self.r.reach.denied), i
        cdef ffr_denial one
        told = []
        for i in range(max(since, count - min(count, FFR_DENIALS)), count):
            one = self.r.reach.denial[i % FFR_DENIALS]  # it may be the next one by now, half written: a line of a log
            name = <bytes>self.r.state.session[one.session % FFR_SESSIONS].name
            told.append((name.decode(errors="replace"), <bytes>one.gid[:16], bool(one.came)))
        return count, told
