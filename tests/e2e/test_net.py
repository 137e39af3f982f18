"""The machines' network (ward-net, ward-uplink), with real packets.

   world ---- host ---- uplink ---- machines (ward-net: taps, routes, nftables)
 203.0.113.2   |                     |        |        |
              services              tap      tap      tap
                                     a1       a2       b1        guests: namespaces joined to their taps
                                     \\_ organisation 1 _/     2
"""
import json, os, shutil, socket, stat, struct, tempfile, time

import pytest

from netlab import Daemon, Guest, Ipc, Namespace, checksum, echoes, listen, program, reaches, udp_frame

NET, UPLINK = program("ward-net"), program("ward-uplink")
INSTANCE = f"nt{os.getpid() % 100000}"
TAP = "IIQ16sIIII"
ANSWER = "IIQiI240s48s48s16s16s48s18s6x"
A1, A2, B1 = "aaaaaaaaaaaaa1", "aaaaaaaaaaaaa2", "bbbbbbbbbbbbb1"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces: needs root")


def text(b):
    return b.split(b"\0")[0].decode()


class Net:
    def __init__(self, path, user="ward-agent"):
        self.ipc = Ipc(path, user)

    def ask(self, kind, machine, network=0, number=0, host=7):
        data, fds = self.ipc.call(struct.pack(TAP, kind, 1, 5, machine.encode(), network, host, number, 0),
                                  struct.calcsize(ANSWER))
        f = struct.unpack(ANSWER, data)
        names = ("ipv6", "ipv6_gateway", "ipv4", "ipv4_gateway", "dns", "mac")
        return {"result": f[3], "text": text(f[5]), **dict(zip(names, map(text, f[6:12])))}, fds

    def list(self):
        data, _ = self.ipc.call(struct.pack(TAP, 3, 1, 6, b"", 0, 0, 0, 0), 24 + 16 * 1024)
        n = struct.unpack_from("I", data, 16)[0]
        return sorted(text(data[20 + 16 * i:36 + 16 * i]) for i in range(n))


class Lab:
    def __init__(self, folder):
        self.folder = folder
        self.clean = []
        self.guest = {}
        try:
            self.build()
        except BaseException:
            self.close()
            raise

    def keep(self, thing, how):
        self.clean.append(getattr(thing, how))
        return thing

    def build(self):
        self.machines = self.keep(Namespace("m"), "remove")
        self.host = self.keep(Namespace("h"), "remove")
        self.world = self.keep(Namespace("w"), "remove")
        w, h = self.world, self.host
        h("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", w.name)
        for ns, last in ((h, 1), (w, 2)):
            ns("ip", "addr", "add", f"203.0.113.{last}/24", "dev", "eth0")
            ns("ip", "-6", "addr", "add", f"2001:db8:1::{last}/64", "dev", "eth0", "nodad")
            ns("ip", "link", "set", "eth0", "up")
        w("ip", "addr", "add", "10.9.9.9/32", "dev", "lo")
        h("ip", "route", "add", "default", "via", "203.0.113.2")
        h("ip", "-6", "route", "add", "default", "via", "2001:db8:1::2")
        self.uplink("up")
        self.clean.append(lambda: self.uplink("down"))
        self.start_net()
        for name, machine, network, number in (("a1", A1, 1, 1), ("a2", A2, 1, 2), ("b1", B1, 2, 3)):
            answer, fds = self.net.ask(1, machine, network, number)
            assert answer["result"] == 0, answer["text"]
            self.guest[name] = self.keep(Guest(name, fds[0], answer), "stop")

    def uplink(self, what):
        self.host(UPLINK, what, "--instance", INSTANCE, "--netns", self.machines.path)

    def start_net(self):
        tun = self.folder + "/tun"  # wardd gives ward-net a node of its own too: the host's may be root's alone
        if not os.path.exists(tun):
            os.mknod(tun, 0o600 | stat.S_IFCHR, os.makedev(10, 200))
            shutil.chown(tun, "ward-net")
        self.daemon = self.keep(Daemon(NET, "net", self.folder, "--instance", INSTANCE, "--tun", tun,
                                       namespace=self.machines, user="ward-net", caps=["net_admin"]), "stop")
        self.net = Net(self.daemon.path)

    def counter(self, name):
        out = self.machines("nft", "-j", "list", "counter", "inet", f"net-{INSTANCE}", name).stdout
        return next(x["counter"]["packets"] for x in json.loads(out)["nftables"] if "counter" in x)

    def close(self):
        for f in reversed(self.clean):
            try:
                f()
            except Exception as e:  # the rest must still be cleaned
                print("cleaning:", e)


