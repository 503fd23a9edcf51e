"""CRC-32 by the best library at hand, and the ICRC over byte views. See icrc.pxd for the contract.

ISA-L's crc32 uses the CPU's carry-less multiply and is several times faster than zlib's; it is looked for when the
module is loaded, so nothing is needed to build, and a host without it works. Last comes a table of our own, which
is also what the tests hold the libraries against.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memcpy, memset

from ffcore.roce cimport FF_ICRC_SIZE, ff_bth, ff_put16

cdef extern from "dlfcn.h" nogil:
    int RTLD_NOW
    void *dlopen(const char *name, int flags)
    void *dlsym(void *library, const char *symbol)

cdef extern from "ffcore/vectors.h" nogil:
    bint ff_has_upper_halves()
    void ff_clean_upper_halves()

ctypedef uint32_t (*isal_fn)(uint32_t running, const uint8_t *data, unsigned long long size) noexcept nogil
ctypedef unsigned long (*zlib_fn)(unsigned long running, const uint8_t *data, unsigned int size) noexcept nogil

cdef enum:
    POLYNOMIAL = 0xEDB88320  # IEEE 802.3, reflected
    ONE = 0x80000000         # the polynomial 1 in reflected order
    BLOCK = 4096             # stays in the first-level cache between copy and sum
    LENGTH_BITS = 17         # powers of x^-8 that any packet's length needs
    IDENTS = 64              # identifications that segments have: their changes of a CRC are known beforehand
    LONGEST = 9216           # bytes of a packet up to which the flow's cache serves (FF_ROCE_MAX_PACKET is shorter)

cdef uint32_t table[256]
cdef uint32_t back[LENGTH_BITS]  # back[i]: x^(-8 * 2^i) modulo the polynomial
cdef uint32_t ident_changes[IDENTS]  # a running CRC after IPv4 and UDP headers
cdef uint8_t zeros[LONGEST]
cdef isal_fn isal = NULL
cdef zlib_fn zlib = NULL
cdef ff_crc32_fn engine = by_table


cdef uint32_t by_table(uint32_t running, const uint8_t *data, size_t size) noexcept nogil:
    cdef uint32_t state = ~running
    cdef size_t i
    for i in range(size):
        state = (state >> 8) ^ table[(state ^ data[i]) & 0xFF]
    return ~state


cdef uint32_t by_isal(uint32_t running, const uint8_t *data, size_t size) noexcept nogil:
    return isal(running, data, size)


cdef uint32_t by_isal_clean(uint32_t running, const uint8_t *data, size_t size) noexcept nogil:
    running = isal(running, data, size)
    ff_clean_upper_halves()
    return running


cdef uint32_t by_zlib(uint32_t running, const uint8_t *data, size_t size) noexcept nogil:
    return <uint32_t>zlib(running, data, <unsigned int>size)


cdef uint32_t multiply(uint32_t a, uint32_t b) noexcept nogil:
    """a * b modulo the polynomial, both reflected."""
    cdef uint32_t product = 0
    while a:
        if a & ONE:
            product ^= b
        a <<= 1
        b = (b >> 1) ^ (POLYNOMIAL if b & 1 else 0)
    return product


cdef void fill_tables() noexcept nogil:
    cdef uint32_t i, state, bit, power = ONE
    cdef uint8_t[2] ident = [0, 0]
    for i in range(256):
        state = i
        for bit in range(8):
            state = (state >> 1) ^ (POLYNOMIAL if state & 1 else 0)
        table[i] = state
    for bit in range(8):  # divide by x, eight times
        power = (((power ^ POLYNOMIAL) << 1) | 1) if power & ONE else power << 1
    for i in range(LENGTH_BITS):
        back[i] = power
        power = multiply(power, power)
    for i in range(IDENTS):
        ident[1] = i
        ident_changes[i] = by_table(by_table(0, ident, 2), zeros, 22) ^ by_table(by_table(0, zeros, 2), zeros, 22)


cdef str choose(str wanted):
    """Make `wanted` ('isal', 'zlib', 'table', or '' for the best) the engine; its name, or '' when it is not there."""
    global engine, isal, zlib
    cdef void *library
    if wanted in ("", "isal"):
        library = dlopen(b"libisal.so.2", RTLD_NOW)
        isal = <isal_fn>dlsym(library, b"crc32_gzip_refl") if library else NULL
        if isal != NULL:
            engine = by_isal_clean if ff_has_upper_halves() else by_isal
            return "isal"
    if wanted in ("", "zlib"):
        library = dlopen(b"libz.so.1", RTLD_NOW)
        zlib = <zlib_fn>dlsym(library, b"crc32") if library else NULL
        if zlib != NULL:
            engine = by_zlib
            return "zlib"
    if wanted in ("", "table"):
        engine = by_table
        return "table"
    return ""


cdef uint32_t ff_crc32(uint32_t running, const uint8_t *data, size_t size) noexcept nogil:
    return engine(running, data, size)


cdef uint32_t ff_crc32_copy(uint32_t running, uint8_t *to, const uint8_t *data, size_t size) noexcept nogil:
    cdef size_t step
    while size:
        step = size if size < BLOCK else BLOCK
        memcpy(to, data, step)
        running = engine(running, to, step)
        to += step
        data += step
        size -= step
    return running


cdef void begin(ff_icrc_flow *flow, const uint8_t *first) noexcept nogil:
    cdef uint8_t ones[10]
    memset(ones, 0xFF, 8)
    memcpy(ones + 8, first, 2)
    flow.start = engine(0, ones, 10)


cdef void put_udp(uint8_t *udp, uint16_t source_port, uint16_t destination_port) noexcept nogil:
    ff_put16(udp, source_port)
    ff_put16(udp + 2, destination_port)
    memset(udp + 6, 0xFF, 2)


cdef void ff_icrc_flow_ipv4(ff_icrc_flow *flow, const uint8_t *source, const uint8_t *destination,
                            uint16_t source_port, uint16_t destination_port) noexcept nogil:
    cdef uint8_t first[2]
    cdef uint8_t *ip = flow.header - 2  # so that offsets are those of the IP header
    memset(flow, 0, sizeof(ff_icrc_flow))
    first[0], first[1] = 0x45, 0xFF
    begin(flow, first)
    ip[6] = 0x40  # DF
    ip[8] = 0xFF
    ip[9] = 17
    memset(ip + 10, 0xFF, 2)
    memcpy(ip + 12, source, 4)
    memcpy(ip + 16, destination, 4)
    put_udp(ip + 20, source_port, destination_port)
    flow.size = 26


cdef void ff_icrc_flow_ipv6(ff_icrc_flow *flow, const uint8_t *source, const uint8_t *destination,
                            uint16_t source_port, uint16_t destination_port) noexcept nogil:
    cdef uint8_t first[2]
    cdef uint8_t *ip = flow.header - 2
    memset(flow, 0, sizeof(ff_icrc_flow))
    first[0], first[1] = 0x6F, 0xFF
    begin(flow, first)
    memset(ip + 2, 0xFF, 2)
    ip[6] = 17
    ip[7] = 0xFF
    memcpy(ip + 8, source, 16)
    memcpy(ip + 24, destination, 16)
    put_udp(ip + 40, source_port, destination_port)
    flow.size = 46


cdef void put_lengths(const ff_icrc_flow *flow, uint16_t ident, uint16_t udp_payload, uint8_t *covered) noexcept nogil:
    """The flow's headers, as a packet has them."""
    cdef uint8_t *ip = covered - 2
    memcpy(covered, flow.header, flow.size)
    if flow.size == 26:
        ff_put16(ip + 2, 28 + udp_payload)
        ff_put16(ip + 4, ident)
        ff_put16(ip + 24, 8 + udp_payload)
    else:
        ff_put16(ip + 4, 8 + udp_payload)
        ff_put16(ip + 44, 8 + udp_payload)


