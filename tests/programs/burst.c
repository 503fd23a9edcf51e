/* COUNT processes open the device at once, and each keeps it until all have. Prints how many could, and the slowest's ms. */
#include "verbs_test.h"

static int child(int gate, int told, int stay)
{
	struct ibv_device **devices;
	double started;
	char byte;
	int ms;

	if (read(gate, &byte, 1) != 0) /* the gate closes: now */
		return 1;
	started = now_ms();
	devices = ibv_get_device_list(NULL);
	ms = devices && devices[0] && ibv_open_device(devices[0]) ? (int)(now_ms() - started) : -errno;
	if (write(told, &ms, sizeof ms) != sizeof ms)
		return 1;
	return read(stay, &byte, 1) != 0;
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 150, opened = 0, slowest = 0, gate[2], told[2], stay[2], ms;

	if (pipe(gate) || pipe(told) || pipe(stay))
		return 1;
	for (int i = 0; i < count; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return 1;
		if (pid == 0) {
			close(gate[1]);
			close(stay[1]);
			_exit(child(gate[0], told[1], stay[0]));
		}
	}
	close(gate[1]);
	for (int i = 0; i < count && read(told[0], &ms, sizeof ms) == sizeof ms; i++) {
		opened += ms >= 0;
		slowest = ms > slowest ? ms : slowest;
	}
	close(stay[1]);
	for (int i = 0; i < count; i++)
		wait(NULL);
	printf("%d %d\n", opened, slowest);
	return 0;
}
