/* The local certificate authority: one P-256 root, its key sealed on disk (ca.key), its certificate
 * for everyone (ca.pem); server certificates for one DNS name each (RFC 5280). It is for one base
 * domain and what is below it, by its own name constraints: whoever trusts it trusts it for nothing
 * else, even if its key is stolen. */
#pragma once
#include "base/buf.h"
#include "vault/master.h"

enum {
	CA_ROOT_DAYS = 3650,
	CA_LEAF_DAYS_DEFAULT = 90,
	CA_LEAF_DAYS_MAX = 398,
	CA_PEM_MAX = 16384,
	CA_BASE_MAX = 200
};

struct ca;

/* Opens the authority, or makes it: also where the one that is there was made for another base
 * domain. name goes into the root's common name. The master must be open. */
int ca_open(const struct master *m, int dir, const char *name, const char *base, struct ca **ret,
    struct err *e) must_check;
void ca_free(struct ca *ca);

/* A certificate for host ("a.example", "*.example"), which must be in the base domain, and the
 * public key (DER SubjectPublicKeyInfo, P-256 or P-384): appends the PEM chain, leaf first, root
 * last. */
int ca_sign_leaf(const struct ca *ca, const char *host, struct bytes spki, int days,
    struct buf *ret, struct err *e) must_check;

/* A DNS name that a certificate may have: lower-case letters, digits and '-', not an IP address;
 * one leading "*." before at least two labels. */
bool ca_host_valid(const char *host);