cdef uint32_t headers(const ff_icrc_flow *flow, uint16_t ident, uint16_t udp_payload) noexcept nogil:
    cdef uint8_t covered[64]
    put_lengths(flow, ident, udp_payload, covered)
    return engine(flow.start, covered, flow.size)


cdef uint32_t ff_icrc_start(const ff_icrc_flow *flow, uint16_t ident, uint16_t udp_payload,
                            const uint8_t *bth) noexcept nogil:
    cdef uint8_t covered[64 + 12]  # the flow, then a BTH
    put_lengths(flow, ident, udp_payload, covered)
    memcpy(covered + flow.size, bth, sizeof(ff_bth))
    covered[flow.size + 4] = 0xFF
    return engine(flow.start, covered, flow.size + sizeof(ff_bth))


cdef void remember(ff_icrc_flow *flow, uint16_t size) noexcept nogil:
    """A CRC is linear: what a change does depends on how much follows it, and on nothing else."""
    cdef uint8_t[12] bth = [0, 0, 0, 0, 0xFF, 0, 0, 0, 0, 0, 0, 0]
    cdef uint32_t after = size - FF_ICRC_SIZE - sizeof(ff_bth), with_, without
    with_ = engine(engine(0, bth, 12), zeros, after)
    bth[4] = 0
    without = engine(engine(0, bth, 12), zeros, after)
    flow.masked = with_ ^ without
    flow.begun = headers(flow, 0, size)
    flow.size_last = size


