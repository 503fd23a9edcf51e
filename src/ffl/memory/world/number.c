/*
 * Which system call ended just here? On x86-64 its number is in rax before, and its result in rax afterwards. In order
 * of trust: what the handler noted when it repaired the same call before; what the stopper read in /proc; and the
 * instructions that lead to the call, as far as they are of the simple kinds that compilers put there.
 */
#include <string.h>

#include "ffl/rawcall.h"
#include "ffl/memory/world/world.h"

#if defined(__x86_64__)

enum { BACK_MAX = 40 }; /* bytes that are searched for the load of eax */

/* The length of a ModRM byte with what follows it. */
static unsigned modrm_length(const uint8_t *at)
{
	unsigned mod = at[0] >> 6, rm = at[0] & 7, length = 1;
	if (mod == 3)
		return length;
	if (rm == 4) {
		length++;
		if (mod == 0 && (at[1] & 7) == 5)
			return length + 4;
	}
	if (mod == 0)
		return length + (rm == 5 ? 4 : 0);
	return length + (mod == 1 ? 1 : 4);
}

/* The length of an instruction that moves something to a register other than eax, or between eax and memory; else 0. */
static unsigned harmless_length(const uint8_t *at)
{
	unsigned rex = (at[0] & 0xf0) == 0x40 ? *at : 0, prefix = rex ? 1 : 0;
	const uint8_t *op = at + prefix, *modrm = op + 1;
	unsigned reg = ((*modrm >> 3) & 7) | (rex & 4) << 1, rm = (*modrm & 7) | (rex & 1) << 3;
	switch (*op) {
	case 0x8b: /* mov, movslq, lea: to reg */
	case 0x63:
	case 0x8d:
		return reg == 0 ? 0 : prefix + 1 + modrm_length(modrm);
	case 0x89: /* mov, xor: from reg, to rm */
	case 0x31:
		return rm == 0 && *modrm >> 6 == 3 ? 0 : prefix + 1 + modrm_length(modrm);
	case 0xc7: /* mov: immediate, to rm */
		return rm == 0 && *modrm >> 6 == 3 ? 0 : prefix + 1 + modrm_length(modrm) + 4;
	case 0x33:
		return reg == 0 ? 0 : prefix + 1 + modrm_length(modrm);
	}
	if (*op >= 0xb8 && *op <= 0xbf) /* mov: immediate, to the register that op names */
		return *op == 0xb8 && !(rex & 1) ? 0 : prefix + 1 + (rex & 8 ? 8 : 4);
	return 0;
}

/* Whether what starts at `at` leads straight to `call`. */
static int leads_to(const uint8_t *at, const uint8_t *call)
{
	while (at < call) {
		unsigned length = harmless_length(at);
		if (length == 0)
			return 0;
		at += length;
	}
	return at == call;
}

static int64_t decode(const uint8_t *call)
{
	if (!ff_readable(call - BACK_MAX - 1, BACK_MAX + 1))
		return -1;
	for (int back = 2; back <= BACK_MAX; back++) {
		const uint8_t *at = call - back;
		if ((at[-1] & 0xf0) == 0x40) /* a REX prefix would make another register of it; or it is none: no matter */
			continue;
		if (back >= 5 && at[0] == 0xb8 && leads_to(at + 5, call)) {
			uint32_t number;
			memcpy(&number, at + 1, 4);
			return number < 1024 ? (int64_t)number : -1;
		}
		if ((at[0] == 0x31 || at[0] == 0x33) && at[1] == 0xc0 && leads_to(at + 2, call))
			return 0; /* xor %eax, %eax: read */
	}
	return -1;
}

int ff_call_fits(const struct ff_call *call, const struct ff_call *now)
{
	return call->number >= 0 && call->pc == now->pc && call->sp == now->sp &&
	       memcmp(call->arg, now->arg, sizeof call->arg) == 0;
}

int64_t ff_call_number(const struct ff_call *now, const struct ff_call *seen, const struct ff_call *repaired)
{
	if (ff_call_fits(repaired, now))
		return repaired->number;
	if (ff_call_fits(seen, now))
		return seen->number;
	return decode((const uint8_t *)now->pc - 2);
}

#endif
