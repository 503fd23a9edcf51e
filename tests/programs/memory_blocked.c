/*
 * Two writers into the memory that is being registered, and threads in every kind of blocking call, during 1000
 * registrations: no store is lost, no call returns early, and timeouts are kept.
 */
#include "memory_test.h"

#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { LENGTH = 64 * 1024 };

static volatile int stop;
static volatile int released;
static ff_a32 ready;

/* ---- writers ---- */

static volatile uint64_t *words; /* LENGTH bytes */

static void *write_on(void *argument)
{
	uint64_t me = (uint64_t)argument, round = 0, count = LENGTH / 8;
	ff_add32(&ready, 1);
	while (!stop) {
		for (uint64_t i = me; i < count; i += 2) {
			if (words[i] != round)
				FAIL("word %lu is %lu in round %lu: a store was lost", i, words[i], round);
			words[i] = round + 1;
		}
		round++;
	}
	CHECK(round > 100);
	return NULL;
}

/* ---- calls without a timeout: they end when main releases them, and not before ---- */

static int pipe_ends[16][2];
static sem_t semaphore;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, condition_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int listener, sem_set, message_queue, lock_fd, full_pipe[2];
static struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "\0ff-test" };
static pid_t child;
static mqd_t posix_queue;
static uint32_t futex_word;

static sigset_t usual_mask(void)
{
	sigset_t mask;
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	return mask;
}

/*
 * In calls with a signal mask programs wait for signals, so EINTR is what they expect there. If a stop comes in the very
 * moment in which a thread goes back into such a call after the last stop, it does see one: with registrations one
 * after the other, on a busy machine, in some thousand stops.
 */
static int interruptions_left = 100; /* of 6000 */
#define UNLESS_INTERRUPTED(call)                                                         \
	({                                                                               \
		int result_;                                                             \
		do                                                                       \
			result_ = (call);                                                \
		while (result_ == -1 && errno == EINTR && !released && interruptions_left-- > 0); \
		result_;                                                                 \
	})

static int in_read(void) { char c; return read(pipe_ends[0][0], &c, 1) == 1; }
static int in_poll(void)
{
	struct pollfd p = { pipe_ends[1][0], POLLIN, 0 };
	return poll(&p, 1, -1) == 1;
}
static int in_ppoll(void)
{
	struct pollfd p = { pipe_ends[2][0], POLLIN, 0 };
	sigset_t mask = usual_mask();
	return UNLESS_INTERRUPTED(ppoll(&p, 1, NULL, &mask)) == 1;
}
static int in_epoll(void)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN };
	epoll_ctl(fd, EPOLL_CTL_ADD, pipe_ends[3][0], &event);
	return epoll_wait(fd, &event, 1, -1) == 1;
}
static int in_epoll_pwait(void)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN };
	sigset_t mask = usual_mask();
	epoll_ctl(fd, EPOLL_CTL_ADD, pipe_ends[4][0], &event);
	return UNLESS_INTERRUPTED(epoll_pwait(fd, &event, 1, 60000, &mask)) == 1;
}
static int in_select(void)
{
	fd_set set;
	FD_ZERO(&set);
	FD_SET(pipe_ends[5][0], &set);
	return select(pipe_ends[5][0] + 1, &set, NULL, NULL, NULL) == 1;
}
static int in_pselect(void)
{
	fd_set set;
	struct timespec minute = { 60, 0 };
	FD_ZERO(&set);
	FD_SET(pipe_ends[6][0], &set);
	return pselect(pipe_ends[6][0] + 1, &set, NULL, NULL, &minute, NULL) == 1;
}
static int in_recv_with_timeout(void)
{
	int pair[2];
	struct timeval minute = { 60, 0 };
	char c;
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
	CHECK(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &minute, sizeof minute) == 0);
	pipe_ends[7][1] = pair[1]; /* main writes to it */
	return recv(pair[0], &c, 1, 0) == 1;
}
static int in_write(void)
{
	char c = 1;
	while (fcntl(full_pipe[1], F_SETFL, O_NONBLOCK), write(full_pipe[1], &c, 1) == 1)
		;
	fcntl(full_pipe[1], F_SETFL, 0);
	return write(full_pipe[1], &c, 1) == 1;
}
static int in_accept(void) { return accept(listener, NULL, NULL) >= 0; }
static int in_sem_wait(void) { return sem_wait(&semaphore) == 0; }
static int in_mutex(void) { return pthread_mutex_lock(&mutex) == 0 && pthread_mutex_unlock(&mutex) == 0; }
static int in_condition(void)
{
	pthread_mutex_lock(&condition_mutex);
	while (!released)
		if (pthread_cond_wait(&condition, &condition_mutex) != 0)
			return 0;
	pthread_mutex_unlock(&condition_mutex);
	return 1;
}
static int in_futex_with_timeout(void)
{
	struct timespec minute = { 60, 0 };
	return syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 0, &minute) == 0 || errno == EAGAIN;
}
static int in_waitpid(void) { return waitpid(child, NULL, 0) == child; }
static int in_semop(void)
{
	struct sembuf take = { 0, -1, 0 };
	return semop(sem_set, &take, 1) == 0;
}
static int in_semtimedop(void)
{
	struct sembuf take = { 1, -1, 0 };
	struct timespec minute = { 60, 0 };
	return semtimedop(sem_set, &take, 1, &minute) == 0;
}
static int in_msgrcv(void)
{
	struct { long type; char c; } message;
	return msgrcv(message_queue, &message, 1, 0, 0) >= 0;
}
static int in_mq_receive(void)
{
	char message[8192];
	return mq_receive(posix_queue, message, sizeof message, NULL) >= 0;
}
static int in_flock(void)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", lock_fd);
	int mine = open(path, O_RDWR); /* another open file: the lock is not shared */
	return flock(mine, LOCK_EX) == 0;
}
static int in_sigwaitinfo(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2); /* blocked in all threads; main sends it to the process */
	return sigwaitinfo(&set, NULL) == SIGUSR2;
}
static int in_sigtimedwait(void)
{
	sigset_t set;
	struct timespec minute = { 60, 0 };
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	return sigtimedwait(&set, NULL, &minute) == SIGUSR1;
}
static void *joined(void *unused)
{
	char c;
	CHECK(read(pipe_ends[8][0], &c, 1) == 1);
	return unused;
}
static int in_join(void)
{
	pthread_t other;
	CHECK(pthread_create(&other, NULL, joined, NULL) == 0);
	return pthread_join(other, NULL) == 0;
}
static int in_signalfd(void)
{
	sigset_t set;
	struct signalfd_siginfo info;
	sigemptyset(&set);
	sigaddset(&set, SIGURG);
	int fd = signalfd(-1, &set, SFD_CLOEXEC);
	return read(fd, &info, sizeof info) == sizeof info;
}
/* pause and sigsuspend return only for a signal. main sends them one, and looks whether they returned before. */
static volatile int pause_returned, suspend_returned;
static pthread_t pausing, suspended;
static void on_signal(int number) { (void)number; }
static int in_pause(void)
{
	pausing = pthread_self();
	int result = pause();
	pause_returned = 1;
	return result == -1 && errno == EINTR && released;
}
static int in_sigsuspend(void)
{
	sigset_t mask = usual_mask();
	suspended = pthread_self();
	int result = UNLESS_INTERRUPTED(sigsuspend(&mask));
	suspend_returned = 1;
	return result == -1 && errno == EINTR && released;
}

