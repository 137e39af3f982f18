"""A guest that lies and floods: a Python program in QEMU's place, at the other end of ward-link's two sockets.

    test --HTTP--> link.sock [ward-link] --guest.sock, log.sock--> [this file]

Whatever it does, the link stays small and quick, answers its other callers, marks the guest, and works again with an honest one.
"""
import json
import os
import pathlib
import select
import socket
import struct
import subprocess
import threading
import time

import pytest

from guest_rig import Rig

RSS_MAX_KB = 24 * 1024
CPU_MAX = 0.5  # of a core, while flooded
SETTINGS, PING_ACK_OFF = b"\0\0\0\4\0\0\0\0\0", b"\0\0\x08\6\0\0\0\0\0" + b"12345678"


class Fake:
    """Listens like QEMU and answers each SYNC; then `script(sock)` does as it likes, in a thread for each connection."""

    def __init__(self, rig, control=None, log=None, ack=True):
        self.rig, self.ack, self.stop, self.threads, self.socks, self.seen = rig, ack, False, [], [], {"guest": 0, "log": 0}
        for name, script in (("guest", control), ("log", log)):
            path = rig.run / f"{name}.sock"
            path.unlink(missing_ok=True)
            s = socket.socket(socket.AF_UNIX)
            s.bind(str(path))
            s.listen(5)
            s.settimeout(0.2)
            self.socks.append(s)
            self.run(self.serve, s, name, script or (lambda c: self.idle(c)))

    def run(self, f, *args):
        t = threading.Thread(target=f, args=args, daemon=True)
        t.start()
        self.threads.append(t)

    def serve(self, s, name, script):
        while not self.stop:
            try:
                c, _ = s.accept()
            except OSError:
                continue
            self.seen[name] += 1
            self.run(self.one, c, script)

    def one(self, c, script):
        with c:
            c.settimeout(1)
            try:
                sync = b""
                while len(sync) < 64:
                    more = c.recv(64 - len(sync))
                    if not more:
                        return
                    sync += more
                assert sync[:8] == b"\xf5WRDSYN1" and sync[8:40] == self.rig.token
                if self.ack:
                    c.sendall(b"\xf5WRDACK1" + sync[8:])
                script(c)
            except OSError:
                pass

    def idle(self, c):
        while not self.stop:
            try:
                if not c.recv(65536):
                    return
            except TimeoutError:
                pass

    @staticmethod
    def swallow(c):
        if select.select([c], [], [], 0)[0]:
            c.recv(65536)

    def flood(self, data):
        def script(c):
            while not self.stop:
                try:
                    c.sendall(data)
                    self.swallow(c)  # what is unread would block the link's writes, which is another attack
                except TimeoutError:
                    pass
        return script

    def close(self):
        self.stop = True
        for s in self.socks:
            s.close()
        for t in self.threads:
            t.join(5)


@pytest.fixture
def rig():
    r = Rig()
    yield r
    r.close()


def usage(pid):
    f = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")


