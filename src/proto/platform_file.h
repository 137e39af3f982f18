/* The platform's own file, <etc>/ward.toml. wardd alone reads it; the daemons get what concerns
 * them as arguments. Strict: an unknown key is an error, an absent file or key has the default
 * named here. packaging/ward.toml explains each. */
#pragma once
#include "base/err.h"
#include "base/util.h"

enum platform_engine { PLATFORM_ENGINE_AUTO, PLATFORM_ENGINE_KVM, PLATFORM_ENGINE_EMULATED };

enum { PLATFORM_LISTEN_MAX = 8, PLATFORM_DNS_MAX = 4, PLATFORM_REGISTRY_MAX = 16 };

struct platform_address {
	char ip[46]; /* IPv4, or IPv6 without brackets */
	uint16_t port;
};

struct platform {
	struct {
		char name[64];   /* default: the system's host name, its first label; "ward" where
				    that is no name */
		char region[32]; /* default "local" */
		uint32_t id;     /* 1..65535, default 1: this host's part of 6PN addresses */
	} host;
	struct {
		struct platform_address
		    https[PLATFORM_LISTEN_MAX]; /* default 0.0.0.0:443 and [::]:443 */
		size_t nhttps;
		struct platform_address
		    http[PLATFORM_LISTEN_MAX]; /* default 0.0.0.0:80 and [::]:80; [] : none */
		size_t nhttp;
		char base_domain[254]; /* default "ward.localhost" */
	} edge;
	struct {
		enum platform_engine engine; /* default auto: KVM where it works; emulation only
						when it is named here */
		uint32_t memory_mb, cpus; /* for all machines together; 0 (default): what the host
					     has, less a reserve */
	} machines;
	struct {
		char private_ipv4[19]; /* default "172.19.0.0/16": a /16 for the machines of this
					  host */
		bool uplink;           /* default true: machines reach the outside (NAT) */
		char dns_upstream[PLATFORM_DNS_MAX][46]; /* default: none here; ward-dns uses the
							    system's resolvers */
		size_t ndns_upstream;
	} network;
	struct {
		bool key_file; /* default false: true keeps the master key in a file on the same
				  disk (demo, tests) */
	} vault;
	struct {
		char insecure[PLATFORM_REGISTRY_MAX]
			     [128]; /* host[:port] reached over plain HTTP; default none */
		size_t ninsecure;
	} registry;
};

void platform_defaults(struct platform *p);
/* Errors name the line. On failure *ret is untouched. */
int platform_parse(const char *text, size_t len, struct platform *ret, struct err *e) must_check;
/* <dirfd>/<name>; an absent file gives the defaults. */
int platform_read(int dirfd, const char *name, struct platform *ret, struct err *e) must_check;
