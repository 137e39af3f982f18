#include "supervisor/table.h"
#include "base/file.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

void args_add(struct args *a, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(a->text + a->used, sizeof(a->text) - a->used, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(a->text) - a->used || a->n >= ARGS_MAX)
		abort(); /* the table asks for more than its own bound: found by the first start in
			    any test */
	a->v[a->n++] = a->text + a->used;
	a->used += (size_t)n + 1;
}

static void vault_args(const struct settings *s, struct args *a)
{
	args_add(a, "--base-domain");
	args_add(a, "%s", s->platform.edge.base_domain);
	if (!s->platform.vault.key_file)
		return;
	args_add(a, "--key-file");
	args_add(a, "%s/vault/master.key", s->places.lib);
	args_add(a, "--allow-key-file");
}

/* Both listeners are unix sockets; etcd takes their paths relative to its folder (<run>/etcd) and
 * wants something that looks like a port. */
static void etcd_args(const struct settings *s, struct args *a)
{
	static const char *const fixed[] = { "--name", "default", "--listen-client-urls",
		"unix://client.sock:0", "--advertise-client-urls", "unix://client.sock:0",
		"--listen-peer-urls", "unix://peer.sock:0", "--initial-advertise-peer-urls",
		"unix://peer.sock:0", "--initial-cluster", "default=unix://peer.sock:0",
		"--auto-compaction-mode", "revision", "--auto-compaction-retention", "20000",
		/* passwords are 32 random bytes: a slow hash protects nothing, and every log-in
		   pays */
		"--bcrypt-cost", "4", "--quota-backend-bytes", "2147483648", "--max-request-bytes",
		"1048576", "--logger", "zap", "--log-level", "warn", "--log-outputs", "stderr" };
	args_add(a, "--data-dir");
	args_add(a, "%s/etcd/data", s->places.lib);
	for (size_t i = 0; i < countof(fixed); i++)
		args_add(a, "%s", fixed[i]);
}

static void host_args(const struct settings *s, struct args *a)
{
	args_add(a, "--host");
	args_add(a, "%s", s->platform.host.name);
	args_add(a, "--region");
	args_add(a, "%s", s->platform.host.region);
}

static void agent_args(const struct settings *s, struct args *a)
{
	static const char *const engines[] = { [PLATFORM_ENGINE_AUTO] = "auto",
		[PLATFORM_ENGINE_KVM] = "kvm",
		[PLATFORM_ENGINE_EMULATED] = "emulated" };
	host_args(s, a);
	args_add(a, "--host-id");
	args_add(a, "%u", s->platform.host.id);
	args_add(a, "--engine");
	args_add(a, "%s", engines[s->platform.machines.engine]);
	if (s->platform.machines.memory_mb) {
		args_add(a, "--memory-mb");
		args_add(a, "%u", s->platform.machines.memory_mb);
	}
	if (s->platform.machines.cpus) {
		args_add(a, "--cpus");
		args_add(a, "%u", s->platform.machines.cpus);
	}
}

static void net_args(const struct settings *s, struct args *a)
{
	args_add(a, "--private-ipv4");
	args_add(a, "%s", s->platform.network.private_ipv4);
}

/* The host's own resolvers, unless the platform's file names others. One on the loopback cannot be
 * reached from the machines' namespace and is left out. */
static void host_resolvers(struct args *a)
{
	cleanup_free char *text = NULL;
	struct err e;
	char *save = NULL, address[64];
	if (file_read(AT_FDCWD, "/etc/resolv.conf", 16384, &text, NULL, &e) < 0)
		return;
	size_t n = 0;
	for (char *line = strtok_r(text, "\n", &save); line && n < PLATFORM_DNS_MAX;
	     line = strtok_r(NULL, "\n", &save)) {
		struct in6_addr v6;
		struct in_addr v4;
		if (sscanf(line, " nameserver %63s", address) != 1)
			continue;
		bool four = inet_pton(AF_INET, address, &v4) == 1,
		     six = inet_pton(AF_INET6, address, &v6) == 1;
		if ((!four && !six) || (four && ntohl(v4.s_addr) >> 24 == 127) ||
		    (six && IN6_IS_ADDR_LOOPBACK(&v6)))
			continue;
		args_add(a, "--upstream");
		args_add(a, "%s", address);
		n++;
	}
}

static void dns_args(const struct settings *s, struct args *a)
{
	if (!s->platform.network.ndns_upstream)
		host_resolvers(a);
	for (size_t i = 0; i < s->platform.network.ndns_upstream; i++) {
		args_add(a, "--upstream");
		args_add(a, "%s", s->platform.network.dns_upstream[i]);
	}
}

static void fetch_args(const struct settings *s, struct args *a)
{
	for (size_t i = 0; i < s->platform.registry.ninsecure; i++) {
		args_add(a, "--insecure-registry");
		args_add(a, "%s", s->platform.registry.insecure[i]);
	}
}

static void keys_args(const struct settings *s, struct args *a)
{
	args_add(a, "--base-domain");
	args_add(a, "%s", s->platform.edge.base_domain);
}

static void api_args(const struct settings *s, struct args *a)
{
	args_add(a, "--region");
	args_add(a, "%s", s->platform.host.region);
}

static void edge_args(const struct settings *s, struct args *a)
{
	host_args(s, a);
	args_add(a, "--base-domain");
	args_add(a, "%s", s->platform.edge.base_domain);
}

#define D(x)        (1U << DAEMON_##x)
#define AFTER_STORE (1U << ROW_VAULT | 1U << ROW_ETCD | 1U << ROW_STORE_SETUP)

