"""ward-agent with a real store; everything else on the host is played by the test.

    desired/h1/… --etcd--> ward-agent --> wardd.sock          Wardd: cages, ends, their list
                               |  | `---> net.sock            Net: taps
                               |  `-----> image-fetch.sock, image-convert.sock   Image
                               `--------> machines/<id>/link.sock                Link: phases, run config, stop
"""
import base64, json, os, pathlib, pwd, secrets, select, shutil, socket, struct, subprocess, threading, time

import wardtest
from apilab import Quiet, UnixServer, now, ulid
from test_store import Etcd
from wardtest import wait_for

HEAD = struct.Struct("=IIQ")
CAGE_START = struct.Struct("=IIQ16sIIIIII64s72s18s32s2s4x")
CAGE_STOP = struct.Struct("=IIQ16s")
ANSWER = struct.Struct("=IIQiIi240s4x")
EXITED = struct.Struct("=IIQ16sIIiiI4x")
CAGE = struct.Struct("=16sIIii")
NET_ASK = struct.Struct("=IIQ16sIIII")
NET_ANSWER = struct.Struct("=IIQiI240s48s48s16s16s48s18s6s")
IMAGE_ASK = struct.Struct("=IIQ384s72s")
IMAGE_ANSWER = struct.Struct("=IIQiIQQ72s240s")
ROOT, DIGEST = "b" * 64, "a" * 64
LINK, MONITOR = 0, 1


def text(b):
    return b.split(b"\0")[0].decode()


class Server:
    """One thread a connection, packets in, packets out; dies and comes back as a daemon would."""
    def __init__(self, path):
        self.path, self.listener, self.conns = path, None, []
        self.start()

    def start(self):
        self.path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(self.path))
        self.path.chmod(0o666)
        self.listener.listen(8)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                c, _ = listener.accept()
            except OSError:
                return
            self.conns.append(c)
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(c, 65536, 4)
            except OSError:
                return
            if not data:
                return
            try:
                self.packet(c, data, fds)
            except OSError:
                return
            finally:
                for fd in fds:
                    os.close(fd)

    def die(self):
        for s in [self.listener, *self.conns]:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
        self.conns = []
        self.path.unlink(missing_ok=True)


class Wardd(Server):
    def __init__(self, lab):
        self.lab, self.cages, self.listening, self.pids, self.starts = lab, {}, [], 1000, []
        super().__init__(lab.run / "wardd.sock")

    def packet(self, c, data, fds):
        kind, _, seq = HEAD.unpack_from(data)
        if kind == 1:
            c.send(ANSWER.pack(1, 1, seq, *self.cage_start(CAGE_START.unpack(data), fds)))
        elif kind == 2:
            self.cage_stop(text(CAGE_STOP.unpack(data)[3]))
            c.send(ANSWER.pack(2, 1, seq, 0, 0, 0, b""))
        elif kind == 3:
            rows = b"".join(CAGE.pack(i.encode(), g["generation"], g["slot"], g[LINK], g[MONITOR]) for i, g in self.cages.items())
            c.send(HEAD.pack(3, 1, seq) + struct.pack("=I", len(self.cages)) + rows.ljust(32 * 1024 + 4, b"\0"))
        elif kind == 4:
            self.listening.append(c)
            c.send(ANSWER.pack(4, 1, seq, 0, 0, 0, b""))

    def cage_start(self, q, fds):
        machine, role, generation, slot = text(q[3]), *q[4:7]
        g = self.cages.setdefault(machine, {LINK: 0, MONITOR: 0, "generation": 0, "slot": slot})
        self.pids += 1
        if role == LINK and not g[LINK]:
            g[LINK] = self.pids
            self.lab.link(machine).up()
        elif role == MONITOR:
            assert len(fds) == 1 and not g[MONITOR], (fds, g)
            self.starts.append((machine, generation))
            g[MONITOR], g["generation"] = self.pids, generation
            threading.Timer(0.2, self.lab.link(machine).booted, (generation,)).start()
        return 0, 0, g[role], b""

    def cage_stop(self, machine):
        if self.cages.pop(machine, None):
            self.lab.link(machine).down()

    def monitor_ends(self, machine, signal=0):
        g = self.cages.get(machine)
        if not g or not g[MONITOR]:
            return
        g[MONITOR] = 0
        for c in self.listening:
            try:
                c.send(EXITED.pack(5, 1, 0, machine.encode(), MONITOR, g["generation"], 0 if not signal else -1, signal, 0))
            except OSError:
                pass


