/* What the sessions of one container can take together of the router's tables. For tests/integration/test_shares.py. */
#include "verbs_test.h"

enum { SESSIONS = 12, AHS = 16384 }; /* of each session at most: more than half of the table's 262144 together */

static uint32_t take_all(struct ibv_pd *pd)
{
	struct ibv_ah_attr attr = {.is_global = 1, .port_num = 1};
	uint32_t count = 0;

	if (ibv_query_gid(pd->context, 1, 0, &attr.grh.dgid))
		fail("no GID");
	for (; count < AHS && ibv_create_ah(pd, &attr); count++)
		;
	if (count < AHS)
		CHECK_EQ(errno, ENOMEM);
	return count;
}

/* Each in a process of its own; all hold what they have until the last one is done. */
static void half_of_what_is_left(const void *row)
{
	uint32_t total = 0, count = 0;
	int counts[2], end[2];
	char byte;

	(void)row;
	CHECK(!pipe(counts) && !pipe(end), "pipe: %s", strerror(errno));
	for (int n = 0; n < SESSIONS; n++) {
		if (fork())
			continue;
		struct wish wish = {0};
		struct end e;

		close(end[1]);
		open_end(&e, &wish);
		count = take_all(e.pd);
		CHECK(write(counts[1], &count, sizeof(count)) == sizeof(count), "write: %s", strerror(errno));
		(void)!read(end[0], &byte, 1);
		_exit(0);
	}
	for (int n = 0; n < SESSIONS; n++) {
		CHECK(read(counts[0], &count, sizeof(count)) == sizeof(count), "a session failed");
		total += count;
	}
	printf("%u\n", total);
	fflush(stdout);
	(void)!read(0, &byte, 1); /* somebody else has a look meanwhile */
	close(end[1]);
	while (wait(NULL) > 0)
		;
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"half_of_what_is_left", half_of_what_is_left, NULL},
	};
	return run_tests(argc, argv, tests, COUNT(tests));
}
