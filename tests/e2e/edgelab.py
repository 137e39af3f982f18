"""The edge by itself: real vault, key process, supervisor, workers and watcher, each as its own user, with a static route table and
backends on loopback.

    client --TLS--> https-0 --> ward-edge workers --HTTP/1--> Backend (python, 127.0.0.1)
                                     |  sign                      table.json --> watcher --> supervisor --> workers
                                ward-edge-keys --> ward-vault
"""
import contextlib, fcntl, http.server, json, os, pathlib, pwd, resource, secrets, shutil, signal, socket, socketserver, ssl, struct, threading, time

import wardtest

BASE = "ward.localhost"


def seqpacket(path, mode=0o666):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.bind(str(path))
    os.chmod(path, mode)
    s.listen(64)
    return s


def tcp(host="127.0.0.1"):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((host, 0))
    s.listen(512)
    return s


class Daemon:
    """One program of Ward with sockets passed as wardd does."""
    def __init__(self, lab, name, user, args, fds, password=None):
        self.lab, self.name, self.user, self.args, self.fds, self.password = lab, name, user, args, fds, password
        self.pid = 0
        self.files = None  # how many it may have open

    def start(self):
        fds = dict(self.fds)
        if self.password:
            r, w = os.pipe()
            os.write(w, self.password.encode())
            os.close(w)
            fds["store-password"] = os.fdopen(r, "rb")
        names = list(fds)
        user = pwd.getpwnam(self.user)
        path = str(wardtest.LIBEXEC / self.name)
        env = {"LISTEN_FDS": str(len(names)), "LISTEN_FDNAMES": ":".join(names), **self.lab.env}
        log = os.open(self.lab.root / f"{self.name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        sources = [os.open("/dev/null", os.O_RDONLY), log, log] + [fds[n].fileno() for n in names]
        self.pid = os.fork()
        if self.pid == 0:
            try:
                # first above all targets, so that none is overwritten before it was copied
                high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 200) for fd in sources]
                for i, fd in enumerate(high):
                    os.dup2(fd, i)
                os.closerange(len(high), 4096)
                if self.files:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (self.files, self.files))
                signal.pthread_sigmask(signal.SIG_SETMASK, [])
                os.setgroups([pwd.getpwnam("ward-etcd").pw_gid] if self.password else [])
                os.setgid(user.pw_gid)
                os.setuid(user.pw_uid)
                os.execve(path, [path, "--root", str(self.lab.root), *self.args], env)
            finally:
                os._exit(127)
        for fd in sources[:2]:
            os.close(fd)
        if self.password:
            fds["store-password"].close()
        return self

    def kill(self, sig=signal.SIGKILL, wait=10):
        """Sends the signal and waits for the end; its exit code (negative: a signal)."""
        if not self.pid:
            return None
        os.kill(self.pid, sig)
        end = time.monotonic() + wait
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        raise AssertionError(f"{self.name} did not end within {wait} s of signal {sig}")


