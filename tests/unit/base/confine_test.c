#include "../unit.h"
#include "base/confine.h"
#include "base/json.h"
#include "base/spawn.h"
#include "base/str.h"
#include <curl/curl.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Runs act in a child that was confined to `rights`: its exit code, or minus the signal. */
static int confined(unsigned rights, int (*act)(void))
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		struct err e;
		if (confine(rights, &e) < 0)
			_exit(99);
		_exit(act());
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* 0: the call worked; 1: it failed with an errno; the filter kills before either. */
static int read_file(void)
{
	int fd = open("/etc/hostname", O_RDONLY);
	return fd < 0;
}
static int write_file(void)
{
	return open("/tmp", O_RDWR | O_TMPFILE, 0600) < 0;
}
static int make_dir(void)
{
	return mkdir("/nonexistent/x", 0700) == 0;
}
static int unix_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), p[2];
	return fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p) || write(p[0], "x", 1) != 1 ||
	       send(p[0], "x", 1, MSG_NOSIGNAL) != 1;
}
static int inet_socket(void)
{
	return socket(AF_INET6, SOCK_STREAM, 0) < 0 || socket(AF_INET, SOCK_DGRAM, 0) < 0;
}
static int netlink_socket(void)
{
	return socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) < 0;
}
static int packet_socket(void)
{
	return socket(AF_PACKET, SOCK_RAW, 0) < 0;
}
static int forks(void)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	return pid < 0;
}
static int runs_program(void)
{
	struct err e;
	const char *const argv[] = { "/bin/echo", "hello", NULL };
	struct spawn s = {
		.path = argv[0], .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1
	};
	cleanup_free char *out = NULL;
	return spawn_run(&s, 5000, 100, &out, &e) < 0 || !streq(out, "hello\n");
}
static int signals_other(void)
{
	return kill(getppid(), 0) != 0;
}
static int signals_itself(void)
{
	signal(SIGUSR1, SIG_IGN);
	return raise(SIGUSR1) || kill(getpid(), SIGUSR1);
}
static void *thread_main(void *p)
{
	return p;
}
static int thread(void)
{
	pthread_t t;
	return pthread_create(&t, NULL, thread_main, NULL) || pthread_join(t, NULL);
}
static int new_namespace(void)
{
	return syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0) < 0;
}
static int unshares(void)
{
	return unshare(CLONE_NEWNS) != 0;
}
static int writable_code(void)
{
	return mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	       MAP_FAILED;
}
static int ring(void)
{
	return syscall(SYS_io_uring_setup, 1, NULL) < 0;
}
static int becomes_root(void)
{
	return setuid(0) != 0;
}
static int locks_memory(void)
{
	static char page[4096];
	return syscall(SYS_mlock, page, sizeof(page)) != 0; /* ASan swallows mlock() */
}
static int i386_call(void)
{
	long r;
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20 /* getpid of i386 */) : "memory");
	return r < 0;
}
static int bpf_call(void)
{
	return syscall(SYS_bpf, 0, NULL, 0) == -1 && errno == EPERM;
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *data)
{
	return sd_event_exit(sd_event_source_get_event(s), 0);
}
static int on_time(sd_event_source *s, uint64_t at, void *data)
{
	return kill(getpid(), SIGTERM);
}

/* What each daemon does with its libraries, on the common rights alone. */
static int daily_life(void)
{
	sd_event *ev = NULL;
	sigset_t term;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	if (sd_event_new(&ev) < 0 || sd_event_add_signal(ev, NULL, SIGTERM, on_signal, NULL) < 0 ||
	    sd_event_add_time_relative(ev, NULL, CLOCK_MONOTONIC, 1000, 0, on_time, NULL) < 0 ||
	    sd_event_loop(ev) != 0)
		return 1;
	sd_event_unref(ev);

	char random[16];
	struct err e;
	json_t *j = NULL;
	if (getrandom(random, sizeof(random), 0) != sizeof(random) ||
	    json_parse("{\"a\":[1,2,3]}", 13, &j, &e) < 0)
		return 2;
	json_decref(j);

	char *big = malloc(64 << 20);
	if (!big)
		return 3;
	memset(big, 1, 1 << 20);
	big = realloc(big, 128 << 20);
	free(big);

	struct stat st;
	int memfd = memfd_create("x", MFD_CLOEXEC), p[2];
	if (memfd < 0 || ftruncate(memfd, 8192) || fstat(memfd, &st) || st.st_size != 8192 ||
	    pipe2(p, O_CLOEXEC))
		return 4;
	FILE *f = fdopen(p[1], "w"); /* stdio asks isatty */
	if (!f || fprintf(f, "%d\n", 1) < 0 || fclose(f))
		return 5;
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l) || confine(0, &e) < 0) /* shrinking again must work */
		return 6;
	return 0;
}

