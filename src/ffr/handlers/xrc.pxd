"""OPEN_XRCD, CLOSE_XRCD, OPEN_QP; and what is different about an XRC_RECV QP: it belongs to a domain, and may have several
handles, in several processes of a container."""

from libc.stdint cimport uint32_t

from ffcore.control cimport ff_cmd_create_qp, ff_reply_create_qp
from ffr.state cimport ffr_router

cdef int open_xrcd(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int close_xrcd(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int open_qp(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil

# CREATE_QP of an XRC_RECV QP.
cdef int create_target(ffr_router *r, uint32_t session, const ff_cmd_create_qp *c, ff_reply_create_qp *a) noexcept nogil
# The QP that a handle of the session's names, its own or one from OPEN_QP; or FFR_NONE.
cdef uint32_t qp_named(ffr_router *r, uint32_t session, uint32_t handle) noexcept nogil
# Of a QP whose maker's handle is gone: it belongs to who has opened it, and without anybody it is freed.
cdef void qp_adopt(ffr_router *r, uint32_t index) noexcept nogil
# DESTROY_QP of a handle from OPEN_QP.
cdef int qp_unopen(ffr_router *r, uint32_t session, uint32_t opener) noexcept nogil

cdef void opener_free(ffr_router *r, uint32_t index) noexcept nogil
cdef void xrcd_free(ffr_router *r, uint32_t index) noexcept nogil