const struct row_def rows[ROW_MAX] = {
	/* holds the master key, in locked memory; asks nobody */
	[ROW_VAULT] = { .name = "vault",
	    .user = DAEMON_VAULT,
	    .sees = SEES_NO_SOCKETS,
	    .sockets = { { "vault", SOCK_SEQPACKET, 0660 } },
	    .memlock_kib = 65536,
	    .args = vault_args },
	[ROW_ETCD] = { .name = "etcd",
	    .program = "/usr/bin/etcd",
	    .user = DAEMON_ETCD,
	    .run_folder = "etcd", /* its sockets */
	    .run_mode = 0710,
	    .after = 1U << ROW_VAULT,
	    .nofile = 8192,
	    .args = etcd_args },
	/* makes users and roles: as the data's owner, with every user's password */
	[ROW_STORE_SETUP] = { .name = "store-setup",
	    .user = DAEMON_ETCD,
	    .oneshot = true,
	    .run_folder = "etcd",
	    .run_mode = 0710,
	    .after = 1U << ROW_ETCD,
	    .all_store_passwords = true,
	    .args = host_args },
	/* taps, addresses, rules, only inside the machines' namespace */
	[ROW_NET] = { .name = "net",
	    .user = DAEMON_NET,
	    .netns = NETNS_MACHINES,
	    .caps = 1ULL << CAP_NET_ADMIN | 1ULL << CAP_NET_RAW | 1ULL << CAP_BPF,
	    .sees = SEES_PROC | SEES_TUN,
	    .sockets = { { "net", SOCK_SEQPACKET, 0660 } },
	    .args = net_args },
	[ROW_DNS] = { .name = "dns",
	    .user = DAEMON_DNS,
	    .optional = true,
	    .netns = NETNS_MACHINES,
	    .sees = SEES_RESOLVER,
	    .after = 1U << ROW_NET,
	    .args = dns_args },
	/* the only one that may talk to registries */
	[ROW_IMAGE_FETCH] = { .name = "image-fetch",
	    .user = DAEMON_IMAGE_FETCH,
	    .netns = NETNS_HOST,
	    .sees = SEES_RESOLVER | SEES_TMP,
	    .folders = { "blobs" },
	    .sockets = { { "image-fetch", SOCK_SEQPACKET, 0660 } },
	    .args = fetch_args },
	/* takes layers apart: no network */
	[ROW_IMAGE_CONVERT] = { .name = "image-convert",
	    .user = DAEMON_IMAGE_CONVERT,
	    .sees = SEES_TMP,
	    .folders = { "images" },
	    .reads = { "blobs" },
	    .sockets = { { "image-convert", SOCK_SEQPACKET, 0660 } },
	    .asks = D(IMAGE_FETCH) /* for the group of its blobs */ },
	[ROW_AGENT] = { .name = "agent",
	    .user = DAEMON_AGENT,
	    .sees = SEES_PROC,
	    .folders = { "machines" },
	    .run_folder = "names", /* for ward-dns */
	    .run_mode = 0755,
	    .reads = { "images", "guest" },
	    .asks = D(ETCD) | D(VAULT) | D(NET) | D(IMAGE_FETCH) | D(IMAGE_CONVERT),
	    .after = AFTER_STORE | 1U << ROW_NET | 1U << ROW_IMAGE_FETCH | 1U << ROW_IMAGE_CONVERT,
	    .nofile = 8192,
	    .store_password = true,
	    .args = agent_args },
	[ROW_CONTROL] = { .name = "control",
	    .user = DAEMON_CONTROL,
	    .asks = D(ETCD),
	    .after = AFTER_STORE,
	    .store_password = true,
	    .args = host_args },
	[ROW_API] = { .name = "api",
	    .user = DAEMON_API,
	    .folders = { "uploads" },
	    .sockets = { { "api", SOCK_STREAM, 0666 } }, /* local users, each with a token */
	    .asks = D(ETCD) | D(VAULT) | D(IMAGE_FETCH) | D(IMAGE_CONVERT) | D(TELEMETRY) | D(EDGE),
	    .after = AFTER_STORE | 1U << ROW_TELEMETRY,
	    .nofile = 8192,
	    .store_password = true,
	    .args = api_args },
	/* holds the private keys of certificates; signs for the edge's workers */
	[ROW_EDGE_KEYS] = { .name = "edge-keys",
	    .user = DAEMON_EDGE_KEYS,
	    .sockets = { { "edge-keys", SOCK_SEQPACKET, 0660 } },
	    .asks = D(VAULT),
	    .after = 1U << ROW_VAULT,
	    .memlock_kib = 65536,
	    .args = keys_args },
	/* dials machines; its listeners are of the host's namespace */
	[ROW_EDGE] = { .name = "edge",
	    .user = DAEMON_EDGE,
	    .netns = NETNS_MACHINES,
	    .sockets = { { "edge", SOCK_STREAM, 0660 } },
	    .asks = D(ETCD) | D(VAULT) | D(EDGE_KEYS) | D(API),
	    .after = AFTER_STORE | 1U << ROW_NET | 1U << ROW_EDGE_KEYS,
	    .nofile = 65536,
	    .store_password = true,
	    .listens = true,
	    .args = edge_args },
	[ROW_TELEMETRY] = { .name = "telemetry",
	    .user = DAEMON_TELEMETRY,
	    .folders = { "logs" },
	    .sockets = { { "telemetry", SOCK_STREAM, 0660 } },
	    .asks = D(VAULT),
	    .after = 1U << ROW_VAULT,
	    .nofile = 8192,
	    .memlock_kib = 16384 },
};