@pytest.fixture(scope="module")
def lab():
    with tempfile.TemporaryDirectory(prefix="ward-net-") as folder:
        os.chmod(folder, 0o755)
        lab = Lab(folder)
        yield lab
        lab.close()


def test_machines_of_one_organisation_reach_each_other(lab):
    a1, a2 = lab.guest["a1"], lab.guest["a2"]
    with listen(a2.ns, 5432):
        before = lab.counter("to_peer")
        assert reaches(a1.ns, a2.answer["ipv6"], 5432), lab.daemon.text()
        assert lab.counter("to_peer") > before


def test_nobody_else_reaches_them(lab):
    a1, a2, b1 = (lab.guest[n] for n in ("a1", "a2", "b1"))
    with listen(a2.ns, 5433), listen(a2.ns, 5434, socket.AF_INET):
        before = lab.counter("to_machine")
        assert not reaches(b1.ns, a2.answer["ipv6"], 5433)
        assert not reaches(b1.ns, a2.answer["ipv4"], 5434)
        assert not reaches(a1.ns, a2.answer["ipv4"], 5434), "private IPv4 is the edge's alone"
        assert lab.counter("to_machine") >= before + 3
        assert not reaches(lab.machines, a2.answer["ipv6"], 5433), "6PN is not the edge's"
        assert not reaches(lab.world, a2.answer["ipv6"], 5433)


def test_a_forged_source_is_dropped_and_counted(lab):
    a1, a2, b1 = (lab.guest[n] for n in ("a1", "a2", "b1"))
    links = json.loads(lab.machines("ip", "-j", "link").stdout)
    mac = {l["ifname"]: bytes.fromhex(l["address"].replace(":", "")) for l in links}["t" + B1]
    own = bytes.fromhex(b1.answer["mac"].replace(":", ""))
    with listen(a2.ns, 9000, kind=socket.SOCK_DGRAM) as s, listen(a2.ns, 9001, socket.AF_INET, socket.SOCK_DGRAM) as s4:
        s.settimeout(0.5)
        s4.settimeout(0.5)
        forged = [(a1.answer["ipv6"], a2.answer["ipv6"], 9000), ("fdaa:0:1:0:7:0:1:99", a2.answer["ipv6"], 9000),
                  ("fe80::99", a2.answer["ipv6"], 9000), ("fdaa::3", a2.answer["ipv6"], 9000),
                  ("2001:db8:1::2", a2.answer["ipv6"], 9000), (a1.answer["ipv4"], a2.answer["ipv4"], 9001),
                  ("172.19.0.1", a2.answer["ipv4"], 9001), ("203.0.113.2", "203.0.113.2", 9001)]
        before = lab.counter("spoofed")
        for src, dst, port in forged:
            b1.send(udp_frame(mac, own, src, dst, port))
        for sock in (s, s4):
            with pytest.raises(TimeoutError):
                sock.recv(100)
        assert lab.counter("spoofed") >= before + len(forged)
        # the check can fail: the same frame with its true source arrives inside the organisation
        mac_a1 = {l["ifname"]: bytes.fromhex(l["address"].replace(":", "")) for l in links}["t" + A1]
        a1.send(udp_frame(mac_a1, bytes.fromhex(a1.answer["mac"].replace(":", "")), a1.answer["ipv6"], a2.answer["ipv6"],
                          9000, b"true"))
        assert s.recv(100) == b"true"


def test_the_edge_reaches_machines_and_machines_do_not_reach_it(lab):
    import pwd
    edge = pwd.getpwnam("ward-edge").pw_uid
    dns = pwd.getpwnam("ward-dns").pw_uid
    b1 = lab.guest["b1"]
    with listen(b1.ns, 8080, socket.AF_INET), listen(lab.machines, 9443, socket.AF_INET), listen(lab.machines, 53):
        assert reaches(lab.machines, b1.answer["ipv4"], 8080, uid=edge)
        assert not reaches(lab.machines, b1.answer["ipv4"], 8080, uid=dns), "only the edge has business with machines"
        before = lab.counter("to_host")
        assert not reaches(b1.ns, b1.answer["ipv4_gateway"], 9443)
        assert not reaches(b1.ns, "fdaa::3", 54)
        assert lab.counter("to_host") >= before + 2
        assert reaches(b1.ns, "fdaa::3", 53), "the resolver is reachable"
        assert echoes(b1.ns, b1.answer["ipv4_gateway"])


