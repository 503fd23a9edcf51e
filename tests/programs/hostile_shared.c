/*
 * A container that lies about the shared memory that it registers, changes it under the router's hands, or maps what would
 * make the router wait. For tests/integration/test_hostile.py.
 */
#include "memory_kinds.h"
#include "raw_session.h"

#include <linux/fuse.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/uio.h>

enum { LENGTH = 1 << 20 };

/* ---- lies ----------------------------------------------------------------------------------------------------------- */

/* The library's part, with whatever extents. The status; *key is the MR's when it is 0. */
static int register_raw(const struct ff_extent *extents, uint32_t n, uint64_t length, uint32_t access, uint32_t *key)
{
	struct ff_cmd_reg_mr request = {.pd = raw.pd, .access = access, .length = length, .iova = 0, .extents = n};
	struct ff_reply_reg_mr reply;
	int status;

	memcpy(control + FF_PAYLOAD_OFFSET, extents, n * sizeof *extents);
	status = command(FF_CMD_REG_MR, &request, sizeof request, &reply, sizeof reply);
	if (status == 0 && key)
		*key = reply.handle;
	return status;
}

static int names(const void *at, uint64_t length, uint32_t access)
{
	struct ff_extent extent = {.offset = FF_EXTENT_SHARED | (uint64_t)at, .length = length};

	return register_raw(&extent, 1, length, access, NULL);
}

