"""One request to the router, and its reply. Every function returns 0 or an errno. Implemented in call.pyx."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from ffl.objects cimport ffl_context

# Request and reply are the structs that control.h names for op; sizes in bytes, at most FF_COMMAND_BODY.
cdef extern int ff_call(ffl_context *context, uint16_t op, const void *request, uint32_t size, void *reply,
                        uint32_t reply_size) noexcept nogil

# ... that make something: size zeroed bytes for what the library keeps of it, until ff_retire or free. NULL and errno: then
# nothing is made, neither here nor there.
cdef extern void *ff_call_new(ffl_context *context, size_t size, uint16_t op, const void *request, uint32_t request_size,
                              void *reply, uint32_t reply_size) noexcept nogil

# ... for commands that take nothing but a handle: close, dealloc, destroy. A session that is gone has nothing left to
# destroy, so that counts as done.
cdef extern int ff_call_end_of(ffl_context *context, uint16_t op, uint32_t handle) noexcept nogil

# ... that make a channel: its descriptor too.
cdef extern int ff_call_channel(ffl_context *context, uint16_t op, const void *request, uint32_t size, void *reply,
                                uint32_t reply_size, int *fd) noexcept nogil

# ... before there is a context.
cdef extern int ff_call_session(uint16_t op, const void *request, uint32_t size, void *reply,
                                uint32_t reply_size) noexcept nogil
# ... with a descriptor; one that this process has no room for closes again, and its object ends by that.
cdef extern int ff_call_descriptor(uint16_t op, void *reply, uint32_t reply_size, int *fd) noexcept nogil

# ... with a payload (FF_PAYLOAD_SIZE bytes, to be filled in between): begin, write, ff_call_continue, end.
cdef extern int ff_call_begin(ffl_context *context, uint8_t **payload) noexcept nogil
cdef extern int ff_call_continue(uint16_t op, const void *request, uint32_t size, void *reply,
                                 uint32_t reply_size) noexcept nogil
cdef extern void ff_call_end() noexcept nogil

cdef extern void ff_call_child() noexcept nogil      # after fork, in the child
