"""Packets come in: from which sockets, for which QP, and whether their checksum is right."""

from ffr.nic.roce.tables cimport roce_nic


# Take what has come to the sockets: at once where something came lately, in turns elsewhere. 0: nothing.
cdef int listen_to_all(roce_nic *n) noexcept nogil
