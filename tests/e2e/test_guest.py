"""The guest and its link, without the platform: QEMU boots Ward's kernel and initrd, ward-link is driven over its socket.

    test --HTTP--> link.sock [ward-link] --guest.sock, log.sock--> [QEMU: ward-init + app (busybox)]
"""
import base64
import json
import os
import random
import re
import signal
import socket
import struct
import threading
import time

import pytest

import guest_rig
from guest_rig import Rig, b64



@pytest.fixture(scope="session")
def parts(tmp_path_factory):
    return guest_rig.image(tmp_path_factory.mktemp("image")), guest_rig.kernel()


@pytest.fixture
def rig(parts):
    r = Rig(*parts)
    yield r
    r.close()


@pytest.fixture(scope="module")
def sleeper(parts):
    """One machine whose app sleeps; for tests that only look at it or run commands in it."""
    r = Rig(*parts)
    r.boot(["sh", "-c", "echo started; exec sleep 1000"], image={"user": "app", "env": ["FROM_IMAGE=yes", "BOTH=image"]},
           env={"BOTH": "config", "SECRET": "ß"}, ipv6="fdaa:0:1:2::2", ipv6_gateway="fe80::1", dns=["fdaa::3"],
           init={"swap_size_mb": 64}, hosts=[{"ip": "fdaa::9", "name": "other.internal"}],
           files=[{"guest_path": "/etc/app/deep/conf", "raw_value": b64(b"\x00bytes\n"), "mode": 0o640}])
    yield r
    r.close()


# ---- a life: start, lines, exit
def test_runs_logs_and_tells_the_exit_code(rig):
    s = rig.boot(["sh", "-c", "echo out; echo err >&2; printf unfinished; exit 7"], wait="exited")
    assert s["exit"] == {"code": 7, "signal": 0, "oom": False, "requested_stop": False, "lost": False, "at": s["exit"]["at"]}
    assert re.fullmatch("[0-9a-f]{64}", s["guest_key"]) and re.fullmatch("[0-9a-f]{32}", s["boot_id"])
    rig.wait_vm_end()
    assert rig.text() == ["out", "unfinished"] and rig.text("stderr") == ["err"]
    ns = [x["n"] for x in rig.all_lines()]
    assert ns == list(range(1, len(ns) + 1))
    kept = json.loads((rig.state / "exit.json").read_text())
    assert kept["exit"]["code"] == 7 and kept["generation"] == 1 and kept["boot_id"] == s["boot_id"]


def test_a_second_boot_on_the_same_link(rig):
    first = rig.boot(["sh", "-c", "echo first; exit 1"], wait="exited")
    rig.wait_vm_end()
    second = rig.boot(["sh", "-c", "echo second; kill -SEGV $$"], wait="exited")
    assert second["generation"] == 2 and second["boot_id"] != first["boot_id"] and second["guest_key"] != first["guest_key"]
    assert second["exit"]["signal"] == signal.SIGSEGV and second["exit"]["code"] == 128 + signal.SIGSEGV
    rig.wait_vm_end()
    lines = rig.all_lines()
    assert [x["n"] for x in lines] == list(range(1, len(lines) + 1)) and not any("gap" in x for x in lines)
    assert rig.text() == ["first", "second"]
    assert len({x["boot"] for x in lines}) == 2


def test_what_cannot_run_is_an_exit_with_a_reason(rig):
    for image, code, why in (({"cmd": ["no-such-program"]}, 127, "cannot run no-such-program"),
                             ({"cmd": ["true"], "user": "ghost"}, 125, "'ghost' is not in the image's /etc/passwd"),
                             ({"cmd": ["/etc/passwd"]}, 126, "cannot run /etc/passwd")):
        s = rig.boot([], wait="exited", image=image)
        assert s["exit"]["code"] == code, rig.story()
        rig.wait_vm_end()
        assert any(why in x for x in rig.text("system")), rig.story()


def test_a_terminal_for_the_app_and_a_working_dir_that_is_made(rig):
    rig.boot(["sh", "-c", "tty; pwd; test -t 1 && echo terminal"], wait="exited", init={"tty": True},
             image={"working_dir": "/made/for/it", "user": "app:wheel"})
    got = [x.rstrip("\r") for x in rig.text()]
    assert got[0].startswith("/dev/pts/") and got[1:] == ["/made/for/it", "terminal"], rig.story()