/* A client over a unix socket: the answer's first byte, or a failed connect, both end well. */
static int curl_over_unix(void)
{
	CURL *c = curl_easy_init();
	if (!c)
		return 1;
	curl_easy_setopt(c, CURLOPT_URL, "http://localhost/");
	curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, "/nonexistent/socket");
	CURLcode r = curl_easy_perform(c);
	CURLM *m = curl_multi_init();
	int running;
	curl_multi_add_handle(m, c);
	curl_multi_perform(m, &running);
	curl_multi_poll(m, NULL, 0, 1, NULL);
	curl_multi_remove_handle(m, c);
	curl_multi_cleanup(m);
	curl_easy_cleanup(c);
	return r != CURLE_COULDNT_CONNECT;
}

static void a_call_outside_the_rights_kills(void **state)
{
	if (SANITIZED) {
		print_message("a sanitizer's filter lets files and processes through\n");
	} else {
		assert_int_equal(confined(0, read_file), 1); /* refused, not killed */
		assert_int_equal(confined(0, write_file), -SIGSYS);
		assert_int_equal(confined(CONFINE_FILES_READ, write_file), -SIGSYS);
		assert_int_equal(confined(CONFINE_UNIX, forks), -SIGSYS);
		assert_int_equal(confined(CONFINE_THREADS, forks), -SIGSYS);
		assert_int_equal(confined(CONFINE_SPAWN, new_namespace), -SIGSYS);
		assert_int_equal(confined(~(unsigned)CONFINE_SPAWN, signals_other), -SIGSYS);
	}
	assert_int_equal(confined(CONFINE_FILES_READ, make_dir), -SIGSYS);
	assert_int_equal(confined(0, unix_socket), -SIGSYS);
	assert_int_equal(confined(CONFINE_UNIX, packet_socket), -SIGSYS);
	assert_int_equal(confined(~0U, unshares), -SIGSYS);
	assert_int_equal(confined(~0U, writable_code), -SIGSYS);
	assert_int_equal(confined(~0U, ring), -SIGSYS);
	assert_int_equal(confined(~0U, becomes_root), -SIGSYS);
	assert_int_equal(confined(~0U, i386_call), -SIGSYS);
	assert_int_equal(confined(~(unsigned)CONFINE_MLOCK, locks_memory), -SIGSYS);
	assert_int_equal(confined(~(unsigned)CONFINE_BPF, bpf_call), -SIGSYS);
}

static void a_socket_of_another_family_is_refused(void **state)
{
	assert_int_equal(confined(CONFINE_UNIX, inet_socket), 1);
	assert_int_equal(confined(CONFINE_UNIX | CONFINE_INET, netlink_socket), 1);
	assert_int_equal(confined(CONFINE_INET, unix_socket), 1);
}

static void what_is_allowed_works(void **state)
{
	assert_int_equal(confined(0, daily_life), 0);
	assert_int_equal(confined(0, signals_itself), 0);
	assert_int_equal(confined(CONFINE_FILES_READ, read_file), 0);
	assert_int_equal(confined(CONFINE_FILES_WRITE, write_file), 0);
	assert_int_equal(confined(CONFINE_FILES_WRITE, make_dir), 0);
	assert_int_equal(confined(CONFINE_UNIX, unix_socket), 0);
	assert_int_equal(confined(CONFINE_INET, inet_socket), 0);
	assert_int_equal(confined(CONFINE_NETLINK, netlink_socket), 0);
	assert_int_equal(confined(CONFINE_SPAWN, forks), 0);
	assert_int_equal(confined(CONFINE_SPAWN, runs_program), 0);
	assert_int_equal(confined(CONFINE_SPAWN, signals_other), 0);
	assert_int_equal(confined(CONFINE_THREADS, thread), 0);
	assert_int_equal(confined(CONFINE_MLOCK, locks_memory), 0);
	assert_int_equal(confined(CONFINE_UNIX, curl_over_unix), 0);
}

int main(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_outside_the_rights_kills),
		cmocka_unit_test(a_socket_of_another_family_is_refused),
		cmocka_unit_test(what_is_allowed_works),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
