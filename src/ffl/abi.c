/*
 * Binds the names of abi.def to what answers them. Plain assembler directives, because a versioned alias has to be
 * defined where it is named, and because verbs.h defines some of the names as macros.
 *
 * Each export is a jump. An unsupported verb first replaces its first argument by its name: the answer needs none of
 * the arguments, and the log line can say which verb it was. Nothing on the data path comes through here: programs
 * call poll_cq and post_send through struct ibv_context.
 */
#if defined(__x86_64__)
#define JUMP(target) "jmp " target "\n"
#define SAY_NAME(name) "leaq 9b(%rip), %rdi\n"
#elif defined(__aarch64__)
#define JUMP(target) "b " target "\n"
#define SAY_NAME(name) "adrp x0, 9b\n add x0, x0, :lo12:9b\n"
#else
#error "the two instructions of this file are missing for this processor"
#endif

#define NAME_STRING(name) ".pushsection .rodata.ff_names, \"aMS\", %progbits, 1\n9: .asciz \"" #name "\"\n.popsection\n"
#define UNSUPPORTED(name, answer) NAME_STRING(name) SAY_NAME(name) JUMP("ff_unsupported_" answer)

#define BODY_implemented(name) JUMP("ffv_" #name)
#define BODY_null(name) UNSUPPORTED(name, "null")
#define BODY_code(name) UNSUPPORTED(name, "code")
#define BODY_minus(name) UNSUPPORTED(name, "minus")
#define BODY_negative(name) UNSUPPORTED(name, "negative")
#define BODY_nothing(name) JUMP("ff_unsupported_nothing")

/* One label for each version, all at the same place; at is "@@" for the default version, else "@". */
#define LABEL(name, type, at, node)                                                                                    \
	".globl ff." #name "." node "\n.type ff." #name "." node ", %" type "\nff." #name "." node ":\n"               \
	".symver ff." #name "." node ", " #name at node ", remove\n"

/* Every release's private node, from the first that had one; those to come are cheaper than a program that does not start.
 * As in libibverbs.map. 34 is where new programs bind. */
#define PRIVATE_NODES                                                                                                  \
	"14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50," \
	"51,52,53,54,55,56,57,58,59,60,61,62,63,64,65,66,67,68,69,70,71,72"
#define EACH_NODE(labels) ".irp node, " PRIVATE_NODES "\n" labels ".endr\n"
#define LABELS_PRIVATE(name, type)                                                                                     \
	LABEL(name, type, "@@", "IBVERBS_PRIVATE_34") EACH_NODE(LABEL(name, type, "@", "IBVERBS_PRIVATE_\\node"))
#define LABEL_NUMBERED(name, node)                                                                                     \
	".globl ff." #name node "\n.type ff." #name node ", %function\nff." #name node ":\n"                           \
	".symver ff." #name node ", " #name node "@@IBVERBS_PRIVATE_" node ", remove\n"
#define LABELS_NUMBERED(name) LABEL_NUMBERED(name, "34") EACH_NODE(LABEL_NUMBERED(name, "\\node"))

#define FUNCTION(name, labels, how)                                                                                    \
	__asm__(".pushsection .text.ff_abi." #name ", \"ax\", %progbits\n.p2align 4\n" labels                          \
		".cfi_startproc\n" BODY_##how(name) ".cfi_endproc\n.popsection\n");

#define VERB(name, node, how) FUNCTION(name, LABEL(name, "function", "@@", "IBVERBS_" #node), how)
#define VERB_ALSO_1_0(name, node, how)                                                                                 \
	FUNCTION(name, LABEL(name, "function", "@@", "IBVERBS_" #node) LABEL(name, "function", "@", "IBVERBS_1.0"), how)
#define OLD_VERB(name, node, how) FUNCTION(name, LABEL(name, "function", "@", "IBVERBS_" #node), how)
#define PRIVATE(name, how) FUNCTION(name, LABELS_PRIVATE(name, "function"), how)
#define PRIVATE_NUMBERED(name, how) FUNCTION(name, LABELS_NUMBERED(name), how)
#define PRIVATE_BYTE(name)                                                                                             \
	__asm__(".pushsection .bss.ff_abi." #name ", \"aw\", %nobits\n" LABELS_PRIVATE(name, "object")                 \
		".zero 1\n.popsection\n");

#include "ffl/abi.def"