/* ---- calls with a timeout: again and again, and each lasts as long as it should ---- */

/* A call that begins anew at each registration lasts until the last of them, some seconds. */
static int slept(uint64_t began_us, uint64_t wanted_us)
{
	uint64_t took = now_us() - began_us;
	if (took < wanted_us || took > wanted_us + 1000000)
		FAIL("a sleep of %lu us took %lu us", wanted_us, took);
	return 1;
}
static int in_short_poll(void)
{
	while (!released) {
		uint64_t began = now_us();
		if (poll(NULL, 0, 200) != 0)
			return 0;
		slept(began, 200000);
	}
	return 1;
}
static int in_short_nanosleep(void)
{
	while (!released) {
		struct timespec t = { 0, 200000000 };
		uint64_t began = now_us();
		if (nanosleep(&t, NULL) != 0)
			return 0;
		slept(began, 200000);
	}
	return 1;
}
static int in_short_clock_nanosleep(void)
{
	while (!released) {
		struct timespec t;
		uint64_t began = now_us();
		clock_gettime(CLOCK_MONOTONIC, &t);
		t.tv_sec++;
		if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0)
			return 0;
		slept(began, 1000000);
	}
	return 1;
}
static int in_short_sem_timedwait(void)
{
	sem_t never;
	sem_init(&never, 0, 0);
	while (!released) {
		struct timespec t;
		uint64_t began = now_us();
		clock_gettime(CLOCK_REALTIME, &t);
		t.tv_sec++;
		if (sem_timedwait(&never, &t) != -1 || errno != ETIMEDOUT)
			return 0;
		slept(began, 990000);
	}
	return 1;
}
static int in_short_futex(void)
{
	uint32_t word = 0;
	struct timespec t = { 0, 200000000 };
	while (!released) {
		uint64_t began = now_us();
		if (syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &t) != -1 || errno != ETIMEDOUT)
			return 0;
		slept(began, 200000);
	}
	return 1;
}
static int in_short_select(void) /* the kernel writes the rest of the time back */
{
	while (!released) {
		struct timeval t = { 0, 200000 };
		uint64_t began = now_us();
		if (select(0, NULL, NULL, NULL, &t) != 0)
			return 0;
		slept(began, 200000);
	}
	return 1;
}

