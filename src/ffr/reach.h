/*
 * Who may talk to whom, as the reactor knows it. A party is those whom the rules of reach tell from others by nothing: a
 * tenant, or those of its addresses that a rule's range holds (control/reach.py makes them). Rebuilt at start, so it is no
 * part of struct ffr_state.
 */
#ifndef FFR_REACH_H
#define FFR_REACH_H

#include "ffcore/shm.h"

enum {
	FFR_STRANGER = 0, /* the party of an address that nobody has told of, and no range holds */
	FFR_NOBODY = 1,	  /* ... of who reaches nobody: there are more parties than FFR_PARTIES */
	FFR_PARTIES = 4096,
	FFR_PARTY_WORDS = FFR_PARTIES / 64,
	FFR_PARTY_GIDS = 1 << 17, /* places of the table of addresses: at most half of them are used */
	FFR_RANGES = 1024,
	FFR_DENIALS = 64, /* that are remembered for the log */
};

struct ffr_party_gid {
	uint8_t gid[16];
	uint32_t used; /* 0: no address was ever here */
	uint32_t party;
};

struct ffr_range { /* of strangers' addresses: `bits` leading bits of gid */
	uint8_t gid[16];
	uint32_t bits, party;
};

struct ffr_denial {
	uint32_t session;
	uint32_t came; /* 1: who has the address asked for the session's; 0: the other way */
	uint8_t gid[16];
};

struct ffr_rules {
	uint32_t closed; /* 0: everybody reaches everybody, and nothing else here is looked at */
	uint32_t ranges; /* the longest come first */
	struct ffr_range range[FFR_RANGES];
	uint32_t tenant[FFR_PARTIES]; /* a hash of its name: the same on all hosts */
	uint64_t may[FFR_PARTIES][FFR_PARTY_WORDS]; /* bit b of a's row: a may begin with b */
};

/* What the control thread wants changed, at once and between two commands. */
struct ffr_reach_ask {
	struct ffr_rules *rules; /* in place of those there are, which come back here; NULL: they stay */
	const struct ffr_party_gid *place;
	uint32_t count;
	uint32_t refused; /* of those: there was no room */
	uint32_t session, party; /* FFR_NONE, or a session whose party is this now */
	uint32_t sweep;	  /* connections that the rules do not allow end */
	uint32_t ended;
};

struct ffr_reach {
	struct ffr_rules *rules;
	struct ffr_reach_ask *ask;
	uint32_t gids;	 /* places of gid[] that are used */
	ff_a64 denied; /* connections, address handles and requests so far; the last of them are in denial[] */
	struct ffr_denial denial[FFR_DENIALS];
	struct ffr_party_gid gid[FFR_PARTY_GIDS];
};

#endif
