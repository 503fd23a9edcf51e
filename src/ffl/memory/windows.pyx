"""Which page of the segment belongs to which address, and how many registrations use it.

The address space is cut into windows. The first page that is registered in a window reserves a run of the segment of
the window's size, so that within a window the place is a linear function of the address: overlapping and repeated
registrations share pages, and each is one extent. The segment is sparse: what is reserved and not used costs nothing.
A registration that spans windows gets neighbouring runs, if there are any.

When the runs are used up, by a program whose registrations lie far apart, further windows are scattered: each of their
pages takes any free page of a pool, an eighth of the segment that is kept for this.
"""

from libc.errno cimport ENOMEM
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from ffl.memory.parts cimport PAGE


cdef extern from "sys/mman.h" nogil:
    enum:
        PROT_READ
        PROT_WRITE
        MAP_PRIVATE
        MAP_ANONYMOUS
        MAP_NORESERVE
    void *MAP_FAILED
    void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *addr, size_t length)

cdef enum:
    PAGE_SHIFT = 12
    WINDOW_SHIFT = 26  # 64 MiB: more than most registrations, and 512 of them in 32 GiB
    WINDOW_SHIFT_MIN = 16
    RUNS_MIN = 64  # a small segment has smaller windows
    RUNS_MAX = 16384  # a huge one larger ones
    WINDOWS_MAX = 32768
    BUCKETS = 8192
    SCATTERED = 0xffffffff
    LINGERS = 0x80000000  # in a slot: not converted back, though nobody uses it

cdef struct Window:
    uint64_t number  # address >> shift
    uint32_t next  # of the same bucket, or of the free windows; index + 1
    uint32_t run  # or SCATTERED
    uint32_t held  # pages that are used, or linger
    uint32_t *users  # registrations that touch the page
    uint32_t *partly  # those among them that do not cover it wholly
    uint32_t *slots  # scattered: page of the pool + 1, or 0; LINGERS

cdef struct Table:
    uint32_t shift
    uint32_t runs  # for windows
    uint64_t pool_start  # bytes; the pool's pages follow the runs
    uint32_t pool_pages
    uint32_t pool_next  # where the search for a free page goes on
    uint8_t *pool_used
    Window *windows
    uint32_t ever_used
    uint32_t free  # index + 1
    uint32_t buckets[BUCKETS]
    uint8_t run_used[RUNS_MAX]

cdef Table table


cdef void *fresh(uint64_t length) noexcept nogil:
    """Zeroes, that cost memory where they are written to. Not malloc: its caller may hold malloc's lock."""
    cdef void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    return NULL if memory == MAP_FAILED else memory


# ---- life ------------------------------------------------------------------------------------------------------

