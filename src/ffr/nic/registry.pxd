"""All NICs, in the order in which they are asked. Nothing else in the router names one."""

# Into the table of nic/base.pxd, before the reactor's thread starts. Once in a process.
cdef void nics_fill() noexcept