cdef uint32_t ff_icrc_of(const ff_icrc_flow *flow, uint16_t ident, const uint8_t *packet,
                         uint16_t size) noexcept nogil:
    if FF_ICRC_LONG <= size <= LONGEST and ident < IDENTS and packet[4] == 0:
        if flow.size_last != size:
            remember(<ff_icrc_flow *>flow, size)
        return flow.masked ^ engine(flow.begun ^ (ident_changes[ident] if flow.size == 26 else 0), packet,
                                    size - FF_ICRC_SIZE)
    return engine(ff_icrc_start(flow, ident, size, packet), packet + sizeof(ff_bth),
                  size - sizeof(ff_bth) - FF_ICRC_SIZE)


cdef uint32_t ff_icrc_read(const uint8_t *packet, uint16_t size) noexcept nogil:
    cdef const uint8_t *at = packet + size - FF_ICRC_SIZE
    return at[0] | at[1] << 8 | at[2] << 16 | <uint32_t>at[3] << 24


cdef void ff_icrc_write(uint8_t *at, uint32_t icrc) noexcept nogil:
    at[0] = icrc & 0xFF
    at[1] = icrc >> 8 & 0xFF
    at[2] = icrc >> 16 & 0xFF
    at[3] = icrc >> 24


cdef uint32_t ff_icrc_explain(uint32_t difference, uint32_t bytes_after) noexcept nogil:
    cdef uint32_t steps = bytes_after + 3, i = 0
    while steps:
        if steps & 1:
            difference = multiply(difference, back[i])
        steps >>= 1
        i += 1
    return difference


cdef bint ff_icrc_good(const ff_icrc_flow *flow, uint16_t guess, const uint8_t *packet, uint16_t size) noexcept nogil:
    return ff_icrc_agrees(flow, ff_icrc_of(flow, guess, packet, size), packet, size)


cdef bint ff_icrc_agrees(const ff_icrc_flow *flow, uint32_t icrc, const uint8_t *packet, uint16_t size) noexcept nogil:
    cdef uint32_t difference = icrc ^ ff_icrc_read(packet, size)
    cdef uint32_t hidden
    if difference == 0:
        return True
    if flow.size != 26:
        return False
    # After identification and flags: 13 bytes of the IP header, 8 of UDP, the packet without its ICRC.
    hidden = ff_icrc_explain(difference, 13 + 8 + size - FF_ICRC_SIZE)
    return hidden <= 0xFFFF or (hidden >> 16) == 0x40


fill_tables()
engine_name = choose("")


def use_engine(str name):
    """Checksum with 'isal', 'zlib' or 'table', or '' for the best. Return its name, or '' when it is not there."""
    global engine_name
    chosen = choose(name)
    engine_name = chosen or engine_name
    return chosen


def crc32(const uint8_t[::1] data, uint32_t running=0):
    """CRC-32 of a byte buffer, as zlib.crc32 gives it."""
    return ff_crc32(running, &data[0], data.shape[0]) if data.shape[0] else running


def crc32_copy(const uint8_t[::1] data, uint32_t running=0):
    """(copy of the buffer as bytes, its CRC-32), made in one pass."""
    copy = PyBytes_FromStringAndSize(NULL, data.shape[0])
    cdef uint32_t crc = running
    if data.shape[0]:
        crc = ff_crc32_copy(running, <uint8_t *>PyBytes_AS_STRING(copy), &data[0], data.shape[0])
    return copy, crc


cdef class Flow:
    """Source and destination of packets, for tests and tools: addresses as 4 or 16 bytes, in network order."""
    cdef ff_icrc_flow flow

    def __init__(self, bytes source, bytes destination, uint16_t source_port, uint16_t destination_port=4791):
        if len(source) != len(destination) or len(source) not in (4, 16):
            raise ValueError("an address has 4 or 16 bytes")
        (ff_icrc_flow_ipv4 if len(source) == 4 else ff_icrc_flow_ipv6)(
            &self.flow, source, destination, source_port, destination_port)

    def icrc(self, const uint8_t[::1] packet, uint16_t ident=0):
        """The ICRC, as 4 bytes, of a packet (BTH up to, not with, its ICRC)."""
        cdef uint8_t out[4]
        if packet.shape[0] < <Py_ssize_t>sizeof(ff_bth) or packet.shape[0] > 0xFF00:
            raise ValueError("not a packet")
        ff_icrc_write(out, ff_icrc_of(&self.flow, ident, &packet[0], packet.shape[0] + FF_ICRC_SIZE))
        return out[:4]

    def good(self, const uint8_t[::1] packet, uint16_t guess=0):
        """Whether the ICRC that ends the packet is right for some IPv4 identification."""
        if packet.shape[0] < <Py_ssize_t>sizeof(ff_bth) + FF_ICRC_SIZE or packet.shape[0] > 0xFF00:
            return False
        return ff_icrc_good(&self.flow, guess, &packet[0], packet.shape[0])
