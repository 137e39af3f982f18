"""Network namespaces for a test, and machines in them: a guest is a namespace of its own whose card is joined, frame by frame, to
the tap that ward-net gave. Everything is removed at the end."""
import array, ctypes, fcntl, os, select, signal, socket, struct, subprocess, threading

TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
VNET_HEADER = 12
libc = ctypes.CDLL(None, use_errno=True)


def program(name):
    """As installed for the tests; or from the build folder that WARD_BUILD names, for who works on one part."""
    build = os.environ.get("WARD_BUILD")
    if not build:
        import wardtest
        return str(wardtest.LIBEXEC / name)
    return next(os.path.join(top, name) for top, _, files in os.walk(os.path.join(build, "src")) if name in files)


def run(*argv, ok=True):
    r = subprocess.run(argv, capture_output=True, text=True)
    if ok and r.returncode:
        raise AssertionError(f"{' '.join(argv)}: {r.returncode}\n{r.stdout}{r.stderr}")
    return r


class Namespace:
    def __init__(self, name):
        self.name = f"w{os.getpid()}{name}"
        run("ip", "netns", "add", self.name)
        self.path = f"/run/netns/{self.name}"
        self("ip", "link", "set", "lo", "up")

    def __call__(self, *argv, ok=True):
        return run("ip", "netns", "exec", self.name, *argv, ok=ok)

    def popen(self, *argv, **kw):
        return subprocess.Popen(["ip", "netns", "exec", self.name, *argv], **kw)

    def inside(self, fn):
        """fn() run in this namespace, by a thread of its own (sockets it makes stay there)."""
        result = []

        def body():
            with open(self.path) as f:
                if libc.setns(f.fileno(), 0x40000000):
                    raise OSError(ctypes.get_errno(), "setns")
            try:
                result.append((True, fn()))
            except Exception as e:
                result.append((False, e))
        t = threading.Thread(target=body)
        t.start()
        t.join()
        good, value = result[0]
        if not good:
            raise value
        return value

    def remove(self):
        run("ip", "netns", "del", self.name, ok=False)


class Ipc:
    """A SEQPACKET client that speaks as one of Ward's users (SO_PEERCRED is taken at connect)."""

    def __init__(self, path, user):
        import pwd
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(300)
        os.seteuid(pwd.getpwnam(user).pw_uid)
        try:
            self.sock.connect(path)
        finally:
            os.seteuid(0)

    def call(self, message, size, fds=()):
        anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.sock.sendmsg([message], anc)
        return self.receive(size)

    def receive(self, size):
        data, fds, _, _ = socket.recv_fds(self.sock, size, 4)
        return data, fds

    def close(self):
        self.sock.close()


class Daemon:
    """A program with its socket passed, as wardd passes it; given user and capabilities by setpriv."""

    def __init__(self, program, name, folder, *args, namespace=None, user=None, caps=None, sockets=()):
        self.path = f"{folder}/{name}.sock"
        fds = list(sockets)
        if name:
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            if os.path.exists(self.path):
                os.unlink(self.path)
            s.bind(self.path)
            os.chmod(self.path, 0o666)
            s.listen(8)
            fds.insert(0, (name, s))
        argv = [program, *args]
        if user:
            caps = ",".join("+" + c for c in caps or ()) or None
            argv = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs",
                    f"--inh-caps=-all{',' + caps if caps else ''}", f"--ambient-caps=-all{',' + caps if caps else ''}",
                    f"--bounding-set=-all{',' + caps if caps else ''}", *argv]
        self.log = open(f"{folder}/{name or os.path.basename(program)}.log", "ab")
        self.pid = os.fork()
        if not self.pid:
            try:
                if namespace:
                    with open(namespace.path) as f:
                        libc.setns(f.fileno(), 0x40000000)
                os.dup2(self.log.fileno(), 2)
                high = [fcntl.fcntl(s.fileno(), fcntl.F_DUPFD, 50) for _, s in fds]
                for i, fd in enumerate(high):
                    os.dup2(fd, 3 + i)
                    os.close(fd)
                os.execvpe(argv[0], argv, {"LISTEN_FDS": str(len(fds)), "LISTEN_FDNAMES": ":".join(n for n, _ in fds),
                                           "PATH": os.environ["PATH"]})
            finally:
                os._exit(99)
        for n, s in fds:
            if n == name:
                s.close()

    def text(self):
        with open(self.log.name) as f:
            return f.read()

    def alive(self):
        return os.waitpid(self.pid, os.WNOHANG) == (0, 0)

    def stop(self):
        if self.pid:
            try:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
            self.pid = 0