class Net(Server):
    def __init__(self, lab):
        self.taps = set()
        super().__init__(lab.run / "net.sock")

    def packet(self, c, data, fds):
        kind, _, seq, machine, network, host, number, _ = NET_ASK.unpack(data)
        machine = text(machine)
        if kind == 3:
            rows = b"".join(t.encode().ljust(16, b"\0") for t in self.taps)
            c.send(HEAD.pack(3, 1, seq) + struct.pack("=I", len(self.taps)) + rows.ljust(16 * 1024 + 4, b"\0"))
            return
        answer = NET_ANSWER.pack(kind, 1, seq, 0, 0, b"", f"fdaa:0:{network:x}:{host}:0:0:{number:x}:2".encode(), b"fe80::1",
                                 b"172.19.0.9", b"172.19.0.1", b"fdaa::3", b"02:00:00:00:00:09", b"")
        if kind == 1:
            self.taps.add(machine)
            with open("/dev/null") as f:
                socket.send_fds(c, [answer], [f.fileno()])
        else:
            self.taps.discard(machine)
            c.send(answer)


class Image(Server):
    def __init__(self, lab, name):
        self.lab, self.convert = lab, "convert" in name
        super().__init__(lab.run / name)

    def packet(self, c, data, fds):
        ask = IMAGE_ASK.unpack(data)
        if not self.convert and "absent" in text(ask[3]):
            c.send(IMAGE_ANSWER.pack(6, 1, ask[2], -2, self.lab.code("ERR_IMAGE_MISSING"), 0, 0, b"", b"there is no such image"))
            return
        c.send(IMAGE_ANSWER.pack(5, 1, ask[2], 0, 0, 1, 2, b"", b""))
        c.send(IMAGE_ANSWER.pack(6, 1, ask[2], 0, 0, 2, 2, (ROOT if self.convert else DIGEST).encode(), b""))


class Link:
    def __init__(self, lab, machine):
        self.lab, self.machine, self.server = lab, machine, None
        self.seq, self.phase, self.generation, self.exit, self.run, self.behave = 1, "waiting", 0, None, None, "good"

    def up(self):
        link = self

        class Handler(Quiet):
            def do_GET(self):
                after = int(self.path.split("after=")[1].split("&")[0])
                end = time.time() + (5 if "wait_ms=25000" in self.path else 0)
                while link.seq <= after and time.time() < end and link.server:
                    time.sleep(0.02)
                self.answer(200, {"seq": link.seq, "phase": link.phase, "generation": link.generation, "boot_id": "b",
                                  **({"exit": link.exit} if link.exit else {})})

            def do_PUT(self):
                link.run = self.body()
                if link.run["generation"] != link.generation:
                    link.generation, link.exit = link.run["generation"], None
                    link.turn("waiting")
                self.answer(200, {})

            def do_POST(self):
                body = self.body()
                link.stopped_with = body
                if link.behave != "hang":
                    threading.Timer(0.1, link.ends, (0, True)).start()
                self.answer(200, {})
        folder = self.lab.run / "machines" / self.machine
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "link.sock").unlink(missing_ok=True)
        self.server = UnixServer(folder / "link.sock", Handler)

    def down(self):
        if self.server:
            s, self.server = self.server, None
            s.shutdown()
            s.server_close()

    def turn(self, phase):
        self.phase, self.seq = phase, self.seq + 1

    def booted(self, generation):
        if self.generation == generation and self.server:
            self.turn("running")
            if self.behave == "crash":
                threading.Timer(0.2, self.ends, (7, False)).start()

    def ends(self, code, requested=False):
        self.exit = {"code": code, "signal": 0, "oom": False, "requested_stop": requested, "at": int(time.time() * 1000)}
        self.turn("exited")
        time.sleep(0.1)
        self.lab.wardd.monitor_ends(self.machine)