class Backend(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """An app on loopback. By path: /echo returns the body, /big?N sends N bytes, /chunked, /slow, /ws, ... and all headers come back at /headers."""
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, name, handler=None):
        super().__init__(("127.0.0.1", 0), handler or Handler)
        self.name, self.port, self.connections, self.requests, self.raw = name, self.server_address[1], 0, 0, []
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def process_request(self, request, address):
        self.connections += 1
        super().process_request(request, address)

    def handle_error(self, request, address):
        pass

    def stop(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536

    def log_message(self, *a):
        pass

    def reply(self, status, body, **headers):
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            out = b""
            while True:
                n = int(self.rfile.readline(), 16)
                out += self.rfile.read(n)
                self.rfile.readline()
                if n == 0:
                    return out
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def handle_any(self):
        self.server.requests += 1
        path, _, query = self.path.partition("?")
        if path == "/echo":
            self.reply(200, self.body(), X_Framing=self.headers.get("Transfer-Encoding", "length"))
        elif path == "/headers":
            self.reply(200, json.dumps([[k, v] for k, v in self.headers.items()]).encode(), Content_Type="application/json")
        elif path == "/count":
            n = 0
            left = int(self.headers.get("Content-Length", 0))
            while left:
                piece = self.rfile.read(min(left, 65536))
                n, left = n + len(piece), left - len(piece)
            self.reply(200, str(n).encode())
        elif path == "/big":
            n = int(query)
            self.send_response(200)
            self.send_header("Content-Length", str(n))
            self.end_headers()
            block = bytes(range(256)) * 256
            while n:
                self.wfile.write(block[:min(n, len(block))])
                n -= min(n, len(block))
        elif path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for i in range(int(query or 5)):
                self.wfile.write(b"%x\r\npiece %06d\n\r\n" % (13, i))
            self.wfile.write(b"0\r\n\r\n")
        elif path == "/close":
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\nuntil close")
        elif path == "/slow":
            time.sleep(float(query or 1))
            self.reply(200, self.server.name.encode())
        elif path == "/broken":
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
        elif path == "/both":
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        elif path == "/ws":
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            self.wfile.flush()
            while True:
                data = self.rfile.read1(65536)
                if not data:
                    return
                self.wfile.write(data)
                self.wfile.flush()
        else:
            self.reply(200, self.server.name.encode(), X_Path=self.path)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = do_OPTIONS = handle_any


class Lab:
    def __init__(self, workers=2, etcd=None, base=BASE):
        """etcd: a started test_store.Etcd, in whose root folder all lives then."""
        self.etcd = etcd
        self.root = etcd.root if etcd else pathlib.Path(f"/tmp/wt-edge-{secrets.token_hex(4)}")
        self.lib, self.run = self.root / "var/lib/ward", self.root / "run/ward"
        self.env = {k: v for k, v in os.environ.items() if k in ("ASAN_OPTIONS", "UBSAN_OPTIONS")}
        for d, user in (("vault", "ward-vault"), ("edge", "ward-edge"), ("edge-keys", "ward-edge-keys")):
            (self.lib / d).mkdir(parents=True)
            os.chown(self.lib / d, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        self.run.mkdir(parents=True, exist_ok=True)
        self.https, self.http = tcp(), tcp()
        self.port, self.http_port = self.https.getsockname()[1], self.http.getsockname()[1]
        self.status_socket = socket.socket(socket.AF_UNIX)
        self.status_socket.bind(str(self.run / "edge.sock"))
        self.status_socket.listen(16)
        self.vault = Daemon(self, "ward-vault", "ward-vault",
                            ["--key-file", str(self.lib / "vault/master.key"), "--allow-key-file", "--base-domain", base],
                            {"vault": seqpacket(self.run / "vault.sock")})
        self.keys = Daemon(self, "ward-edge-keys", "ward-edge-keys", ["--base-domain", base],
                           {"edge-keys": seqpacket(self.run / "edge-keys.sock")})
        self.table_file = self.root / "table.json"
        args = ["--base-domain", base, "--region", "test", "--host", "h1", "--workers", str(workers)]
        fds = {"https-0": self.https, "http-0": self.http, "edge": self.status_socket}
        self.edge = Daemon(self, "ward-edge", "ward-edge", args + ([] if etcd else ["--table", str(self.table_file)]),
                           fds, etcd.passwords["edge"] if etcd else None)
        self.backends = []
        self.apps = {}

    def __enter__(self):
        try:
            self.vault.start()
            self.keys.start()
            self.edge.start()
            wardtest.wait_for("certificates", lambda: self.status()["totals"]["certificates"] >= 2 and all(
                w["counters"]["certificates"] >= 2 for w in self.status()["workers"]), 20)
            self.ca = ssl.create_default_context(cadata=self.ca_pem())
        except BaseException:
            self.dump()
            self.close()
            raise
        return self

    def __exit__(self, kind, *a):
        if kind:
            self.dump()
        self.close()

    def close(self):
        for d in (self.edge, self.keys, self.vault):
            with contextlib.suppress(Exception):
                d.kill(signal.SIGTERM, 5)
            with contextlib.suppress(Exception):
                d.kill()
        for b in self.backends:
            with contextlib.suppress(Exception):
                b.stop()
        for s in (self.https, self.http, self.status_socket, *self.vault.fds.values(), *self.keys.fds.values()):
            s.close()
        if not self.etcd:
            shutil.rmtree(self.root, ignore_errors=True)

    def dump(self):
        for log in self.root.glob("*.log"):
            print(f"---- {log.name}\n{log.read_text()[-4000:]}")

    def logged(self):
        return "".join(p.read_text() for p in self.root.glob("*.log"))

    def ca_pem(self):
        """As edge-keys (every peer may ask for the CA): the local CA's certificate."""
        ask = struct.pack("=IIQ24s96sII", 5, 1, 7, b"", b"", 0, 0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.connect(str(self.run / "vault.sock"))
            s.send(ask)
            return s.recv(200000)[struct.calcsize("=IIQiI240sII"):].decode()

    def status(self):
        c = wardtest.UnixConnection(self.run / "edge.sock", 5)
        c.request("GET", "/v1/status")
        return json.loads(c.getresponse().read())

    def backend(self, name="b", handler=None):
        b = Backend(name, handler)
        self.backends.append(b)
        return b

    def app(self, name, *backends, **more):
        """Puts the app into the table, or changes it; returns when all workers have it."""
        machines = [{"id": f"{b.port:014x}", "ipv4": "127.0.0.1", "port": b.port, **more.pop("machine", {})} for b in backends]
        self.apps[name] = {"id": f"id{name}", "name": name, "hosts": [f"{name}.{BASE}"], "machines": machines, **more}
        self.publish()

    def publish(self, wait=True):
        before = self.status()["table"]["serial"]
        tmp = self.table_file.with_suffix(".tmp")
        tmp.write_text(json.dumps({"apps": list(self.apps.values())}))
        tmp.rename(self.table_file)
        if wait:
            wardtest.wait_for("the table in all workers", lambda: all(
                w["counters"]["table_serial"] > before for w in self.status()["workers"]), 10, 0.02)

    def connect(self, name, timeout=20, tls=True, sni=None, **kw):
        raw = socket.create_connection(("127.0.0.1", self.port if tls else self.http_port), timeout)
        if not tls:
            return raw
        return self.ca.wrap_socket(raw, server_hostname=sni or f"{name}.{BASE}", **kw)

    def connection(self, name, timeout=20):
        """An http.client connection over TLS, verified against the vault's CA."""
        import http.client
        c = http.client.HTTPConnection(f"{name}.{BASE}:{self.port}", timeout=timeout)
        c.sock = self.connect(name, timeout)
        return c

    def get(self, name, path="/", method="GET", body=None, headers={}, **kw):
        c = self.connection(name, **kw)
        try:
            c.request(method, path, body=body, headers=headers)
            r = c.getresponse()
            r.data = r.read()
            return r
        finally:
            c.close()

    def raw(self, name, data, tls=True, timeout=5):
        """Sends bytes, reads to the end (or silence of `timeout`)."""
        with self.connect(name, timeout, tls) as s:
            s.sendall(data)
            out = b""
            with contextlib.suppress(TimeoutError, ConnectionResetError, ssl.SSLError):
                while True:
                    piece = s.recv(65536)
                    if not piece:
                        break
                    out += piece
            return out
