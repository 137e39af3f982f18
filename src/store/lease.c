#include "store/etcd.h"

int store_lease_grant(struct store *s, int64_t ttl_s, int64_t *ret_lease, struct err *e)
{
	cleanup_json json_t *ask = json_pack("{so}", "TTL", etcd_number(ttl_s)), *answer = NULL;
	if (!ask)
		return err_set(e, ERR_NO_MEMORY, "no memory to ask the store");
	int r = etcd_call(s, "/v3/lease/grant", ask, &answer, NULL, e);
	if (r < 0)
		return r;
	int64_t id = etcd_get_number(answer, "ID");
	if (!id)
		return err_set(e, ERR_PROTOCOL, "the store granted a lease without an id");
	*ret_lease = id;
	return 0;
}

int store_lease_keep(struct store *s, int64_t lease, int64_t *ret_ttl_s, struct err *e)
{
	cleanup_json json_t *ask = json_pack("{so}", "ID", etcd_number(lease)), *answer = NULL;
	if (!ask)
		return err_set(e, ERR_NO_MEMORY, "no memory to ask the store");
	int r = etcd_call(s, "/v3/lease/keepalive", ask, &answer, NULL, e);
	if (r < 0)
		return r;
	/* a stream's answer: {"result":{…}} or {"error":{…}}; no TTL: the lease is gone */
	const json_t *result = json_object_get(answer, "result");
	if (!result)
		return err_set(e, ERR_UNAVAILABLE, "the store did not keep the lease");
	*ret_ttl_s = etcd_get_number(result, "TTL");
	return 0;
}

int store_lease_revoke(struct store *s, int64_t lease, struct err *e)
{
	cleanup_json json_t *ask = json_pack("{so}", "ID", etcd_number(lease)), *answer = NULL;
	if (!ask)
		return err_set(e, ERR_NO_MEMORY, "no memory to ask the store");
	int r = etcd_call(s, "/v3/lease/revoke", ask, &answer, NULL, e);
	return r == -ENOENT ? 0 : r;
}
