"""What becomes of a verbs object when it is destroyed (retired.pyx)."""

from libc.stdint cimport uint32_t

# Its memory stays for a while, and *handle, which lies in it, names nothing any more: so a program that destroys it
# again gets EINVAL.
cdef extern void ff_retire(void *object, uint32_t *handle) noexcept nogil
