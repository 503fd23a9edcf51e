"""Cython's view of state.h."""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from ffr.cm.abi cimport rdma_ucm_event_resp


cdef extern from "ffr/state.h" nogil:
    enum:
        FFR_CM_CHANNELS
        FFR_CM_IDS
        FFR_CM_EVENTS
        FFR_CM_GROUPS
        FFR_CM_BUCKETS
        FFR_CM_WHEEL
        FFR_CM_BACKLOG
        FFR_CM_PRIVATE
        CM_IDLE
        CM_BOUND
        CM_ADDRESS
        CM_ROUTE
        CM_LISTEN
        CM_REQ_SENT
        CM_REQ_RCVD
        CM_REP_SENT
        CM_REP_RCVD
        CM_ESTABLISHED
        CM_DREQ_SENT
        CM_DREQ_RCVD
        CM_TIMEWAIT
        CM_SIDR_SENT
        CM_SIDR_RCVD
        CM_SIDR_DONE
        CM_ENDED

    ctypedef struct ffr_cm_head "struct ffr_object":
        uint32_t used, session, next, prev

    ctypedef struct cm_message "struct cm_message":
        uint16_t type
        uint8_t peer_is_near
        uint8_t is_sidr_reply
        uint32_t local, remote
        uint64_t tid, service, guid
        uint8_t *sgid
        uint8_t *dgid
        uint32_t qpn, qkey, psn
        uint8_t responder_resources, initiator_depth, retry_count, rnr_retry, srq, flow_control
        uint8_t transport, mtu, ack_timeout, traffic_class, hop_limit, refers
        uint16_t reason
        uint8_t wait, private_size
        uint8_t *private_data

    ctypedef struct cm_conversation "struct cm_conversation":
        uint32_t state, tries
        uint64_t deadline_ns
        uint32_t local, remote
        uint8_t near, transport
        uint8_t responder_resources, initiator_depth, retry_count, rnr_retry, srq, flow_control
        uint8_t mtu, timeout, traffic_class, hop_limit
        uint32_t qpn, psn, remote_qpn, remote_psn
        cm_message last

    ctypedef struct ffr_cm_channel "struct ffr_cm_channel":
        ffr_cm_head o
        int32_t fd
        uint32_t closing, closing_next
        uint64_t *secret
        uint32_t event, last_event, untold, id

    ctypedef struct cm_address "struct cm_address":
        uint8_t *ip
        uint16_t port
        uint8_t family

    ctypedef struct ffr_cm_id "struct ffr_cm_id":
        ffr_cm_head o
        uint32_t channel, share, next, prev, port_next, remote_next, wheel_next, wheel_prev, wheel_slot, generation
        uint64_t uid
        uint16_t space
        uint8_t qp_type, bound, asked, attached, reuse, afonly, traffic_class, ack_timeout
        cm_address here, there
        uint8_t *sgid
        uint8_t *dgid
        uint32_t sgid_index, qkey, groups, room, listener, reported
        cm_conversation c

    ctypedef struct ffr_cm_group "struct ffr_cm_group":
        ffr_cm_head o
        uint32_t id, reported
        uint64_t uid
        uint8_t *gid

    ctypedef struct ffr_cm_event "struct ffr_cm_event":
        ffr_cm_head o
        uint32_t channel, next, id, fresh, group
        rdma_ucm_event_resp body

    ctypedef struct ffr_cm_tables "struct ffr_cm_tables":
        uint32_t *port
        uint32_t *remote
        uint32_t *wheel
        uint32_t closing, waiting
        uint64_t tick, random
