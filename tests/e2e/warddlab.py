"""wardd alone, for its own tests: an instance of its own below /tmp, and the agent's side of wardd.sock.

    with Wardd(only="net") as w:
        agent = w.agent()                      # a process of user ward-agent holding the connection
        agent.start(machine, role=LINK)
"""
import ctypes, fcntl, json, os, pathlib, pwd, secrets, shutil, signal, socket, struct, subprocess, tempfile, time

import wardtest

START, STOP, LIST, SUBSCRIBE, EXITED, STATUS = range(1, 7)
LINK, MONITOR = 0, 1
EMULATED, KVM = 1, 2
HEAD = struct.Struct("=IIQ")
CAGE_START = struct.Struct("=IIQ16sIIIIII64s72s18s32s2s4x")
CAGE_STOP = struct.Struct("=IIQ16s")
ANSWER = struct.Struct("=IIQiIi240s4x")
EXIT = struct.Struct("=IIQ16sIIiiI4x")
CAGE = struct.Struct("=16sIIii")
DAEMON = struct.Struct("=20siI4xQ")


def machine_id():
    return secrets.token_hex(7)


def text(raw):
    return raw.split(b"\0", 1)[0].decode()


class Agent:
    """A connection to wardd.sock made as another user: the peer's uid is that of connect()."""

    def __init__(self, path, user="ward-agent"):
        a, b = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            try:
                pw = pwd.getpwnam(user)
                os.setgroups([])
                os.setgid(pw.pw_gid)
                os.setuid(pw.pw_uid)
                s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                s.connect(path)
                socket.send_fds(b, [b"x"], [s.fileno()])
            finally:
                os._exit(0)
        b.close()
        _, fds, _, _ = socket.recv_fds(a, 1, 1)
        a.close()
        os.waitpid(pid, 0)
        self.sock = socket.socket(fileno=fds[0])
        self.sock.settimeout(20)
        self.seq = 0
        self.exits = []

    def close(self):
        self.sock.close()

    def ask(self, packet, fds=()):
        socket.send_fds(self.sock, [packet], list(fds))
        return self.answer()

    def answer(self):
        while True:
            data = self.sock.recv(1 << 20)
            if not data:
                raise ConnectionError("wardd closed the connection")
            if HEAD.unpack_from(data)[0] != EXITED:
                return data
            self.exits.append(self.parse_exit(data))

    @staticmethod
    def parse_exit(data):
        _, _, _, machine, role, generation, code, sig, oom = EXIT.unpack(data)
        return {"machine": text(machine), "role": role, "generation": generation, "code": code, "signal": sig, "oom": oom}

    def wait_exit(self, machine, role, timeout=15):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for x in self.exits:
                if x["machine"] == machine and x["role"] == role:
                    self.exits.remove(x)
                    return x
            self.sock.settimeout(max(0.05, end - time.monotonic()))
            try:
                data = self.sock.recv(1 << 20)
            except TimeoutError:
                break
            finally:
                self.sock.settimeout(20)
            assert HEAD.unpack_from(data)[0] == EXITED
            self.exits.append(self.parse_exit(data))
        raise AssertionError(f"no exit of {machine} role {role} within {timeout} s")

    def head(self, kind):
        self.seq += 1
        return kind, 1, self.seq

    def result(self, data):
        _, _, seq, result, code, pid, why = ANSWER.unpack(data)
        assert seq == self.seq
        return result, pid, text(why)

    def start(self, machine, role=LINK, generation=1, slot=7, engine=EMULATED, cpus=1, memory=256, kernel="current", root="0" * 64,
              mac="02:00:00:00:00:01", token=b"\7" * 32, tap=None):
        return self.result(self.ask(CAGE_START.pack(*self.head(START), machine.encode(), role, generation, slot, engine, cpus, memory,
                                                    kernel.encode(), root.encode(), mac.encode(), token, b""), [tap] if tap else ()))

    def stop(self, machine):
        return self.result(self.ask(CAGE_STOP.pack(*self.head(STOP), machine.encode())))

    def list(self):
        data = self.ask(CAGE_STOP.pack(*self.head(LIST), b""))
        count, = struct.unpack_from("=I", data, HEAD.size)
        out = {}
        for i in range(count):
            machine, generation, slot, link, monitor = CAGE.unpack_from(data, HEAD.size + 4 + i * CAGE.size)
            out[text(machine)] = {"generation": generation, "slot": slot, "link": link, "monitor": monitor}
        return out

    def subscribe(self):
        assert self.result(self.ask(HEAD.pack(*self.head(SUBSCRIBE))))[0] == 0
        return self

    def status(self):
        data = self.ask(HEAD.pack(*self.head(STATUS)))
        count, = struct.unpack_from("=I", data, HEAD.size)
        out = {}
        for i in range(count):
            name, pid, restarts, since = DAEMON.unpack_from(data, HEAD.size + 8 + i * DAEMON.size)
            out[text(name)] = {"pid": pid, "restarts": restarts, "since": since}
        return out


