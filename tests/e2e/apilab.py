"""ward-api with a real store, vault, control and image store; the host's side is played by the test.

    test --HTTP--> api.sock -> ward-api --> vault.sock        ward-vault
                                  |  `----> image-fetch.sock   ward-image-fetch
                                  |  `----> etcd <------------ ward-control
                                  |          ^---------------- Host: answers desired/ with observed/, as an agent would
                                  `-------> machines/<id>/link.sock, telemetry.sock   (played here too)
"""
import base64, http.server, json, os, pathlib, pwd, shutil, socket, socketserver, subprocess, threading, time

import openapi
import wardtest
from test_store import Etcd
from wardtest import wait_for

# A confined program cannot start the symbolizer.
SANITIZER = {"ASAN_OPTIONS": "symbolize=0:detect_leaks=0", "UBSAN_OPTIONS": "symbolize=0"}
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid():
    n = (int(time.time() * 1000) << 80) | int.from_bytes(os.urandom(10), "big")
    return "".join(ALPHABET[(n >> (5 * i)) & 31] for i in reversed(range(26)))


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + ".000000Z"


class UnixServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    address_family = socket.AF_UNIX
    daemon_threads = True

    def __init__(self, path, handler):
        socketserver.TCPServer.__init__(self, str(path), handler)
        os.chmod(path, 0o666)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def server_bind(self):
        self.socket.bind(self.server_address)


class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *a):
        pass

    def address_string(self):
        return "unix"

    def answer(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self):
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")


class Link(Quiet):
    """What ward-link answers; what it was asked is kept."""
    asked = []

    def do_GET(self):
        self.answer(200, [{"pid": 1, "stime": 2, "rtime": 3, "command": "/sbin/app", "directory": "/", "cpu": 4, "rss": 900,
                           "listen_sockets": [{"proto": "tcp", "address": "0.0.0.0:8080"}]},
                          {"pid": 7, "stime": 1, "rtime": 1, "command": "helper", "directory": "/tmp", "cpu": 9, "rss": 100,
                           "listen_sockets": []}])

    def do_POST(self):
        if self.path == "/v1/exec-stream":
            self.connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ward-exec\r\n\r\nhello ")
            while True:
                data = self.connection.recv(4096)
                if not data:
                    break
                self.connection.sendall(data.upper())
            self.close_connection = True
            return
        body = self.body()
        Link.asked.append((self.path, body))
        if body.get("cmd") == ["refuse"]:
            self.answer(422, {"error": "no such command", "status": "invalid", "details": {"cause": "", "next": ""}})
        elif self.path == "/v1/exec":
            self.answer(200, {"exit_code": 3, "exit_signal": 0, "stdout": base64.b64decode(body["stdin"]).decode(), "stderr": "e"})
        else:
            self.answer(200, {})


class Telemetry(Quiet):
    asked = []
    lines = 3

    def do_GET(self):
        Telemetry.asked.append(self.path)
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for n in range(Telemetry.lines):
            line = json.dumps({"cursor": f"c{n}", "at": now(), "app": "web", "app_id": "x", "machine": "m", "region": "local",
                               "stream": "stdout", "n": n, "level": "info", "message": "x" * 200}).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")