cdef public int ff_windows_init(uint64_t size) noexcept nogil:
    cdef uint64_t runs
    ff_windows_clear()
    table.shift = WINDOW_SHIFT
    while table.shift > WINDOW_SHIFT_MIN and size >> table.shift < RUNS_MIN:
        table.shift -= 1
    while size >> table.shift > RUNS_MAX:
        table.shift += 1
    runs = size >> table.shift
    table.runs = <uint32_t>(runs - (runs + 7) // 8)
    table.pool_start = <uint64_t>table.runs << table.shift
    table.pool_pages = <uint32_t>((size - table.pool_start) >> PAGE_SHIFT)
    table.windows = <Window *>fresh(WINDOWS_MAX * sizeof(Window))
    table.pool_used = <uint8_t *>fresh(table.pool_pages + 1)
    return ENOMEM if table.windows == NULL or table.pool_used == NULL else 0


cdef public void ff_windows_clear() noexcept nogil:
    cdef uint32_t i
    if table.windows != NULL:
        for i in range(table.ever_used):
            if table.windows[i].users != NULL:
                munmap(table.windows[i].users, pages_of_window() * 3 * sizeof(uint32_t))
        munmap(table.windows, WINDOWS_MAX * sizeof(Window))
    if table.pool_used != NULL:
        munmap(table.pool_used, table.pool_pages + 1)
    memset(&table, 0, sizeof(table))


cdef uint64_t pages_of_window() noexcept nogil:
    return <uint64_t>1 << (table.shift - PAGE_SHIFT)


# ---- windows ---------------------------------------------------------------------------------------------------

cdef Window *find(uint64_t number) noexcept nogil:
    cdef uint32_t at
    if table.windows == NULL:
        return NULL
    at = table.buckets[number % BUCKETS]
    while at != 0:
        if table.windows[at - 1].number == number:
            return &table.windows[at - 1]
        at = table.windows[at - 1].next
    return NULL


cdef Window *create(uint64_t number, uint32_t run) noexcept nogil:
    cdef uint32_t at = table.free
    cdef Window *window
    cdef uint32_t *arrays = <uint32_t *>fresh(pages_of_window() * 3 * sizeof(uint32_t))
    if arrays == NULL:
        return NULL
    if at != 0:
        table.free = table.windows[at - 1].next
    elif table.ever_used < WINDOWS_MAX:
        table.ever_used += 1
        at = table.ever_used
    else:
        munmap(arrays, pages_of_window() * 3 * sizeof(uint32_t))
        return NULL
    window = &table.windows[at - 1]
    window.number = number
    window.run = run
    window.held = 0
    window.users = arrays
    window.partly = arrays + pages_of_window()
    window.slots = arrays + 2 * pages_of_window()
    window.next = table.buckets[number % BUCKETS]
    table.buckets[number % BUCKETS] = at
    return window


cdef void destroy(Window *window) noexcept nogil:
    cdef uint32_t at = <uint32_t>(window - table.windows) + 1
    cdef uint32_t *link = &table.buckets[window.number % BUCKETS]
    while link[0] != at:
        link = &table.windows[link[0] - 1].next
    link[0] = window.next
    if window.run != SCATTERED:
        table.run_used[window.run] = 0
    munmap(window.users, pages_of_window() * 3 * sizeof(uint32_t))
    window.users = NULL
    window.next = table.free
    table.free = at


cdef uint32_t neighbouring_runs(uint32_t count) noexcept nogil:
    """The first of count free runs in a row, or SCATTERED."""
    cdef uint32_t run, free = 0
    for run in range(table.runs):
        free = 0 if table.run_used[run] else free + 1
        if free == count:
            return run + 1 - count
    return <uint32_t>SCATTERED


cdef int create_in_a_row(uint64_t number, uint64_t count) noexcept nogil:
    """Windows number to number + count - 1, none of which exists, in as few rows of runs as there are."""
    cdef uint64_t row = count
    cdef uint32_t run, i
    while count > 0:
        row = min(row, count)
        run = neighbouring_runs(<uint32_t>row) if row <= table.runs else <uint32_t>SCATTERED
        if run == SCATTERED and row > 1:
            row //= 2
            continue
        for i in range(<uint32_t>row):
            if create(number, run + i if run != SCATTERED else run) == NULL:
                return ENOMEM
            if run != SCATTERED:
                table.run_used[run + i] = 1
            number += 1
        count -= row
    return 0


# ---- scattered pages -------------------------------------------------------------------------------------------

cdef uint32_t take_slot() noexcept nogil:
    """A page of the pool + 1, or 0. Takes neighbours one after the other, which keeps extents few."""
    cdef uint32_t tried, at = table.pool_next
    for tried in range(table.pool_pages):
        if at >= table.pool_pages:
            at = 0
        if not table.pool_used[at]:
            table.pool_used[at] = 1
            table.pool_next = at + 1
            return at + 1
        at += 1
    return 0


cdef void give_slot(Window *window, uint64_t page) noexcept nogil:
    if window.slots[page] != 0:
        table.pool_used[window.slots[page] - 1] = 0
        window.slots[page] = 0


# ---- what memory.pyx and memory/convert.pyx call: always over a range of addresses -----------------------------

cdef Window *part(uint64_t addr, uint64_t end, uint64_t *page, uint64_t *pages) noexcept nogil:
    """The window that holds addr, or NULL; and which of its pages belong to [addr, end)."""
    cdef uint64_t inside = addr & ((<uint64_t>1 << table.shift) - 1)
    page[0] = inside >> PAGE_SHIFT
    pages[0] = min(((<uint64_t>1 << table.shift) - inside) >> PAGE_SHIFT, (end - addr) >> PAGE_SHIFT)
    return find(addr >> table.shift)


cdef public int ff_windows_reserve(uint64_t start, uint64_t end) noexcept nogil:
    cdef uint64_t number = start >> table.shift, last = (end - 1) >> table.shift, count
    cdef uint64_t page, pages
    cdef Window *window
    if table.windows == NULL:
        return ENOMEM
    while number <= last:
        count = 0
        while number + count <= last and find(number + count) == NULL:
            count += 1
        if count > 0 and create_in_a_row(number, count) != 0:
            return ENOMEM
        number += count + 1
    while start < end:
        window = part(start, end, &page, &pages)
        start += pages << PAGE_SHIFT
        if window.run != SCATTERED:
            continue
        for page in range(page, page + pages):
            if window.slots[page] == 0:
                window.slots[page] = take_slot()
                if window.slots[page] == 0:
                    return ENOMEM
    return 0


cdef public void ff_windows_trim(uint64_t start, uint64_t end) noexcept nogil:
    cdef uint64_t page, pages
    cdef Window *window
    while start < end:
        window = part(start, end, &page, &pages)
        start += pages << PAGE_SHIFT
        if window == NULL:
            continue
        if window.run == SCATTERED:
            for page in range(page, page + pages):
                if window.users[page] == 0 and not window.slots[page] & LINGERS:
                    give_slot(window, page)
        if window.held == 0:
            destroy(window)


cdef uint64_t place(Window *window, uint64_t page) noexcept nogil:
    """In the segment, in bytes; or all ones."""
    cdef uint32_t slot
    if window.run != SCATTERED:
        return (<uint64_t>window.run << table.shift) + (page << PAGE_SHIFT)
    slot = window.slots[page] & ~<uint32_t>LINGERS
    return table.pool_start + (<uint64_t>(slot - 1) << PAGE_SHIFT) if slot != 0 else ~<uint64_t>0


cdef public uint64_t ff_windows_run(uint64_t addr, uint64_t end, uint64_t *offset) noexcept nogil:
    cdef uint64_t length = 0, page, pages, here
    cdef Window *window
    while addr + length < end:
        window = part(addr + length, end, &page, &pages)
        here = place(window, page) if window != NULL else ~<uint64_t>0
        if here == ~<uint64_t>0 or (length > 0 and here != offset[0] + length):
            break
        if length == 0:
            offset[0] = here
        length += pages << PAGE_SHIFT if window.run != SCATTERED else PAGE
    return length


cdef public void ff_windows_pin(uint64_t addr, uint64_t length) noexcept nogil:
    cdef uint64_t last = addr + length, page, pages
    cdef uint64_t start = addr & ~<uint64_t>(PAGE - 1), end = (last + PAGE - 1) & ~<uint64_t>(PAGE - 1)
    cdef uint64_t at = start
    cdef Window *window
    while at < end:
        window = part(at, end, &page, &pages)
        at += pages << PAGE_SHIFT
        for page in range(page, page + pages):
            if window.users[page] == 0:
                if window.slots[page] & LINGERS:
                    window.slots[page] &= ~<uint32_t>LINGERS
                else:
                    window.held += 1
            window.users[page] += 1
    count_partly(addr, last, 1)


cdef public bint ff_windows_pinned(uint64_t start, uint64_t end) noexcept nogil:
    cdef uint64_t page, pages
    cdef Window *window
    while start < end:
        window = part(start, end, &page, &pages)
        start += pages << PAGE_SHIFT
        if window == NULL:
            return False
        for page in range(page, page + pages):
            if window.users[page] == 0:
                return False
    return True


cdef public bint ff_windows_any(uint64_t start, uint64_t end) noexcept nogil:
    cdef uint64_t page, pages
    cdef Window *window
    while start < end:
        window = part(start, end, &page, &pages)
        start += pages << PAGE_SHIFT
        if window == NULL:
            continue
        for page in range(page, page + pages):
            if window.users[page] != 0:
                return True
    return False


cdef public void ff_windows_unpin(uint64_t addr, uint64_t length) noexcept nogil:
    cdef uint64_t last = addr + length, page, pages
    cdef uint64_t start = addr & ~<uint64_t>(PAGE - 1), end = (last + PAGE - 1) & ~<uint64_t>(PAGE - 1)
    cdef uint64_t at = start
    cdef Window *window
    count_partly(addr, last, -1)
    while at < end:
        window = part(at, end, &page, &pages)
        at += pages << PAGE_SHIFT
        for page in range(page, page + pages):
            window.users[page] -= 1
            if window.users[page] == 0:
                window.held -= 1


cdef void count_partly(uint64_t first, uint64_t last, int step) noexcept nogil:
    """A registration covers all its pages wholly but the first and the last."""
    cdef uint64_t page, pages
    cdef uint64_t low = first & ~<uint64_t>(PAGE - 1), high = (last - 1) & ~<uint64_t>(PAGE - 1)
    if first != low or (low == high and last != low + PAGE):
        part(low, low + PAGE, &page, &pages).partly[page] += step
    if high != low and last != high + PAGE:
        part(high, high + PAGE, &page, &pages).partly[page] += step


cdef bint is_unused(uint64_t addr, bint or_partly) noexcept nogil:
    cdef uint64_t page, pages
    cdef Window *window = part(addr, addr + PAGE, &page, &pages)
    if window == NULL:
        return True
    return window.users[page] == (window.partly[page] if or_partly else 0)


cdef bint first_run(uint64_t start, uint64_t end, bint or_partly, uint64_t *low, uint64_t *high) noexcept nogil:
    while start < end and not is_unused(start, or_partly):
        start += PAGE
    low[0] = start
    while start < end and is_unused(start, or_partly):
        start += PAGE
    high[0] = start
    return low[0] < start


cdef public bint ff_windows_unused(uint64_t start, uint64_t end, uint64_t *low, uint64_t *high) noexcept nogil:
    return first_run(start, end, False, low, high)


cdef public bint ff_windows_partly(uint64_t start, uint64_t end, uint64_t *low, uint64_t *high) noexcept nogil:
    return first_run(start, end, True, low, high)


cdef public void ff_windows_linger(uint64_t start, uint64_t end) noexcept nogil:
    cdef uint64_t page, pages
    cdef Window *window
    while start < end:
        window = part(start, end, &page, &pages)
        start += pages << PAGE_SHIFT
        if window == NULL:
            continue
        for page in range(page, page + pages):
            if window.users[page] == 0 and not window.slots[page] & LINGERS:
                window.slots[page] |= LINGERS
                window.held += 1
