"""The releases of rdma-core, whose private nodes FreeFlow's library has all."""

RELEASES = range(14, 73)  # 14: the first with such nodes; those to come are there already