# ---- the surroundings of the app
def test_environment_user_files_and_names(sleeper):
    def out(*cmd, **more):
        r = sleeper.exec(*cmd, **more)
        assert r["exit_code"] == 0, r
        return r["stdout"]
    environ = out("env")
    env = dict(x.split("=", 1) for x in environ.splitlines())
    assert env["FROM_IMAGE"] == "yes" and env["BOTH"] == "config" and env["SECRET"] == "ß" and env["HOME"] == "/srv"
    assert out("id") == "uid=1000(app) gid=1000(app) groups=2000(extra)\n"
    assert out("id", user="0") == "uid=0(root) gid=0(root)\n"
    assert out("id", user="app:wheel") == "uid=1000(app) gid=10(wheel)\n"
    assert out("id", user="55:66") == "uid=55 gid=66\n"
    assert out("sh", "-c", "wc -c < /etc/app/deep/conf; ls -l /etc/app/deep/conf", user="0").startswith("7\n-rw-r-----")
    assert sleeper.exec("cat", "/etc/app/deep/conf")["exit_code"] == 1  # the app's user may not
    assert out("hostname") == "0123456789abcd\n"
    hosts = out("cat", "/etc/hosts")
    assert re.search(r"^fdaa:0:1:2::2\t.*fly-local-6pn$", hosts, re.M) and "fdaa::9\tother.internal" in hosts
    assert out("cat", "/etc/resolv.conf") == "nameserver fdaa::3\n"  # the image's own was a dangling link
    assert out("pwd") == "/srv\n"


def test_addresses_and_routes(rig):
    """No DHCP, no router advertisement: a /32 and a /112 with gateways that are reached on-link."""
    rig.send("PUT", "/v1/run", rig.config(["sleep", "1000"], ipv4="172.19.0.9", ipv4_gateway="172.19.0.1", ipv6="fdaa:0:1:2::9",
                                          ipv6_gateway="fe80::1"))
    rig.start_vm(network=True)
    rig.wait_phase("running")
    out = rig.exec("sh", "-c", "ip -4 addr show dev eth0; ip -4 route; ip -6 addr show dev eth0; ip -6 route; ip addr show dev lo")["stdout"]
    for want in ("inet 172.19.0.9/32", "default via 172.19.0.1 dev eth0", "inet6 fdaa:0:1:2::9/112", "default via fe80::1 dev eth0",
                 "inet 127.0.0.1/8"):
        assert want in out, out
    assert "tentative" not in out  # usable at once
    assert rig.exec("cat", "/etc/hosts")["stdout"].count("0123456789abcd") >= 1
    assert rig.text("system") == [], rig.story()


