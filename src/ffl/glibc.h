/*
 * Included before everything else in floor 1: binds what newer glibc re-versioned to the versions that Debian 10,
 * RHEL 8 and Ubuntu 20.04 have (GLIBC_2.28 at most), since the libraries are loaded into images of any age.
 */
#ifndef FFL_GLIBC_H
#define FFL_GLIBC_H

#if defined(__x86_64__)
#define FF_GLIBC_BASE "GLIBC_2.2.5"
#elif defined(__aarch64__)
#define FF_GLIBC_BASE "GLIBC_2.17"
#endif
#define FF_PIN(symbol) __asm__(".symver " #symbol "," #symbol "@" FF_GLIBC_BASE)

/* One line for each symbol that tests/unit/ffl/test_exports.py finds too new. */

/*
 * Programs of musl start with the libraries preloaded, so what musl lacks is a weak reference, and NULL there. libibverbs
 * does no more in them than that: what it does with signals, threads and memory is written for glibc.
 */
extern const char *gnu_get_libc_version(void) __attribute__((weak));
#define ff_is_glibc() (gnu_get_libc_version != 0)

#endif
