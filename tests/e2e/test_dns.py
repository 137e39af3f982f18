"""ward-dns: names of one organisation, over real sockets, from a names' table as ward-agent writes it.

   asker (fdaa:0:7::..., fdaa:0:8::...) --- veth --- [fdaa::3]:53 ward-dns --- veth --- upstream resolver (the test)
"""
import contextlib, json, os, shutil, socket, struct, tempfile, threading, time

import pytest

from netlab import Daemon, Namespace, program

A, NS, TXT, AAAA, ANY = 1, 2, 16, 28, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
SHOP, OTHER = "fdaa:0:7:0:1:0:9:2", "fdaa:0:8:0:1:0:9:2"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces: needs root")


def query(name, kind, ident=0x1234, edns=False, flags=0x0100, cls=1):
    q = b"".join(bytes([len(l)]) + l.encode() for l in name.split(".") if l) + b"\0"
    opt = b"\0\0\x29\x10\0\0\0\0\0\0\0" if edns else b""
    return struct.pack("!HHHHHH", ident, flags, 1, 0, 0, 1 if edns else 0) + q + struct.pack("!HH", kind, cls) + opt


def name_at(p, at):
    while p[at]:
        if p[at] >= 0xC0:
            return at + 2
        at += 1 + p[at]
    return at + 1


def parse(p):
    ident, flags, qd, an, ns, ar = struct.unpack("!HHHHHH", p[:12])
    at = 12
    for _ in range(qd):
        at = name_at(p, at) + 4
    answers = []
    for _ in range(an):
        at = name_at(p, at)
        kind, _, ttl, n = struct.unpack("!HHIH", p[at:at + 10])
        data = p[at + 10:at + 10 + n]
        at += 10 + n
        if kind == AAAA:
            data = socket.inet_ntop(socket.AF_INET6, data)
        elif kind == TXT:
            text = b""
            while data:
                text, data = text + data[1:1 + data[0]], data[1 + data[0]:]
            data = text.decode()
        assert ttl == 5
        answers.append(data)
    return {"id": ident, "rcode": flags & 15, "tc": bool(flags & 0x200), "qr": bool(flags & 0x8000), "answers": answers}


def record(app, number, network=7, region="home", group="app", state="started"):
    return {"app": app, "network": network, "machine": f"{network:04x}{number:010x}", "ip6": f"fdaa:0:{network:x}:0:1:0:{number:x}:2",
            "region": region, "group": group, "state": state}


RECORDS = [record("shop", 1), record("shop", 2, region="away"), record("shop", 3, group="worker"),
           record("shop", 4, state="stopped"), record("db", 5), record("idle", 6, state="stopped"),
           record("shop", 1, network=8), record("secret", 2, network=8)] + [record("many", 100 + i) for i in range(200)]


