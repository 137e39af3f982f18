#include "image/sha256.h"
#include "base/str.h"
#include <openssl/evp.h>

struct sha256 {
	EVP_MD_CTX *ctx;
};

int sha256_new(struct sha256 **ret, struct err *e)
{
	struct sha256 *h = calloc(1, sizeof(*h));
	if (h)
		h->ctx = EVP_MD_CTX_new();
	if (!h || !h->ctx || !EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL)) {
		sha256_free(h);
		err_set(e, ERR_NO_MEMORY, "cannot begin a SHA-256");
		return -ENOMEM;
	}
	*ret = h;
	return 0;
}

void sha256_free(struct sha256 *h)
{
	if (h)
		EVP_MD_CTX_free(h->ctx);
	free(h);
}

int sha256_add(struct sha256 *h, const void *p, size_t n, struct err *e)
{
	return EVP_DigestUpdate(h->ctx, p, n) ? 0 : err_set(e, ERR_INTERNAL, "SHA-256 failed");
}

int sha256_hex(struct sha256 *h, char dst[65], struct err *e)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	if (!EVP_DigestFinal_ex(h->ctx, digest, &n) || n != 32)
		return err_set(e, ERR_INTERNAL, "SHA-256 failed");
	hex_encode(dst, digest, n);
	return 0;
}

int sha256_file(int fd, uint64_t max, char dst[65], uint64_t *ret_size, struct err *e)
{
	static char chunk[256 * 1024];
	struct sha256 *h = NULL;
	uint64_t size = 0;
	int r = sha256_new(&h, e);
	while (r == 0) {
		ssize_t n = pread(fd, chunk, sizeof(chunk), (off_t)size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = err_sys(e, errno, "cannot read a blob");
		if (n <= 0)
			break;
		size += (uint64_t)n;
		r = size > max ? err_set(e, ERR_TOO_LARGE, "a blob of more than %llu bytes",
				     (unsigned long long)max)
			       : sha256_add(h, chunk, (size_t)n, e);
	}
	if (r == 0)
		r = sha256_hex(h, dst, e);
	sha256_free(h);
	if (r == 0 && ret_size)
		*ret_size = size;
	return r;
}