class Host:
    """One host, h1: what is desired becomes observed at once, unless held."""
    def __init__(self, lab):
        self.lab, self.over, self.hold = lab, threading.Event(), False
        self.seen, self.links = {}, {}
        self.put("hosts/h1", {"v": 1, "name": "h1", "region": "local", "id": 1, "cpus": 16, "memory_mib": 16384, "disk_mib": 500000,
                              "engine": "emulated", "updated_at": now()})
        self.put("alive/h1", {"v": 1})
        self.thread = threading.Thread(target=self.go, daemon=True)
        self.thread.start()

    def put(self, key, value):
        self.lab.etcd.root_call("/v3/kv/put", {"key": b64(key), "value": b64(json.dumps(value))})

    def go(self):
        while not self.over.wait(0.05):
            try:
                if not self.hold:
                    self.step()
            except (OSError, AssertionError, KeyError, ValueError):
                pass  # the store is away in some tests

    def step(self):
        answer = self.lab.etcd.root_call("/v3/kv/range", {"key": b64("desired/h1/"), "range_end": b64("desired/h10")})
        for kv in answer.get("kvs", []):
            d = json.loads(base64.b64decode(kv["value"]))
            was = self.seen.get(d["id"])
            key = (d["instance_id"], d["want"], d["start_seq"], d["restart_seq"])
            if was and was[0] == key:
                continue
            self.observe(d, key, was)

    def observe(self, d, key, was):
        state = {"started": "started", "stopped": "stopped", "destroyed": "destroyed"}[d["want"]]
        if state == "stopped" and not was:
            state = "created"
        event = {"id": ulid(), "type": {"started": "start", "destroyed": "destroy"}.get(state, "launch" if not was else "exit"),
                 "status": state, "source": "user", "timestamp": int(time.time() * 1000)}
        if event["type"] == "exit":
            event["request"] = {"restart_count": 0, "exit_event": {
                "exit_code": 0, "guest_exit_code": 0, "guest_signal": 0, "oom_killed": False, "requested_stop": True,
                "restarting": False, "signal": 0, "exited_at": now()}}
        events = [event] + (was[1] if was else [])
        self.seen[d["id"]] = (key, events)
        self.put(f"observed/h1/{d['id']}", {
            "v": 1, "id": d["id"], "app": d["app"], "state": state, "instance_id": d["instance_id"], "generation": len(events),
            "boot_id": "", "private_ip": "fdaa:0:1::2", "ipv4": "172.19.0.2", "started_at": int(time.time() * 1000),
            "image": {"digest": "a" * 64, "root": "b" * 64}, "events": events[:50], "restarts": 0, "reason": "", "updated_at": now()})
        self.put(f"observed/h1/checks/{d['id']}", {
            "v": 1, "instance_id": d["instance_id"], "generation": len(events),
            "checks": [{"name": "servicecheck-00-tcp-80", "status": "passing", "output": "ok", "updated_at": now()}]})
        folder = self.lab.run / "machines" / d["id"]
        if d["id"] not in self.links:
            folder.mkdir(parents=True, exist_ok=True)
            self.links[d["id"]] = UnixServer(folder / "link.sock", Link)

    def close(self):
        self.over.set()
        self.thread.join(10)
        for s in self.links.values():
            s.shutdown()
            s.server_close()


def b64(text):
    return base64.b64encode(text.encode()).decode()