class Tap:
    """An open tap in a network namespace of its own, so that the host's is not touched."""

    def __init__(self):
        a, b = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            try:
                ctypes.CDLL(None).unshare(0x40000000)  # CLONE_NEWNET
                fd = os.open("/dev/net/tun", os.O_RDWR)
                fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", b"t0", 0x5002))  # TUNSETIFF, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
                socket.send_fds(b, [b"x"], [fd])
            finally:
                os._exit(0)
        b.close()
        _, fds, _, _ = socket.recv_fds(a, 1, 1)
        a.close()
        os.waitpid(pid, 0)
        self.fd = fds[0]

    def close(self):
        os.close(self.fd)


class Wardd:
    def __init__(self, only="none", toml="", libexec=None):
        tag = secrets.token_hex(3)
        self.root, self.instance = pathlib.Path(f"/tmp/wt-{tag}"), f"s{tag}"
        self.etc, self.lib, self.run = (self.root / d / self.instance for d in ("etc", "var/lib", "run"))
        self.only, self.toml, self.libexec = only, toml, libexec
        self.process = None
        self.agents = []

    def __enter__(self):
        self.root.mkdir(exist_ok=True)
        self.etc.mkdir(parents=True)
        (self.etc / "ward.toml").write_text('[machines]\nengine = "emulated"\n[network]\nuplink = false\n[vault]\nkey_file = true\n' + self.toml)
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        log = open(self.root / "wardd.out", "ab")
        self.process = subprocess.Popen([wardtest.LIBEXEC / "wardd", "--root", str(self.root), "--instance", self.instance, "--only", self.only]
                                        + (["--libexec", str(self.libexec)] if self.libexec else []),
                                        stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        log.close()
        mark = self.log().count("watching")
        wardtest.wait_for("wardd", lambda: self.alive() and self.log().count("watching") > max(0, mark - 1)
                          and f"pid {self.process.pid}" in self.log(), 15)

    def log(self):
        return (self.root / "wardd.out").read_text()

    def alive(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"wardd ended with {self.process.returncode}:\n{self.log()[-3000:]}")
        return True

    def agent(self, user="ward-agent"):
        a = Agent(str(self.run / "wardd.sock"), user)
        self.agents.append(a)
        return a

    def daemon_log(self, name):
        return (self.lib / "log" / f"{name}.log").read_text()

    def stop(self, sig=signal.SIGTERM, timeout=40):
        if self.process and self.process.poll() is None:
            self.process.send_signal(sig)
            self.process.wait(timeout)
        return self.process.returncode if self.process else None

    def groups(self):
        return [p for p in pathlib.Path("/sys/fs/cgroup").glob(f"*/{self.instance}")] + \
               [p for p in pathlib.Path("/sys/fs/cgroup").glob(self.instance)]

    def pids(self):
        """All processes in this instance's cgroups."""
        out = set()
        for top in self.groups():
            for f in top.rglob("cgroup.procs"):
                try:
                    out.update(int(x) for x in f.read_text().split())
                except OSError:
                    pass
        return out

    def leftovers(self):
        out = [f"process {p}" for p in self.pids()] + [f"cgroup {g}" for g in self.groups()]
        out += [f"mount {line.split()[4]}" for line in open("/proc/self/mountinfo") if str(self.root) in line]
        out += [f"socket or folder {p.name}" for p in self.run.iterdir()] if self.run.exists() else []
        return out

    def __exit__(self, *exc):
        for a in self.agents:
            a.close()
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for top in self.groups():
            for d in sorted(top.rglob("*"), key=lambda p: -len(p.parts)):
                if d.is_dir():
                    wardtest.wait_for(f"an empty {d}", lambda: not (d / "cgroup.procs").read_text(), 5)
                    d.rmdir()
            top.rmdir()
        subprocess.run(["umount", "-q", "-l", self.run / "netns"], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.root, ignore_errors=True)