static void lies(const void *row)
{
	const int writable = IBV_ACCESS_LOCAL_WRITE;
	int fd = sized(memfd_create("kind", 0)), device = open("/dev/zero", O_RDWR);
	char *good = map_file(fd, PROT_READ | PROT_WRITE, MAP_SHARED), *read_only = map_file(fd, PROT_READ, MAP_SHARED);
	char *private = map_file(-1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	char *hole = map_file(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	const struct ff_extent half = {FF_EXTENT_SHARED | (uint64_t)good, LENGTH / 2};
	struct ff_extent two[2] = {half, {FF_EXTENT_SHARED | (uint64_t)private, LENGTH / 2}};

	(void)row;
	open_session();
	munmap(hole + LENGTH, LENGTH);
	CHECK_EQ(names(good, LENGTH, ALL_ACCESS), 0);
	CHECK_EQ(names(read_only, LENGTH, 0), 0);
	CHECK_EQ(names(read_only, LENGTH, writable), EFAULT);
	CHECK_EQ(names(private, LENGTH, 0), EOPNOTSUPP);
	CHECK_EQ(names(hole, 2 * LENGTH, 0), EFAULT);
	CHECK_EQ(names((void *)4096, LENGTH, 0), EFAULT);
	CHECK_EQ(names(good, 1ull << 45, 0), ENOMEM);
	CHECK_EQ(names(good + 5, LENGTH, 0), EINVAL);
	CHECK_EQ(names(good, 5, 0), EINVAL);
	CHECK_EQ(names((void *)(FF_EXTENT_SHARED - 4096), LENGTH, 0), EINVAL);
	CHECK_EQ(names((void *)(FF_EXTENT_SHARED - LENGTH - 4096), LENGTH, 0), EFAULT);
	CHECK_EQ(names(control, 4096, 0), 0); /* its own control segment: shared memory as any, and its own affair */
	CHECK_EQ(register_raw(two, 2, LENGTH, 0, NULL), EOPNOTSUPP);
	CHECK_EQ(register_raw(&half, 1, LENGTH, 0, NULL), EINVAL);
	CHECK_EQ(ftruncate(fd, LENGTH), 0);
	CHECK_EQ(names(good, 2 * LENGTH, 0), EFAULT);
	CHECK(device >= 0 && mmap(private, KIND_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, device, 0) != MAP_FAILED, "%s",
	      strerror(errno));
}

/* ---- changes ---------------------------------------------------------------------------------------------------------- */

static struct {
	char *at;
	int fd[2];
	ff_a32 stop;
} flip;

/* Between a memfd and a file on a disk, under one address. */
static void *flips(void *unused)
{
	for (unsigned i = 0; !ff_load32(&flip.stop); i++)
		mmap(flip.at, LENGTH, PROT_READ | (i % 3 ? PROT_WRITE : 0), MAP_SHARED | MAP_FIXED, flip.fd[i & 1], 0);
	return unused;
}

/* What is registered is what may be: never the file, and never more than the mapping allowed. */
static void swaps(const void *row)
{
	struct ff_extent extent = {.length = LENGTH};
	struct ff_cmd_handle mr = {0};
	struct ff_reply_dereg_mr gone;
	int status, good = 0, refused = 0;
	double limit = now_ms() + 1500;
	pthread_t thread;

	(void)row;
	open_session();
	flip.fd[0] = sized(memfd_create("kind", 0)), flip.fd[1] = disk_file();
	flip.at = map_file(flip.fd[0], PROT_READ | PROT_WRITE, MAP_SHARED);
	extent.offset = FF_EXTENT_SHARED | (uint64_t)flip.at;
	CHECK_EQ(pthread_create(&thread, NULL, flips, NULL), 0);
	while (now_ms() < limit) {
		status = register_raw(&extent, 1, LENGTH, IBV_ACCESS_LOCAL_WRITE, &mr.handle);
		CHECK(status == 0 || status == EFAULT || status == EOPNOTSUPP, "status %d: %s", status, strerror(status));
		good += status == 0, refused += status != 0;
		if (status == 0)
			CHECK_EQ(command(FF_CMD_DEREG_MR, &mr, sizeof mr, &gone, sizeof gone), 0);
	}
	ff_store32(&flip.stop, 1);
	pthread_join(thread, NULL);
	CHECK(good > 0 && refused > 0, "%d registered, %d refused: the race was not run", good, refused);
}

static void *truncates(void *unused)
{
	while (!ff_load32(&flip.stop))
		if (ftruncate(flip.fd[0], 4096) || ftruncate(flip.fd[0], KIND_SIZE) || fallocate(flip.fd[0], 0, 0, KIND_SIZE))
			return unused;
	return unused;
}

/* While the router copies into it. Whatever comes of a message, it is a status. */
static void shrinks(const void *row)
{
	const struct wish wish = {.size = LENGTH};
	struct ibv_send_wr wr;
	struct address of_a, of_b;
	struct end a, b;
	struct ibv_mr *mr;
	struct ibv_sge sge;
	struct ibv_wc wc;
	pthread_t thread;
	int good = 0, bad = 0;

	(void)row;
	open_pair(&a, &b, &wish);
	of_a = address_of(&a), of_b = address_of(&b);
	flip.fd[0] = sized(memfd_create("kind", 0));
	flip.at = map_file(flip.fd[0], PROT_READ | PROT_WRITE, MAP_SHARED);
	mr = ibv_reg_mr(b.pd, flip.at, KIND_SIZE, ALL_ACCESS);
	CHECK(mr, "ibv_reg_mr: %s", strerror(errno));
	sge = part(&a, 0, LENGTH);
	CHECK_EQ(pthread_create(&thread, NULL, truncates, NULL), 0);
	for (double limit = now_ms() + 1500; now_ms() < limit; good += wc.status == IBV_WC_SUCCESS) {
		wr = request(1, IBV_WR_RDMA_WRITE, &sge, 1, &b, 0);
		wr.wr.rdma.remote_addr = (uintptr_t)flip.at + LENGTH, wr.wr.rdma.rkey = mr->rkey;
		post(&a, &wr);
		wc = next_wc(a.send_cq);
		if (wc.status == IBV_WC_SUCCESS)
			continue;
		CHECK_EQ(wc.status, IBV_WC_REM_ACCESS_ERR);
		bad++;
		CHECK(set_state(a.qp, IBV_QPS_RESET) == 0 && set_state(b.qp, IBV_QPS_RESET) == 0, "%s", strerror(errno));
		connect_to(&a, &of_b, &wish);
		connect_to(&b, &of_a, &wish);
	}
	ff_store32(&flip.stop, 1);
	pthread_join(thread, NULL);
	CHECK(bad > 0, "%d messages went well, and none failed: the race was not run", good);
}

/* ---- waits ------------------------------------------------------------------------------------------------------------ */

static void reply(int fuse, uint64_t unique, const void *body, size_t length)
{
	struct fuse_out_header head = {.len = (uint32_t)(sizeof head + length), .unique = unique};
	struct iovec parts[2] = {{&head, sizeof head}, {(void *)body, length}};

	(void)!writev(fuse, parts, 2);
}

/* A file system with one file, whose server answers until that is open and mapped, and never again. */
static void *serves(void *row)
{
	static char request[65536 + 4096];
	const struct fuse_in_header *in = (void *)request;
	const struct fuse_init_out init = {.major = 7, .minor = 31, .max_write = 65536};
	const struct fuse_attr folder = {.ino = 1, .mode = S_IFDIR | 0755, .nlink = 2};
	const struct fuse_attr file = {.ino = 2, .mode = S_IFREG | 0666, .nlink = 1, .size = KIND_SIZE};
	const struct fuse_entry_out entry = {.nodeid = 2, .generation = 1, .attr = file};
	const struct fuse_open_out opened = {.fh = 1};
	int fuse = *(int *)row;

	while (!ff_load32(&flip.stop) && read(fuse, request, sizeof request) > 0) {
		const struct fuse_attr_out attr = {.attr = in->nodeid == 1 ? folder : file};

		if (ff_load32(&flip.stop))
			break;
		if (in->opcode == FUSE_INIT)
			reply(fuse, in->unique, &init, sizeof init);
		else if (in->opcode == FUSE_LOOKUP)
			reply(fuse, in->unique, &entry, sizeof entry);
		else if (in->opcode == FUSE_GETATTR)
			reply(fuse, in->unique, &attr, sizeof attr);
		else if (in->opcode == FUSE_OPEN)
			reply(fuse, in->unique, &opened, sizeof opened);
		else
			reply(fuse, in->unique, NULL, 0);
	}
	return NULL;
}

static void blocks(const void *row)
{
	int fuse = open("/dev/fuse", O_RDWR), fd;
	char folder[] = "/tmp/ff-fuse-XXXXXX", options[128], path[64];
	double begun;
	pthread_t thread;
	char *at;

	(void)row;
	open_session();
	CHECK(fuse >= 0 && mkdtemp(folder), "%s", strerror(errno));
	CHECK(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "%s", strerror(errno));
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fuse);
	CHECK_EQ(mount("ff", folder, "fuse", 0, options), 0);
	CHECK_EQ(pthread_create(&thread, NULL, serves, &fuse), 0);
	snprintf(path, sizeof path, "%s/file", folder);
	fd = open(path, O_RDWR);
	CHECK(fd >= 0, "open: %s", strerror(errno));
	at = map_file(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	ff_store32(&flip.stop, 1); /* from here on nothing of it is answered */
	begun = now_ms();
	CHECK_EQ(names(at, LENGTH, 0), EOPNOTSUPP);
	CHECK_EQ(names(at, LENGTH, IBV_ACCESS_LOCAL_WRITE), EOPNOTSUPP);
	CHECK(now_ms() - begun < 2000, "the router waited for %g ms", now_ms() - begun);
	close(fuse);
	umount2(folder, MNT_DETACH);
	rmdir(folder);
	_exit((printf("ok maps_what_would_block\n"), fflush(stdout), 0)); /* without waiting for what the server left */
}

/* Every mapping that there is for it; then it ends, and another one has them all. */
static void takes_all(const void *row)
{
	char *at = make_kind(MEMFD);
	const struct ff_extent extent = {FF_EXTENT_SHARED | (uint64_t)at, 4096};
	uint32_t key, n = 0;
	int status = 0;

	(void)row;
	open_session();
	for (double limit = now_ms() + 3000; status == 0 && now_ms() < limit; n += status == 0)
		status = register_raw(&extent, 1, 4096, 0, &key);
	CHECK(status == 0 || status == ENOMEM, "MR %u: %s", n, strerror(status));
	CHECK(n > 10, "%u MRs", n);
}

/* With MRs of each kind, and messages under way. */
static void dies(const void *row)
{
	const enum kind kinds[] = {MEMFD, POSIX, SYSV, SHARED_ANONYMOUS, ANONYMOUS};
	const struct wish wish = {.size = LENGTH};
	struct ibv_send_wr wr;
	struct ibv_sge sge;
	struct end a, b;
	struct ibv_mr *mr = NULL;

	(void)row;
	open_pair(&a, &b, &wish);
	for (size_t i = 0; i < COUNT(kinds); i++) {
		mr = ibv_reg_mr(b.pd, make_kind(kinds[i]), KIND_SIZE, ALL_ACCESS);
		CHECK(mr, "ibv_reg_mr of %s: %s", kind_names[kinds[i]], strerror(errno));
		sge = part(&a, 0, LENGTH);
		wr = request(i, IBV_WR_RDMA_WRITE, &sge, 1, &b, 0);
		wr.wr.rdma.remote_addr = (uintptr_t)mr->addr, wr.wr.rdma.rkey = mr->rkey;
		post(&a, &wr);
	}
	printf("ok dies_with_everything\n");
	fflush(stdout);
	kill(getppid(), SIGKILL); /* the bench that would tell how it ended */
	kill(getpid(), SIGKILL);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"lies", lies, NULL},
		{"swaps_what_is_looked_at", swaps, NULL},
		{"shrinks_what_is_copied_to", shrinks, NULL},
		{"maps_what_would_block", blocks, NULL},
		{"takes_all_mappings", takes_all, NULL},
		{"dies_with_everything", dies, NULL},
	};

	return run_tests(argc, argv, tests, COUNT(tests));
}
