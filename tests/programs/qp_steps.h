/* The QP's state machine as rows: which attributes a step needs and allows (IBTA 11.2.5.2). */
#ifndef QP_STEPS_H
#define QP_STEPS_H

#include "verbs_test.h"

struct step {
	const struct wish *wish; /* its type */
	int from, to;
	int required; /* without IBV_QP_STATE */
	int optional;
};

void bring_to(struct end *end, const struct wish *wish, int state); /* from any state */

/* Good values for every attribute at once; the mask picks. */
struct ibv_qp_attr everything(const struct end *end, const struct wish *wish, int to, int from);

/* A test whose row is a step: it needs all of its required attributes, takes the optional, and refuses any other. */
void required_and_optional(const void *row);
#define STEP(name) {#name, required_and_optional, &(name)}

/* The steps of every type, and those that only types without acknowledgements have besides, which know SQE. */
#define STEPS STEP(reset_to_init), STEP(init_to_init), STEP(init_to_rtr), STEP(rtr_to_rts), STEP(rts_to_rts)
#define UNRELIABLE_STEPS STEPS, STEP(sqd_to_rts), STEP(sqd_to_sqd), STEP(sqe_to_rts)

#endif
