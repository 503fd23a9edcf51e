"""What is mapped where: PROCMAP_QUERY where the kernel has it (6.11), else the text of /proc/self/maps.

Of the thread, not of the process, which has none any more when its first thread has ended by pthread_exit. The
descriptor is opened for each use: a kept one would be the application's to close, and in a child the parent's maps.
"""

from libc.errno cimport EINTR, EIO, ENAMETOOLONG, ENOENT, ENOTTY, errno
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset, strncmp

from ffl.memory.parts cimport FF_REGION_EXEC, FF_REGION_READ, FF_REGION_SHARED, FF_REGION_WRITE, ff_region, ff_segment


cdef extern from "fcntl.h" nogil:
    enum:
        O_RDONLY
        O_CLOEXEC
    int open(const char *path, int flags, ...)

cdef extern from "unistd.h" nogil:
    int close(int fd)
    ssize_t pread(int fd, void *buffer, size_t size, long offset)
    long lseek(int fd, long offset, int whence)
    ssize_t read(int fd, void *buffer, size_t size)

cdef extern from "sys/ioctl.h" nogil:
    int ioctl(int fd, unsigned long request, ...)

cdef extern from "ffl/memory/types.h" nogil:
    ctypedef struct ff_procmap "struct ff_procmap":
        uint64_t size
        uint64_t query_flags
        uint64_t query_addr
        uint64_t start
        uint64_t end
        uint64_t flags
        uint64_t page_size
        uint64_t offset
        uint64_t inode
        uint32_t major
        uint32_t minor
        uint32_t name_size
        uint64_t name_addr
    enum:
        FF_PROCMAP_QUERY
        FF_PROCMAP_COVERING_OR_NEXT

cdef enum:
    TEXT = 8192

cdef bint no_query  # the kernel has no PROCMAP_QUERY, or a test wants to do without
cdef char text[TEXT]  # guarded by the world's lock
cdef ff_region other  # so is this


cdef public int ff_maps_open() noexcept nogil:
    cdef int fd = open("/proc/thread-self/maps", O_RDONLY | O_CLOEXEC)
    return fd if fd >= 0 else -errno


cdef public void ff_maps_close(int maps) noexcept nogil:
    close(maps)


cdef public void ff_maps_without_query(bint without) noexcept nogil:
    """For tests: read the text."""
    global no_query
    no_query = without


cdef public int ff_maps_find(int maps, uint64_t addr, ff_region *region, bint with_name) noexcept nogil:
    cdef int result
    if not no_query:
        result = query(maps, addr, region, with_name)
        if result != ENOTTY:
            return result
        ff_maps_without_query(True)
    return search_text(maps, addr, NULL, region)


cdef public int ff_maps_find_segment(int maps, uint64_t addr, const ff_segment *segment,
                                     ff_region *region) noexcept nogil:
    cdef int result
    while not no_query:
        result = ff_maps_find(maps, addr, region, False)
        if result != 0 or ff_maps_is_segment(segment, region):
            return result
        addr = region.end
    return search_text(maps, addr, segment, region)


cdef public bint ff_maps_is_segment(const ff_segment *segment, const ff_region *region) noexcept nogil:
    return (region.flags & FF_REGION_SHARED and region.inode == segment.inode and region.major == segment.major
            and region.minor == segment.minor)


cdef int query(int maps, uint64_t addr, ff_region *region, bint with_name) noexcept nogil:
    cdef ff_procmap q
    memset(&q, 0, sizeof(q))
    q.size = sizeof(q)
    q.query_flags = FF_PROCMAP_COVERING_OR_NEXT
    q.query_addr = addr
    region.name[0] = 0
    if with_name:
        q.name_addr = <uint64_t>region.name
        q.name_size = sizeof(region.name)
    while ioctl(maps, FF_PROCMAP_QUERY, &q) != 0:
        if errno == ENAMETOOLONG and q.name_size != 0:  # a path: whoever needs it can do without its name
            q.name_size = 0
            q.name_addr = 0
        elif errno != EINTR:
            return errno
    region.start = q.start
    region.end = q.end
    region.offset = q.offset
    region.inode = q.inode
    region.major = q.major
    region.minor = q.minor
    region.flags = q.flags & (FF_REGION_READ | FF_REGION_WRITE | FF_REGION_EXEC | FF_REGION_SHARED)
    region.page_size = <uint32_t>q.page_size
    return 0


