"""sock.h for Cython: what libfsocket's modules share."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from ffcore.tcp cimport ff_tcp_end, ff_tcp_name, ff_tcp_reply, ff_tcp_request
from ffl.tcp.sys cimport epoll_event, sockaddr

cdef extern from "ffl/tcp/sock.h" nogil:
    enum:
        FFS_NONE, FFS_STREAM, FFS_LISTENER
        FFS_SHARED, FFS_TRIED, FFS_ACCEPTS
        FFS_WATCHES, FFS_SET_WORDS
        FFS_VALUE, FFS_CHOSEN, FFS_SNDBUF, FFS_RCVBUF, FFS_DONE
        FFS_FIN, FFS_RESET
        FFS_NOT_OURS, FFS_CLIENT, FFS_SERVER

    struct ffs_watch:
        int epoll
        uint32_t events
        uint64_t data

    struct ffs_entry:
        uint64_t cookie, token
        uint32_t forks
        uint16_t kind, flags
        uint32_t watches
        uint64_t set[2]
        ffs_watch watch[2]

    struct ffs_option:
        int level, option, how

    ffs_entry *ffs_entry_at(int)
    ffs_entry *ffs_entry_make(int)
    uint64_t ffs_cookie(int)
    ffs_entry *ffs_fresh_stream(int)
    uint32_t ffs_forks()
    int ffs_alone()
    const char *ffs_broker_path()
    int ffs_in_prefix(const uint8_t *)
    int ffs_may_be_hosts(const uint8_t *)
    void ffs_warn_no_router()
    int ffs_call(ff_tcp_request *, ff_tcp_reply *, int *)
    int ffs_call_giving(ff_tcp_request *, ff_tcp_reply *, int *, int *)
    int ffs_end_of(const void *, unsigned, ff_tcp_end *)
    unsigned ffs_name_of(const ff_tcp_end *, int, void *)
    int ffs_connection(int, ff_tcp_name *)
    int ffs_option_index(int, int)
    const ffs_option *ffs_option_at(int)
    int ffs_lowest_bit(uint64_t)
    int ffs_carry_options(int, int, const uint64_t *)
    int ffs_swap(int, int, int)
    void ffs_unwatch(int, ffs_entry *)
    void ffs_watch_again(int, ffs_entry *)
    void ffs_watch_listener(int)
    void ffs_leave_listener(int)
