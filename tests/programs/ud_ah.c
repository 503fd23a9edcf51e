/* Address handles: what ibv_create_ah and its kin refuse, and that a PD outlives its handles. */
#include "verbs_test.h"

static const struct wish usual = {.type = IBV_QPT_UD};

struct bad_attr {
	const char *what;
	void (*spoil)(struct ibv_ah_attr *attr);
};

#define SPOIL(name, change) static void name(struct ibv_ah_attr *attr) { change; }
SPOIL(no_grh, attr->is_global = 0) /* RoCE has no LIDs */
SPOIL(port_0, attr->port_num = 0)
SPOIL(port_2, attr->port_num = 2)
SPOIL(sgid_unused, attr->grh.sgid_index = 15)
SPOIL(sgid_beyond, attr->grh.sgid_index = 200)

static const struct bad_attr bad_attrs[] = {
	{"no GRH", no_grh}, {"port 0", port_0}, {"port 2", port_2}, {"an unused GID", sgid_unused},
	{"a GID beyond the table", sgid_beyond},
};

static void bad_attributes(const void *row)
{
	struct end a;

	(void)row;
	open_end(&a, &usual);
	for (size_t i = 0; i < COUNT(bad_attrs); i++) {
		struct ibv_ah_attr attr = {.is_global = 1, .port_num = 1,
					   .grh = {.dgid = a.gid, .sgid_index = (uint8_t)a.gid_index}};

		bad_attrs[i].spoil(&attr);
		errno = 0;
		CHECK(!ibv_create_ah(a.pd, &attr), "a handle with %s", bad_attrs[i].what);
		CHECK(errno == EINVAL, "%s: %s", bad_attrs[i].what, strerror(errno));
	}
}

/* A PD with handles is busy; a handle is destroyed once. */
static void busy_pd(const void *row)
{
	struct ibv_ah *ah, copy;
	struct end a;
	struct ibv_pd *pd;

	(void)row;
	open_end(&a, &usual);
	pd = a.pd = ibv_alloc_pd(a.context);
	CHECK(pd, "ibv_alloc_pd: %s", strerror(errno));
	ah = handle_to(&a, &a.gid);
	CHECK_EQ(ibv_dealloc_pd(pd), EBUSY);
	copy = *ah;
	CHECK_EQ(ibv_destroy_ah(ah), 0);
	CHECK_EQ(ibv_destroy_ah(&copy), EINVAL);
	CHECK_EQ(ibv_dealloc_pd(pd), 0);
}

/* As many as the device says, and then ENOMEM; what is destroyed makes room. */
static void as_many_as_promised(const void *row)
{
	struct ibv_ah_attr attr = {.is_global = 1, .port_num = 1};
	struct ibv_device_attr device;
	struct ibv_ah **ahs;
	struct end a;

	(void)row;
	open_end(&a, &usual);
	attr.grh.dgid = a.gid;
	attr.grh.sgid_index = (uint8_t)a.gid_index;
	CHECK_EQ(ibv_query_device(a.context, &device), 0);
	CHECK(device.max_ah >= 1024, "max_ah is %d", device.max_ah);
	ahs = calloc((size_t)device.max_ah, sizeof *ahs);
	for (int i = 0; i < device.max_ah; i++)
		ahs[i] = handle_to(&a, &a.gid);
	CHECK(!ibv_create_ah(a.pd, &attr) && errno == ENOMEM, "one more than max_ah: %s", strerror(errno));
	CHECK_EQ(ibv_destroy_ah(ahs[7]), 0);
	ahs[7] = handle_to(&a, &a.gid);
	for (int i = 0; i < device.max_ah; i++)
		CHECK_EQ(ibv_destroy_ah(ahs[i]), 0);
}

/* ---- from completions ---------------------------------------------------------------------------------------------- */