def test_the_outside_is_reached_by_nat_and_reaches_nobody(lab):
    a1 = lab.guest["a1"]
    with listen(lab.world, 80, socket.AF_INET) as s4, listen(lab.world, 81) as s6:
        assert reaches(a1.ns, "203.0.113.2", 80)
        assert s4.accept()[1][0] == "203.0.113.1", "the host's own address, by NAT"
        assert reaches(a1.ns, "2001:db8:1::2", 81)
        assert s6.accept()[1][0] == "2001:db8:1::1"
    with listen(a1.ns, 8081, socket.AF_INET):
        lab.world("ip", "route", "replace", "172.19.0.0/16", "via", "203.0.113.1")
        assert not reaches(lab.world, a1.answer["ipv4"], 8081)
        assert not reaches(lab.host, a1.answer["ipv4"], 8081)


def test_private_addresses_and_the_hosts_own_services_are_closed(lab):
    a1 = lab.guest["a1"]
    inside = [a["local"] for i in json.loads(lab.host("ip", "-j", "addr").stdout) for a in i["addr_info"]
              if i["ifname"].startswith("wu-") and a["scope"] == "global"]
    assert len(inside) == 2, "the uplink's two host addresses"
    with listen(lab.world, 82, socket.AF_INET), listen(lab.host, 22, socket.AF_INET), listen(lab.host, 23):
        assert reaches(lab.host, "10.9.9.9", 82), "the host itself does reach it"
        before = lab.counter("to_private")
        assert not reaches(a1.ns, "10.9.9.9", 82)
        assert lab.counter("to_private") > before
        for address in ["203.0.113.1"] + [a for a in inside if "." in a]:
            assert not reaches(a1.ns, address, 22), f"the host's service at {address}"
        for address in ["2001:db8:1::1"] + [a for a in inside if ":" in a]:
            assert not reaches(a1.ns, address, 23), f"the host's service at {address}"
        assert reaches(lab.world, "203.0.113.1", 22), "the check can fail: others do reach it"


def test_a_restarted_ward_net_finds_its_taps_and_disturbs_nothing(lab):
    a1, a2 = lab.guest["a1"], lab.guest["a2"]
    with listen(a2.ns, 5435) as s:
        c = a1.ns.inside(lambda: socket.create_connection((a2.answer["ipv6"], 5435), 2))
        peer, _ = s.accept()
        lab.daemon.stop()
        c.sendall(b"one")
        assert peer.recv(10) == b"one", "packets do not need the daemon"
        lab.start_net()
        assert lab.net.list() == sorted([A1, A2, B1])
        c.sendall(b"two")
        assert peer.recv(10) == b"two"
        assert reaches(a1.ns, a2.answer["ipv6"], 5435)
        c.close()
        peer.close()


def test_wrong_questions_are_refused(lab):
    assert lab.net.ask(1, A1, 1, 1)[0]["result"] == -17, "its tap is open elsewhere"
    for machine, network, number in (("../../../../etc", 1, 9), ("AAAAAAAAAAAAAA", 1, 9), (A1, 0, 9), ("c" * 14, 1, 0),
                                     ("c" * 14, 1, 70000)):
        answer, fds = lab.net.ask(1, machine, network, number)
        assert answer["result"] == -22 and not fds, (machine, answer)
    answer, _ = lab.net.ask(1, "cccccccccccccc", 1, 1)
    assert answer["result"] == -17 and A1 in answer["text"], "a number is one machine's"
    stranger = Net(lab.daemon.path, "ward-edge")
    assert stranger.ipc.receive(10)[0] == b"", "only the agent may ask"


