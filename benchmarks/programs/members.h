/* Programs of many processes that come up, say so, and stay. */
#ifndef PROGRAMS_MEMBERS_H
#define PROGRAMS_MEMBERS_H

#include "verbs.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Runs `member` in that many processes, with its number. When all have returned, says "ready", and stays until stdin ends;
 * so do they. Returns the program's exit status. */
static inline int run_members(int members, void (*member)(int number))
{
	int ready[2];
	char byte;

	if (pipe(ready))
		die("pipe");
	for (int i = 0; i < members; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(ready[0]);
			member(i);
			if (write(ready[1], "", 1) != 1)
				die("write");
			for (;;)
				pause();
		}
	}
	close(ready[1]); /* so that a member that failed ends the wait below */
	for (int i = 0; i < members; i++)
		if (read(ready[0], &byte, 1) != 1)
			return fprintf(stderr, "%s: only %d of %d came up\n", program_invocation_short_name, i, members), 1;
	printf("ready\n");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}

#endif
