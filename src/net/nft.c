#include "net/nft.h"
#include "base/str.h"
#include <nftables/libnftables.h>

int nft_apply(const char *text, struct err *e)
{
	struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
	if (!nft)
		return err_set(e, ERR_NO_MEMORY, "no memory for nftables");
	int r = 0;
	if (nft_ctx_buffer_error(nft) || nft_ctx_buffer_output(nft)) {
		r = err_set(e, ERR_NO_MEMORY, "no memory for nftables");
	} else if (nft_run_cmd_from_buffer(nft, text)) {
		const char *said = nft_ctx_get_error_buffer(nft);
		int first = said ? (int)strcspn(said, "\n") : 0;
		r = err_set(
		    e, ERR_WALL, "nftables refused the rules: %.*s", first, said ? said : "");
	}
	nft_ctx_free(nft);
	return r;
}
