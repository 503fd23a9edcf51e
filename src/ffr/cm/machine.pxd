"""One end of a conversation as a state machine (IBTA 12.9): what a program does, what its peer says, and what time does.

(conversation, what happened, now) goes in; a message to send and an event to tell come out. Nothing here knows who carries
messages, or what an id is.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ffr.cm.state cimport cm_conversation, cm_message


cdef enum:
    # Attribute IDs (IBTA 12.6)
    CM_REQ = 0x10
    CM_MRA = 0x11
    CM_REJ = 0x12
    CM_REP = 0x13
    CM_RTU = 0x14
    CM_DREQ = 0x15
    CM_DREP = 0x16
    CM_SIDR_REQ = 0x17
    CM_SIDR_REP = 0x18
    # Reasons of a REJ (12.6.7.2)
    CM_REJ_NO_RESOURCES = 3
    CM_REJ_TIMEOUT = 4
    CM_REJ_INVALID_SERVICE = 8
    CM_REJ_CONSUMER = 28
    # Status of a SIDR_REP (12.11.2.1)
    CM_SIDR_SUCCESS = 0
    CM_SIDR_UNSUPPORTED = 1
    CM_SIDR_REJECT = 2

ctypedef struct cm_step:
    bint send                # `out` is to be sent
    bint carries             # the event brings what the peer's message said
    int event                # CM_EV_..., or CM_EV_NONE
    int status               # of the event
    cm_message out

cdef void step_begin(cm_step *step) noexcept nogil

# What a program does: 0 or an errno. `message`: what is to be said, but for the parts that the conversation knows.
cdef int machine_connect(cm_conversation *c, const cm_message *message, uint64_t now, cm_step *step) noexcept nogil
cdef int machine_accept(cm_conversation *c, const cm_message *message, uint64_t now, cm_step *step) noexcept nogil
cdef int machine_reject(cm_conversation *c, const cm_message *message, cm_step *step) noexcept nogil
cdef int machine_disconnect(cm_conversation *c, uint64_t now, cm_step *step) noexcept nogil
cdef int machine_establish(cm_conversation *c, cm_step *step) noexcept nogil
# Its end, at any time: the last word is said.
cdef void machine_end(cm_conversation *c, cm_step *step) noexcept nogil

# A REQ or a SIDR_REQ begins a conversation.
cdef void machine_asked(cm_conversation *c, const cm_message *m, uint64_t now, cm_step *step) noexcept nogil
# Any message of a conversation that exists.
cdef void machine_take(cm_conversation *c, const cm_message *m, uint64_t now, cm_step *step) noexcept nogil
# Nobody is where it connects to.
cdef void machine_unreachable(cm_conversation *c, int status, cm_step *step) noexcept nogil
# Its deadline has passed.
cdef void machine_late(cm_conversation *c, uint64_t now, cm_step *step) noexcept nogil
