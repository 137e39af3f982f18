"""ward-telemetry between fake links and a reader, killed at random moments: no line lost, none twice.

    FakeLink (unix HTTP, one a machine) <--- asks, acknowledges --- ward-telemetry ---> <lib>/logs (sealed)
                                                                     ^      |
                                         reader: GET /v1/logs -------'      '--- keys: ward-vault
    whose a machine is: <run>/names/owners.json, as ward-agent writes it
"""
import http.client, http.server, json, os, pathlib, pwd, random, secrets, shutil, signal, socket, socketserver, subprocess, sys, threading, time
import urllib.parse

import pytest

import wardtest
from test_vault import Vault
from wardtest import wait_for


class FakeLink:
    """A machine's link: a ring of `room` lines, numbered from 1 over its whole life."""
    def __init__(self, run, app_id="app1", room=10**9):
        self.machine = secrets.token_hex(7)
        self.app_id, self.room = app_id, room
        self.folder = run / "machines" / self.machine
        self.folder.mkdir()
        self.lines, self.first, self.acked, self.lost = [], 1, 0, 0  # self.lines[0] is line `first`
        self.more = threading.Condition()
        self.fail_acks = 0
        self.served_after = []
        link = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *a):
                pass

            def answer(self, body, status=200):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                u = urllib.parse.urlparse(self.path)
                assert u.path == "/v1/logs"
                q = dict(urllib.parse.parse_qsl(u.query))
                self.answer(link.read(int(q["after"]), int(q.get("wait_ms", 0)) / 1000))

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if link.fail_acks:
                    link.fail_acks -= 1
                    return self.answer(b"", 500)
                assert body["upto"] <= link.first + len(link.lines) - 1
                link.acked = max(link.acked, body["upto"])
                self.answer(b"", 204)

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True
            request_queue_size = 64

        Server.handle_error = lambda *a: None  # telemetry was killed in the middle of an answer
        Handler.address_string = lambda s: "telemetry"
        self.server = Server(str(self.folder / "link.sock"), Handler)
        os.chmod(self.folder / "link.sock", 0o666)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def say(self, *texts):
        with self.more:
            self.lines += texts
            while len(self.lines) > self.room:  # like the ring: what nobody took in time goes
                self.lines.pop(0)
                self.first += 1
            self.more.notify_all()

    def read(self, after, wait):
        end = time.monotonic() + wait
        with self.more:
            self.served_after.append(after)
            while self.first + len(self.lines) - 1 <= after and (left := end - time.monotonic()) > 0:
                self.more.wait(left)
            out = []
            if self.first > after + 1 and self.lines:
                out.append({"n": self.first - 1, "gap": self.first - 1 - after})
                after = self.first - 1
            for i, t in enumerate(self.lines[after + 1 - self.first:][:500]):
                out.append({"n": after + 1 + i, "at_us": 1767225600000000 + i, "stream": "stdout", "boot": "ab", "line": t})
        return "".join(json.dumps(o) + "\n" for o in out).encode()

    def close(self, gone=True):
        self.server.shutdown()
        self.server.server_close()
        if gone:
            shutil.rmtree(self.folder)


