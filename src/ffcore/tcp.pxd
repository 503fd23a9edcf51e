"""ffcore/tcp.h for Cython: libfsocket's calls to the broker."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "ffcore/tcp.h" nogil:
    enum:
        FF_TCP_VERSION, FF_TCP_NAME_MAGIC
        FF_TCP_LISTEN, FF_TCP_CONNECT, FF_TCP_SETTLE, FF_TCP_CLAIM
        FF_TCP_ACCEPTS, FF_TCP_LEAVES, FF_TCP_GROUP, FF_TCP_ABANDON
        FF_TCP_PLAIN, FF_TCP_GO, FF_TCP_CONFIRM, FF_TCP_IN_USE, FF_TCP_LOOK
        FF_TCP_ACCELERATED, FF_TCP_NO_CONTAINER, FF_TCP_OTHER_HOST, FF_TCP_REFUSED, FF_TCP_FOREIGN_SOURCE
        FF_TCP_NO_LISTENER, FF_TCP_PLAIN_LISTENER, FF_TCP_PATH, FF_TCP_NOT_CLAIMED, FF_TCP_ABANDONED, FF_TCP_QUOTA
        FF_TCP_RESOURCES, FF_TCP_NOT_OFFERED, FF_TCP_BAD_REQUEST, FF_TCP_OWN_PORT, FF_TCP_PRIVILEGED, FF_TCP_REASONS
        FF_TCP_FILTER_CHECKS, FF_TCP_FILTER_WORDS, FF_TCP_FILTER_SIDE, FF_TCP_FILTER_LENGTH

    struct ff_tcp_end:
        uint8_t address[16]
        uint16_t port
        uint16_t domain

    struct ff_tcp_request:
        uint32_t version, op, sequence, flags
        uint64_t cookie, token, id
        ff_tcp_end local, peer
        uint16_t port_low, port_high

    struct ff_tcp_reply:
        uint32_t version, sequence, verdict, reason
        uint64_t token, id
        ff_tcp_end local

    struct ff_tcp_name:
        uint32_t magic
        ff_tcp_end client, server
