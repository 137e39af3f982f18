#include "net/tap.h"
#include "base/str.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <sys/ioctl.h>

void tap_name(char dst[IFNAMSIZ], const char *machine)
{
	snprintf(dst, IFNAMSIZ, "t%.*s", MACHINE_ID_LEN, machine);
}

static bool take_u32(const char **s, char end, uint32_t *ret)
{
	char digits[11];
	uint64_t v;
	size_t n = strspn(*s, "0123456789");
	if (!n || n >= sizeof(digits) || (*s)[n] != end)
		return false;
	memcpy(digits, *s, n);
	digits[n] = 0;
	if (!str_u64(digits, UINT32_MAX, &v))
		return false;
	*ret = (uint32_t)v;
	*s += n + (end ? 1 : 0);
	return true;
}

bool tap_from_link(struct tap *t, const struct net_plan *p, const struct rtnl_link *l)
{
	struct tap got = { 0 };
	if (strlen(l->name) != TAP_NAME_LEN || l->name[0] != 't' || !id_is_machine(l->name + 1))
		return false;
	memcpy(got.machine, l->name + 1, MACHINE_ID_LEN + 1);
	const char *s = l->alias;
	if (!take_u32(&s, ' ', &got.network) || !take_u32(&s, ' ', &got.host) ||
	    !take_u32(&s, 0, &got.number) ||
	    net_plan_machine(p, got.network, got.host, got.number, &got.addr, NULL) < 0)
		return false;
	*t = got;
	return true;
}

int tap_device_open(const char *tun, const char *name, int *ret_fd, struct err *e)
{
	cleanup_close int fd = open(tun, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_sys(e, errno, "cannot open %s", tun);
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	str_copy(ifr.ifr_name, sizeof(ifr.ifr_name), name);
	if (ioctl(fd, TUNSETIFF, &ifr))
		return errno == EBUSY
			   ? err_set(e, ERR_CONFLICT,
				 "the tap %s is still held open by a running monitor", name)
			   : err_sys(e, errno, "cannot make the tap %s", name);
	int header = sizeof(struct virtio_net_hdr_v1);
	if (ioctl(fd, TUNSETPERSIST, 1UL) || ioctl(fd, TUNSETVNETHDRSZ, &header) ||
	    ioctl(fd, TUNSETOFFLOAD, (unsigned long)(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)))
		return err_sys(e, errno, "cannot set up the tap %s", name);
	*ret_fd = steal_fd(&fd);
	return 0;
}

int tap_configure(struct rtnl *r, const struct net_plan *p, const struct tap *t, struct err *e)
{
	char name[IFNAMSIZ], alias[RTNL_ALIAS_MAX];
	tap_name(name, t->machine);
	int index, k = rtnl_link_index(r, name, &index, e);
	if (k < 0)
		return k;
	snprintf(alias, sizeof(alias), "%u %u %u", t->network, t->host, t->number);

	struct in_addr gateway4 = { htonl(net_plan_gateway(p)) },
		       machine4 = { htonl(t->addr.ipv4) };
	struct in6_addr gateway6, machine6 = t->addr.ipv6, all6 = machine6;
	if (inet_pton(AF_INET6, NET_GATEWAY6, &gateway6) != 1)
		return err_set(e, ERR_INTERNAL, "the gateway's address does not parse");
	all6.s6_addr[14] = all6.s6_addr[15] = 0;

	k = rtnl_link_set(r, index, true, alias, 0, true, e);
	if (k == 0)
		k = rtnl_address_add(r, index, AF_INET, &gateway4, 32, e);
	if (k == 0)
		k = rtnl_address_add(r, index, AF_INET6, &gateway6, 64, e);
	if (k == 0)
		k = rtnl_route_add(r, index, AF_INET, &machine4, 32, NULL, e);
	if (k == 0)
		k = rtnl_route_add(r, index, AF_INET6, &machine6, 128, NULL, e);
	/* the whole /112 is the machine's: by way of its first address, so that 65536 names cost
	 * one neighbour entry */
	if (k == 0)
		k = rtnl_route_add(r, index, AF_INET6, &all6, SIXPN_MACHINE_BITS, &machine6, e);
	return k < 0 ? err_prefix(e, k, "tap %s", name) : 0;
}

int tap_remove(struct rtnl *r, const char *machine, struct err *e)
{
	char name[IFNAMSIZ];
	tap_name(name, machine);
	int index, k = rtnl_link_index(r, name, &index, e);
	return k == -ENODEV ? 0 : k < 0 ? k : rtnl_link_remove(r, index, e);
}