static void ipv4_header(unsigned char *ip, const union ibv_gid *from, const union ibv_gid *to, unsigned tos)
{
	uint32_t sum = 0;

	memset(ip, 0, 20);
	ip[0] = 0x45;
	ip[1] = (unsigned char)tos;
	ip[8] = 33;
	ip[9] = 17;
	memcpy(ip + 12, from->raw + 12, 4);
	memcpy(ip + 16, to->raw + 12, 4);
	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~(sum + (sum >> 16));
	ip[10] = (unsigned char)(sum >> 8);
	ip[11] = (unsigned char)sum;
}

/* Headers of both kinds, made by hand as any NIC would deliver them. */
static void headers(const void *row)
{
	struct ibv_wc wc = {.wc_flags = IBV_WC_GRH};
	struct ibv_grh grh;
	struct ibv_ah_attr attr;
	union ibv_gid far;
	struct end a;

	(void)row;
	open_end(&a, &usual);
	far = a.gid;
	far.raw[13] ^= 9;
	memset(&grh, 0xee, sizeof grh); /* the 20 bytes before an IPv4 header mean nothing */
	ipv4_header((unsigned char *)&grh + 20, &far, &a.gid, 0x28);
	CHECK_EQ(ibv_init_ah_from_wc(a.context, 1, &wc, &grh, &attr), 0);
	CHECK(memcmp(&attr.grh.dgid, &far, 16) == 0, "dgid from IPv4");
	CHECK_EQ(attr.grh.sgid_index, a.gid_index);
	CHECK_EQ(attr.grh.traffic_class, 0x28);
	CHECK_EQ(attr.grh.hop_limit, 33);
	grh = (struct ibv_grh){.version_tclass_flow = htobe32(6u << 28 | 0x12u << 20 | 0x34567), .next_hdr = 17,
			       .hop_limit = 7, .sgid = far, .dgid = a.gid};
	CHECK_EQ(ibv_init_ah_from_wc(a.context, 1, &wc, &grh, &attr), 0);
	CHECK(memcmp(&attr.grh.dgid, &far, 16) == 0, "dgid from IPv6");
	CHECK_EQ(attr.grh.traffic_class, 0x12);
	CHECK_EQ(attr.grh.flow_label, 0x34567);
	CHECK_EQ(attr.grh.hop_limit, 7);
}

/* A completion without GRH, 40 bytes that are none, and an address that is not ours lead nowhere. */
static void nowhere(const void *row)
{
	struct ibv_wc with = {.wc_flags = IBV_WC_GRH}, without = {0};
	struct ibv_ah_attr attr;
	union ibv_gid far;
	struct ibv_grh grh;
	struct end a;

	(void)row;
	open_end(&a, &usual);
	far = a.gid;
	far.raw[13] ^= 9;
	memset(&grh, 0, sizeof grh);
	ipv4_header((unsigned char *)&grh + 20, &far, &a.gid, 0);
	CHECK(ibv_init_ah_from_wc(a.context, 1, &without, &grh, &attr) == -1 && errno == EINVAL, "without GRH");
	CHECK(!ibv_create_ah_from_wc(a.pd, &without, &grh, 1), "a handle without GRH");
	ipv4_header((unsigned char *)&grh + 20, &a.gid, &far, 0);
	CHECK(ibv_init_ah_from_wc(a.context, 1, &with, &grh, &attr) == -1 && errno == ENOENT, "sent to somebody else");
	((unsigned char *)&grh)[30]++;
	CHECK(ibv_init_ah_from_wc(a.context, 1, &with, &grh, &attr) == -1 && errno == EINVAL, "a wrong checksum");
	memset(&grh, 0, sizeof grh);
	CHECK(ibv_init_ah_from_wc(a.context, 1, &with, &grh, &attr) == -1 && errno == EINVAL, "zeroes");
	ipv4_header((unsigned char *)&grh + 20, &far, &a.gid, 0);
	CHECK(!ibv_create_ah_from_wc(a.pd, &with, &grh, 2) && errno == EINVAL, "port 2");
}

static const struct test tests[] = {
	{"bad_attributes", bad_attributes, NULL},
	{"busy_pd", busy_pd, NULL},
	{"as_many_as_promised", as_many_as_promised, NULL},
	{"headers", headers, NULL},
	{"nowhere", nowhere, NULL},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