def test_the_disk_is_large_and_encrypted_and_the_initramfs_out_of_reach(sleeper):
    r = sleeper.exec("sh", "-c", "df -k / | tail -1; ls /; mount", user="0")
    assert int(r["stdout"].split()[1]) > 7 << 20
    assert "init" not in r["stdout"].splitlines()[1:12] and "scratch.blocks" not in r["stdout"]
    assert sleeper.exec("sh", "-c", "echo the-marker-on-disk > /root/f; for i in $(seq 200); do cat /root/f; done > /root/g; sync /root/g || sync",
                        user="0")["exit_code"] in (0, 127)
    time.sleep(1)
    raw = (sleeper.dir / "scratch.img")
    with open(raw, "rb") as f:  # the sparse file: only what was written
        data, at = b"", 0
        while True:
            try:
                at = os.lseek(f.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(f.fileno(), at, os.SEEK_HOLE)
            f.seek(at)
            data += f.read(end - at)
            at = end
    assert len(data) > 16384 and b"the-marker-on-disk" not in data and b"ward-scratch" not in data


def test_ps_and_stats(sleeper):
    sleeper.exec("sh", "-c", "nc -l -p 4444 >/dev/null 2>&1 &")
    sleeper.wait_for(lambda: any(p["listen_sockets"] for p in sleeper.get("/v1/ps")), 5, "no listening socket")
    ps = sleeper.get("/v1/ps")
    nc = next(p for p in ps if p["command"].startswith("nc"))
    assert nc["listen_sockets"][0]["proto"] == "tcp" and nc["listen_sockets"][0]["address"].endswith(":4444")
    app = next(p for p in ps if p["command"] == "sleep 1000")
    assert app["directory"] == "/srv" and app["rss"] > 0
    st = sleeper.get("/v1/stats")
    assert 200 << 20 < st["memory"]["total"] < 256 << 20 and st["cpu"]["count"] == 1 and len(st["load"]) == 3
    assert 63 << 20 < st["memory"]["swap_total"] <= 64 << 20
    assert {d["name"] for d in st["disk"]} == {"vda", "vdb"} and st["filesystem"]["total"] > 7 << 30
    assert abs(st["at"] / 1000 - time.time()) < 5  # the guest's clock is the host's


# ---- exec
def test_exec(sleeper):
    r = sleeper.exec("sh", "-c", "cat; echo err >&2; exit 3", stdin=b64(b"x" * 300_000))
    assert r == {"exit_code": 3, "exit_signal": 0, "stdout": "x" * 300_000, "stderr": "err\n"}
    r = sleeper.exec("sh", "-c", "kill -TERM $$")
    assert r["exit_signal"] == 15
    r = sleeper.exec("sh", "-c", "printf '\\377ok'")
    assert r["stdout"] == "\ufffdok"
    assert sleeper.exec("true", dir="/", env={"A": "b"})["exit_code"] == 0
    assert sleeper.exec("sh", "-c", "sleep 100 & echo left")["stdout"] == "left\n"  # does not wait for what it left behind
    e = sleeper.exec("no-such", expect=400)
    assert "cannot run no-such" in e["error"]
    e = sleeper.exec("sleep", "30", timeout_ms=300, expect=408)
    sleeper.wait_for(lambda: not any(p["command"] == "sleep 30" for p in sleeper.get("/v1/ps")), 5, "the late command still runs")
    sleeper.exec(expect=400)
    sleeper.exec("yes", expect=413)  # more output than is collected
    assert sleeper.exec("echo", "still here")["stdout"] == "still here\n"


def test_no_zombies_stay(sleeper):
    """What loses its parent is pid 1's child, and pid 1 takes its end."""
    r = sleeper.exec("sh", "-c", "for i in 1 2 3 4 5; do sh -c 'sleep 0.2 & exit 0'; done; sleep 1; cat /proc/[0-9]*/stat")
    processes = [line.rsplit(")", 1)[1].split()[0] for line in r["stdout"].splitlines()]
    assert "S" in processes and "Z" not in processes, r["stdout"]


class Stream:
    """An exec-stream by hand: the upgrade, then frames."""

    def __init__(self, rig, **opening):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(20)
        self.s.connect(str(rig.run / "link.sock"))
        self.s.sendall(b"POST /v1/exec-stream HTTP/1.1\r\nHost: link\r\nConnection: Upgrade\r\nUpgrade: ward-exec\r\nContent-Length: 0\r\n\r\n")
        self.data = b""
        while b"\r\n\r\n" not in self.data:
            self.data += self.s.recv(4096)
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        assert b" 101 " in head, head
        self.frame(1, json.dumps(opening).encode())

    def frame(self, kind, payload=b""):
        self.s.sendall(bytes([kind, 0, 0, 0]) + struct.pack(">I", len(payload)) + payload)

    def next(self):
        while len(self.data) < 8 or len(self.data) < 8 + struct.unpack(">I", self.data[4:8])[0]:
            more = self.s.recv(65536)
            if not more:
                return None, self.data
            self.data += more
        n = struct.unpack(">I", self.data[4:8])[0]
        kind, payload, self.data = self.data[0], self.data[8:8 + n], self.data[8 + n:]
        return kind, payload

    def until(self, pattern):
        seen = b""
        while not re.search(pattern, seen):
            kind, payload = self.next()
            assert kind == 16, (kind, payload, seen)
            seen += payload
        return seen

    def end(self):
        while True:
            kind, payload = self.next()
            if kind in (18, 19, None):
                return kind, payload


def test_exec_with_a_terminal(sleeper):
    st = Stream(sleeper, cmd=["sh"], tty=True, cols=100, rows=40)
    st.until(rb"[$#] ")
    st.frame(2, b"stty size\n")
    st.until(rb"40 100")
    st.frame(4, struct.pack(">HH", 133, 50))
    st.frame(2, b"stty size; tty\n")
    st.until(rb"50 133\r\n/dev/pts/")
    st.frame(2, b"sleep 1000\n")
    time.sleep(0.3)
    st.frame(2, b"\x03echo in-$((1+1))\n")  # control-C ends the sleep: it is the controlling terminal
    st.until(rb"in-2")
    st.frame(2, b"exit 5\n")
    assert st.end() == (18, struct.pack(">II", 5, 0))


def test_exec_stream_both_ways_at_once(sleeper):
    """3 MB through `cat`, more than any window: neither side may wait for the other for ever."""
    st = Stream(sleeper, cmd=["cat"])
    data = os.urandom(3_000_000)

    def send():
        for i in range(0, len(data), 30000):
            st.frame(2, data[i:i + 30000])
        st.frame(3)
    t = threading.Thread(target=send)
    t.start()
    got = b""
    while True:
        kind, payload = st.next()
        if kind != 16:
            break
        got += payload
    t.join()
    assert (kind, payload) == (18, bytes(8)) and got == data


def test_a_broken_or_leaving_client_ends_its_command(sleeper):
    for how in ("leave", "break"):
        st = Stream(sleeper, cmd=["sleep", "77"])
        sleeper.wait_for(lambda: any(p["command"] == "sleep 77" for p in sleeper.get("/v1/ps")), 5, "did not start")
        if how == "leave":
            st.s.close()
        else:
            st.s.sendall(b"\xff" * 8)
        sleeper.wait_for(lambda: not any(p["command"] == "sleep 77" for p in sleeper.get("/v1/ps")), 5, f"still runs ({how})")


# ---- stopping
def test_stop_by_signal(rig):
    rig.boot(["sh", "-c", "trap 'echo bye; exit 4' TERM; echo ready; while true; do sleep 0.1; done"])
    rig.wait_line("ready")
    rig.send("POST", "/v1/stop", {"signal": "SIGTERM", "timeout_ms": 10000})
    s = rig.wait_phase("exited", 10)
    assert s["exit"]["code"] == 4 and s["exit"]["requested_stop"] and rig.text()[-1] == "bye"
    rig.wait_vm_end(10)


def test_stop_in_vain_kills_after_the_timeout(rig):
    rig.boot(["sh", "-c", "trap 'echo no' TERM; echo ready; while true; do sleep 0.1; done"])
    rig.wait_line("ready")
    t = time.time()
    rig.send("POST", "/v1/stop", {"signal": "SIGTERM", "timeout_ms": 1500})
    s = rig.wait_phase("exited", 10)
    assert 1.4 < time.time() - t < 6 and s["exit"]["signal"] == 9 and s["exit"]["requested_stop"] and "no" in rig.text()
    rig.wait_vm_end(10)


def test_signals_reach_the_app(rig):
    rig.boot(["sh", "-c", "trap 'echo hup' HUP; echo ready; while true; do sleep 0.1; done"])
    rig.wait_line("ready")
    rig.send("POST", "/v1/signal", {"signal": "SIGHUP"})
    rig.wait_line("^hup$")
    rig.send("POST", "/v1/signal", {"signal": "SIGNOPE"}, expect=(400,))
    rig.send("POST", "/v1/signal", {"signal": "SIGKILL"})
    s = rig.wait_phase("exited", 10)
    assert s["exit"]["signal"] == 9 and not s["exit"]["requested_stop"] and not s["exit"]["oom"]


def test_out_of_memory_is_told(rig):
    s = rig.boot(["sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=90; exec dd if=/dev/zero of=/dev/null bs=170M count=1"], wait="exited")
    assert s["exit"]["oom"] and s["exit"]["code"] in (137, 9), rig.story()
    rig.wait_vm_end()


def test_a_vm_that_dies_is_lost(rig):
    rig.boot(["sleep", "1000"])
    rig.qemu.kill()
    s = rig.wait_phase("exited", 10)
    assert s["exit"]["lost"] and s["exit"]["code"] == -1
    assert json.loads((rig.state / "exit.json").read_text())["exit"]["lost"]


# ---- the link's own life
def test_a_killed_link_finds_everything_again(rig):
    before = rig.boot(["sh", "-c", "echo one; sleep 3; echo two; sleep 1000"])
    rig.wait_line("one")
    rig.kill_link()
    time.sleep(4)  # "two" is written while nobody listens
    rig.start_link()
    s = rig.wait_phase("running", 10)
    assert (s["boot_id"], s["generation"]) == (before["boot_id"], 1)
    rig.wait_line("two")
    assert rig.text() == ["one", "two"]
    assert rig.exec("echo", "x")["stdout"] == "x\n"
    rig.send("PUT", "/v1/run", rig.config(["other"], generation=1))  # the agent says it again: nothing happens
    assert rig.exec("echo", "x")["stdout"] == "x\n"


def test_an_exit_while_the_link_is_dead_is_not_lost(rig):
    rig.boot(["sh", "-c", "echo up; sleep 2; exit 9"])
    rig.wait_line("up")
    rig.kill_link()
    time.sleep(3.5)
    rig.start_link()
    s = rig.wait_phase("exited", 10)
    assert s["exit"]["code"] == 9 and not s["exit"]["lost"]
    rig.wait_vm_end(10)
    rig.kill_link()
    rig.start_link()
    assert rig.get("/v1/state")["exit"]["code"] == 9


def test_log_paging_acks_and_waiting(rig):
    rig.boot(["sh", "-c", "for i in 1 2 3; do echo $i; done; sleep 4; echo late; sleep 1000"])
    rig.wait_line("^3$")
    assert [x["line"] for x in rig.lines(1)] == ["2", "3"]
    last = rig.all_lines()[-1]["n"]
    t = time.time()
    status, data = rig.ask("GET", f"/v1/logs?after={last}&wait_ms=20000")
    assert status == 200 and json.loads(data)["line"] == "late" and time.time() - t < 15
    rig.send("POST", "/v1/logs/ack", {"upto": last})
    status, data = rig.ask("GET", f"/v1/logs?after={last + 1}&wait_ms=200")
    assert (status, data) == (200, b"")


def test_long_lines_are_cut_and_joined_again_by_the_mark(rig):
    rig.boot(["sh", "-c", "yes xxxxxxx | head -n 5000 | while read a; do printf $a; done; echo"], wait="exited")
    got = [x for x in rig.all_lines() if x.get("stream") == "stdout"]
    assert "".join(x["line"] for x in got) == "x" * 35000 and [x.get("cut", False) for x in got] == [True, True, False]


def test_100_reconnects_in_mid_flood_lose_and_double_nothing(rig):
    """The link is killed 100 times while the app writes numbered lines as fast as it can; a reader like telemetry takes and acknowledges."""
    rig.boot(["sh", "-c", "exec seq 1 100000000"])
    got, after, seed = [], 0, random.randrange(1 << 32)
    rnd = random.Random(seed)

    def drain(once=True):
        nonlocal after
        while True:
            more = rig.lines(after)
            if not more:
                return
            got.extend(more)
            after = more[-1]["n"]
            rig.send("POST", "/v1/logs/ack", {"upto": after})
            if once:
                return
    for i in range(100):
        time.sleep(rnd.random() * 0.05)
        for _ in range(rnd.randrange(3)):
            drain()
        rig.kill_link()
        rig.start_link()
    end = time.time() + 60
    n = len(got)
    while len(got) < n + 50000:
        assert time.time() < end, f"the flood does not go on after the last reconnect (seed {seed})\n{rig.story()}"
        drain()
    gaps = [x for x in got if "gap" in x]
    assert not gaps, f"seed {seed}: {gaps[:5]}"
    assert [x["n"] for x in got] == list(range(1, len(got) + 1)), f"seed {seed}"
    out = [int(x["line"]) for x in got if x["stream"] == "stdout"]
    assert out == list(range(1, len(out) + 1)), f"seed {seed}"
    assert len(out) > 50000
    assert rig.exec("echo", "alive")["stdout"] == "alive\n"


def test_without_a_reader_the_ring_keeps_the_newest_and_says_what_is_gone(rig):
    rig.boot(["sh", "-c", "seq 1 200000; echo end; sleep 1000"])
    # nobody acknowledges; the link waits for its readers of before for a while, then lets the oldest go
    deadline = time.time() + 60
    last = 0
    while True:
        time.sleep(11)
        lines = rig.lines(max(last - 1, 0))
        last = max([last] + [x["n"] for x in lines])
        if any(x.get("line") == "end" for x in rig.all_lines()) or time.time() > deadline:
            break
    lines = rig.all_lines()
    assert lines[-1].get("line") == "end", rig.story()
    assert "gap" in lines[0] and lines[0]["gap"] == lines[0]["n"]
    covered = sum(x.get("gap", 1) for x in lines)
    assert covered == lines[-1]["n"]