cdef struct Lines:
    int fd
    ssize_t begin  # of the next line in `text`
    ssize_t held  # bytes in it


cdef char *next_line(Lines *lines, int *error) noexcept nogil:
    """Without its end, valid until the next; NULL at the end, or with an errno."""
    cdef ssize_t end, got
    cdef char *line
    while True:
        end = lines.begin
        while end < lines.held and text[end] != c'\n':
            end += 1
        if end < lines.held:
            text[end] = 0
            line = text + lines.begin
            lines.begin = end + 1
            return line
        if lines.begin == 0 and lines.held == TEXT:
            error[0] = EIO  # no path is that long
            return NULL
        move_down(lines.begin, lines.held)
        lines.held -= lines.begin
        lines.begin = 0
        got = read(lines.fd, text + lines.held, TEXT - lines.held)
        if got < 0 and errno == EINTR:
            continue
        error[0] = errno if got < 0 else 0
        if got <= 0:
            return NULL
        lines.held += got


cdef int search_text(int maps, uint64_t addr, const ff_segment *segment, ff_region *region) noexcept nogil:
    """Line by line from the start: a mapping per line, in the order of their addresses. With a segment, only its."""
    cdef Lines lines
    cdef int error = 0
    cdef char *line
    memset(&lines, 0, sizeof(lines))
    lines.fd = maps
    if lseek(maps, 0, 0) < 0:
        return errno
    line = next_line(&lines, &error)
    while line != NULL:
        if parse_line(line, region) and region.end > addr and (segment == NULL or ff_maps_is_segment(segment, region)):
            if strncmp(region.name, "/anon_hugepage", 14) == 0:
                region.page_size = size_of_pages(region.start)
            return 0
        line = next_line(&lines, &error)
    return error if error else ENOENT


cdef uint32_t size_of_pages(uint64_t start) noexcept nogil:
    """Of the mapping that begins there, which the maps do not say, and smaps does. 0: not known. `text` is used anew."""
    cdef Lines lines
    cdef int error = 0
    cdef bint there = False
    cdef uint32_t size = 0
    cdef char *line
    memset(&lines, 0, sizeof(lines))
    lines.fd = open("/proc/thread-self/smaps", O_RDONLY | O_CLOEXEC)
    if lines.fd < 0:
        return 0
    line = next_line(&lines, &error)
    while line != NULL and size == 0:
        if parse_line(line, &other):
            there = other.start == start
        elif there and strncmp(line, "KernelPageSize:", 15) == 0:
            line += 15
            while line[0] == c' ':
                line += 1
            size = <uint32_t>number(&line, 10) << 10
        line = next_line(&lines, &error)
    close(lines.fd)
    return size


cdef void move_down(ssize_t begin, ssize_t held) noexcept nogil:
    cdef ssize_t i
    for i in range(held - begin):
        text[i] = text[begin + i]


cdef uint64_t number(char **at, int base) noexcept nogil:
    cdef uint64_t value = 0
    cdef char c
    while True:
        c = at[0][0]
        if c'0' <= c <= c'9':
            value = value * base + (c - c'0')
        elif base == 16 and c'a' <= c <= c'f':
            value = value * base + (c - c'a' + 10)
        else:
            return value
        at[0] += 1


cdef bint parse_line(char *line, ff_region *region) noexcept nogil:
    """5581a0000000-5581a0021000 rw-p 00000000 fe:01 1234   /path"""
    cdef uint32_t i
    region.start = number(&line, 16)
    if line[0] != c'-':
        return False
    line += 1
    region.end = number(&line, 16)
    if line[0] != c' ' or line[1] == 0 or line[2] == 0 or line[3] == 0 or line[4] == 0:
        return False
    region.flags = ((FF_REGION_READ if line[1] == c'r' else 0) | (FF_REGION_WRITE if line[2] == c'w' else 0)
                    | (FF_REGION_EXEC if line[3] == c'x' else 0) | (FF_REGION_SHARED if line[4] == c's' else 0))
    line += 6
    region.offset = number(&line, 16)
    line += 1
    region.major = <uint32_t>number(&line, 16)
    line += 1
    region.minor = <uint32_t>number(&line, 16)
    line += 1
    region.inode = number(&line, 10)
    region.page_size = 0
    while line[0] == c' ':
        line += 1
    i = 0
    while i < sizeof(region.name) - 1 and line[i] != 0:
        region.name[i] = line[i]
        i += 1
    region.name[i] = 0
    return True
