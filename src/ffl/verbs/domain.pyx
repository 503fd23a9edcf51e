"""Thread domains and parent domains.

A parent domain is a protection domain's second name: the router knows that one alone. What it adds is where the library
takes the memory of its QPs and CQs from. A thread domain promises that one thread at a time uses what is made in it;
FreeFlow's locks cost one atomic operation then, so nothing is gained by leaving them out.
"""

from libc cimport errno
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from ffcore.control cimport FF_NO_HANDLE
from ffcore.shm cimport FF_LINE, ff_add32, ff_load32
from ffl.kernel cimport fail, posix_memalign
from ffl.objects cimport ffl_memory, ffl_pd, ffl_td
from ffl.session.retired_api cimport ff_retire
from ffl.ibv cimport (IBV_ALLOCATOR_USE_DEFAULT, IBV_PARENT_DOMAIN_INIT_ATTR_ALLOCATORS,
                        IBV_PARENT_DOMAIN_INIT_ATTR_PD_CONTEXT, ibv_context, ibv_parent_domain_init_attr, ibv_pd, ibv_td,
                        ibv_td_init_attr)


cdef enum:
    # IBV_PARENT_DOMAIN_INIT_ATTR_ALLOW_CC_UNPROTECTED_ALLOC of newer headers: leave for memory that a confidential guest shares
    # with its host. Here a device needs none such.
    ALLOW_UNPROTECTED = 4


# ---- thread domains ----

cdef public ibv_td *ff_alloc_td(ibv_context *context, ibv_td_init_attr *attr) noexcept nogil:
    cdef ffl_td *td
    if attr.comp_mask:
        fail(errno.EINVAL)
        return NULL
    td = <ffl_td *>calloc(1, sizeof(ffl_td))
    if td == NULL:
        return NULL
    td.base.context = context
    return &td.base


cdef public int ff_dealloc_td(ibv_td *handed) noexcept nogil:
    cdef ffl_td *td = <ffl_td *>handed
    if ff_load32(&td.domains) == FF_NO_HANDLE:
        return fail(errno.EINVAL)
    if ff_load32(&td.domains):
        return fail(errno.EBUSY)
    ff_retire(td, <uint32_t *>&td.domains)
    return 0


# ---- parent domains ----

cdef public bint ff_domain_is_parent(ibv_pd *pd) noexcept nogil:
    return pd != NULL and (<ffl_pd *>pd).protection != NULL


cdef int check(const ibv_parent_domain_init_attr *attr) noexcept nogil:
    cdef uint32_t known = IBV_PARENT_DOMAIN_INIT_ATTR_ALLOCATORS | IBV_PARENT_DOMAIN_INIT_ATTR_PD_CONTEXT | ALLOW_UNPROTECTED
    if attr.comp_mask & ~known:
        return errno.EOPNOTSUPP
    if attr.pd == NULL or ff_domain_is_parent(attr.pd):
        return errno.EINVAL
    if attr.comp_mask & IBV_PARENT_DOMAIN_INIT_ATTR_ALLOCATORS and (attr.alloc == NULL or attr.free == NULL):
        return errno.EINVAL
    return 0


cdef public ibv_pd *ff_alloc_parent_domain(ibv_context *context, ibv_parent_domain_init_attr *attr) noexcept nogil:
    cdef int error = check(attr)
    cdef ffl_pd *domain
    if error:
        fail(error)
        return NULL
    domain = <ffl_pd *>calloc(1, sizeof(ffl_pd))
    if domain == NULL:
        return NULL
    domain.base.context = context
    domain.base.handle = attr.pd.handle
    domain.protection = <ffl_pd *>attr.pd
    domain.thread = <ffl_td *>attr.td
    if attr.comp_mask & IBV_PARENT_DOMAIN_INIT_ATTR_ALLOCATORS:
        domain.custom.alloc = attr.alloc
        domain.custom.free = attr.free
    if attr.comp_mask & IBV_PARENT_DOMAIN_INIT_ATTR_PD_CONTEXT:
        domain.custom.pd_context = attr.pd_context
    ff_add32(&domain.protection.domains, 1)
    if domain.thread != NULL:
        ff_add32(&domain.thread.domains, 1)
    return &domain.base


cdef public int ff_dealloc_parent_domain(ffl_pd *domain) noexcept nogil:
    if ff_load32(&domain.domains):
        return fail(errno.EBUSY)
    ff_add32(&domain.protection.domains, <uint32_t>-1)
    if domain.thread != NULL:
        ff_add32(&domain.thread.domains, <uint32_t>-1)
    domain.protection = NULL                 # from now on a protection domain that the router does not know
    ff_retire(domain, &domain.base.handle)
    return 0


# ---- the memory of their objects ----

cdef void *by_allocator(ffl_pd *domain, size_t size, uint64_t resource_type, ffl_memory *of) noexcept nogil:
    """IBV_ALLOCATOR_USE_DEFAULT: there is no allocator, or it leaves the choice to us."""
    cdef void *memory
    if domain.custom.alloc == NULL:
        return IBV_ALLOCATOR_USE_DEFAULT
    memory = domain.custom.alloc(&domain.base, domain.custom.pd_context, size, FF_LINE, resource_type)
    of.custom = memory != IBV_ALLOCATOR_USE_DEFAULT
    return memory


cdef public void *ff_memory_new(ibv_pd *pd, size_t size, uint64_t resource_type, ffl_memory *of) noexcept nogil:
    cdef void *memory = IBV_ALLOCATOR_USE_DEFAULT
    of.domain = NULL
    of.custom = 0
    if ff_domain_is_parent(pd):
        memory = by_allocator(<ffl_pd *>pd, size, resource_type, of)
    if memory == IBV_ALLOCATOR_USE_DEFAULT and posix_memalign(&memory, FF_LINE, size):
        return NULL
    if memory == NULL:
        return NULL
    if ff_domain_is_parent(pd):
        of.domain = <ffl_pd *>pd
        ff_add32(&of.domain.domains, 1)
    memset(memory, 0, size)
    return memory


cdef void give_back(const ffl_memory *of, void *memory, uint64_t resource_type) noexcept nogil:
    if of.custom:
        of.domain.custom.free(&of.domain.base, of.domain.custom.pd_context, memory, resource_type)
    if of.domain != NULL:
        ff_add32(&of.domain.domains, <uint32_t>-1)


cdef public void ff_memory_free(const ffl_memory *of, void *memory, uint32_t *handle,
                                uint64_t resource_type) noexcept nogil:
    """`of` may not lie in the memory itself."""
    if of.custom:
        handle[0] = FF_NO_HANDLE             # in case its allocator keeps it
    else:
        ff_retire(memory, handle)
    give_back(of, memory, resource_type)


cdef public void *ff_memory_undo(const ffl_memory *of, void *memory, uint64_t resource_type, int error) noexcept nogil:
    if memory != NULL:
        give_back(of, memory, resource_type)
    if memory != NULL and not of.custom:
        free(memory)
    fail(error)
    return NULL
