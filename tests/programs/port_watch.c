/*
 * Says what becomes of the port, until its standard input ends: a line for each event of each of two contexts, with what
 * verbs say of the port at that moment.
 *
 *   CONTEXT EVENT STATE INDEX=ADDRESS%INTERFACE ...
 */
#include "verbs_test.h"

#include <arpa/inet.h>
#include <net/if.h>

enum { CONTEXTS = 2, TABLE = 16, TRIES = 50 };

/* Whether the three ways to ask for entries say the same; not while the table changes. */
static int agree(struct ibv_context *context, const struct ibv_gid_entry *found)
{
	struct ibv_gid_entry again;
	union ibv_gid gid;

	CHECK_EQ(ibv_query_gid(context, 1, (int)found->gid_index, &gid), 0);
	return ibv_query_gid_ex(context, 1, found->gid_index, &again, 0) == 0 && memcmp(&again, found, sizeof(again)) == 0 &&
	       memcmp(&gid, &found->gid, sizeof(gid)) == 0;
}

static ssize_t read_table(struct ibv_context *context, struct ibv_gid_entry *table)
{
	for (int n = 0; n < TRIES; n++) {
		ssize_t count = ibv_query_gid_table(context, table, TABLE, 0), same = 0;

		CHECK(count >= 0, "ibv_query_gid_table: %zd", count);
		while (same < count && agree(context, &table[same]))
			same++;
		if (same == count)
			return count;
	}
	fail("ibv_query_gid_table, ibv_query_gid and ibv_query_gid_ex do not agree");
}

static void report(int number, struct ibv_context *context, const char *what)
{
	struct ibv_gid_entry table[TABLE];
	struct ibv_port_attr port;
	ssize_t count = read_table(context, table);

	CHECK_EQ(ibv_query_port(context, 1, &port), 0);
	printf("%d %s %s", number, what, ibv_port_state_str(port.state));
	for (ssize_t i = 0; i < count; i++) {
		char address[INET6_ADDRSTRLEN], interface[IF_NAMESIZE] = "";

		CHECK_EQ(table[i].gid_type, IBV_GID_TYPE_ROCE_V2);
		if (table[i].ndev_ifindex)
			CHECK(if_indextoname(table[i].ndev_ifindex, interface), "no interface %u", table[i].ndev_ifindex);
		inet_ntop(AF_INET6, &table[i].gid, address, sizeof(address));
		printf(" %u=%s%%%s", table[i].gid_index, address, interface);
	}
	printf("\n");
	fflush(stdout);
}

int main(void)
{
	struct ibv_device **devices = ibv_get_device_list(NULL);
	struct ibv_context *context[CONTEXTS];
	struct pollfd wait[CONTEXTS + 1] = {{.fd = STDIN_FILENO, .events = POLLIN}};

	CHECK(devices && devices[0], "no device");
	for (int i = 0; i < CONTEXTS; i++) {
		context[i] = ibv_open_device(devices[0]);
		CHECK(context[i], "the device does not open");
		wait[i + 1] = (struct pollfd){.fd = context[i]->async_fd, .events = POLLIN};
		report(i, context[i], "begins");
	}
	while (poll(wait, CONTEXTS + 1, -1) > 0 && !wait[0].revents) {
		for (int i = 0; i < CONTEXTS; i++) {
			struct ibv_async_event event;

			if (!wait[i + 1].revents)
				continue;
			CHECK_EQ(ibv_get_async_event(context[i], &event), 0);
			CHECK_EQ(event.element.port_num, 1);
			report(i, context[i], ibv_event_type_str(event.event_type));
			ibv_ack_async_event(&event);
		}
	}
	return 0;
}