class Telemetry:
    """ward-telemetry with a vault; in a root folder of its own."""
    def __init__(self, *args):
        self.vault = Vault().start().ready()
        self.root, self.lib, self.run, self.args = self.vault.root, self.vault.lib, self.vault.run, list(args)
        user = pwd.getpwnam("ward-telemetry")
        (self.run / "machines").mkdir()
        (self.run / "names").mkdir()
        (self.lib / "logs").mkdir()
        os.chown(self.lib / "logs", user.pw_uid, user.pw_gid)
        self.path = self.run / "telemetry.sock"
        self.listen = socket.socket(socket.AF_UNIX)
        self.listen.bind(str(self.path))
        os.chmod(self.path, 0o666)
        self.listen.listen(64)
        self.process, self.links = None, []

    def start(self):
        self.log = open(self.root / "telemetry.log", "ab")
        self.process = subprocess.Popen([wardtest.LIBEXEC / "ward-telemetry", "--root", str(self.root), *self.args],
                                        preexec_fn=lambda: os.dup2(self.listen.fileno(), 3), pass_fds=[3],
                                        env={"LISTEN_FDS": "1", "LISTEN_FDNAMES": "telemetry"}, user="ward-telemetry",
                                        group="ward-telemetry", extra_groups=[], stderr=self.log, stdin=subprocess.DEVNULL)
        return self

    def stop(self, sig=signal.SIGKILL):
        if self.process:
            self.process.send_signal(sig)
            code = self.process.wait(10)
            self.process = None
            return code

    def link(self, **kw):
        self.links.append(FakeLink(self.run, **kw))
        self.owners({l.machine: l.app_id for l in self.links})
        return self.links[-1]

    def owners(self, apps):
        table = {m: {"app": "web", "app_id": a, "region": "local"} for m, a in apps.items()}
        (self.run / "names/new").write_text(json.dumps({"v": 1, "machines": table}))
        (self.run / "names/new").rename(self.run / "names/owners.json")

    def get(self, query, timeout=30):
        c = wardtest.UnixConnection(self.path, timeout)
        c.request("GET", f"/v1/logs?{query}")
        r = c.getresponse()
        body = r.read()
        return r.status, [json.loads(l) for l in body.splitlines()] if r.status == 200 else json.loads(body)

    def lines(self, query="app=app1"):
        status, out = self.get(query)
        assert status == 200, out
        return out

    def texts(self, query="app=app1"):
        return [l["message"] for l in self.lines(query)]

    def logged(self):
        return (self.root / "telemetry.log").read_text()

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()
        for l in self.links:
            l.close(gone=False)
        self.listen.close()
        if exc[0]:
            print(self.logged()[-3000:])
        self.vault.__exit__(*exc)


class Follower(threading.Thread):
    """ward logs -f: follows, and after a broken stream goes on from its last cursor."""
    def __init__(self, telemetry, query="app=app1"):
        super().__init__(daemon=True)
        self.t, self.query = telemetry, query
        self.got, self.over, self.breaks = [], False, 0
        self.start()

    def run(self):
        cursor = None
        while not self.over:
            try:
                c = wardtest.UnixConnection(self.t.path, 5)
                c.request("GET", f"/v1/logs?{self.query}&follow=1" + (f"&after={cursor}" if cursor else ""))
                r = c.getresponse()
                while line := r.readline():
                    if not line.endswith(b"\n"):
                        break
                    j = json.loads(line)
                    cursor = j["cursor"]
                    self.got.append(j)
            except (OSError, http.client.HTTPException, ValueError):
                pass
            self.breaks += 1
            time.sleep(0.05)

    def texts(self):
        return [l["message"] for l in self.got]


def test_lines_are_kept_sealed_and_told_with_whose_they_are():
    with Telemetry() as t:
        link = t.link()
        link.say("patient 4711 arrived", "second")
        wait_for("the acknowledgement", lambda: link.acked == 2, 10)
        a, b = t.lines()
        assert a["message"] == "patient 4711 arrived" and b["n"] == 2
        assert {k: a[k] for k in ("app", "app_id", "machine", "region", "stream", "at", "level")} == {
            "app": "web", "app_id": "app1", "machine": link.machine, "region": "local", "stream": "stdout", "level": "info",
            "at": "2026-01-01T00:00:00.000000Z"}
        disk = b"".join(f.read_bytes() for f in (t.lib / "logs").rglob("*.seg"))
        assert disk and b"4711" not in disk
        assert "4711" not in t.logged()


def test_reading_by_machine_cursor_limit():
    with Telemetry() as t:
        one, two = t.link(), t.link()
        for i in range(10):
            one.say(f"one {i}")
            wait_for("it", lambda: one.acked == i + 1, 10)
            two.say(f"two {i}")
            wait_for("it", lambda: two.acked == i + 1, 10)
        assert t.texts() == [f"{w} {i}" for i in range(10) for w in ("one", "two")]
        assert t.texts(f"app=app1&machine={two.machine}") == [f"two {i}" for i in range(10)]
        assert t.texts("app=app1&limit=3") == ["two 8", "one 9", "two 9"]  # the last ones
        assert t.texts(f"app=app1&machine={one.machine}&limit=2") == ["one 8", "one 9"]
        lines = t.lines()
        for i, l in enumerate(lines):
            assert t.lines(f"app=app1&after={l['cursor']}") == lines[i + 1:]
        assert t.texts(f"app=app1&after={lines[4]['cursor']}&limit=2") == ["two 2", "one 3"]  # the next ones
        assert t.texts("app=other") == []
        for bad in ("", "app=../x", "app=app1&machine=zz", "app=app1&after=7", "app=app1&after=zzzzzzzz-1", "app=app1&limit=0",
                    "app=app1&limit=x", "app=app1&follow=2"):
            status, e = t.get(bad)
            assert status == 400 and e["status"] == "invalid", bad