class Lab:
    def __init__(self, folder):
        self.folder, self.clean = folder, []
        try:
            self.inside, self.asker, self.up = (self.keep(Namespace(n), "remove") for n in ("dm", "da", "du"))
            m = self.inside
            for other, name in ((self.asker, "ta"), (self.up, "uplink")):
                m("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", other.name)
                m("ip", "link", "set", name, "up")
                other("ip", "link", "set", "eth0", "up")
            for a in (SHOP, OTHER, "fdaa:0:9::2", "fd00::9"):
                self.asker("ip", "-6", "addr", "add", a + "/128", "dev", "eth0", "nodad")
                m("ip", "-6", "route", "add", a, "dev", "ta")
            m("ip", "-6", "addr", "add", "fe80::1/64", "dev", "ta", "nodad")
            self.asker("ip", "-6", "route", "add", "fdaa::3", "via", "fe80::1", "dev", "eth0")
            m("sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=0")
            m("ip", "addr", "add", "192.0.2.1/30", "dev", "uplink")
            self.up("ip", "addr", "add", "192.0.2.2/30", "dev", "eth0")
            os.makedirs(f"{folder}/run/ward/names")
            self.write(RECORDS)
            self.resolver()
            # before ward-net: the address comes later
            self.daemon = self.keep(Daemon(program("ward-dns"), "", folder, "--root", folder, "--upstream", "192.0.2.2",
                                           namespace=m, user="ward-dns"), "stop")
            m("ip", "-6", "addr", "add", "fdaa::3/128", "dev", "lo", "nodad")
            end = time.monotonic() + 5
            while time.monotonic() < end and "answering" not in self.daemon.text():
                time.sleep(0.02)
        except BaseException:
            self.close()
            raise

    def keep(self, thing, how):
        self.clean.append(getattr(thing, how))
        return thing

    def write(self, records, text=None):
        path = f"{self.folder}/run/ward/names/table.json"
        with open(path + ".tmp", "w") as f:
            f.write(text if text is not None else json.dumps({"v": 1, "records": records}))
        os.rename(path + ".tmp", path)
        time.sleep(0.15)

    def resolver(self):
        """The upstream: knows example.org; answers no other; is asked over UDP and TCP."""
        self.asked = []

        def answer(q):
            self.asked.append(q)
            if b"example" not in q:
                return None
            fixed = q[:2] + b"\x81\x80" + q[4:6] + b"\0\x01\0\0\0\0" + q[12:name_at(q, 12) + 4]
            return fixed + b"\xc0\x0c" + struct.pack("!HHIH", AAAA, 1, 5, 16) + socket.inet_pton(socket.AF_INET6, "2001:db8::77")
        u = self.up.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        t = self.up.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        for s in (u, t):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("192.0.2.2", 53))
            self.keep(s, "close")
        t.listen(8)

        def udp():
            while True:
                try:
                    q, who = u.recvfrom(5000)
                except OSError:
                    return
                a = answer(q)
                if a:
                    u.sendto(bytes([a[0] ^ 1]) + a[1:], who)  # a forged one first: another id
                    u.sendto(a[:12] + a[12:].replace(b"example", b"exampel"), who)  # and one to another question
                    u.sendto(a, who)

        def tcp():
            while True:
                try:
                    c, _ = t.accept()
                except OSError:
                    return
                q = c.recv(5000)
                a = answer(q[2:])
                if a:
                    a = struct.pack("!H", len(a)) + a
                    for i in range(0, len(a), 7):
                        c.sendall(a[i:i + 7])
                c.close()
        for f in (udp, tcp):
            threading.Thread(target=f, daemon=True).start()

    def raw(self, data, source=SHOP, timeout=2):
        def make():
            s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            s.bind((source, 0))
            return s
        with self.asker.inside(make) as s:
            s.settimeout(timeout)
            s.sendto(data, ("fdaa::3", 53))
            return s.recv(70000)

    def ask(self, name, kind=AAAA, source=SHOP, **kw):
        a = parse(self.raw(query(name, kind, **kw), source))
        assert a["id"] == 0x1234 and a["qr"]
        return a

    def connect(self, source=SHOP):
        def make():
            s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
            s.bind((source, 0))
            s.settimeout(5)
            s.connect(("fdaa::3", 53))
            return s
        return self.asker.inside(make)

    @staticmethod
    def read(s, n):
        out = b""
        while len(out) < n:
            more = s.recv(n - len(out))
            if not more:
                raise ConnectionResetError
            out += more
        return out

    def over_tcp(self, s, name, kind=AAAA):
        q = query(name, kind)
        s.sendall(struct.pack("!H", len(q)) + q)
        return parse(self.read(s, struct.unpack("!H", self.read(s, 2))[0]))

    def close(self):
        for f in reversed(self.clean):
            try:
                f()
            except Exception as e:
                print("cleaning:", e)


@pytest.fixture(scope="module")
def lab():
    with tempfile.TemporaryDirectory(prefix="ward-dns-") as folder:
        os.chmod(folder, 0o755)
        lab = Lab(folder)
        yield lab
        lab.close()


def addresses(*numbers):
    return {f"fdaa:0:7:0:1:0:{n:x}:2" for n in numbers}


@pytest.mark.parametrize("name,numbers", [
    ("shop.internal", (1, 2, 3)), ("SHOP.Internal", (1, 2, 3)), ("global.shop.internal", (1, 2, 3)), ("home.shop.internal", (1, 3)),
    ("away.shop.internal", (2,)), ("worker.process.shop.internal", (3,)), ("db.internal", (5,)),
    ("00070000000002.vm.shop.internal", (2,)), ("top2.nearest.of.shop.internal", (1, 2)), ("top9.nearest.of.shop.internal", (1, 2, 3)),
    ("idle.internal", ()), ("_api.internal", ())])
