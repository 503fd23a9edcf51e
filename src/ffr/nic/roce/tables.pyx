cdef roce_nic nic                             # zero until opened


cdef roce_nic *roce_nic_of() noexcept nogil:
    return &nic
