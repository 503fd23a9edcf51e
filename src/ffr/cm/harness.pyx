"""CM messages and conversations for tests: MADs in, MADs out, in given time. No router, no socket."""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memset

from ffr.cm.abi cimport CM_EV_NONE
from ffr.cm.mad cimport MAD_SIZE, mad_emit, mad_parse, mad_room
from ffr.cm.machine cimport *
from ffr.cm.state cimport CM_ROUTE, FFR_CM_PRIVATE, cm_conversation, cm_message


FIELDS = ("type", "local", "remote", "tid", "service", "guid", "qpn", "qkey", "psn", "responder_resources", "initiator_depth",
          "retry_count", "rnr_retry", "srq", "flow_control", "transport", "mtu", "ack_timeout", "traffic_class", "hop_limit", "refers",
          "reason", "wait")


def parse(bytes mad):
    """A MAD of 256 bytes as a dict of struct cm_message's fields; None: it is no CM message."""
    cdef cm_message m
    if len(mad) != MAD_SIZE:
        raise ValueError(f"{len(mad)} bytes are no MAD")
    memset(&m, 0, sizeof(m))
    if not mad_parse(&m, mad):
        return None
    return to_dict(&m)


cdef to_dict(const cm_message *m):
    said = dict(zip(FIELDS, (m.type, m.local, m.remote, m.tid, m.service, m.guid, m.qpn, m.qkey, m.psn, m.responder_resources,
                             m.initiator_depth, m.retry_count, m.rnr_retry, m.srq, m.flow_control, m.transport, m.mtu, m.ack_timeout,
                             m.traffic_class, m.hop_limit, m.refers, m.reason, m.wait)))
    said["sgid"], said["dgid"] = bytes(m.sgid[:16]), bytes(m.dgid[:16])
    said["private"] = bytes(m.private_data[:m.private_size])
    return said


cdef to_message(said, cm_message *m):
    cdef bytes private = said.get("private", b"")
    cdef bytes sgid = said.get("sgid", bytes(16))
    cdef bytes dgid = said.get("dgid", bytes(16))
    memset(m, 0, sizeof(cm_message))
    m.type = said["type"]
    m.local, m.remote, m.tid = said.get("local", 0), said.get("remote", 0), said.get("tid", 0)
    m.service, m.guid = said.get("service", 0), said.get("guid", 0)
    m.qpn, m.qkey, m.psn = said.get("qpn", 0), said.get("qkey", 0), said.get("psn", 0)
    m.responder_resources, m.initiator_depth = said.get("responder_resources", 0), said.get("initiator_depth", 0)
    m.retry_count, m.rnr_retry, m.srq = said.get("retry_count", 0), said.get("rnr_retry", 0), said.get("srq", 0)
    m.flow_control, m.transport, m.mtu = said.get("flow_control", 0), said.get("transport", 0), said.get("mtu", 0)
    m.ack_timeout, m.traffic_class = said.get("ack_timeout", 0), said.get("traffic_class", 0)
    m.hop_limit, m.refers, m.reason = said.get("hop_limit", 0), said.get("refers", 0), said.get("reason", 0)
    m.wait = said.get("wait", 0)
    if len(private) > FFR_CM_PRIVATE or len(sgid) != 16 or len(dgid) != 16:
        raise ValueError("too much private data, or a GID that is none")
    m.private_size = <uint8_t>len(private)
    memcpy(m.private_data, <const uint8_t *>private, len(private))
    memcpy(m.sgid, <const uint8_t *>sgid, 16)
    memcpy(m.dgid, <const uint8_t *>dgid, 16)


def emit(said):
    """The MAD of a dict as parse() gives it; what is missing is 0."""
    cdef cm_message m
    cdef uint8_t mad[MAD_SIZE]
    to_message(said, &m)
    mad_emit(&m, mad)
    return bytes(mad[:MAD_SIZE])


def room(int kind):
    """Bytes of private data in a message."""
    return mad_room(kind)


cdef class Conversation:
    """One end. Each method returns (message as parse() gives it or None, event or None, its status).

    local: its communication ID. psn: its first.
    """

    cdef cm_conversation c
    cdef cm_step step

    def __init__(self, local=1, psn=0):
        memset(&self.c, 0, sizeof(self.c))
        self.c.local = local
        self.c.psn = psn
        self.c.state = CM_ROUTE

    @property
    def state(self):
        return self.c.state

    @property
    def deadline_ns(self):
        """0: none."""
        return self.c.deadline_ns

    @property
    def remote(self):
        """(communication ID, QPN, PSN) of the other end, once they are known."""
        return self.c.remote, self.c.remote_qpn, self.c.remote_psn

    cdef outcome(self, int error):
        cdef uint8_t mad[MAD_SIZE]
        said = None
        if error:
            raise OSError(error, "refused")
        if self.step.send:
            mad_emit(&self.step.out, mad)
            said = parse(bytes(mad[:MAD_SIZE]))
        return said, None if self.step.event == CM_EV_NONE else self.step.event, self.step.status

    def connect(self, said, uint64_t now):
        cdef cm_message m
        to_message(said, &m)
        step_begin(&self.step)
        return self.outcome(machine_connect(&self.c, &m, now, &self.step))

    def accept(self, said, uint64_t now):
        cdef cm_message m
        to_message(said, &m)
        step_begin(&self.step)
        return self.outcome(machine_accept(&self.c, &m, now, &self.step))

    def reject(self, said):
        cdef cm_message m
        to_message(said, &m)
        step_begin(&self.step)
        return self.outcome(machine_reject(&self.c, &m, &self.step))

    def disconnect(self, uint64_t now):
        step_begin(&self.step)
        return self.outcome(machine_disconnect(&self.c, now, &self.step))

    def establish(self):
        step_begin(&self.step)
        return self.outcome(machine_establish(&self.c, &self.step))

    def end(self):
        step_begin(&self.step)
        machine_end(&self.c, &self.step)
        return self.outcome(0)

    def asked(self, said, uint64_t now):
        cdef cm_message m
        to_message(said, &m)
        step_begin(&self.step)
        machine_asked(&self.c, &m, now, &self.step)
        return self.outcome(0)

    def take(self, said, uint64_t now):
        cdef cm_message m
        to_message(said, &m)
        step_begin(&self.step)
        machine_take(&self.c, &m, now, &self.step)
        return self.outcome(0)

    def late(self, uint64_t now):
        step_begin(&self.step)
        machine_late(&self.c, now, &self.step)
        return self.outcome(0)
