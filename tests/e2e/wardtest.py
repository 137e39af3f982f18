"""A whole Ward platform of one host for a test: its own root folder, instance name, ports; started by wardd as a user would.

    with Platform() as p:
        p.api("POST", "/v1/apps", {"app_name": "web"}, want=201)
        p.ward("deploy", "--app", "web", "--image", image)
        p.https("web", "/")

Everything it made is gone at the end, and leftovers() says what is not.
"""
import base64, http.client, json, os, pathlib, re, secrets, shutil, signal, socket, ssl, struct, subprocess, time

import openapi

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
STAGE = pathlib.Path(os.environ.get("WARD_STAGE", ROOT / "build/stage"))
LIBEXEC = STAGE / "usr/libexec/ward"
WARD = STAGE / "usr/bin/ward"
GUEST = ROOT / "build/guest"
IMAGES = ROOT / "build/images"
MACHINE_UIDS = range(2_000_000_000, 2_000_065_536)


def wait_for(what, check, timeout=60, every=0.1):
    """The first truthy value of check() within timeout seconds; its last exception or value is in the failure."""
    end, last = time.monotonic() + timeout, None
    while time.monotonic() < end:
        try:
            last = check()
            if last:
                return last
        except (OSError, AssertionError, http.client.HTTPException, KeyError, ValueError) as e:
            last = e
        time.sleep(every)
    raise AssertionError(f"waited {timeout} s for {what}; last: {last!r}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def guest():
    """The guest's kernel and initrd, made once by scripts/guest."""
    subprocess.run([ROOT / "scripts/guest", str(GUEST)], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return GUEST


def processes(match):
    """(pid, uid, command line) of each living process for which match(pid, uid, exe, cmdline) holds."""
    found = []
    for d in pathlib.Path("/proc").iterdir():
        if not d.name.isdigit():
            continue
        try:
            uid = d.stat().st_uid
            cmd = (d / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            state = (d / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if state != "Z" and match(int(d.name), uid, cmd):
            found.append((int(d.name), uid, cmd))
    return found


class Platform:
    def __init__(self, config="", engine="emulated", region="local"):
        tag = secrets.token_hex(3)
        self.root = pathlib.Path(f"/tmp/wt-{tag}")
        self.instance = f"t{tag}"
        self.engine, self.region, self.extra = engine, region, config
        self.https_port, self.http_port = free_port(), free_port()
        self.etc, self.lib, self.run = (self.root / d / self.instance for d in ("etc", "var/lib", "run"))
        self.wardd = None
        self.token = None

    # ---- life ----
    def __enter__(self):
        self.prepare()
        try:
            self.start()
        except BaseException:
            self.dump()
            self.__exit__()
            raise
        return self

    def prepare(self):
        for d in (self.etc, self.lib / "guest", self.run):
            d.mkdir(parents=True, exist_ok=True)
        for d in (self.root, self.root / "etc", self.root / "var", self.root / "var/lib", self.root / "run"):
            d.chmod(0o755)
        (self.etc / "ward.toml").write_text(self.toml())
        g = guest()
        current = (g / "current").resolve()
        shutil.copytree(current, self.lib / "guest" / current.name, dirs_exist_ok=True)
        link = self.lib / "guest/current"
        if not link.is_symlink():
            link.symlink_to(current.name)

    def toml(self):
        return f"""
[host]
name = "host1"
region = "{self.region}"

[edge]
https = ["127.0.0.1:{self.https_port}"]
http = ["127.0.0.1:{self.http_port}"]
base_domain = "ward.localhost"

[machines]
engine = "{self.engine}"

[vault]
key_file = true
{self.extra}
"""

    def start(self):
        log = open(self.root / "wardd.out", "ab")
        self.wardd = subprocess.Popen([LIBEXEC / "wardd", "--root", str(self.root), "--instance", self.instance],
                                      stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        log.close()
        token = self.lib / "vault/bootstrap-token"
        wait_for("the bootstrap token", lambda: self.alive() and token.exists() and token.read_text().strip(), 60)
        self.token = token.read_text().strip()
        wait_for("the API and the store", lambda: self.alive() and self.api("GET", "/v1/status", want=200)["store"]["connected"], 60)

    def alive(self):
        if self.wardd and self.wardd.poll() is not None:
            raise RuntimeError(f"wardd ended with {self.wardd.returncode}")
        return True

    def stop(self, sig=signal.SIGTERM, timeout=60):
        if self.wardd and self.wardd.poll() is None:
            self.wardd.send_signal(sig)
            self.wardd.wait(timeout)

    def __exit__(self, *exc):
        if exc and exc[0] is not None:
            self.dump()
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.wardd.kill()
            self.wardd.wait()
        self.sweep()
        return False

    # ---- what is there ----
    def mine(self, pid, uid, cmd):
        return str(self.root) in cmd or f" {self.instance} " in cmd + " "

    def leftovers(self):
        """All that a stopped platform must not leave: processes, mounts, namespaces, cgroups, taps, machine folders."""
        left = [f"process {p}" for p in processes(self.mine)]
        left += [f"mount {l.split()[1]}" for l in open("/proc/mounts") if str(self.root) in l.split()[1]]
        for base, dirs, _ in os.walk("/sys/fs/cgroup"):
            left += [f"cgroup {base}/{d}" for d in dirs if d == self.instance]
        left += [f"link {l}" for l in os.listdir("/sys/class/net") if self.instance in l]
        left += [f"folder {d}" for d in (f"/etc/{self.instance}", f"/var/lib/{self.instance}", f"/run/{self.instance}") if os.path.exists(d)]
        tables = subprocess.run(["nft", "list", "tables"], stdout=subprocess.PIPE, text=True).stdout
        left += [f"nft {t}" for t in tables.splitlines() if self.instance in t]
        return left

    def machine_leftovers(self):
        """What a destroyed machine must not leave while the platform runs on."""
        left = [f"folder {d}" for base in (self.lib, self.run) for d in (base / "machines").glob("*") if re.fullmatch("[0-9a-f]{14}", d.name)]
        mine = processes(lambda pid, uid, cmd: uid in MACHINE_UIDS and self.in_instance(pid))
        left += [f"cgroup {base}/{d}" for base, dirs, _ in os.walk("/sys/fs/cgroup") if base.endswith(f"/{self.instance}")
                 for d in dirs if re.fullmatch("[0-9a-f]{14}", d)]
        left += [f"mount {l.split()[1]}" for l in open("/proc/mounts") if str(self.root) in l and "/machines/" in l.split()[1]]
        return left + [f"process {p}" for p in mine] + [f"tap {t}" for t in self.taps()]

    def wait_clean(self, timeout=60):
        """Waits until no machine has left anything; what is left is in the failure."""
        def clean():
            left = self.machine_leftovers()
            assert not left, left
            return True
        wait_for("nothing to be left of the machines", clean, timeout)

    def in_instance(self, pid):
        try:
            return f"/{self.instance}/" in pathlib.Path(f"/proc/{pid}/cgroup").read_text()
        except OSError:
            return False

    def taps(self):
        out = self.inside("ip", "-o", "link", "show", "type", "tun").stdout
        return [l.split(": ")[1].split("@")[0] for l in out.splitlines()]

    def inside(self, *args, **kw):
        """Runs a program in the machines' network namespace."""
        return subprocess.run(["nsenter", f"--net={self.run}/netns", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=60, **kw)

    def sweep(self):
        """Ends and removes what is still there, so that one failed test does not disturb the next."""
        for _ in range(3):
            left = processes(self.mine) + processes(lambda pid, uid, cmd: uid in MACHINE_UIDS and self.in_instance(pid))
            if not left:
                break
            for pid, _, _ in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.3)
        mounts = [l.split()[1] for l in open("/proc/mounts") if str(self.root) in l.split()[1]]
        for m in reversed(mounts):
            subprocess.run(["umount", "-l", m], stderr=subprocess.DEVNULL)
        for base, dirs, _ in os.walk("/sys/fs/cgroup", topdown=False):
            if f"/{self.instance}" in base:
                try:
                    os.rmdir(base)
                except OSError:
                    pass
        for l in os.listdir("/sys/class/net"):
            if self.instance in l:
                subprocess.run(["ip", "link", "del", l], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.root, ignore_errors=True)

    def pids(self):
        """{daemon: pid} as wardd tells it."""
        s = self.api("GET", "/v1/status", want=200)
        return {d["name"]: d["pid"] for d in s["daemons"]}

    def dump(self):
        print(f"---- {self.root}: the ends of the logs")
        for f in [self.root / "wardd.out", *sorted((self.lib / "log").glob("*.log")), *(self.run / "machines").glob("*/console.log")]:
            try:
                text = f.read_text(errors="replace")[-2500:]
            except OSError:
                continue
            if text.strip():
                print(f"-- {f.name}\n{text}")

    def keys(self):
        """Every key in the store, read as etcd's root with the password that wardd would get from the vault."""
        ask, answer = struct.Struct("=IIQ24s96sII"), struct.Struct("=IIQiI240sII")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.connect(str(self.run / "vault.sock"))
            s.send(ask.pack(3, 1, 7, b"store-password", b"root", 0, 0))
            got = s.recv(65536)
        assert answer.unpack_from(got)[3] == 0, got
        password = got[answer.size:].hex()

        def call(path, body, token=""):
            c = UnixConnection(self.run / "etcd.sock", 10)
            c.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **({"Authorization": token} if token else {})})
            r = c.getresponse()
            out = json.loads(r.read())
            c.close()
            assert r.status == 200, (path, out)
            return out
        token = call("/v3/auth/authenticate", {"name": "root", "password": password})["token"]
        found = call("/v3/kv/range", {"key": "AA==", "range_end": "AA==", "keys_only": True}, token).get("kvs", [])
        return sorted(base64.b64decode(kv["key"]).decode() for kv in found)

    # ---- asking it ----
    def request(self, method, path, body=None, headers=None, timeout=90, token=True):
        c = UnixConnection(self.run / "api.sock", timeout)
        h = dict(headers or {})
        if token and self.token:
            h["Authorization"] = f"Bearer {self.token}"
        data = body
        if isinstance(body, (dict, list)):
            data = json.dumps(body).encode()
            h["Content-Type"] = "application/json"
        c.request(method, path, data, h)
        r = c.getresponse()
        out = r.read()
        c.close()
        openapi.check(method, path, r.status, out, r.getheader("content-type") or "")
        return r.status, out, r

    def api(self, method, path, body=None, want=None, **kw):
        """(status, parsed body), or the parsed body alone where `want` is the status that must come."""
        status, out, r = self.request(method, path, body, **kw)
        if "json" in (r.getheader("content-type") or "") and out:
            out = json.loads(out)
        if want is None:
            return status, out
        assert status == want, f"{method} {path}: {status}, not {want}: {out}"
        return out

    def ward(self, *args, ok=True, timeout=300, **kw):
        env = dict(os.environ, WARD_API_URL=f"unix://{self.run}/api.sock", WARD_API_TOKEN=self.token or "", NO_COLOR="1",
                   XDG_CONFIG_HOME=str(self.root / "config"))
        p = subprocess.run([WARD, *map(str, args)], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           text=True, timeout=timeout, **kw)
        if ok:
            assert p.returncode == 0, f"ward {' '.join(map(str, args))}: {p.returncode}\n{p.stdout}{p.stderr}"
        return p

    def tls(self):
        ctx = ssl.create_default_context(cafile=str(self.lib / "vault/ca.pem"))
        return ctx

    def https(self, app, path="/", method="GET", body=None, headers=None, timeout=30):
        """One HTTPS request to the app through the edge: (status, body, headers)."""
        name = f"{app}.ward.localhost"
        c = http.client.HTTPSConnection(name, self.https_port, context=self.tls(), timeout=timeout)
        c.sock = self.tls().wrap_socket(socket.create_connection(("127.0.0.1", self.https_port), timeout), server_hostname=name)
        c.request(method, path, body, {"Host": name, **(headers or {})})
        r = c.getresponse()
        out = r.read()
        c.close()
        return r.status, out, r.headers

    def machines(self, app):
        return self.api("GET", f"/v1/apps/{app}/machines", want=200)


class Load:
    """Requests without pause from a few threads; counts answers and keeps what went wrong."""
    def __init__(self, platform, app, path="/", threads=2):
        import threading
        self.p, self.app, self.path = platform, app, path
        self.good, self.bad, self.seen = 0, [], {}
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.go, daemon=True) for _ in range(threads)]

    def go(self):
        while not self.over.is_set():
            try:
                status, body, _ = self.p.https(self.app, self.path, timeout=20)
                problem = None if status == 200 else f"{status}: {body[:200]!r}"
            except Exception as e:  # any failure is a failed request
                body, problem = b"", repr(e)
            with self.lock:
                if problem:
                    self.bad.append((time.time(), problem))
                else:
                    self.good += 1
                    self.seen[body[:80]] = self.seen.get(body[:80], 0) + 1

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        for t in self.threads:
            t.join(30)
        return False