def test_a_removed_machine_leaves_nothing(lab):
    answer, fds = lab.net.ask(1, "cccccccccccccc", 1, 4)
    assert answer["result"] == 0, answer["text"]
    os.close(fds[0])
    again, fds = lab.net.ask(1, "cccccccccccccc", 1, 5)
    assert again["result"] == 0 and again["ipv4"] == "172.19.0.6", "a new number: new addresses"
    os.close(fds[0])
    assert lab.net.ask(2, "cccccccccccccc")[0]["result"] == 0
    assert lab.net.ask(2, "cccccccccccccc")[0]["result"] == 0, "twice is harmless"
    assert "cccccccccccccc" not in lab.net.list()
    for what in (("ip", "link"), ("ip", "route"), ("ip", "-6", "route"), ("nft", "list", "ruleset")):
        assert "cccccccccccccc" not in lab.machines(*what).stdout


def tracked(lab):
    return int(lab.machines("cat", "/proc/sys/net/netfilter/nf_conntrack_count").stdout)


def test_a_new_machine_never_gets_an_old_ones_packets(lab):
    """Its number goes to a machine of another organisation while a peer outside still sends."""
    answer, fds = lab.net.ask(1, "dddddddddddddd", 1, 20)
    old = Guest("d1", fds[0], answer)
    with listen(lab.world, 85, socket.AF_INET) as s, listen(lab.world, 86, kind=socket.SOCK_DGRAM) as u:
        before = tracked(lab)
        c = old.ns.inside(lambda: socket.create_connection(("203.0.113.2", 85), 2))
        peer, _ = s.accept()
        d = old.ns.inside(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        d.bind(("::", 7000))
        d.sendto(b"x", ("2001:db8:1::2", 86))
        u.settimeout(2)
        back = u.recvfrom(10)[1]
        assert tracked(lab) >= before + 2
        u.sendto(b"answer", back)
        assert d.recv(10) == b"answer"
        old.stop()
        assert lab.net.ask(2, "dddddddddddddd")[0]["result"] == 0
        assert tracked(lab) <= before, "its connections are forgotten"
        answer, fds = lab.net.ask(1, "eeeeeeeeeeeeee", 2, 20)
        new = Guest("e1", fds[0], answer)
        try:
            with listen(new.ns, 7000, kind=socket.SOCK_DGRAM) as late:
                late.settimeout(0.5)
                u.sendto(b"patient data", back)
                peer.sendall(b"patient data")
                with pytest.raises(TimeoutError):
                    late.recv(100)
        finally:
            new.stop()
            lab.net.ask(2, "eeeeeeeeeeeeee")
        for sock in (c, peer, d):
            sock.close()


def test_one_machine_cannot_fill_the_table_of_connections(lab):
    a1, b1 = lab.guest["a1"], lab.guest["b1"]
    before = lab.counter("crowded")

    def flood():
        for port in range(20000, 24400):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.sendto(b"x", ("203.0.113.2", port))
            if port % 50 == 0:
                time.sleep(0.01)  # as fast as the test's cable carries
    b1.ns.inside(flood)
    time.sleep(0.5)
    assert lab.counter("crowded") > before
    with listen(lab.world, 87, socket.AF_INET):
        assert reaches(a1.ns, "203.0.113.2", 87), "others go on"
    n = tracked(lab)
    q = bytes.fromhex("123401000001000000000000") + b"\1x\0\0\x1c\0\1"

    def ask():
        for port in range(200):
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
                s.sendto(q, ("fdaa::3", 53))
    a1.ns.inside(ask)
    assert tracked(lab) < n + 50, "questions to the resolver are not tracked"


def test_a_machine_cannot_fill_the_table_of_neighbours(lab):
    """That table is one for the whole host."""
    a1, a2, b1 = (lab.guest[n] for n in ("a1", "a2", "b1"))
    neighbours = lambda machine: len(lab.machines("ip", "-6", "neigh", "show", "dev", "t" + machine).stdout.splitlines())
    base = a2.answer["ipv6"].rsplit(":", 1)[0]

    def scan():
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
            for i in range(3, 600):
                s.sendto(b"x", (f"{base}:{i:x}", 9))
                if i % 50 == 0:
                    time.sleep(0.01)
    a1.ns.inside(scan)
    assert neighbours(A2) < 10, "its 65536 addresses are one neighbour"
    with listen(a2.ns, 5436) as s:
        a2.ns("ip", "-6", "addr", "add", f"{base}:77/112", "dev", "eth0", "nodad")
        assert reaches(a1.ns, f"{base}:77", 5436), "each of them reaches it"
    before = lab.counter("crowded")
    gateway, solicited = socket.inet_pton(socket.AF_INET6, "fe80::1"), socket.inet_pton(socket.AF_INET6, "ff02::1:ff00:1")
    own = bytes.fromhex(b1.answer["mac"].replace(":", ""))
    for i in range(500):
        source = socket.inet_pton(socket.AF_INET6, f"fe80::77:{i:x}")
        body = struct.pack("!BBHI", 135, 0, 0, 0) + gateway + b"\1\1" + own
        body = body[:2] + struct.pack("!H", checksum(source + solicited + struct.pack("!II", len(body), 58) + body)) + body[4:]
        b1.send(bytes.fromhex("3333ff000001") + own + b"\x86\xdd" + struct.pack("!IHBB", 0x60000000, len(body), 58, 255) + source + solicited + body)
    time.sleep(0.3)
    assert 1 < neighbours(B1) < 150
    assert lab.counter("crowded") > before + 300


def test_a_large_packet_is_told_what_fits(lab):
    """The uplink may be narrower than a machine's card."""
    a1 = lab.guest["a1"]
    lab.machines("ip", "link", "set", "uplink", "mtu", "1300")
    try:
        def send():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
                s.connect(("203.0.113.2", 90))
                for _ in range(20):
                    try:
                        s.send(b"x" * 1400)
                    except OSError:
                        return s.getsockopt(socket.IPPROTO_IP, 14)  # IP_MTU
                    time.sleep(0.05)
        assert a1.ns.inside(send) == 1300
    finally:
        lab.machines("ip", "link", "set", "uplink", "mtu", "1500")


def test_the_uplink_comes_twice_and_goes_without_a_trace():
    clean = []
    try:
        host, one, two = (Namespace(n) for n in ("uh", "u1", "u2"))
        clean = [host.remove, one.remove, two.remove]
        host("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "out")
        host("ip", "link", "set", "eth0", "mtu", "1400", "up")
        host("ip", "link", "set", "out", "up")
        host("ip", "addr", "add", "192.0.2.10/24", "dev", "eth0")
        host("ip", "-6", "addr", "add", "2001:db8::10/64", "dev", "eth0", "nodad")
        host("ip", "route", "add", "default", "via", "192.0.2.1")
        host("ip", "-6", "route", "add", "default", "via", "2001:db8::1")
        host("sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0", "net.ipv6.conf.eth0.accept_ra=1")
        read = lambda name: host("cat", f"/proc/sys/net/{name}").stdout.strip()
        addr = lambda ns: ns("ip", "-o", "addr", "show", "dev", "uplink").stdout

        def snapshot():
            return [host("ip", "-o", "link").stdout.count("wu-"), host("nft", "list", "tables").stdout,
                    read("ipv4/conf/eth0/forwarding"), read("ipv6/conf/all/forwarding")]
        before = snapshot()
        assert before == [0, "", "0", "0"]
        host(UPLINK, "up", "--instance", "ui", "--netns", one.path)
        first = addr(one)
        assert "169.254.2" in first and "fd57:6172" in first and " mtu 1400" in one("ip", "link", "show", "uplink").stdout
        host(UPLINK, "up", "--instance", "ui", "--netns", one.path)
        assert addr(one) == first, "twice is the same"
        assert read("ipv6/conf/eth0/accept_ra") == "2", "the host still learns its own routes"
        host(UPLINK, "up", "--instance", "uj", "--netns", two.path)
        assert addr(two) != first
        assert '"not_ours" drop' in host("nft", "list", "table", "inet", "uplink-ui").stdout
        host(UPLINK, "down", "--instance", "ui")
        assert read("ipv4/conf/eth0/forwarding") == "1", "the other instance needs it"
        host(UPLINK, "down", "--instance", "uj")
        host(UPLINK, "down", "--instance", "uj")
        assert snapshot() == before
        host(UPLINK, "up", "--instance", "ui", "--netns", one.path)
        one.remove()
        clean[1] = lambda: None
        again = Namespace("u3")
        clean.append(again.remove)
        host(UPLINK, "up", "--instance", "ui", "--netns", again.path)
        assert "169.254.2" in addr(again), "a new namespace in place of one that is gone"
        bad = host(UPLINK, "up", "--instance", "x y", "--netns", again.path, ok=False)
        assert bad.returncode and "next:" in bad.stderr
    finally:
        for f in clean:
            f()
