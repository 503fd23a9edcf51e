"""Static rates: enum ibv_rate, multiples of 2.5 Gb/s, Mb/s.

The lanes of a link carry 2.5, 5, 10, 14.0625, 25.78125 or 50 Gb/s, and later ones double that; ibv_rate names the
rounded sums, the conversion gives the exact ones.
"""

from ffl.ibv cimport *


cdef public int ffv_ibv_rate_to_mbps(ibv_rate rate) noexcept nogil:
    if rate == IBV_RATE_2_5_GBPS: return 2500
    if rate == IBV_RATE_5_GBPS: return 5000
    if rate == IBV_RATE_10_GBPS: return 10000
    if rate == IBV_RATE_14_GBPS: return 14062
    if rate == IBV_RATE_20_GBPS: return 20000
    if rate == IBV_RATE_25_GBPS: return 25781
    if rate == IBV_RATE_28_GBPS: return 28125
    if rate == IBV_RATE_30_GBPS: return 30000
    if rate == IBV_RATE_40_GBPS: return 40000
    if rate == IBV_RATE_50_GBPS: return 53125
    if rate == IBV_RATE_56_GBPS: return 56250
    if rate == IBV_RATE_60_GBPS: return 60000
    if rate == IBV_RATE_80_GBPS: return 80000
    if rate == IBV_RATE_100_GBPS: return 103125
    if rate == IBV_RATE_112_GBPS: return 112500
    if rate == IBV_RATE_120_GBPS: return 120000
    if rate == IBV_RATE_168_GBPS: return 168750
    if rate == IBV_RATE_200_GBPS: return 206250
    if rate == IBV_RATE_300_GBPS: return 309375
    if rate == IBV_RATE_400_GBPS: return 425000
    if rate == IBV_RATE_600_GBPS: return 637500
    if rate == IBV_RATE_800_GBPS: return 850000
    if rate == IBV_RATE_1200_GBPS: return 1275000
    return -1


cdef public int ffv_ibv_rate_to_mult(ibv_rate rate) noexcept nogil:
    # Rates that older hardware cannot be told (14 Gb/s lanes and their kin) have no multiple.
    if rate == IBV_RATE_2_5_GBPS: return 1
    if rate == IBV_RATE_5_GBPS: return 2
    if rate == IBV_RATE_10_GBPS: return 4
    if rate == IBV_RATE_20_GBPS: return 8
    if rate == IBV_RATE_28_GBPS: return 11
    if rate == IBV_RATE_30_GBPS: return 12
    if rate == IBV_RATE_40_GBPS: return 16
    if rate == IBV_RATE_50_GBPS: return 20
    if rate == IBV_RATE_60_GBPS: return 24
    if rate == IBV_RATE_80_GBPS: return 32
    if rate == IBV_RATE_120_GBPS: return 48
    if rate == IBV_RATE_400_GBPS: return 160
    if rate == IBV_RATE_600_GBPS: return 240
    if rate == IBV_RATE_800_GBPS: return 320
    if rate == IBV_RATE_1200_GBPS: return 480
    return -1


cdef public ibv_rate ffv_mult_to_ibv_rate(int mult) noexcept nogil:
    cdef int rate
    for rate in range(IBV_RATE_2_5_GBPS, IBV_RATE_1200_GBPS + 1):
        if mult > 0 and ffv_ibv_rate_to_mult(<ibv_rate>rate) == mult:
            return <ibv_rate>rate
    return IBV_RATE_MAX


cdef public ibv_rate ffv_mbps_to_ibv_rate(int mbps) noexcept nogil:
    cdef int rate
    for rate in range(IBV_RATE_2_5_GBPS, IBV_RATE_1200_GBPS + 1):
        if ffv_ibv_rate_to_mbps(<ibv_rate>rate) == mbps:
            return <ibv_rate>rate
    return IBV_RATE_MAX
