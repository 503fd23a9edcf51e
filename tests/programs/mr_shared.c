/* Shared memory and read-only memory behind MRs: what is refused, what happens when it goes away, who sees what. */
#include "memory_kinds.h"

enum { LENGTH = 65536 };

static const char constant[LENGTH] = {1, 2, 3};

static struct ibv_mr *try_register(struct end *end, const void *at, size_t length, int access)
{
	errno = 0;
	return ibv_reg_mr(end->pd, (void *)at, length, access);
}

static void refused(struct end *end, const void *at, size_t length, int access, int error)
{
	CHECK(!try_register(end, at, length, access), "registered with access %d", access);
	CHECK_EQ(errno, error);
}

static enum ibv_wc_status transfer(struct end *a, int opcode, const char *at, uint32_t length, uint32_t rkey)
{
	struct ibv_sge sge = part(a, 0, length);
	struct ibv_send_wr wr = request(1, opcode, &sge, 1, a, 0);

	wr.wr.rdma.remote_addr = (uintptr_t)at, wr.wr.rdma.rkey = rkey;
	post(a, &wr);
	return next_wc(a->send_cq).status;
}

static void reconnect(struct end *a, struct end *b)
{
	const struct wish wish = {0};
	struct address of_a = address_of(a), of_b = address_of(b);

	CHECK_EQ(set_state(a->qp, IBV_QPS_RESET), 0);
	CHECK_EQ(set_state(b->qp, IBV_QPS_RESET), 0);
	connect_to(a, &of_b, &wish);
	connect_to(b, &of_a, &wish);
}

/* ---- memory that may only be read -------------------------------------------------------------------------------- */

static const char *read_only(const char *name)
{
	int fd = strstr(name, "memfd") ? sized(memfd_create("kind", MFD_ALLOW_SEALING)) : disk_file();
	char *at;

	if (strcmp(name, "constant") == 0)
		return constant;
	CHECK_EQ(pwrite(fd, constant, LENGTH, 0), LENGTH);
	if (strcmp(name, "anonymous") == 0) {
		at = map_file(-1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
		memcpy(at, constant, LENGTH);
		CHECK_EQ(mprotect(at, KIND_SIZE, PROT_READ), 0);
		return at;
	}
	if (strcmp(name, "sealed_memfd") == 0) { /* has no hole: the rest of it is written too */
		char *all = calloc(1, KIND_SIZE - LENGTH);

		CHECK_EQ(pwrite(fd, all, KIND_SIZE - LENGTH, LENGTH), KIND_SIZE - LENGTH);
		CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK), 0);
	}
	return map_file(fd, PROT_READ, strcmp(name, "private_file") == 0 ? MAP_PRIVATE : MAP_SHARED);
}

static void only_read(const void *row)
{
	const struct wish wish = {0};
	const char *at = read_only(row);
	struct ibv_mr *mr;
	struct end a, b;

	open_pair(&a, &b, &wish);
	refused(&b, at + 3, LENGTH - 3, IBV_ACCESS_LOCAL_WRITE, EFAULT);
	refused(&b, at + 3, LENGTH - 3, ALL_ACCESS, EFAULT);
	mr = try_register(&b, at + 1, LENGTH - 1, IBV_ACCESS_REMOTE_READ);
	CHECK(mr, "ibv_reg_mr: %s", strerror(errno));
	memset(a.buffer, 9, 100);
	CHECK_EQ(transfer(&a, IBV_WR_RDMA_READ, at + 1, 100, mr->rkey), IBV_WC_SUCCESS);
	CHECK(a.buffer[0] == 2 && a.buffer[1] == 3 && a.buffer[2] == 0, "read %d %d", a.buffer[0], a.buffer[1]);
	CHECK_EQ(ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0, ALL_ACCESS), IBV_REREG_MR_ERR_INPUT);
	CHECK_EQ(errno, EFAULT);
	CHECK_EQ(transfer(&a, IBV_WR_RDMA_READ, at + 1, 100, mr->rkey), IBV_WC_SUCCESS);
	CHECK_EQ(transfer(&a, IBV_WR_RDMA_WRITE, at + 1, 100, mr->rkey), IBV_WC_REM_ACCESS_ERR);
	CHECK_EQ(ibv_dereg_mr(mr), 0);
	CHECK(at[0] == 1 && at[1] == 2 && at[2] == 3 && at[3] == 0, "it has changed");
}