class AgentLab:
    def __init__(self):
        self.etcd = Etcd()
        self.root, self.lib, self.run = self.etcd.root, self.etcd.lib, self.etcd.run
        self.links, self.agent, self.servers = {}, None, []

    def __enter__(self):
        try:
            user = pwd.getpwnam("ward-agent")
            for d in (self.lib / "machines", self.lib / "images", self.run / "machines", self.run / "names"):
                d.mkdir(parents=True, exist_ok=True)
                os.chown(d, user.pw_uid, user.pw_gid)
            (self.lib / "images" / f"{ROOT}.squashfs").write_bytes(b"x")
            (self.lib / "images" / f"{DIGEST}.json").write_text(json.dumps(
                {"v": 1, "digest": DIGEST, "root": ROOT, "size": 1, "config": {"entrypoint": ["/app"], "cmd": ["-v"], "env": ["A=1"]}}))
            self.etcd.start()
            self.etcd.setup()
            self.wardd, self.net = Wardd(self), Net(self)
            self.servers = [self.wardd, self.net, Image(self, "image-fetch.sock"), Image(self, "image-convert.sock")]
            self.start_agent()
        except BaseException:
            self.__exit__(True)
            raise
        return self

    def __exit__(self, *exc):
        self.kill_agent()
        if exc and exc[0]:
            print((self.root / "agent.log").read_text(errors="replace")[-4000:] if (self.root / "agent.log").exists() else "")
        for s in self.servers:
            s.die()
        for l in self.links.values():
            l.down()
        self.etcd.__exit__(None)

    @staticmethod
    def code(name):
        """An error code's number: its place in the table."""
        table = (wardtest.ROOT / "src/base/errors.def").read_text()
        names = [l.split("(")[1].split(",")[0] for l in table.splitlines() if l.startswith("X(")]
        return names.index(name) + 1

    def start_agent(self):
        r, w = os.pipe()
        os.write(w, self.etcd.passwords["agent"].encode())
        os.close(w)
        with open(self.root / "agent.log", "ab") as log:
            self.agent = subprocess.Popen(
                [wardtest.LIBEXEC / "ward-agent", "--root", str(self.root), "--host", "h1", "--region", "local", "--engine", "emulated"],
                preexec_fn=lambda: os.dup2(r, 3), close_fds=False, stdin=subprocess.DEVNULL, stderr=log, user="ward-agent",
                group="ward-agent", extra_groups=[pwd.getpwnam("ward-etcd").pw_gid],
                env={"LISTEN_FDS": "1", "LISTEN_FDNAMES": "store-password", "WARD_DEBUG": "1"})
        os.close(r)

    def kill_agent(self):
        if self.agent:
            self.agent.kill()
            self.agent.wait()
            self.agent = None

    def link(self, machine):
        return self.links.setdefault(machine, Link(self, machine))

    # ---- the store ----
    def put(self, key, value):
        b = lambda s: base64.b64encode(s.encode()).decode()
        self.etcd.root_call("/v3/kv/put", {"key": b(key), "value": b(json.dumps(value))})

    def delete(self, key):
        self.etcd.root_call("/v3/kv/deleterange", {"key": base64.b64encode(key.encode()).decode()})

    def get(self, key):
        answer = self.etcd.root_call("/v3/kv/range", {"key": base64.b64encode(key.encode()).decode()})
        return json.loads(base64.b64decode(answer["kvs"][0]["value"])) if answer.get("kvs") else None

    def desired(self, **change):
        d = {"v": 1, "id": secrets.token_hex(7), "app": "a" * 16, "app_name": "shop", "group": "app", "name": "one", "region": "local",
             "instance_id": ulid(), "version": 1, "release": 0, "start_seq": 0, "restart_seq": 0, "want": "started", "cordoned": False,
             "number": 7, "network": 5, "created_at": now(), "updated_at": now(), "metadata": {},
             "config": {"image": "docker://x:1", "guest": {"cpus": 1, "memory_mb": 256}, "rootfs": {"size_gb": 1}}}
        return self.write({**d, **change})

    def write(self, d, **change):
        d = {**d, **change}
        self.put(f"desired/h1/{d['id']}", d)
        return d

    def observed(self, d):
        return self.get(f"observed/h1/{d['id']}") or {"state": "none"}

    def until(self, d, state, **more):
        def check():
            o = self.observed(d)
            return o if o["state"] == state and all(o.get(k) == v for k, v in more.items()) else None
        return wait_for(f"machine {d['id']} {state}", check, 20)

    def folder(self, d):
        return self.lib / "machines" / d["id"]
