"""The receiving half of UC and UD: nothing is answered; what does not fit is dropped without a word (9.8.2, 9.8.3)."""

from ffr.nic.roce.protocol.qp cimport roce_env, roce_qp
from ffr.nic.roce.protocol.wire cimport roce_packet


cdef void uc_receive(roce_qp *q, const roce_env *env, const roce_packet *p) noexcept nogil
# p.grh, when given, is stored in front of the payload; without it the 40 bytes stay as they are.
cdef void ud_receive(roce_qp *q, const roce_env *env, const roce_packet *p) noexcept nogil