static const struct blocked {
	const char *name;
	int (*call)(void);
} blocked[] = {
#define BLOCKED(name) { #name, name }
	BLOCKED(in_read), BLOCKED(in_poll), BLOCKED(in_ppoll), BLOCKED(in_epoll), BLOCKED(in_epoll_pwait),
	BLOCKED(in_select), BLOCKED(in_pselect), BLOCKED(in_recv_with_timeout), BLOCKED(in_write), BLOCKED(in_accept),
	BLOCKED(in_sem_wait), BLOCKED(in_mutex), BLOCKED(in_condition), BLOCKED(in_futex_with_timeout),
	BLOCKED(in_waitpid), BLOCKED(in_semop), BLOCKED(in_semtimedop), BLOCKED(in_msgrcv), BLOCKED(in_mq_receive),
	BLOCKED(in_flock), BLOCKED(in_sigwaitinfo), BLOCKED(in_sigtimedwait), BLOCKED(in_join), BLOCKED(in_signalfd),
	BLOCKED(in_pause), BLOCKED(in_sigsuspend), BLOCKED(in_short_poll), BLOCKED(in_short_nanosleep),
	BLOCKED(in_short_clock_nanosleep), BLOCKED(in_short_sem_timedwait), BLOCKED(in_short_futex),
	BLOCKED(in_short_select),
};
enum { BLOCKED_COUNT = sizeof blocked / sizeof *blocked };
static volatile int returned[BLOCKED_COUNT];

static void *block(void *argument)
{
	const struct blocked *me = argument;
	ff_add32(&ready, 1);
	if (getenv("FFMEM_SIGNALS") && (me->call == in_sigwaitinfo || me->call == in_sigtimedwait))
		return NULL; /* who awaits signals is never sent one of ours: refused, see memory_sigwait.c */
	if (!me->call())
		FAIL("%s: %s", me->name, strerror(errno));
	if (!released)
		FAIL("%s returned before it should", me->name);
	returned[me - blocked] = 1;
	return NULL;
}

static void prepare(void)
{
	char c = 1;
	(void)c;
	for (int i = 0; i < 16; i++)
		CHECK(pipe(pipe_ends[i]) == 0);
	CHECK(pipe(full_pipe) == 0);
	sem_init(&semaphore, 0, 0);
	pthread_mutex_lock(&mutex);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(address.sun_path + 1, 60, "ff-test-%d", getpid());
	CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 5) == 0);
	sem_set = semget(IPC_PRIVATE, 2, 0600);
	message_queue = msgget(IPC_PRIVATE, 0600);
	lock_fd = memfd_create("lock", 0);
	CHECK(flock(lock_fd, LOCK_EX) == 0);
	char name[32];
	snprintf(name, sizeof name, "/ff-test-%d", getpid());
	posix_queue = mq_open(name, O_RDWR | O_CREAT, 0600, NULL);
	CHECK(posix_queue != (mqd_t)-1);
	mq_unlink(name);
	child = fork();
	if (child == 0) {
		close(pipe_ends[9][1]);
		_exit(read(pipe_ends[9][0], &c, 1) < 0);
	}
	close(pipe_ends[9][0]);
	struct sigaction action = { .sa_handler = on_signal };
	sigaction(SIGHUP, &action, NULL);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGURG);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void release(void)
{
	char c = 1, drained[65536];
	struct { long type; char c; } message = { 1, 1 };
	struct sembuf give[2] = { { 0, 1, 0 }, { 1, 1, 0 } };
	CHECK(!pause_returned && !suspend_returned);
	for (int i = 0; i < BLOCKED_COUNT; i++)
		CHECK(!returned[i]);
	released = 1;
	for (int i = 0; i < 10; i++)
		CHECK(write(pipe_ends[i][1], &c, 1) == 1);
	CHECK(read(full_pipe[0], drained, sizeof drained) > 0);
	int client = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
	sem_post(&semaphore);
	pthread_mutex_unlock(&mutex);
	pthread_mutex_lock(&condition_mutex);
	pthread_cond_broadcast(&condition);
	pthread_mutex_unlock(&condition_mutex);
	futex_word = 1;
	syscall(SYS_futex, &futex_word, FUTEX_WAKE_PRIVATE, 1);
	semop(sem_set, give, 2);
	msgsnd(message_queue, &message, 1, 0);
	mq_send(posix_queue, &c, 1, 0);
	flock(lock_fd, LOCK_UN);
	kill(getpid(), SIGUSR1);
	kill(getpid(), SIGUSR2);
	kill(getpid(), SIGURG);
	pthread_kill(pausing, SIGHUP);
	pthread_kill(suspended, SIGHUP);
}

int main(int count, char **arguments)
{
	int registrations = count > 1 ? atoi(arguments[1]) : 1000;
	pthread_t threads[2 + BLOCKED_COUNT];
	start(1ull << 30);
	prepare();
	words = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (uint64_t i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, write_on, (void *)i);
	for (int i = 0; i < BLOCKED_COUNT; i++)
		pthread_create(&threads[2 + i], NULL, block, (void *)&blocked[i]);
	while (ff_load32(&ready) != 2 + BLOCKED_COUNT)
		usleep(1000);
	usleep(100000);
	for (int i = 0; i < registrations; i++) {
		pin(words, LENGTH);
		unpin(words, LENGTH);
	}
	stop = 1;
	release();
	for (int i = 0; i < 2 + BLOCKED_COUNT; i++)
		pthread_join(threads[i], NULL);
	semctl(sem_set, 0, IPC_RMID);
	msgctl(message_queue, IPC_RMID, NULL);
	return done();
}