def peak_kb(pid):
    return int(next(x for x in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmHWM")).split()[1])


def attack(rig, mark, seconds=3.0, **scripts):
    """Lets it go on for a while; the link must stay bounded and answer meanwhile. Returns its state."""
    before = usage(rig.link.pid)
    fake = scripts["make"](rig) if "make" in scripts else Fake(rig, **scripts)
    try:
        start, slowest = time.monotonic(), 0
        while time.monotonic() - start < seconds:
            t = time.monotonic()
            state = rig.get("/v1/state")
            slowest = max(slowest, time.monotonic() - t)
            time.sleep(0.1)
        spent = (usage(rig.link.pid) - before) / (time.monotonic() - start)
        assert rig.link.poll() is None, (rig.dir / "link.log").read_text()
        assert fake.seen["guest"] + fake.seen["log"] > 0
        if mark:
            assert mark in [m["mark"] for m in state["marks"]], state
        assert spent < CPU_MAX, f"{spent:.2f} of a core"
        assert slowest < 1, f"another caller waited {slowest:.2f} s"
        assert peak_kb(rig.link.pid) < RSS_MAX_KB, f"{peak_kb(rig.link.pid)} KiB"
        assert (rig.dir / "link.log").stat().st_size < 16384, "the link's own log grows with the attack"
        return state
    finally:
        fake.close()


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def log_frame(kind, n, payload=b"", stream=0, flags=0):
    return struct.pack("<BBBBIQQ", kind, stream, flags, 0, len(payload), n, 1) + payload


HELLO = log_frame(1, 1, b"b" * 16)


def cases(arg, table):
    """Each case by its name; the bytes would make no readable one."""
    return pytest.mark.parametrize(arg, [pytest.param(data, id=name.replace(" ", "-")) for name, data in table])


def test_bytes_without_end_instead_of_an_answer(rig):
    junk = os.urandom(1 << 20)

    def script(c):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            c.sendall(junk)
    state = attack(rig, "flood", make=lambda r: Fake(r, control=script, log=script, ack=False))
    assert state["phase"] == "waiting"


@cases("data", [
    ("garbage", b"\xff" * 4096),
    ("zeros", b"\0" * 4096),
    ("http/1", b"HTTP/1.1 200 OK\r\n\r\n"),
    ("push", SETTINGS + frame(5, 4, 1, struct.pack(">I", 2) + b"\x88")),
    ("a stream of its own", SETTINGS + frame(1, 4, 2, b"\x88")),
    ("a window past its end", SETTINGS + frame(8, 0, 0, b"\x7f\xff\xff\xff") * 2),
    ("an oversized frame", SETTINGS + frame(0, 0, 1, b"x" * 65536)),
    ("continuations", SETTINGS + frame(1, 0, 1, b"\x20\x88") + frame(9, 0, 1, b"\0\1a\1b" * 100) * 100),
    ("many settings", frame(4, 0, 0, struct.pack(">HI", 3, 1) * 100)),
])
def test_broken_http2(rig, data):
    def script(c):
        c.sendall(data)
        time.sleep(0.5)
    attack(rig, "protocol-error", seconds=1.5, control=script)


@cases("data", [
    ("pings", PING_ACK_OFF),
    ("window updates", frame(8, 0, 3, b"\0\0\0\1")),
    ("priorities", frame(2, 0, 1, b"\0\0\0\3\1")),
    ("unknown frames", frame(0xbe, 0, 0, b"")),
    ("settings", SETTINGS),
])
def test_floods_of_frames(rig, data):
    fake = {}

    def script(c):
        c.sendall(SETTINGS)
        while "f" not in fake:
            time.sleep(0.01)
        fake["f"].flood(data * 4000)(c)

    def make(r):
        fake["f"] = Fake(r, control=script)
        return fake["f"]
    state = attack(rig, None, make=make)
    assert {m["mark"] for m in state["marks"]} & {"flood", "protocol-error"}, state


def answer(status_block, body, end=1, stream=1):
    return SETTINGS + frame(1, 4, stream, b"\x20" + status_block) + frame(0, end, stream, body)


@cases("body", [
    ("not JSON", b"{"),
    ("an array", b"[]"),
    ("wrong types", b'{"v":"1"}'),
    ("a newer version", json.dumps({"v": 99, "phase": "waiting", "generation": 0, "started_at": 0, "boot_id": "0" * 32, "guest_key": "0" * 64}).encode()),
    ("a phase unknown", json.dumps({"v": 1, "phase": "flying", "generation": 0, "started_at": 0, "boot_id": "0" * 32, "guest_key": "0" * 64}).encode()),
    ("a boot id that is a path", json.dumps({"v": 1, "phase": "waiting", "generation": 0, "started_at": 0, "boot_id": "../../../etc/passwd", "guest_key": "0" * 64}).encode()),
    ("nesting", b"[" * 60000),
])
def test_a_hello_of_nonsense(rig, body):
    def script(c):
        for i in range(0, len(body), 16000):
            last = i + 16000 >= len(body)
            c.sendall(answer(b"\x88", body[:16000], last) if i == 0 else frame(0, last, 1, body[i:i + 16000]))
        time.sleep(0.5)
    state = attack(rig, "protocol-error", seconds=1.5, control=script)
    assert state["phase"] == "waiting" and state["boot_id"] == ""


def test_headers_without_end(rig):
    """Informational answers for ever: each is small, together they are bounded."""
    one = frame(1, 4, 1, b"\x20\x08\x03100" + (b"\0\x01a\x7f\x81\x01" + b"x" * 256) * 10)

    def script(c):
        c.sendall(SETTINGS)
        for _ in range(2000):
            c.sendall(one)
        time.sleep(1)
    attack(rig, "protocol-error", seconds=2, control=script)


@cases("data", [
    ("no hello", log_frame(2, 1, b"line")),
    ("two hellos", HELLO + HELLO),
    ("backwards", HELLO + log_frame(2, 5, b"x") + log_frame(2, 4, b"x")),
    ("a leap", HELLO + log_frame(2, 1 << 60, b"x")),
    ("zero", HELLO + log_frame(2, 0, b"x")),
    ("too long", HELLO + struct.pack("<BBBBIQQ", 2, 0, 0, 0, 16385, 1, 1)),
    ("unknown type", HELLO + log_frame(7, 1)),
    ("unknown stream", HELLO + log_frame(2, 1, b"x", stream=9)),
])
def test_broken_log_frames(rig, data):
    def script(c):
        c.sendall(data)
        time.sleep(0.5)
    attack(rig, "protocol-error", seconds=1.2, log=script)


def test_a_flood_of_log_lines_is_slowed_and_bounded(rig):
    def script(c):
        c.sendall(HELLO)
        n = 1
        while True:
            block = b"".join(log_frame(2, n + i, b"\xff\0\x1b[2J") for i in range(2000))
            n += 2000
            sent = 0
            while sent < len(block):
                try:
                    sent += c.send(block[sent:])
                    Fake.swallow(c)
                except TimeoutError:
                    pass
    attack(rig, None, seconds=4, log=script)
    lines = rig.all_lines()  # hostile bytes come out as JSON all the same
    assert len(lines) > 1000 and lines[-1]["line"] == "\ufffd\ufffd\x1b[2J"


def test_a_guest_that_says_nothing_after_its_ack(rig):
    state = attack(rig, None, seconds=2)
    assert state["phase"] == "waiting"
    status, data = rig.ask("GET", "/v1/ps")
    assert status == 503


def test_a_guest_cannot_take_its_exit_back(rig):
    """It ran, exited, and says "running" again: the record stays, and it is marked."""
    rig.send("PUT", "/v1/run", rig.config(["x"]))
    base = {"v": 1, "generation": 1, "started_at": 5, "boot_id": "ab" * 16, "guest_key": "cd" * 32}
    hello = json.dumps({**base, "phase": "running"}).encode()
    exited = json.dumps({**base, "phase": "exited", "exit": {"code": 3, "signal": 0}}).encode() + b"\n"
    again = json.dumps({**base, "phase": "running"}).encode() + b"\n"

    def script(c):
        c.sendall(answer(b"\x88", hello))
        time.sleep(0.3)
        c.sendall(frame(1, 4, 3, b"\x88") + frame(0, 0, 3, exited + again))
        time.sleep(5)
    fake = Fake(rig, control=script)
    try:
        s = rig.wait_phase("exited", 10)
        assert s["exit"]["code"] == 3
        rig.wait_for(lambda: any(m["mark"] == "lie" for m in rig.get("/v1/state")["marks"]), 5, "not marked")
        assert rig.get("/v1/state")["exit"]["code"] == 3
    finally:
        fake.close()


def test_strangers_may_not_ask(rig):
    """Another uid than the daemons' is refused, call by call."""
    (rig.dir).chmod(0o755)
    code = ("import http.client,socket,sys\n"
            "c=http.client.HTTPConnection('l'); c.sock=socket.socket(socket.AF_UNIX); c.sock.connect(sys.argv[1])\n"
            "c.request('GET','/v1/state'); print(c.getresponse().status)\n")
    for uid, want in ((65534, "403"), (0, "200")):
        out = subprocess.run(["/usr/bin/python3", "-c", code, rig.run / "link.sock"], user=uid, group=uid, extra_groups=[],
                             capture_output=True, text=True, timeout=20)
        assert out.stdout.strip() == want, out