def test_only_the_api_reads():
    with Telemetry() as t:
        code = f"""
import os, pwd, socket
p = pwd.getpwnam("ward-edge"); os.setgroups([]); os.setgid(p.pw_gid); os.setuid(p.pw_uid)
s = socket.socket(socket.AF_UNIX); s.connect("{t.path}"); s.send(b"GET /v1/logs?app=app1 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
print(s.recv(4096).decode())"""
        wait_for("telemetry", lambda: t.get("app=app1")[0] == 200, 10)
        out = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=20).stdout
        assert " 403 " in out.splitlines()[0]


def test_a_follower_sees_lines_at_once():
    with Telemetry() as t:
        f = Follower(t)  # before there is any log of the app
        link = t.link()
        link.say("first")
        wait_for("the first", lambda: f.texts() == ["first"], 10)
        start = time.monotonic()
        for i in range(20):
            link.say(f"line {i}")
            wait_for("it", lambda: len(f.got) == i + 2, 10, 0.01)
        assert time.monotonic() - start < 10
        f.over = True


@pytest.mark.parametrize("seed", [random.SystemRandom().randrange(1 << 30)])
def test_killed_at_random_moments_no_line_is_lost_or_doubled(seed):
    rng = random.Random(seed)
    with Telemetry("--segment-kb", "64") as t:
        links = [t.link() for _ in range(3)]
        said = {l.machine: [] for l in links}
        f = Follower(t)
        over = threading.Event()

        def talk(link):
            i = 0
            while not over.is_set():
                burst = [f"{link.machine} {i + k} {'x' * rng.randrange(200)}" for k in range(rng.randrange(1, 40))]
                i += len(burst)
                said[link.machine] += burst
                link.say(*burst)
                time.sleep(rng.random() * 0.03)
        talkers = [threading.Thread(target=talk, args=(l,)) for l in links]
        for x in talkers:
            x.start()
        kills = 0
        end = time.monotonic() + 12
        while time.monotonic() < end:
            time.sleep(rng.random() * 0.5)
            links[rng.randrange(3)].fail_acks = rng.randrange(3)
            t.stop()
            kills += 1
            t.start()
        over.set()
        for x in talkers:
            x.join()
        for l in links:
            wait_for(f"all acknowledged (seed {seed})", lambda: l.acked == len(said[l.machine]), 30)
        for l in links:
            want = said[l.machine]
            got = t.texts(f"app=app1&machine={l.machine}")
            assert got == want, f"seed {seed}: {len(got)} of {len(want)} lines kept"
            wait_for(f"the follower (seed {seed})", lambda: [x["message"] for x in f.got if x["machine"] == l.machine] == want, 20)
        f.over = True
        assert kills > 10 and sum(map(len, said.values())) > 1000 and f.breaks >= kills / 2
        assert len(list((t.lib / "logs/app1").glob("*.seg"))) > 1


def test_a_gap_of_the_ring_is_passed_on():
    with Telemetry() as t:
        link = t.link(room=5)
        link.say(*[f"a {i}" for i in range(3)])
        wait_for("them", lambda: link.acked == 3, 10)
        t.stop()
        link.say(*[f"b {i}" for i in range(20)])  # the ring keeps the last 5
        t.start()
        wait_for("the rest", lambda: link.acked == 23, 10)
        lines = t.lines()
        assert [l.get("gap") for l in lines] == [None] * 3 + [15] + [None] * 5
        assert lines[3]["stream"] == "system" and "15 lines were lost" in lines[3]["message"]
        assert [l["message"] for l in lines[4:]] == [f"b {i}" for i in range(15, 20)]


def test_the_bound_removes_the_oldest_and_says_so():
    with Telemetry("--app-mb", "1", "--segment-kb", "128") as t:
        link = t.link()
        link.say("the first")
        wait_for("it", lambda: link.acked == 1, 10)
        first = t.lines()[0]["cursor"]
        for k in range(40):
            link.say(*[f"{k} {i} {'y' * 400}" for i in range(100)])
        wait_for("all", lambda: link.acked == 4001, 60)
        size = sum(f.stat().st_size for f in (t.lib / "logs/app1").glob("*.seg"))
        assert size < 1.2 * 1024 * 1024
        lines = t.lines(f"app=app1&after={first}")
        gap = lines[0]["gap"]
        assert "were removed" in lines[0]["message"] and gap + len(lines) - 1 == 4000
        assert lines[1]["n"] == gap + 2 and lines[-1]["n"] == 4001
        # the machine's mark outlives the lines: nothing is taken again after a restart
        t.stop()
        t.start()
        wait_for("telemetry", lambda: t.get("app=app1&limit=1")[0] == 200, 10)
        link.say("the last")
        wait_for("it", lambda: link.acked == 4002, 10)
        assert t.texts("app=app1&limit=1") == ["the last"]
        assert link.served_after[-1] >= 4001 and 0 not in link.served_after[1:]