def test_names_of_ones_own_organisation(lab, name, numbers):
    a = lab.ask(name)
    assert a["rcode"] == NOERROR and set(a["answers"]) == addresses(*numbers)


@pytest.mark.parametrize("name", [
    "secret.internal", "nothing.internal", "mars.shop.internal", "00070000000004.vm.shop.internal", "00080000000001.vm.shop.internal",
    "none.process.shop.internal", "top0.nearest.of.shop.internal", "topx.nearest.of.shop.internal", "a.b.c.shop.internal",
    "a.b.c.d.e.f.g.shop.internal", "x.nearest.shop.internal"])
def test_no_such_name(lab, name):
    a = lab.ask(name)
    assert a["rcode"] == NXDOMAIN and not a["answers"]


def test_another_organisation_sees_its_own_only(lab):
    assert lab.ask("shop.internal", source=OTHER)["answers"] == ["fdaa:0:8:0:1:0:1:2"]
    assert lab.ask("secret.internal", source=OTHER)["rcode"] == NOERROR
    assert lab.ask("db.internal", source=OTHER)["rcode"] == NXDOMAIN
    assert lab.ask("shop.internal", source="fdaa:0:9::2")["rcode"] == NXDOMAIN
    assert lab.ask("_apps.internal", TXT, source=OTHER)["answers"] == ["secret,shop"]
    assert lab.ask("shop.internal", source="fd00::9")["rcode"] == REFUSED, "not a machine"
    assert lab.ask("example.org", source="fd00::9")["rcode"] == REFUSED


def test_texts(lab):
    assert lab.ask("_apps.internal", TXT)["answers"] == ["db,idle,many,shop"]
    assert lab.ask("vms.shop.internal", TXT)["answers"] == ["00070000000001 home,00070000000002 away,00070000000003 home"]
    assert lab.ask("regions.shop.internal", TXT)["answers"] == ["home,away"]
    many = lab.ask("vms.many.internal", TXT, edns=True)
    assert many["tc"] and not many["answers"]
    with lab.connect() as s:
        assert lab.over_tcp(s, "vms.many.internal", TXT)["answers"][0].count(",") == 199


def test_other_types_are_empty_not_missing(lab):
    for kind in (A, NS, TXT):
        a = lab.ask("shop.internal", kind)
        assert a["rcode"] == NOERROR and not a["answers"]


def test_a_long_answer_is_cut_and_whole_by_tcp(lab):
    plain, edns = lab.raw(query("many.internal", AAAA)), lab.raw(query("many.internal", AAAA, edns=True))
    assert len(plain) <= 512 and parse(plain)["tc"] and len(parse(plain)["answers"]) > 5
    assert len(edns) <= 1232 and parse(edns)["tc"] and len(parse(edns)["answers"]) > len(parse(plain)["answers"])
    with lab.connect() as s:
        for _ in range(2):
            assert set(lab.over_tcp(s, "many.internal")["answers"]) == addresses(*range(100, 300))


def test_addresses_come_in_turn(lab):
    assert len({lab.ask("shop.internal")["answers"][0] for _ in range(12)}) == 3


def test_other_names_go_upstream_and_forgeries_do_not_come_back(lab):
    n = len(lab.asked)
    a = lab.ask("www.example.org")
    assert a["rcode"] == NOERROR and a["answers"] == ["2001:db8::77"]
    assert len(lab.asked) == n + 1 and lab.asked[-1][:2] != b"\x12\x34", "with an id of our own"
    with lab.connect() as s:
        assert lab.over_tcp(s, "www.example.org")["answers"] == ["2001:db8::77"]


def test_names_of_ours_never_go_upstream(lab):
    n = len(lab.asked)
    for name in ("secret.internal", "internal", "x.internal"):
        lab.ask(name)
    assert len(lab.asked) == n


def test_a_silent_upstream_ends_in_servfail(lab):
    a = parse(lab.raw(query("silent.test", AAAA), timeout=12))
    assert a["rcode"] == SERVFAIL


