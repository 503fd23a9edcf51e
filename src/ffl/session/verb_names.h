/* What a person knows a command by: its verb. A command without a line here has none of its own to be told of. */
#ifndef FFL_VERB_NAMES_H
#define FFL_VERB_NAMES_H

#include "ffcore/control.h"

static inline const char *ff_verb_of(uint16_t op)
{
	static const char *const names[FF_CMD_LAST] = {
		[FF_CMD_OPEN_CONTEXT] = "ibv_open_device",
		[FF_CMD_IMPORT_CONTEXT] = "ibv_import_device",
		[FF_CMD_IMPORT_PD] = "ibv_import_pd",
		[FF_CMD_IMPORT_MR] = "ibv_import_mr",
		[FF_CMD_IMPORT_DM] = "ibv_import_dm",
		[FF_CMD_ALLOC_PD] = "ibv_alloc_pd",
		[FF_CMD_REG_MR] = "ibv_reg_mr",
		[FF_CMD_REREG_MR] = "ibv_rereg_mr",
		[FF_CMD_ALLOC_NULL_MR] = "ibv_alloc_null_mr",
		[FF_CMD_REG_DM_MR] = "ibv_reg_dm_mr",
		[FF_CMD_ALLOC_DM] = "ibv_alloc_dm",
		[FF_CMD_ALLOC_MW] = "ibv_alloc_mw",
		[FF_CMD_CREATE_CHANNEL] = "ibv_create_comp_channel",
		[FF_CMD_CREATE_CQ] = "ibv_create_cq",
		[FF_CMD_CREATE_QP] = "ibv_create_qp",
		[FF_CMD_MODIFY_QP] = "ibv_modify_qp",
		[FF_CMD_CREATE_AH] = "ibv_create_ah",
		[FF_CMD_CREATE_SRQ] = "ibv_create_srq",
		[FF_CMD_MODIFY_SRQ] = "ibv_modify_srq",
		[FF_CMD_OPEN_XRCD] = "ibv_open_xrcd",
		[FF_CMD_OPEN_QP] = "ibv_open_qp",
		[FF_CMD_CM_OPEN] = "rdma_create_event_channel",
		[FF_CMD_ATTACH_MCAST] = "ibv_attach_mcast",
	};

	return op < FF_CMD_LAST && names[op] ? names[op] : "a command";
}

#endif