def test_whose_lines_they_are_is_the_agents_word():
    with Telemetry() as t:
        link = t.link()
        t.owners({})
        t.stop()
        t.start()
        link.say("mine")
        time.sleep(1)
        assert link.acked == 0 and not link.served_after  # nobody knows whose: it waits in the ring
        t.owners({link.machine: "app1"})
        wait_for("it", lambda: link.acked == 1, 10)
        assert t.texts() == ["mine"]


def test_a_machine_cannot_pass_anothers_link_off_as_its_own():
    """Its folder is its own: link.sock may be a link to the victim's, whose lines would be read, and acknowledged, as the thief's."""
    with Telemetry() as t:
        victim = t.link()
        thief = secrets.token_hex(7)
        t.owners({victim.machine: "app1", thief: "app2"})
        folder = t.run / "machines" / thief
        folder.mkdir()
        (folder / "link.sock").symlink_to(victim.folder / "link.sock")
        os.chown(folder, 54321, 54321)
        victim.say("secret")
        wait_for("it", lambda: victim.acked == 1, 10)
        time.sleep(2)
        assert t.texts("app=app2") == [] and t.texts() == ["secret"]


def test_a_machine_that_went_unseen_is_forgotten():
    """It was destroyed while telemetry was away: its mark is not carried on for ever."""
    with Telemetry("--segment-kb", "16", "--app-mb", "1") as t:
        gone, stays = t.link(), t.link()
        gone.say("one")
        stays.say("two")
        wait_for("both", lambda: gone.acked == stays.acked == 1, 10)
        t.stop()
        gone.close()
        t.links.remove(gone)
        t.owners({stays.machine: "app1"})
        t.start()
        for k in range(40):  # marks are only carried on into a new segment
            stays.say("x" * 1000)
            wait_for("it", lambda: stays.acked == k + 2, 10)
        marks = [f.read_bytes() for f in sorted((t.lib / "logs/app1").glob("*.seg"))]
        assert len(marks) > 2
        # a marks block's sealed length tells how many machines are in it
        size = [int.from_bytes(m[64 + 4:64 + 8], "little") for m in marks[1:]]
        assert all(s < 16 + 25 for s in size), size


def test_damage_on_disk_is_told_and_the_rest_is_read():
    with Telemetry("--segment-kb", "16") as t:
        link = t.link()
        for k in range(25):
            link.say(f"{k} {'z' * 1000}")
            wait_for("it", lambda: link.acked == k + 1, 10)
        t.stop()
        seg = sorted((t.lib / "logs/app1").glob("*.seg"))[0]
        raw = bytearray(seg.read_bytes())
        raw[300] ^= 1  # inside the first block
        seg.write_bytes(raw)
        t.start()
        wait_for("telemetry", lambda: t.get("app=app1&limit=1")[0] == 200, 10)
        lines = t.lines()
        assert "damaged" in lines[0]["message"] and lines[0]["gap"] == 1
        assert [l["message"].split()[0] for l in lines[1:]] == [str(k) for k in range(1, 25)]
        t.stop()
        sorted((t.lib / "logs/app1").glob("*.seg"))[1].unlink()
        t.start()
        wait_for("telemetry", lambda: t.get("app=app1&limit=1")[0] == 200, 10)
        lines = t.lines()
        [gap] = [l["gap"] for l in lines if "missing on disk" in l["message"]]
        assert gap > 1 and len(lines) - 2 + 1 + gap == 25


def test_it_waits_for_the_vault():
    t = Telemetry()
    with t:
        t.vault.stop()
        link = t.link()
        link.say("early")
        time.sleep(1)
        assert link.acked == 0
        t.vault.start().ready()
        wait_for("it", lambda: link.acked == 1, 20)
        assert t.texts() == ["early"]
        # and it serves what it has while the vault is away
        t.vault.stop()
        link.say("late")
        wait_for("it", lambda: t.texts() == ["early", "late"], 10)
        t.vault.start().ready()