class Guest:
    """A machine's kernel: a namespace whose eth0 is joined to the tap's fd."""

    def __init__(self, name, fd, answer):
        self.ns = Namespace(name)
        self.fd, self.answer = fd, answer
        fcntl.ioctl(fd, TUNSETOFFLOAD, 0)
        self.card = self.ns.inside(self.open_card)
        n = self.ns
        n("ip", "link", "set", "eth0", "address", answer["mac"], "up")
        n("sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=0")
        n("ip", "addr", "add", answer["ipv4"] + "/32", "dev", "eth0")
        n("ip", "route", "add", "default", "via", answer["ipv4_gateway"], "dev", "eth0", "onlink")
        n("ip", "-6", "addr", "add", answer["ipv6"] + "/112", "dev", "eth0", "nodad")
        n("ip", "-6", "route", "add", "default", "via", answer["ipv6_gateway"], "dev", "eth0")
        self.running = True
        self.pump = threading.Thread(target=self.run, daemon=True)
        self.pump.start()

    @staticmethod
    def open_card():
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"eth0", IFF_TAP | IFF_NO_PI))
        return fd

    def send(self, frame):
        """A frame of our own making, as a hostile guest would send it."""
        os.write(self.fd, bytes(VNET_HEADER) + frame)

    def run(self):
        while self.running:
            ready, _, _ = select.select([self.fd, self.card], [], [], 0.1)
            for fd in ready:
                try:
                    data = os.read(fd, 70000)
                    if fd == self.card:
                        self.send(data)
                    else:
                        os.write(self.card, data[VNET_HEADER:])
                except OSError:
                    pass

    def stop(self):
        self.running = False
        self.pump.join()
        os.close(self.card)
        os.close(self.fd)
        self.ns.remove()


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    s = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while s >> 16:
        s = (s & 0xFFFF) + (s >> 16)
    return ~s & 0xFFFF


def udp_frame(dst_mac, src_mac, src, dst, port, payload=b"x"):
    """Ethernet + IPv4 or IPv6 + UDP."""
    six = ":" in src
    family = socket.AF_INET6 if six else socket.AF_INET
    a, b = socket.inet_pton(family, src), socket.inet_pton(family, dst)
    head = struct.pack("!HHHH", 4444, port, 8 + len(payload), 0)
    pseudo = a + b + (struct.pack("!IHBB", 8 + len(payload), 0, 0, 17) if six else struct.pack("!BBH", 0, 17, 8 + len(payload)))
    udp = head[:6] + struct.pack("!H", checksum(pseudo + head + payload) or 0xFFFF) + payload
    if six:
        ip = struct.pack("!IHBB", 0x60000000, len(udp), 17, 64) + a + b
    else:
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) + a + b
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    return dst_mac + src_mac + struct.pack("!H", 0x86DD if six else 0x0800) + ip + udp


def listen(ns, port, family=socket.AF_INET6, kind=socket.SOCK_STREAM, address=None):
    def make():
        s = socket.socket(family, kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address or ("::" if family == socket.AF_INET6 else "0.0.0.0"), port))
        if kind == socket.SOCK_STREAM:
            s.listen(8)
        return s
    return ns.inside(make)


def reaches(ns, address, port, timeout=1.0, uid=None):
    """True: a TCP connection from the namespace came to be."""
    def go():
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        s.settimeout(timeout)
        try:
            s.connect((address, port))
            return True
        except OSError:
            return False
        finally:
            s.close()
    if uid is None:
        return ns.inside(go)
    pid = os.fork()
    if not pid:
        with open(ns.path) as f:
            libc.setns(f.fileno(), 0x40000000)
        os.setgid(uid)
        os.setuid(uid)
        os._exit(0 if go() else 1)
    return os.waitpid(pid, 0)[1] == 0


def echoes(ns, address, timeout=1.0):
    """True: one ICMP echo request (IPv4) is answered."""
    def go():
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as s:
            s.settimeout(timeout)
            body = struct.pack("!BBHHH", 8, 0, 0, 77, 1) + b"ward"
            s.sendto(body[:2] + struct.pack("!H", checksum(body)) + body[4:], (address, 0))
            try:
                return s.recvfrom(200)[1][0] == address
            except TimeoutError:
                return False
    return ns.inside(go)