class ApiLab:
    BLOB_MAX = 1 << 20

    def __init__(self):
        self.etcd = Etcd()
        self.root, self.lib, self.run = self.etcd.root, self.etcd.lib, self.etcd.run
        self.started, self.sockets, self.host, self.telemetry = {}, [], None, None

    # ---- life ----
    def __enter__(self):
        try:
            for name, folder in (("ward-vault", "vault"), ("ward-api", "uploads"), ("ward-image-fetch", "blobs")):
                self.folder(name, self.lib / folder)
            (self.run / "machines").mkdir(exist_ok=True)
            self.vault = self.listen("vault.sock", socket.SOCK_SEQPACKET)
            self.start_vault()
            self.etcd.start()
            self.etcd.setup()
            self.spawn("ward-image-fetch", "ward-image-fetch", [],
                       {"image-fetch": self.listen("image-fetch.sock", socket.SOCK_SEQPACKET)})
            self.api_socket = self.listen("api.sock", socket.SOCK_STREAM)
            self.start_api()
            self.host = Host(self)
            self.start_control()
            self.telemetry = UnixServer(self.run / "telemetry.sock", Telemetry)
            wait_for("the API's view", lambda: self.call("GET", "/v1/apps")[0] == 200, 30)
        except BaseException:
            self.__exit__(True)
            raise
        return self

    def __exit__(self, *exc):
        if exc and exc[0]:
            self.dump()
        if self.host:
            self.host.close()
        if self.telemetry:
            self.telemetry.shutdown()
            self.telemetry.server_close()
        for name in list(self.started):
            self.stop(name)
        for s in self.sockets:
            s.close()
        logs = {f.name: f.read_text(errors="replace") for f in self.root.glob("ward-*.log")}
        self.etcd.__exit__(None)
        for name, text in logs.items():
            for sign in ("Sanitizer", "runtime error:", "Assertion"):
                assert sign not in text, f"{name}:\n{text[-6000:]}"

    def folder(self, user, path):
        path.mkdir(parents=True, exist_ok=True)
        u = pwd.getpwnam(user)
        os.chown(path, u.pw_uid, u.pw_gid)

    def listen(self, name, kind):
        s = socket.socket(socket.AF_UNIX, kind)
        s.bind(str(self.run / name))
        os.chmod(self.run / name, 0o666)
        s.listen(64)
        self.sockets.append(s)
        return s.fileno()

    def spawn(self, program, user, args, fds, password=None):
        fds = dict(fds)
        extra = None
        if password:
            extra, w = os.pipe()
            os.write(w, password.encode())
            os.close(w)
            fds["store-password"] = extra

        def child():
            up = [os.dup2(fd, 100 + i) for i, fd in enumerate(fds.values())]
            for i, fd in enumerate(up):
                os.dup2(fd, 3 + i)
        log = open(self.root / f"{program}.log", "ab")
        p = subprocess.Popen([wardtest.LIBEXEC / program, "--root", str(self.root), *args], preexec_fn=child, close_fds=False,
                             env={**SANITIZER, "LISTEN_FDS": str(len(fds)), "LISTEN_FDNAMES": ":".join(fds)}, user=user, group=user,
                             extra_groups=[pwd.getpwnam("ward-etcd").pw_gid] if password else [], stdin=subprocess.DEVNULL, stderr=log)
        log.close()
        if extra is not None:
            os.close(extra)
        self.started[program] = p

    def start_vault(self):
        self.spawn("ward-vault", "ward-vault", ["--key-file", str(self.lib / "vault/master.key"), "--allow-key-file"], {"vault": self.vault})
        token = self.lib / "vault/bootstrap-token"
        wait_for("the bootstrap token", lambda: token.exists() and token.read_text().strip(), 20)
        self.token = token.read_text().strip()

    def start_api(self):
        self.spawn("ward-api", "ward-api", ["--region", "local", "--blob-max", str(self.BLOB_MAX)], {"api": self.api_socket},
                   self.etcd.passwords["api"])

    def start_control(self):
        self.spawn("ward-control", "ward-control", ["--host", "h1", "--region", "local"], {}, self.etcd.passwords["control"])

    def stop(self, program):
        p = self.started.pop(program, None)
        if p:
            p.terminate()
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        return p.returncode if p else None

    def dump(self):
        for f in sorted(self.root.glob("*.log")):
            text = f.read_text(errors="replace")[-2000:]
            if text.strip():
                print(f"-- {f.name}\n{text}")

    # ---- asking ----
    def call(self, method, path, body=None, headers=None, token=True, timeout=90, raw=False):
        """(status, parsed body, response); every answer is held against the contract."""
        c = wardtest.UnixConnection(self.run / "api.sock", timeout)
        h = dict(headers or {})
        if token:
            h["Authorization"] = f"Bearer {self.token if token is True else token}"
        data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        if raw:
            h["Content-Type"] = "application/octet-stream"
        c.request(method, path, data, h)
        r = c.getresponse()
        out = r.read()
        c.close()
        kind = r.getheader("content-type") or ""
        openapi.check(method, path, r.status, out, kind)
        return r.status, (json.loads(out) if kind == "application/json" and out else out), r

    def ok(self, method, path, body=None, want=200, **kw):
        status, out, _ = self.call(method, path, body, **kw)
        assert status == want, f"{method} {path}: {status}, not {want}: {out}"
        return out

    def fails(self, method, path, body=None, want=400, code=None, part="", **kw):
        """An error with this status, code and part of its sentence, a cause and a next step."""
        out = self.ok(method, path, body, want, **kw)
        if code:
            assert out["status"] == code, out
        assert part in out["error"], out
        assert out["details"]["cause"] and out["details"]["next"], out
        return out

    # ---- making ----
    def app(self, name):
        return self.ok("POST", "/v1/apps", {"app_name": name, "org_slug": "personal"}, 201)

    def machine(self, app, wait=True, **kw):
        body = {"config": {"image": "registry.example.org/web:1", "env": {"A": "1"}, "guest": {"cpus": 1, "memory_mb": 256}}, **kw}
        m = self.ok("POST", f"/v1/apps/{app}/machines", body)
        if wait:
            self.ok("GET", f"/v1/apps/{app}/machines/{m['id']}/wait?timeout=20&state=started&instance_id={m['instance_id']}")
        return m
