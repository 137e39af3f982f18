"""src/store against a real etcd, with a proxy between that loses, repeats, delays and cuts watch streams.

    store_driver (JSON lines; one a user) ---> proxy.sock ---> <run>/etcd.sock -> etcd/client.sock:0 ---> etcd (user ward-etcd)
                                                               ward-store-setup -----------------------^
"""
import base64, json, os, pathlib, pwd, queue, random, re, secrets, shutil, signal, socket, stat, subprocess, threading, time

import pytest

import wardtest
from wardtest import wait_for

DRIVER = pathlib.Path(os.environ.get("WARD_STORE_DRIVER", wardtest.ROOT / "build/main/tests/unit/store/store_driver"))
KEYS = wardtest.ROOT / "src/store/keys.c"


def etcd_arguments(data):
    """As wardd gives them (src/supervisor/table.c)."""
    peer, client = "unix://peer.sock:0", "unix://client.sock:0"
    return ["/usr/bin/etcd", "--data-dir", data, "--name", "default", "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
            "--auto-compaction-mode", "periodic", "--auto-compaction-retention", "1h", "--max-request-bytes", "1048576",
            "--bcrypt-cost", "4", "--logger", "zap", "--log-outputs", "stderr", "--log-level", "error"]


class Etcd:
    """One etcd with users and roles set up for host h1."""
    def __init__(self, extra=()):
        self.root = pathlib.Path(f"/tmp/wt-store-{secrets.token_hex(4)}")
        self.lib, self.run = self.root / "var/lib/ward", self.root / "run/ward"
        self.extra, self.process = list(extra), None
        user = pwd.getpwnam("ward-etcd")
        for d in (self.lib / "etcd", self.run / "etcd"):
            d.mkdir(parents=True)
            os.chown(d, user.pw_uid, user.pw_gid)
        (self.run / "etcd").chmod(0o710)
        (self.lib / "etcd").chmod(0o700)
        self.socket = self.run / "etcd.sock"
        self.socket.symlink_to("etcd/client.sock:0")
        self.passwords = {n: secrets.token_hex(32) for n in ("root", "api", "control", "agent", "edge", "dns", "telemetry")}

    def start(self):
        for name in ("client.sock:0", "peer.sock:0"):  # etcd does not start over the client socket of one that was killed
            (self.run / "etcd" / name).unlink(missing_ok=True)
        self.log = open(self.root / "etcd.log", "ab")
        self.process = subprocess.Popen(etcd_arguments(str(self.lib / "etcd/data")) + self.extra, cwd=self.run / "etcd", umask=0o007,
                                        user="ward-etcd", group="ward-etcd", extra_groups=[], env={}, stderr=self.log)
        return self

    def setup(self, host="h1", passwords=None, ok=True):
        names = list(passwords or self.passwords)
        pipes = []
        for n in names:
            r, w = os.pipe()
            os.write(w, (passwords or self.passwords)[n].encode())
            os.close(w)
            pipes.append(r)

        def child():
            up = [os.dup2(fd, 100 + i) for i, fd in enumerate(pipes)]
            for i, fd in enumerate(up):
                os.dup2(fd, 3 + i)
        env = {"LISTEN_FDS": str(len(names)), "LISTEN_FDNAMES": ":".join(f"store-password-{n}" for n in names)}
        p = subprocess.run([wardtest.LIBEXEC / "ward-store-setup", "--root", str(self.root), "--host", host], preexec_fn=child,
                           close_fds=False, env=env, user="ward-etcd", group="ward-etcd", extra_groups=[], stderr=subprocess.PIPE,
                           text=True, timeout=90)
        for r in pipes:
            os.close(r)
        if ok:
            assert p.returncode == 0, p.stderr
        return p

    def stop(self, sig=signal.SIGKILL):
        if self.process:
            self.process.send_signal(sig)
            self.process.wait(20)
            self.process = None

    def user(self, name, path=None, password=None):
        return Driver(path or self.socket, name, password or self.passwords[name])

    def call(self, path, body, token=None):
        c = wardtest.UnixConnection(self.socket, 10)
        c.request("POST", path, json.dumps(body), {"Authorization": token} if token else {})
        r = c.getresponse()
        return r.status, json.loads(r.read())

    def root_call(self, path, body):
        _, answer = self.call("/v3/auth/authenticate", {"name": "root", "password": self.passwords["root"]})
        status, out = self.call(path, body, answer["token"])
        assert status == 200, out
        return out

    def __enter__(self):
        self.start()
        try:
            self.setup()
        except BaseException:
            self.__exit__(True)
            raise
        return self

    def __exit__(self, *exc):
        self.stop()
        if exc[0]:
            print((self.root / "etcd.log").read_text()[-3000:])
        shutil.rmtree(self.root, ignore_errors=True)


