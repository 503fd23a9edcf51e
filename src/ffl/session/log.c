#include "ffl/session/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* FREEFLOW_LOG's level plus one; 0 until somebody asked. Racing threads compute the same value: relaxed is enough. */
static _Atomic int chosen;

static int level_of(const char *word)
{
	static const char *const words[] = {"error", "warn", "info", "debug"};

	for (int level = FF_LOG_ERROR; word && level <= FF_LOG_DEBUG; level++)
		if (strcmp(word, words[level]) == 0)
			return level;
	return FF_LOG_WARN;
}

static int is_wanted(int level)
{
	int most = atomic_load_explicit(&chosen, memory_order_relaxed);

	if (most == 0) {
		most = level_of(getenv("FREEFLOW_LOG")) + 1;
		atomic_store_explicit(&chosen, most, memory_order_relaxed);
	}
	return level < most;
}

void ff_log(int level, const char *format, ...)
{
	static const char prefix[] = "freeflow: ";
	char line[512];
	const size_t start = sizeof(prefix) - 1, room = sizeof(line) - start - 1; /* one byte stays for the newline */
	int saved = errno;
	va_list arguments;
	int length;

	if (!is_wanted(level))
		return;
	memcpy(line, prefix, start);
	va_start(arguments, format);
	length = vsnprintf(line + start, room, format, arguments);
	va_end(arguments);
	if (length >= 0) {
		size_t end = start + ((size_t)length < room ? (size_t)length : room - 1);

		line[end++] = '\n';
		/* One write, so that lines of several threads do not mix. Nobody is left to tell when it fails. */
		if (write(STDERR_FILENO, line, end) < 0)
			errno = 0;
	}
	errno = saved;
}