def test_the_table_is_followed_and_a_bad_one_ignored(lab):
    lab.write(RECORDS + [record("fresh", 77)])
    assert set(lab.ask("fresh.internal")["answers"]) == addresses(77)
    stranger = record("evil", 1)
    stranger["ip6"] = "fdaa:0:8:0:1:0:1:2"
    for text in ("", "{", '{"v":2,"records":[]}', json.dumps({"v": 1, "records": [stranger]}), json.dumps({"v": 1, "records": [{}]})):
        lab.write(None, text)
        assert set(lab.ask("fresh.internal")["answers"]) == addresses(77), text
        assert lab.ask("evil.internal")["rcode"] == NXDOMAIN
    lab.write(RECORDS)
    assert lab.ask("fresh.internal")["rcode"] == NXDOMAIN


def test_broken_questions(lab):
    assert parse(lab.raw(b"\x12\x34\x01\x00\0\1\0\0\0\0\0\0\xc0\x0c\0\x1c\0\1"))["rcode"] == FORMERR, "a name that points at itself"
    assert parse(lab.raw(query("shop.internal", AAAA, flags=0x2800)))["rcode"] in (NOTIMP, FORMERR), "an UPDATE"
    assert parse(lab.raw(query("shop.internal", AAAA, cls=3)))["rcode"] == FORMERR
    for drop in (b"", b"\0" * 11, query("shop.internal", AAAA, flags=0x8180), os.urandom(2) + b"\x80" * 20):
        with pytest.raises(TimeoutError):
            lab.raw(drop, timeout=0.2)
    assert lab.ask("shop.internal")["answers"]


def test_tcp_is_bounded(lab):
    own = [lab.connect() for _ in range(4)]
    fifth = lab.connect()
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        lab.over_tcp(fifth, "shop.internal")
    with lab.connect(OTHER) as other:
        assert lab.over_tcp(other, "shop.internal")["answers"], "one machine cannot take all of them"
    own[0].sendall(struct.pack("!H", 60000) + b"x" * 100)
    with pytest.raises(ConnectionResetError):
        lab.read(own[0], 2)
    for s in own + [fifth]:
        s.close()


def test_one_machine_cannot_drown_the_rest(lab):
    def make():
        s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        s.bind((SHOP, 0))
        s.settimeout(0.3)
        return s
    with lab.asker.inside(make) as s:
        got = 0
        for _ in range(30):
            for _ in range(100):
                s.sendto(query("shop.internal", AAAA), ("fdaa::3", 53))
            try:
                while True:
                    s.recv(2000)
                    got += 1
                    if got % 100 == 0:
                        break
            except TimeoutError:
                break
        assert got < 2000, "its questions are limited"
        assert lab.ask("shop.internal", source=OTHER)["answers"]


def test_silence_upstream_costs_one_machine_its_own_places_only(lab):
    def make():
        s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        s.bind((SHOP, 0))
        s.settimeout(1)
        return s
    time.sleep(1.5)  # the bucket fills again
    with lab.asker.inside(make) as s:
        for i in range(100):
            s.sendto(query("black.hole", AAAA, ident=i), ("fdaa::3", 53))
        refused = [parse(s.recv(4096)) for _ in range(36)]
        assert {a["rcode"] for a in refused} == {SERVFAIL}
        with pytest.raises(TimeoutError):
            s.recv(4096)
        assert lab.ask("example.org", source=OTHER)["answers"] == ["2001:db8::77"]


def test_one_organisation_cannot_take_all_places(lab):
    many = [f"fdaa:0:7:0:1:0:{n:x}:2" for n in range(0x20, 0x31)]
    for a in many:
        lab.asker("ip", "-6", "addr", "add", a + "/128", "dev", "eth0", "nodad")
        lab.inside("ip", "-6", "route", "add", a, "dev", "ta")

    def udp(a):
        s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        s.bind((a, 0))
        return s
    with contextlib.ExitStack() as stack:
        for a in many:
            s = stack.enter_context(lab.asker.inside(lambda: udp(a)))
            for i in range(60):
                s.sendto(query("black.hole", AAAA, ident=i), ("fdaa::3", 53))
            for _ in range(4):
                stack.enter_context(lab.connect(a))
        assert lab.ask("example.org", source=OTHER)["answers"] == ["2001:db8::77"]
        with lab.connect(OTHER) as s:
            assert lab.over_tcp(s, "shop.internal", AAAA)["answers"]