class Driver:
    """store_driver: commands are answered in order; what a view tells comes in between."""
    def __init__(self, path, user, password):
        self.p = subprocess.Popen([DRIVER, str(path), user, password, "5000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answers, self.told = queue.Queue(), queue.Queue()
        self.level, self.syncs, self.changes = {}, 0, 0
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.p.stdout:
            j = json.loads(line)
            if "r" in j:
                self.answers.put(j)
            elif j["key"] is None:
                self.syncs += 1
            else:
                self.changes += 1
                if j["value"] is None:
                    self.level.pop(j["key"], None)
                else:
                    self.level[j["key"]] = j["value"]

    def do(self, op, ok=True, **kw):
        self.p.stdin.write(json.dumps({"op": op, **kw}) + "\n")
        self.p.stdin.flush()
        j = self.answers.get(timeout=30)
        if ok:
            assert j["r"] == 0, j
        return j

    def put(self, key, value, lease=0, ok=True):
        return self.do("txn", ok, ops=[[key, value, lease]])

    def delete(self, key, ok=True):
        return self.do("txn", ok, ops=[[key]])

    def close(self):
        self.p.stdin.close()
        try:
            assert self.p.wait(10) == 0
        finally:
            self.p.kill()
            self.p.wait()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Proxy:
    """Between a driver and etcd. Other calls pass; each line of a watch's answer goes through on_line(line) -> lines to send on, or None
    to cut the connection."""
    def __init__(self, etcd):
        self.path = etcd.root / f"proxy-{secrets.token_hex(2)}.sock"
        self.target, self.on_line, self.watches = etcd.socket, lambda line: [line], 0
        self.live = set()
        self.listen = socket.socket(socket.AF_UNIX)
        self.listen.bind(str(self.path))
        self.listen.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, _ = self.listen.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        t = socket.socket(socket.AF_UNIX)
        try:
            t.connect(str(self.target))
            head = b""
            while b"\r\n\r\n" not in head:
                got = c.recv(65536)
                if not got:
                    return
                head += got
            watch = head.startswith(b"POST /v3/watch")
            t.sendall(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))  # one question a connection
            threading.Thread(target=self.pump, args=(c, t, True), daemon=True).start()
            if watch:
                self.watches += 1
                self.live.add(c)
                self.stream(c, t)
            else:
                self.pump(t, c)
        except OSError:
            pass
        finally:
            self.live.discard(c)
            for s in (c, t):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                s.close()

    def pump(self, a, b, end=False):
        try:
            while data := a.recv(65536):
                b.sendall(data)
            if end:  # the driver left: so does its watch
                b.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def stream(self, c, t):
        """etcd answers a watch in chunks; each line is taken out and sent in a chunk of its own."""
        f = t.makefile("rb")
        while (line := f.readline()) not in (b"\r\n", b""):
            c.sendall(line)
        c.sendall(b"\r\n")
        text = b""
        while size := int(f.readline().strip() or b"0", 16):
            text += f.read(size)
            f.readline()
            while b"\n" in text:
                line, text = text.split(b"\n", 1)
                lines = self.on_line(line)
                if lines is None:
                    return
                for out in lines:
                    out += b"\n"
                    c.sendall(b"%x\r\n%s\r\n" % (len(out), out))

    def cut(self):
        for c in list(self.live):
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.listen.close()
        self.cut()


@pytest.fixture(scope="module")
def etcd():
    with Etcd() as e:
        yield e


@pytest.fixture
def fresh():
    with Etcd() as e:
        yield e


def rows():
    """The key table, read from its source: (pattern, writers, readers, readers_here)."""
    text = re.sub(r"/\*.*?\*/", "", KEYS.read_text(), flags=re.S)
    found = re.findall(r'\{\s*"([^"]+)",((?:[^{}"])*)\}', text)
    out = []
    for pattern, rest in found:
        parts = [set(re.findall(r"D\((\w+)\)", p)) for p in rest.split(",")[:3]]
        out.append((pattern, *[{d.lower() for d in p} for p in parts]))
    assert len(out) > 12
    return out


def example(pattern, host):
    return re.sub(r"<[^>]*>", lambda m: host if m.group() == "<host>" else "0a1b", pattern)


def test_each_daemon_writes_its_own_keys_and_no_other(etcd):
    """Asked of etcd itself, past our own checks in store_txn."""
    enc = lambda s: base64.b64encode(s.encode()).decode()
    tried = 0
    for user in ("api", "control", "agent", "edge"):
        status, a = etcd.call("/v3/auth/authenticate", {"name": user, "password": etcd.passwords[user]})
        assert status == 200
        for pattern, writers, readers, here in rows():
            for host in ("h1", "h2"):
                if host == "h2" and "<host>" not in pattern:
                    continue
                key = example(pattern, host)
                status, out = etcd.call("/v3/kv/put", {"key": enc(key), "value": enc("{}")}, a["token"])
                want = user in writers and (host == "h1" or user in readers)
                assert (status == 200) == want and status in (200, 403), f"{user} writes {key}: {status} {out}"
                status, out = etcd.call("/v3/kv/range", {"key": enc(key)}, a["token"])
                want = user in readers or (host == "h1" and user in here | writers)
                if not ("/checks/" in key and user == "edge"):  # reads all of observed/
                    assert (status == 200) == want and status in (200, 403), f"{user} reads {key}: {status} {out}"
                tried += 2
        # one forbidden compare or operation fails the whole transaction
        for name in ("root-only", "zzz"):
            assert etcd.call("/v3/kv/put", {"key": enc(name), "value": enc("{}")}, a["token"])[0] == 403
        assert etcd.call("/v3/auth/user/list", {}, a["token"])[0] == 403
    assert tried > 150
    status, _ = etcd.call("/v3/kv/range", {"key": enc("requests/0a1b")})
    assert status != 200  # nobody without a login
    etcd.root_call("/v3/kv/deleterange", {"key": "AA==", "range_end": "AA=="})


def test_the_table_is_checked_before_the_store_is_asked(etcd):
    with etcd.user("api") as api:
        assert api.put("desired/h1/0a", {"v": 1}, ok=False)["code"] == "forbidden"
        assert api.put("nowhere/0a", {"v": 1}, ok=False)["code"] == "invalid"
        assert api.put("requests/0a", {"v": "x" * 300000}, ok=False)["code"] == "too-large"
        assert api.do("get", ok=False, key="leader2")["code"] == "forbidden"


def test_transactions_and_lists(etcd):
    with etcd.user("control") as control, etcd.user("api") as api:
        rev = control.do("txn", compare=[["names/web", 0]], ops=[["names/web", {"v": 1, "id": "a"}], ["apps/a/app", {"v": 1}]])["rev"]
        got = control.do("get", key="names/web")
        assert got["rev"] == rev and got["value"] == {"v": 1, "id": "a"}
        again = control.do("txn", ok=False, compare=[["names/web", 0]], ops=[["names/web", {"v": 1, "id": "b"}], ["apps/b/app", {"v": 1}]])
        assert again["r"] == -11 and again["code"] == "conflict"
        assert api.do("get", ok=False, key="apps/b/app")["code"] == "not-found"  # all or nothing
        control.do("txn", compare=[["names/web", rev]], ops=[["names/web"], ["apps/a/app"]])
        assert control.do("get", ok=False, key="names/web")["r"] == -2
        control.delete("names/web")  # absent is fine
        many = control.do("txn", ok=False, ops=[[f"outcomes/{i}", {}] for i in range(65)])
        assert many["code"] == "too-large"
        for start in range(0, 450, 50):
            control.do("txn", ops=[[f"outcomes/{i:04}", {"v": 1, "n": i}] for i in range(start, start + 50)])
        listed = control.do("list", prefix="outcomes/")["list"]  # three pages
        assert [k for k, _, _ in listed] == [f"outcomes/{i:04}" for i in range(450)]
        assert [v["n"] for _, v, _ in listed] == list(range(450))


def test_leases(etcd):
    with etcd.user("agent") as agent:
        lease = agent.do("grant", ttl=2)["lease"]
        agent.put("alive/h1", {"v": 1}, lease)
        for _ in range(6):
            time.sleep(0.5)
            assert agent.do("keep", lease=lease)["ttl"] == 2
        assert agent.do("get", key="alive/h1")
        wait_for("the lease to end", lambda: agent.do("get", ok=False, key="alive/h1")["code"] == "not-found", 10, 0.3)
        assert agent.do("keep", lease=lease)["ttl"] == 0
        agent.do("revoke", lease=lease)  # gone is fine
        lease = agent.do("grant", ttl=60)["lease"]
        agent.put("alive/h1", {"v": 1}, lease)
        agent.do("revoke", lease=lease)
        assert agent.do("get", ok=False, key="alive/h1")["code"] == "not-found"


def test_setup_can_be_repeated_and_changed(fresh):
    assert "(0 changes" in fresh.setup().stderr
    # the listener for other members is closed to everyone
    assert stat.S_IMODE((fresh.run / "etcd/peer.sock:0").stat().st_mode) == 0
    # another host name: the old host's rights go
    fresh.setup(host="h9")
    with fresh.user("agent") as agent:
        agent.put("hosts/h9", {"v": 1})
        assert agent.put("hosts/h1", {"v": 1}, ok=False)["code"] == "forbidden"
    fresh.setup()
    # a new password of a daemon takes over; the old one is dead
    old = fresh.passwords["edge"]
    fresh.passwords["edge"] = secrets.token_hex(32)
    fresh.setup()
    with fresh.user("edge") as edge, fresh.user("edge", password=old) as stale:
        edge.do("list", prefix="names/")
        assert stale.do("list", ok=False, prefix="names/")["code"] == "unauthenticated"
    # what an older version left goes
    fresh.root_call("/v3/auth/user/add", {"name": "intruder", "password": "x"})
    fresh.root_call("/v3/auth/role/add", {"name": "old-role"})
    fresh.root_call("/v3/auth/role/grant", {"name": "api", "perm": {"permType": "READWRITE", "key": base64.b64encode(b"zzz").decode()}})
    fresh.setup()
    assert set(fresh.root_call("/v3/auth/user/list", {})["users"]) == {"root", "api", "control", "agent", "edge"}
    assert "zzz" not in str([base64.b64decode(p["key"]) for p in fresh.root_call("/v3/auth/role/get", {"role": "api"})["perm"]])
    # root's password is not ours: said, and nothing changed
    p = fresh.setup(passwords={**fresh.passwords, "root": secrets.token_hex(32)}, ok=False)
    assert p.returncode == 1 and "[unauthenticated]" in p.stderr and "next:" in p.stderr
    p = fresh.setup(passwords={"root": fresh.passwords["root"]}, ok=False)
    assert p.returncode == 1 and "store-password-agent" in p.stderr


def test_calls_go_on_after_etcd_restarts(fresh):
    """The token died with the old process: the next call logs in again."""
    with fresh.user("control") as control:
        control.put("names/a", {"v": 1})
        fresh.stop()
        r = control.do("get", ok=False, key="names/a")
        assert r["code"] == "unavailable" and r["next"]
        fresh.start()
        wait_for("etcd", lambda: control.do("get", ok=False, key="names/a")["r"] == 0, 20)
        control.put("names/a", {"v": 2})
        assert control.do("get", key="names/a")["value"] == {"v": 2}


def test_a_view_follows(etcd):
    with etcd.user("control") as control, etcd.user("api") as api:
        control.put("names/x", {"v": 1})
        api.do("view", prefix="names/")
        wait_for("the first level", lambda: api.syncs == 1 and api.level == {"names/x": {"v": 1}}, 10)
        control.do("txn", ops=[["names/y", {"v": 1, "n": 2}], ["names/x"]])
        wait_for("the change", lambda: api.level == {"names/y": {"v": 1, "n": 2}}, 10)
        s = api.do("state")
        assert s["connected"] and s["synced"] and [h[0] for h in s["held"]] == ["names/y"]
        control.put("apps/q/app", {"v": 1})  # not below the prefix
        control.delete("names/y")
        wait_for("the deletion", lambda: api.level == {}, 10)
        assert api.syncs == 1  # no listing was needed
        api.do("close")
        control.put("names/y", {"v": 3})
        time.sleep(0.3)
        assert api.level == {}
        control.delete("names/y")


def test_a_view_may_not_see_what_its_user_may_not(etcd):
    with etcd.user("edge") as edge:
        edge.do("view", prefix="requests/")
        wait_for("the refusal", lambda: "permission denied" in edge.do("state")["error"], 10)
        s = edge.do("state")
        assert not s["synced"] and not s["connected"] and s["held"] == []


def test_a_view_converges_after_etcd_restarts_and_what_it_missed(fresh):
    with fresh.user("control") as control, fresh.user("api") as api:
        for i in range(300):
            control.put(f"names/n{i:03}", {"v": 1, "n": i})
        api.do("view", prefix="names/")
        wait_for("the first level", lambda: len(api.level) == 300, 10)
        for round in range(3):
            api.p.send_signal(signal.SIGSTOP)  # it misses what happens meanwhile
            control.delete(f"names/n{round:03}")
            control.put(f"names/n{100 + round}", {"v": 1, "n": -round})
            fresh.stop()
            fresh.start()
            fresh.setup()
            control.put(f"names/new{round}", {"v": 1})
            api.p.send_signal(signal.SIGCONT)
            wait_for("the level", lambda: f"names/n{round:03}" not in api.level and f"names/new{round}" in api.level and
                     api.level[f"names/n{100 + round}"]["n"] == -round, 20)
        listed = {k: v for k, v, _ in control.do("list", prefix="names/")["list"]}
        assert api.level == listed


def test_a_view_converges_after_compaction(fresh):
    with Proxy(fresh) as proxy, fresh.user("control") as control, fresh.user("api", proxy.path) as api:
        control.put("names/a", {"v": 1})
        control.put("names/b", {"v": 1})
        api.do("view", prefix="names/")
        wait_for("the first level", lambda: len(api.level) == 2, 10)
        api.p.send_signal(signal.SIGSTOP)
        proxy.cut()
        rev = control.delete("names/a")["rev"]
        for i in range(20):
            rev = control.put("names/b", {"v": 1, "n": i})["rev"]
        fresh.root_call("/v3/kv/compaction", {"revision": str(rev), "physical": True})
        api.p.send_signal(signal.SIGCONT)
        wait_for("the level", lambda: api.level == {"names/b": {"v": 1, "n": 19}}, 15)


def test_a_watch_from_a_compacted_revision_is_noticed(fresh):
    """Cancelled in band while the stream stays open: as etcd does it, shown to the view by the proxy."""
    with Proxy(fresh) as proxy, fresh.user("control") as control, fresh.user("api", proxy.path) as api:
        control.put("names/a", {"v": 1})
        hit = []

        def cancel(line):
            if b'"events"' in line and len(hit) < 3:
                hit.append(1)
                return [b'{"result":{"header":{"cluster_id":"1","revision":"9"},"watch_id":"0","canceled":true,"compact_revision":"7"}}']
            return [line]
        proxy.on_line = cancel
        api.do("view", prefix="names/")
        wait_for("the first level", lambda: len(api.level) == 1, 10)
        for i in range(3):
            wait_for("the watch", lambda: api.do("state")["connected"], 10)
            control.put("names/a", {"v": 1, "n": i})
            wait_for("the level", lambda: api.level == {"names/a": {"v": 1, "n": i}}, 15)
        wait_for("a listing after each", lambda: len(hit) == 3 and api.syncs >= 4, 15)


@pytest.mark.parametrize("seed", [random.SystemRandom().randrange(1 << 30)])
def test_a_view_converges_through_a_bad_stream(fresh, seed):
    """Watch messages repeated, delayed, and cut at random, while three keys change as fast as they can. What is lost in silence is only
    found by the next listing, so losses here end with a cut."""
    rng = random.Random(seed)
    kept = []

    def bad(line):
        if b'"events"' not in line:
            return [line]
        what = rng.randrange(10)
        if what == 0:
            return None  # cut
        if what == 1:
            kept.append(line)
            return [line, line]  # repeated
        if what == 2:
            kept.append(line)
            return []  # held back; comes later
        if what == 3 and kept:
            return [line, kept.pop(rng.randrange(len(kept)))]  # late or repeated
        return [line]

    with Proxy(fresh) as proxy, fresh.user("control") as control, fresh.user("api", proxy.path) as api:
        proxy.on_line = bad
        api.do("view", prefix="names/")
        end = time.monotonic() + 8
        n = 0
        while time.monotonic() < end:
            n += 1
            key = f"names/{rng.choice('abc')}"
            if rng.randrange(4):
                control.put(key, {"v": 1, "n": n})
            else:
                control.delete(key)
            if n % 40 == 0:
                time.sleep(0.2)
        proxy.on_line = lambda line: [line]
        proxy.cut()
        want = {k: v for k, v, _ in control.do("list", prefix="names/")["list"]}
        wait_for(f"the level (seed {seed})", lambda: api.level == want, 15)
        held = {k: v for k, v, _ in api.do("state")["held"]}
        assert held == want and proxy.watches > 5 and api.changes > 50, (seed, proxy.watches, api.changes)


def test_an_etcd_that_hangs_blocks_no_view_and_no_call_for_long(fresh):
    """Stopped, not dead: nothing is refused, nothing answers. Calls end within their bound, and afterwards all is as before."""
    with fresh.user("control") as control, fresh.user("api") as api:
        control.put("names/a", {"v": 1})
        api.do("view", prefix="names/")
        wait_for("the first level", lambda: len(api.level) == 1, 10)
        fresh.process.send_signal(signal.SIGSTOP)
        start = time.monotonic()
        r = control.do("get", ok=False, key="names/a")
        assert r["code"] == "timeout" and 4 < time.monotonic() - start < 8
        assert api.do("state")["held"]  # the view's loop is not held up
        fresh.process.send_signal(signal.SIGCONT)
        wait_for("etcd", lambda: control.put("names/b", {"v": 1}, ok=False)["r"] == 0, 20)
        wait_for("the level", lambda: set(api.level) == {"names/a", "names/b"}, 15)


def test_a_store_that_was_lost_changes_nothing(fresh):
    """An empty etcd in the place of the old one must not read as "delete everything"."""
    with fresh.user("control") as control, fresh.user("api") as api:
        for i in range(5):
            control.put(f"names/{i}", {"v": 1})
        api.do("view", prefix="names/")
        wait_for("the first level", lambda: len(api.level) == 5, 10)
        fresh.stop()
        shutil.rmtree(fresh.lib / "etcd/data")
        fresh.start()
        fresh.setup()
        wait_for("the refusal", lambda: "went back" in api.do("state")["error"], 20)
        time.sleep(1)
        s = api.do("state")
        assert len(api.level) == 5 and len(s["held"]) == 5 and not s["connected"]


def test_a_full_store_says_so_and_the_setup_lifts_it():
    with Etcd(["--quota-backend-bytes", str(4 * 1024 * 1024)]) as etcd, etcd.user("control") as control, etcd.user("api") as api:
        r = None
        for i in range(60):
            r = control.put("names/a", {"v": 1, "x": "y" * 3000}, ok=False) if i % 2 else control.put(
                "desired/h1/0a", {"v": 1, "x": "y" * 200000}, ok=False)
            if r["r"] < 0:
                break
        assert r["r"] < 0 and r["code"] == "store-full" and "restart wardd" in r["next"], r
        assert control.do("get", key="names/a")  # reading goes on
        assert "alarm was lifted" in etcd.setup().stderr
        control.put("names/a", {"v": 1})
