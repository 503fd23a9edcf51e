"""The roce NIC's hands: the roce_env that reads rings, moves bytes between packets and registered memory, completes."""

from ffr.nic.roce.tables cimport roce_nic


cdef void rings_env(roce_nic *n) noexcept nogil
# Forget what was resolved: commands may have run since.
cdef void rings_forget(roce_nic *n) noexcept nogil