/* ---- what cannot be registered, and is not -------------------------------------------------------------------------- */

/* Good pages before bad ones: as a whole, with nothing changed. */
static void refused_other_file_systems(const void *row)
{
	const struct wish wish = {0};
	int fd = disk_file();
	char *at = map_file(-1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	struct end a;

	(void)row;
	open_end(&a, &wish);
	fill(at, KIND_SIZE, 4);
	CHECK(mmap(at + KIND_SIZE / 2, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED, "%s",
	      strerror(errno));
	refused(&a, at + KIND_SIZE / 2, LENGTH, 0, EOPNOTSUPP);
	refused(&a, at + 5, KIND_SIZE - 5, ALL_ACCESS, EOPNOTSUPP);
	check_filled(at, KIND_SIZE / 2, 4, "before the file");
	check_bytes(at + KIND_SIZE / 2, LENGTH, 0, "the file");
	CHECK(try_register(&a, at, KIND_SIZE / 2, ALL_ACCESS), "ibv_reg_mr: %s", strerror(errno));
}

static void refused_beyond_the_end(const void *row)
{
	const struct wish wish = {0};
	int fd = sized(memfd_create("kind", 0));
	char *at = map_file(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	struct end a;

	(void)row;
	open_end(&a, &wish);
	CHECK_EQ(ftruncate(fd, 3 * 4096), 0);
	refused(&a, at, 4 * 4096, ALL_ACCESS, EFAULT);
	CHECK(try_register(&a, at, 3 * 4096, ALL_ACCESS), "ibv_reg_mr: %s", strerror(errno));
}

static void refused_in_too_many_pieces(const void *row)
{
	const struct wish wish = {0};
	char *at = map_file(-1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	struct end a;

	(void)row;
	open_end(&a, &wish);
	for (int i = 0; i < 100; i += 2)
		CHECK(mmap(at + i * 4096, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
		      MAP_FAILED, "%s", strerror(errno));
	refused(&a, at, 100 * 4096, ALL_ACCESS, ENOMEM);
	CHECK(try_register(&a, at, 60 * 4096, ALL_ACCESS), "ibv_reg_mr: %s", strerror(errno));
}

/* More than the device promises: before anything is converted, however little of it exists. */
static void refused_at_once(const void *row)
{
	const struct wish wish = {0};
	const int shared = row != NULL;
	struct ibv_device_attr attr;
	struct end a;
	double begun;
	size_t size;
	char *at;

	open_end(&a, &wish);
	CHECK_EQ(ibv_query_device(a.context, &attr), 0);
	size = 4 * attr.max_mr_size;
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(at != MAP_FAILED, "mmap of %zu bytes: %s", size, strerror(errno));
	begun = now_ms();
	refused(&a, at, size, ALL_ACCESS, ENOMEM);
	CHECK(now_ms() - begun < 1000, "after %g ms", now_ms() - begun);
	CHECK(try_register(&a, at + size / 2, LENGTH, ALL_ACCESS), "ibv_reg_mr of a part: %s", strerror(errno));
}

/* An on-demand MR of it is brought in as any other, and again when the program asks. */
static void on_demand(const void *row)
{
	const struct wish wish = {0};
	int fd = sized(memfd_create("kind", 0));
	char *at = map_file(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	struct ibv_mr *mr;
	struct ibv_sge sge;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	mr = try_register(&b, at, KIND_SIZE, ALL_ACCESS | IBV_ACCESS_ON_DEMAND);
	CHECK(mr, "ibv_reg_mr: %s", strerror(errno));
	CHECK_EQ(transfer(&a, IBV_WR_RDMA_WRITE, at, LENGTH, mr->rkey), IBV_WC_SUCCESS);
	CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, KIND_SIZE), 0);
	CHECK_EQ(transfer(&a, IBV_WR_RDMA_READ, at, LENGTH, mr->rkey), IBV_WC_REM_ACCESS_ERR);
	reconnect(&a, &b);
	sge = (struct ibv_sge){(uintptr_t)at, LENGTH, mr->lkey};
	CHECK_EQ(ibv_advise_mr(b.pd, IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE, IBV_ADVISE_MR_FLAG_FLUSH, &sge, 1), 0);
	CHECK_EQ(transfer(&a, IBV_WR_RDMA_READ, at, LENGTH, mr->rkey), IBV_WC_SUCCESS);
	check_bytes(a.buffer, LENGTH, 0, "of the hole");
	CHECK_EQ(ibv_dereg_mr(mr), 0);
}

/* ---- memory that goes away -------------------------------------------------------------------------------------------- */

/* One MR's fault, whatever the other MR of the same QP is of; and nothing is filled in for it. */
static void gone(const void *row)
{
	const int mode = row ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : 0;
	const struct wish wish = {0};
	struct stat before, after;
	struct ibv_mr *mr, *other;
	struct end a, b;
	char *at, *whole;
	int fd = sized(memfd_create("kind", 0));

	open_pair(&a, &b, &wish);
	at = map_file(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	whole = make_kind(SYSV);
	mr = try_register(&b, at, KIND_SIZE, ALL_ACCESS);
	other = try_register(&b, whole, KIND_SIZE, ALL_ACCESS);
	CHECK(mr && other, "ibv_reg_mr: %s", strerror(errno));
	CHECK_EQ(transfer(&a, IBV_WR_RDMA_WRITE, at + LENGTH, LENGTH, mr->rkey), IBV_WC_SUCCESS);
	CHECK_EQ(mode ? fallocate(fd, mode, LENGTH, KIND_SIZE - LENGTH) : ftruncate(fd, LENGTH), 0);
	fstat(fd, &before);
	CHECK_EQ(transfer(&a, IBV_WR_RDMA_WRITE, at + LENGTH, LENGTH, mr->rkey), IBV_WC_REM_ACCESS_ERR);
	reconnect(&a, &b);
	CHECK_EQ(transfer(&a, IBV_WR_RDMA_READ, at + LENGTH, LENGTH, mr->rkey), IBV_WC_REM_ACCESS_ERR);
	fstat(fd, &after);
	CHECK_EQ(after.st_blocks, before.st_blocks);
	reconnect(&a, &b);
	CHECK_EQ(transfer(&a, IBV_WR_RDMA_WRITE, at, LENGTH, mr->rkey), IBV_WC_SUCCESS);
	CHECK_EQ(transfer(&a, IBV_WR_RDMA_WRITE, whole, LENGTH, other->rkey), IBV_WC_SUCCESS);
	CHECK_EQ(ibv_dereg_mr(mr), 0);
}

/* ---- who sees what ------------------------------------------------------------------------------------------------------ */

/* A far larger file, of which little exists: that alone is brought in. */
static void part_of_a_sparse_file(const void *row)
{
	const struct wish wish = {0};
	const size_t size = 1ul << 40, place = 777ul << 30;
	int fd = memfd_create("sparse", 0);
	struct stat found;
	struct ibv_mr *mr;
	struct end a, b;
	char *at;

	(void)row;
	open_pair(&a, &b, &wish);
	CHECK_EQ(ftruncate(fd, (off_t)size), 0);
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	CHECK(at != MAP_FAILED, "mmap: %s", strerror(errno));
	mr = ibv_reg_mr_iova2(b.pd, at + place, LENGTH, 4096, ALL_ACCESS);
	CHECK(mr, "ibv_reg_mr_iova2: %s", strerror(errno));
	fill(a.buffer, LENGTH, 8);
	CHECK_EQ(transfer(&a, IBV_WR_RDMA_WRITE, (char *)4096, LENGTH, mr->rkey), IBV_WC_SUCCESS);
	check_filled(at + place, LENGTH, 8, "in the file");
	fstat(fd, &found);
	CHECK_EQ(found.st_blocks * 512, LENGTH);
}

struct both {
	char *at;
};

static void second_process(int socket, const void *row)
{
	const struct both *both = row;
	const struct wish wish = {.mr_access = NO_ACCESS};
	struct address peer, mine;
	struct end end;

	open_end(&end, &wish);
	end.buffer = both->at;
	end.mr = try_register(&end, both->at, KIND_SIZE, ALL_ACCESS);
	CHECK(end.mr, "ibv_reg_mr: %s", strerror(errno));
	mine = address_of(&end);
	say(socket, &mine, sizeof mine);
	hear(socket, &peer, sizeof peer);
	connect_to(&end, &peer, &wish);
	say(socket, "c", 1);
	hear(socket, &peer, 1); /* the other is done, and has deregistered its own */
	check_filled(both->at + LENGTH, LENGTH, 2, "in the second process");
	CHECK_EQ(ibv_dereg_mr(end.mr), 0);
}

/* Each has its own MR of it; what one writes into the other's is there for both. */
static void of_two_processes(const void *row)
{
	struct both both = {make_kind(*(const enum kind *)row)};
	const struct wish wish = {0};
	struct address peer, mine;
	struct ibv_mr *mr;
	struct end end;
	int socket;
	pid_t child = split(second_process, &both, &socket);

	open_end(&end, &wish);
	mr = try_register(&end, both.at, KIND_SIZE, ALL_ACCESS);
	CHECK(mr, "ibv_reg_mr: %s", strerror(errno));
	mine = address_of(&end);
	hear(socket, &peer, sizeof peer);
	say(socket, &mine, sizeof mine);
	connect_to(&end, &peer, &wish);
	hear(socket, &mine, 1);
	fill(end.buffer, LENGTH, 2);
	CHECK_EQ(transfer(&end, IBV_WR_RDMA_WRITE, (char *)peer.addr + LENGTH, LENGTH, peer.rkey), IBV_WC_SUCCESS);
	check_filled(both.at + LENGTH, LENGTH, 2, "in the first process");
	CHECK_EQ(ibv_dereg_mr(mr), 0);
	say(socket, "d", 1);
	join(child);
}

/* As the memory segments of another router's sessions: a process registers what it and another have mapped. */
static void many_parts_of_one_file(const void *row)
{
	enum { PARTS = 500 };
	const struct wish wish = {0};
	struct ibv_mr *mr[PARTS];
	struct end a, b;
	char *at = make_kind(MEMFD);

	(void)row;
	open_pair(&a, &b, &wish);
	for (size_t i = 0; i < PARTS; i++) {
		mr[i] = try_register(&b, at + 4096 * i + i, 5000, ALL_ACCESS);
		CHECK(mr[i], "part %zu: %s", i, strerror(errno));
	}
	fill(a.buffer, 5000, 3);
	for (size_t i = 0; i < PARTS; i += 7) {
		CHECK_EQ(transfer(&a, IBV_WR_RDMA_WRITE, at + 4096 * i + i, 5000, mr[i]->rkey), IBV_WC_SUCCESS);
		check_filled(at + 4096 * i + i, 5000, 3, "a part");
	}
	for (size_t i = 0; i < PARTS; i++)
		CHECK_EQ(ibv_dereg_mr(mr[i]), 0);
}

static const enum kind posix = POSIX, sysv_kind = SYSV, huge = HUGE_MEMFD, unnamed = SHARED_ANONYMOUS;

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"read_only_constant", only_read, "constant"},
		{"read_only_anonymous", only_read, "anonymous"},
		{"read_only_private_file", only_read, "private_file"},
		{"read_only_memfd", only_read, "memfd"},
		{"read_only_sealed_memfd", only_read, "sealed_memfd"},
		{"refused_other_file_systems", refused_other_file_systems, NULL},
		{"refused_beyond_the_end", refused_beyond_the_end, NULL},
		{"refused_in_too_many_pieces", refused_in_too_many_pieces, NULL},
		{"refused_at_once_private", refused_at_once, NULL},
		{"refused_at_once_shared", refused_at_once, "shared"},
		{"on_demand_shared", on_demand, NULL},
		{"gone_by_a_hole", gone, "hole"},
		{"gone_by_truncation", gone, NULL},
		{"part_of_a_sparse_file", part_of_a_sparse_file, NULL},
		{"of_two_processes_posix", of_two_processes, &posix},
		{"of_two_processes_sysv", of_two_processes, &sysv_kind},
		{"of_two_processes_huge", of_two_processes, &huge},
		{"of_two_processes_unnamed", of_two_processes, &unnamed},
		{"many_parts_of_one_file", many_parts_of_one_file, NULL},
	};

	return run_tests(argc, argv, tests, COUNT(tests));
}
