"""What an id knows, in the structs of rdma/rdma_user_cm.h."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from ffr.cm.abi cimport ib_uverbs_qp_attr, rdma_ucm_query_route_resp
from ffr.cm.state cimport cm_address
from ffr.state cimport ffr_router

# A socket address of `room` bytes. False: of no family that we know, or cut off.
cdef bint address_read(cm_address *a, const void *sockaddr, uint32_t room) noexcept nogil
cdef uint32_t address_write(void *sockaddr, const cm_address *a) noexcept nogil

cdef void query_route(ffr_router *r, uint32_t id, rdma_ucm_query_route_resp *reply) noexcept nogil
# option: RDMA_USER_CM_QUERY_... Bytes of *reply that are filled in, 0: there is no such option.
cdef uint32_t query(ffr_router *r, uint32_t id, uint32_t option, void *reply) noexcept nogil
# For that state: 0 or EINVAL.
cdef int query_qp(ffr_router *r, uint32_t id, uint32_t state, ib_uverbs_qp_attr *reply) noexcept nogil
# enum ibv_mtu towards where the id connects to.
cdef uint8_t query_mtu(ffr_router *r, uint32_t id) noexcept nogil
