/* Wrong values: for each verb, a row for each argument that may be wrong, and the errno that says so. None changes anything:
 * after all rows of a verb the right arguments still do. */
#ifndef ARGS_ROWS_H
#define ARGS_ROWS_H

#include "verbs_test.h"

static struct end e, other; /* of two contexts */
static struct ibv_device_attr limit;
static struct ibv_qp *ud;

/* What a call said, as an errno: of verbs that return a pointer, an errno, or -1 and errno. */
#define POINTER(call) ((call) ? 0 : errno)
#define NUMBER(call) said(call)
static int said(int value) { return value == -1 ? errno : value; }

struct row {
	const char *what;
	int (*call)(void);
	int error;
};
#define ROW(function, what_, error_, kind, call_) \
	static int function(void) { return kind(call_); } \
	static const struct row row_##function = {what_, function, error_};

#define TABLE(name, ...) static const struct row *const name[] = {__VA_ARGS__, NULL}

static void all_rows(const void *table)
{
	const struct row *const *row = table;
	const struct wish wish = {.channel = 1};
	struct ibv_qp_init_attr datagrams = {.qp_type = IBV_QPT_UD, .cap = {1, 1, 1, 1, 0}};
	int wrong = 0;

	open_end(&e, &wish);
	open_end(&other, &wish);
	datagrams.send_cq = e.send_cq, datagrams.recv_cq = e.recv_cq;
	CHECK((ud = ibv_create_qp(e.pd, &datagrams)) != NULL, "a UD QP: %s", strerror(errno));
	CHECK_EQ(ibv_query_device(e.context, &limit), 0);
	for (; *row; row++) {
		int error = (*row)->call();

		if (error != (*row)->error)
			wrong += printf("%s: %s, not %s\n", (*row)->what, strerror(error), strerror((*row)->error)) > 0;
	}
	CHECK_EQ(wrong, 0);
}

#endif
