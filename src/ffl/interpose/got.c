#define _GNU_SOURCE
#include "ffl/interpose/interpose.h"

#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RULES = 64 };

#if defined(__x86_64__)
#define SLOT_CALL R_X86_64_JUMP_SLOT
#define SLOT_DATA R_X86_64_GLOB_DAT
#elif defined(__aarch64__)
#define SLOT_CALL R_AARCH64_JUMP_SLOT
#define SLOT_DATA R_AARCH64_GLOB_DAT
#endif

static struct rule {
	const char *object, *function;
	void *ours;
	void **theirs;
} rules[RULES];
static int rule_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long long seen; /* objects that were ever loaded, when we looked last */

/* What an object's dynamic section says. */
struct object {
	ElfW(Addr) base;
	const char *strings, *name;
	const ElfW(Sym) * symbols;
	const ElfW(Rela) * calls, *data;
	size_t call_count, data_count;
	uintptr_t relro, relro_end; /* pages that are read-only by now */
};

static void read_dynamic(struct object *o, const ElfW(Dyn) * d)
{
	ElfW(Addr) name = 0;

	for (; d->d_tag != DT_NULL; d++) {
		switch (d->d_tag) {
		case DT_STRTAB: o->strings = (const char *)d->d_un.d_ptr; break;
		case DT_SYMTAB: o->symbols = (const ElfW(Sym) *)d->d_un.d_ptr; break;
		case DT_JMPREL: o->calls = (const ElfW(Rela) *)d->d_un.d_ptr; break;
		case DT_PLTRELSZ: o->call_count = d->d_un.d_val / sizeof(ElfW(Rela)); break;
		case DT_RELA: o->data = (const ElfW(Rela) *)d->d_un.d_ptr; break;
		case DT_RELASZ: o->data_count = d->d_un.d_val / sizeof(ElfW(Rela)); break;
		case DT_SONAME: name = d->d_un.d_val; break;
		}
	}
	if (name && o->strings)
		o->name = o->strings + name;
}

static int read_object(struct object *o, const struct dl_phdr_info *info)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	int i;

	memset(o, 0, sizeof(*o));
	o->base = info->dlpi_addr;
	o->name = "";
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_DYNAMIC)
			read_dynamic(o, (const ElfW(Dyn) *)(info->dlpi_addr + p->p_vaddr));
		if (p->p_type == PT_GNU_RELRO) {
			o->relro = (info->dlpi_addr + p->p_vaddr) & ~(page - 1);
			o->relro_end = (info->dlpi_addr + p->p_vaddr + p->p_memsz) & ~(page - 1);
		}
	}
	/* The kernel's own object has addresses that nobody has relocated. */
	return o->strings && o->symbols && (uintptr_t)o->strings >= o->base;
}

static int is_system(const char *name)
{
	return strncmp(name, "libc.so", 7) == 0 || strncmp(name, "ld-linux", 8) == 0 || strncmp(name, "linux-vdso", 10) == 0 ||
	       strncmp(name, "libibverbs.so", 13) == 0;
}

static const struct rule *rule_for(const struct object *o, const char *function)
{
	int i;

	for (i = 0; i < rule_count; i++)
		if (strcmp(rules[i].function, function) == 0 &&
		    (rules[i].object ? strncmp(o->name, rules[i].object, strlen(rules[i].object)) == 0 : !is_system(o->name)))
			return &rules[i];
	return NULL;
}

static void point(const struct object *o, void **slot, const struct rule *rule)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)slot & ~(page - 1);
	int sealed = at >= o->relro && at < o->relro_end;

	if (*slot == rule->ours || (sealed && mprotect((void *)at, page, PROT_READ | PROT_WRITE)))
		return;
	if (rule->theirs && !*rule->theirs)
		*rule->theirs = *slot;
	__atomic_store_n(slot, rule->ours, __ATOMIC_RELEASE);
	if (sealed)
		mprotect((void *)at, page, PROT_READ);
}

static void look_at_slots(const struct object *o, const ElfW(Rela) * r, size_t count)
{
	for (; count; count--, r++) {
		uint32_t type = ELF64_R_TYPE(r->r_info);
		const struct rule *rule;

		if (type != SLOT_CALL && type != SLOT_DATA)
			continue;
		rule = rule_for(o, o->strings + o->symbols[ELF64_R_SYM(r->r_info)].st_name);
		if (rule)
			point(o, (void **)(o->base + r->r_offset), rule);
	}
}

static int wanted(const struct object *o)
{
	int i;

	for (i = 0; i < rule_count; i++)
		if (!rules[i].object || strncmp(o->name, rules[i].object, strlen(rules[i].object)) == 0)
			return 1;
	return 0;
}

static int visit(struct dl_phdr_info *info, size_t size, void *all)
{
	struct object o;

	(void)size;
	(void)all;
	if (read_object(&o, info) && wanted(&o)) {
		look_at_slots(&o, o.calls, o.call_count);
		look_at_slots(&o, o.data, o.data_count);
	}
	return 0;
}

static int count(struct dl_phdr_info *info, size_t size, void *into)
{
	(void)size;
	*(unsigned long long *)into = info->dlpi_adds;
	return 1;
}

void ff_interpose_look(void)
{
	unsigned long long adds = 0;

	if (!ff_is_glibc()) /* other loaders leave other things in an object's dynamic section */
		return;
	dl_iterate_phdr(count, &adds);
	if (adds == __atomic_load_n(&seen, __ATOMIC_RELAXED)) /* the program that loads something calls us after that */
		return;
	pthread_mutex_lock(&lock);
	dl_iterate_phdr(visit, NULL);
	__atomic_store_n(&seen, adds, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&lock);
}

int ff_interpose(const char *object, const char *function, void *ours, void **theirs)
{
	int full;

	pthread_mutex_lock(&lock);
	full = rule_count == RULES;
	if (!full)
		rules[rule_count++] = (struct rule){object, function, ours, theirs};
	__atomic_store_n(&seen, 0, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&lock);
	return full ? -1 : 0;
}
