"""ward-edge and ward-edge-keys alone (edgelab.py draws what is built)."""
import contextlib, hashlib, json, os, pathlib, shutil, signal, socket, ssl, subprocess, threading, time

import pytest

import wardtest
from edgelab import BASE, Backend, Handler, Lab


@pytest.fixture(scope="module")
def lab():
    with Lab() as l:
        l.app("one", l.backend("one"))
        yield l


def worker_pids(lab):
    return [w["pid"] for w in lab.status()["workers"]]


def rss(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


# ---- answers ----

def test_tls_answers(lab):
    r = lab.get("one", "/x?y=z")
    assert (r.status, r.data) == (200, b"one")
    assert r.headers["X-Path"] == "/x?y=z"
    assert r.headers["Via"] == "1.1 ward" and r.headers["Fly-Request-Id"].endswith("-test")


def test_curl_trusts_the_local_ca(lab):
    (lab.root / "ca.pem").write_text(lab.ca_pem())
    out = subprocess.run(["curl", "-sS", "--cacert", str(lab.root / "ca.pem"), "--resolve", f"one.{BASE}:{lab.port}:127.0.0.1",
                          f"https://one.{BASE}:{lab.port}/"], capture_output=True, timeout=10)
    assert (out.stdout, out.stderr) == (b"one", b"")


def test_versions_and_ciphers(lab):
    for version, cipher in ((ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256"), (ssl.TLSVersion.TLSv1_3, "TLS_AES_128_GCM_SHA256")):
        ctx = ssl.create_default_context(cadata=lab.ca_pem())
        ctx.minimum_version = ctx.maximum_version = version
        ctx.set_alpn_protocols(["h3", "http/1.1"])
        with ctx.wrap_socket(socket.create_connection(("127.0.0.1", lab.port), 5), server_hostname=f"one.{BASE}") as s:
            assert s.cipher()[0] == cipher and s.selected_alpn_protocol() == "http/1.1"
    out = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{lab.port}", "-servername", f"one.{BASE}", "-tls1_1",
                          "-cipher", "ALL:@SECLEVEL=0"], input=b"", capture_output=True, timeout=10)
    assert b"alert protocol version" in out.stderr


@pytest.mark.parametrize("sni", [None, "one.example.org", "a.b." + BASE, BASE])
def test_no_handshake_without_a_name_of_ours(lab, sni):
    ctx = ssl.create_default_context()
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
        ctx.wrap_socket(socket.create_connection(("127.0.0.1", lab.port), 5), server_hostname=sni)


def test_alpn_of_another_protocol_is_refused(lab):
    ctx = ssl.create_default_context(cadata=lab.ca_pem())
    ctx.set_alpn_protocols(["smtp"])
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        ctx.wrap_socket(socket.create_connection(("127.0.0.1", lab.port), 5), server_hostname=f"one.{BASE}")


def test_sessions_resume_in_any_worker(lab):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        ctx = ssl.create_default_context(cadata=lab.ca_pem())
        ctx.minimum_version = ctx.maximum_version = version
        session = None
        for i in range(8):
            with ctx.wrap_socket(socket.create_connection(("127.0.0.1", lab.port), 5), server_hostname=f"one.{BASE}",
                                 session=session) as s:
                s.sendall(f"GET / HTTP/1.1\r\nHost: one.{BASE}\r\nConnection: close\r\n\r\n".encode())
                while s.recv(4096):
                    pass
                assert session is None or s.session_reused
                session = s.session


def test_keep_alive_both_ways(lab):
    b = lab.backend("kept")
    lab.app("kept", b)
    c = lab.connection("kept")
    for i in range(50):
        c.request("GET", f"/{i}")
        r = c.getresponse()
        assert r.status == 200 and r.read() == b"kept"
    assert b.requests == 50 and b.connections == 1
    c.close()


def test_pipelined_requests_are_answered_in_order(lab):
    ask = "".join(f"GET /{i} HTTP/1.1\r\nHost: one.{BASE}\r\n{'Connection: close' + chr(13) + chr(10) if i == 9 else ''}\r\n"
                  for i in range(10))
    out = lab.raw("one", ask.encode())
    assert [l for l in out.decode().splitlines() if l.startswith("X-Path")] == [f"X-Path: /{i}" for i in range(10)]


def test_head(lab):
    r = lab.get("one", "/", "HEAD")
    assert r.status == 200 and r.headers["Content-Length"] == "3" and r.data == b""


def test_request_headers(lab):
    sent = {"X-Forwarded-For": "1.2.3.4", "Fly-Client-IP": "6.6.6.6", "X-Forwarded-Proto": "http", "Via": "1.0 old", "X-Own": "kept",
            "Connection": "X-Gone, Fly-Client-IP", "X-Gone": "1", "Fly-Request-Id": "mine", "TE": "trailers",
            "Fly_Client_IP": "6.6.6.6", "X_Forwarded_For": "6.6.6.6"}
    got = {}
    for k, v in json.loads(lab.get("one", "/headers", headers=sent).data):
        assert k.lower() not in got, f"{k} came twice"
        got[k.lower()] = v
    assert got["host"] == f"one.{BASE}:{lab.port}" and got["x-own"] == "kept"
    assert got["x-forwarded-for"] == "1.2.3.4, 127.0.0.1" and got["fly-client-ip"] == "127.0.0.1"
    assert got["x-forwarded-proto"] == "https" and got["x-forwarded-ssl"] == "on" and got["x-forwarded-port"] == str(lab.port)
    assert got["fly-region"] == "test" and got["via"] == "1.0 old, 1.1 ward"
    assert len(got["fly-request-id"]) == 31 and got["fly-request-id"] != "mine"
    assert not {"x-gone", "connection", "te", "fly_client_ip", "x_forwarded_for"} & set(got)


# ---- bodies ----

def test_chunked_both_ways(lab):
    pieces = [os.urandom(n) for n in (1, 70000, 3, 16384, 100000)]
    r = lab.get("one", "/echo", "POST", body=iter(pieces))
    assert r.data == b"".join(pieces) and r.headers["X-Framing"] == "chunked"
    r = lab.get("one", "/chunked?20000")
    assert r.data == b"".join(b"piece %06d\n" % i for i in range(20000)) and r.headers["Transfer-Encoding"] == "chunked"


def test_large_bodies_in_bounded_memory(lab):
    size = 300 * 1024 * 1024
    before = max(rss(p) for p in worker_pids(lab))
    c = lab.connection("one", 60)
    c.request("GET", f"/big?{size}")
    r = c.getresponse()
    digest, n = hashlib.sha256(), 0
    while piece := r.read(1 << 20):
        digest.update(piece)
        n += len(piece)
    want = hashlib.sha256()
    for _ in range(size // 65536):
        want.update(bytes(range(256)) * 256)
    assert n == size and digest.digest() == want.digest()

    def body():
        for _ in range(size // 65536):
            yield bytes(65536)
    c.request("POST", "/count", body=body(), headers={"Content-Length": str(size)})
    assert c.getresponse().read() == str(size).encode()
    c.close()
    assert max(rss(p) for p in worker_pids(lab)) - before < 16 * 1024 * 1024


def test_slow_reader_holds_no_memory(lab):
    """The app sends 200 MB to a client that does not read: the edge stops reading the app."""
    before = sum(rss(p) for p in worker_pids(lab))
    with lab.connect("one") as s:
        s.sendall(f"GET /big?200000000 HTTP/1.1\r\nHost: one.{BASE}\r\n\r\n".encode())
        time.sleep(1)
        assert sum(rss(p) for p in worker_pids(lab)) - before < 16 * 1024 * 1024


def test_answer_until_close_becomes_chunked(lab):
    r = lab.get("one", "/close")
    assert r.data == b"until close" and r.headers["Transfer-Encoding"] == "chunked"
    out = lab.raw("one", f"GET /close HTTP/1.0\r\nHost: one.{BASE}\r\n\r\n".encode())
    assert out.endswith(b"\r\n\r\nuntil close") and b"chunked" not in out


def test_expect_continue(lab):
    with lab.connect("one") as s:
        s.sendall(f"POST /echo HTTP/1.1\r\nHost: one.{BASE}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n".encode())
        assert s.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(b"hello")
        assert s.recv(4096).endswith(b"hello")


def test_websocket(lab):
    with lab.connect("one") as s:
        s.sendall(f"GET /ws HTTP/1.1\r\nHost: one.{BASE}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly".encode())
        got = b""
        while b"early" not in got:
            got += s.recv(4096)
        assert got.startswith(b"HTTP/1.1 101 ") and b"Upgrade: websocket\r\n" in got
        for n in (1, 1000, 200000):
            data, back = os.urandom(n), b""
            t = threading.Thread(target=s.sendall, args=(data,))
            t.start()
            while len(back) < n:
                back += s.recv(65536)
            t.join()
            assert back == data
    # no upgrade without being asked, and none to what could speak past the parser
    for upgrade in ("", "Connection: Upgrade\r\nUpgrade: h2c\r\n"):
        out = lab.raw("one", f"GET /headers HTTP/1.1\r\nHost: one.{BASE}\r\n{upgrade}Connection: close\r\n\r\n".encode())
        assert out.startswith(b"HTTP/1.1 200") and b"upgrade" not in out.lower()
    out = lab.raw("one", f"GET /ws HTTP/1.1\r\nHost: one.{BASE}\r\n\r\n".encode())
    assert out.startswith(b"HTTP/1.1 502") and b"Ward-Error: app-answer-invalid" in out


def test_quiet_tunnels_hold_no_memory(lab):
    blocks = lambda: sum(w["counters"]["blocks"] for w in lab.status()["workers"])
    wardtest.wait_for("quiet", lambda: blocks() == 0, 5)
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            s = stack.enter_context(lab.connect("one"))
            s.sendall(f"GET /ws HTTP/1.1\r\nHost: one.{BASE}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly".encode())
            got = b""
            while b"early" not in got:
                got += s.recv(4096)
        time.sleep(0.6)  # workers tell four times a second
        assert blocks() == 0, "none is held for any of them"
        for _ in range(2):  # and they go on
            s.sendall(b"again")
            assert s.recv(4096) == b"again"


def test_many_interim_answers_wait_for_a_slow_client(lab):
    class Hints(Handler):
        def do_GET(self):
            for _ in range(1000):
                self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: <" + b"x" * 4000 + b">\r\n\r\n")
            self.reply(200, b"at last")
    lab.app("hints", lab.backend("hints", Hints))
    with lab.connect("hints") as s:
        s.sendall(f"GET / HTTP/1.1\r\nHost: hints.{BASE}\r\nConnection: close\r\n\r\n".encode())
        time.sleep(1)
        out = b""
        while piece := s.recv(65536):
            out += piece
    assert out.count(b"HTTP/1.1 103 ") == 1000 and out.endswith(b"at last")


# ---- what goes wrong ----

def error(r):
    return r.status, r.headers["Ward-Error"]


def test_unknown_host(lab):
    r = lab.get("nobody")
    assert error(r) == (404, "unknown-host") and b"nobody" in r.data and b"Next:" in r.data


def test_the_client_may_name_the_machine(lab):
    lab.app("pair", lab.backend("first"), lab.backend("second"))
    assert {lab.get("pair").data for _ in range(8)} == {b"first", b"second"}
    ids = [m["id"] for m in lab.apps["pair"]["machines"]]
    said = {}
    for m in ids:
        said[m] = {lab.get("pair", headers={"Fly-Force-Instance-Id": m}).data for _ in range(6)}
        assert {lab.get("pair", headers={"Fly-Prefer-Instance-Id": m}).data for _ in range(6)} == said[m]
    assert sorted(map(tuple, said.values())) == [(b"first",), (b"second",)]
    for wrong in ("00000000000000", "nonsense", "x" * 300):
        r = lab.get("pair", headers={"Fly-Force-Instance-Id": wrong})
        assert r.status == 503 and r.headers["ward-error"] == "no-healthy-machine", wrong
        assert lab.get("pair", headers={"Fly-Prefer-Instance-Id": wrong}).status == 200


def test_host_must_be_the_name_of_the_connection(lab):
    out = lab.raw("one", f"GET / HTTP/1.1\r\nHost: other.{BASE}\r\n\r\n".encode())
    assert out.startswith(b"HTTP/1.1 421 ") and b"Ward-Error: misdirected" in out


def test_app_does_not_listen(lab):
    b = lab.backend()
    b.stop()
    lab.app("deaf", b, port=8080)
    r = lab.get("deaf")
    assert error(r) == (502, "app-not-listening") and b"0.0.0.0:8080" in r.data


def test_no_machine(lab):
    lab.app("sick", unhealthy=2, resting=1)
    r = lab.get("sick")
    assert error(r) == (503, "no-healthy-machine") and b"2 not passing" in r.data and r.headers["Retry-After"] == "1"


def test_invalid_answers(lab):
    assert error(lab.get("one", "/both")) == (502, "app-answer-invalid")
    out = lab.raw("one", f"GET /broken HTTP/1.1\r\nHost: one.{BASE}\r\n\r\n".encode())
    assert out.endswith(b"short") and b"Content-Length: 100" in out  # cut, so that the client can tell


def test_retry_on_another_machine(lab):
    good, dead = lab.backend("good"), [lab.backend(), lab.backend()]
    for b in dead:
        b.stop()
    lab.app("half", dead[0], good, dead[1])
    before = lab.status()["totals"]["retries"]
    for i in range(12):
        r = lab.get("half", "/echo", "POST", b"x" * 1000)
        assert r.status == 200 and len(r.data) == 1000
    assert lab.status()["totals"]["retries"] > before


def test_app_that_closes_kept_connections(lab):
    """It closes after each answer without saying so: requests that may be repeated never fail."""
    class Rude(Handler):
        def handle_any(self):
            super().handle_any()
            self.close_connection = True
        do_GET = do_POST = handle_any
    b = lab.backend("rude", Rude)
    lab.app("rude", b)
    c = lab.connection("rude")
    for i in range(200):
        c.request("GET", "/")
        r = c.getresponse()
        assert (r.status, r.read()) == (200, b"rude"), i
    for i in range(50):
        c.request("POST", "/echo", b"abc")
        r = c.getresponse()
        assert (r.status, r.read()) == (200, b"abc"), i
        time.sleep(0.002)
    c.close()


def test_an_address_that_goes_to_another_machine_takes_no_connection_along(lab):
    b = lab.backend("heir")
    lab.app("heir", b)
    kept, quiet = lab.connection("heir"), lab.connect("heir")
    quiet.sendall(f"GET /ws HTTP/1.1\r\nHost: heir.{BASE}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nx".encode())
    got = b""
    while not got.endswith(b"x"):
        got += quiet.recv(4096)
    kept.request("GET", "/")
    assert kept.getresponse().read() == b"heir" and b.connections == 2
    lab.publish()
    quiet.sendall(b"y")  # the same machine in a new table changes nothing
    assert quiet.recv(4096) == b"y"
    lab.app("heir", b, machine={"id": "0" * 13 + "7"})
    with contextlib.suppress(ConnectionResetError, ssl.SSLError):
        assert quiet.recv(4096) == b""
    kept.request("GET", "/")
    assert kept.getresponse().read() == b"heir" and b.connections == 3
    quiet.close()
    kept.close()


def test_bytes_nobody_asked_for_are_nobodys_answer():
    """They come on a kept connection in the same moment as the next client's request."""
    class Sure(Handler):
        def do_GET(self):
            self.server.raw.append(self.connection)
            self.reply(200, b"sure")
    with Lab(workers=1) as lab:
        b = lab.backend("sure", Sure)
        lab.app("sure", b)
        c = lab.connection("sure")
        c.request("GET", "/1")
        assert c.getresponse().read() == b"sure"
        pid = worker_pids(lab)[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            c.request("GET", "/2")
            time.sleep(0.2)
            b.raw[0].sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
            time.sleep(0.2)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert c.getresponse().read() == b"sure" and b.connections == 2
        c.close()


def test_kept_connections_leave_room_for_clients():
    lab = Lab(workers=1)
    lab.edge.files = 228
    with lab:
        lab.app("one", lab.backend("one"))
        files = lambda: len(os.listdir(f"/proc/{worker_pids(lab)[0]}/fd"))
        before = files()
        threads = [threading.Thread(target=lab.get, args=("one", "/slow?1")) for _ in range(32)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        wardtest.wait_for("at most a fifth of 100", lambda: files() - before <= 20, 3)


def test_hard_limit(lab):
    lab.app("busy", lab.backend(), machine={"hard": 2})
    got = []
    ts = [threading.Thread(target=lambda: got.append(lab.get("busy", "/slow?0.5"))) for _ in range(8)]
    [t.start() for t in ts]
    [t.join() for t in ts]
    assert {r.status for r in got} == {200, 503}
    assert {error(r) for r in got if r.status == 503} == {(503, "app-busy")}


# ---- smuggling: one message, one reading ----

H = f"Host: one.{BASE}\r\n"
SMUGGLE = {
    "cl.te": f"POST /echo HTTP/1.1\r\n{H}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    "te.cl": f"POST /echo HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGPOST / HTTP/1.1\r\n",
    "cl.cl": f"POST /echo HTTP/1.1\r\n{H}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "cl list": f"POST /echo HTTP/1.1\r\n{H}Content-Length: 5,5\r\n\r\nabcde",
    "te obfuscated": f"POST /echo HTTP/1.1\r\n{H}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "te blank": f"POST /echo HTTP/1.1\r\n{H}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "te folded": f"POST /echo HTTP/1.1\r\n{H}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "te list": f"POST /echo HTTP/1.1\r\n{H}Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
    "te 1.0": f"POST /echo HTTP/1.0\r\n{H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare lf": f"GET / HTTP/1.1\n{H}\n",
    "bare cr": f"GET / HTTP/1.1\r\n{H}X: a\rContent-Length: 5\r\n\r\n",
    "nul": f"GET / HTTP/1.1\r\n{H}X: a\0b\r\n\r\n",
    "two hosts": f"GET / HTTP/1.1\r\n{H}Host: other\r\n\r\n",
    "absolute": f"GET http://other.{BASE}/ HTTP/1.1\r\n{H}\r\n",
    "plus length": f"POST /echo HTTP/1.1\r\n{H}Content-Length: +5\r\n\r\nabcde",
    "0.9": "GET /\r\n\r\n",
    "h2 preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("name", SMUGGLE)
def test_smuggling(lab, name):
    seen = lab.backends[0].requests
    out = lab.raw("one", SMUGGLE[name].encode() + f"GET /smuggled HTTP/1.1\r\n{H}\r\n".encode())
    status = int(out.split()[1])
    assert status in (400, 501, 505) and out.count(b"HTTP/1.1 ") == 1, out
    assert lab.backends[0].requests == seen


@pytest.mark.parametrize("body", ["5\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "5\r\nhelloX\r\n0\r\n\r\n", "-1\r\n", "5;\r\nhello\r\n0\r\n\r\n",
                                  "5\r\nhello\r\n0\r\nX : y\r\n\r\n", "fffffffffffffffff\r\n"])
def test_chunked_smuggling(lab, body):
    out = lab.raw("one", f"POST /echo HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{body}GET /smuggled HTTP/1.1\r\n{H}\r\n".encode())
    assert out.startswith(b"HTTP/1.1 400 ") and out.count(b"HTTP/1.1 ") == 1, out


def test_too_large_a_head(lab):
    out = lab.raw("one", f"GET / HTTP/1.1\r\n{H}X: {'a' * 40000}\r\n\r\n".encode())
    assert out.startswith(b"HTTP/1.1 431 ") and b"Ward-Error: head-too-large" in out


class RawBackend:
    """Reads what the edge sends with the strictest eyes: every byte must belong to one well-formed request. Answers each with its number."""
    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port, self.name, self.seen, self.bad = self.listener.getsockname()[1], "raw", [], []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def stop(self):
        self.listener.close()

    def serve(self, s):
        f = s.makefile("rb")
        with contextlib.suppress(OSError):
            while line := f.readline(70000):
                fields, head = {}, line
                while (field := f.readline(70000)) not in (b"\r\n", b""):
                    head += field
                    name, _, value = field.partition(b": ")
                    if not field.endswith(b"\r\n") or b"\r" in field[:-2] or name.lower() in (b"transfer-encoding", b"content-length") and name.lower() in fields:
                        self.bad.append(head)
                    fields[name.lower()] = value.strip()
                if not line.endswith(b" HTTP/1.1\r\n") or line.count(b" ") != 2 or {b"transfer-encoding", b"content-length"} <= set(fields):
                    self.bad.append(head)
                # the edge hanging up in the middle (its client broke the rules) is no request at all
                body = b""
                if fields.get(b"transfer-encoding") == b"chunked":
                    n = -1
                    while n != 0:
                        size = f.readline()
                        if not size.endswith(b"\r\n"):
                            return
                        n = int(size, 16)
                        body += f.read(n)
                        end = f.read(2)
                        if len(end) < 2:
                            return
                        if end != b"\r\n":
                            self.bad.append(head)
                else:
                    n = int(fields.get(b"content-length", 0))
                    body = f.read(n)
                    if len(body) < n:
                        return
                self.seen.append((line, body))
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def test_random_desync(lab):
    """Mutated requests with another one hidden in or behind them: the app sees exactly as many as the
    client has answers for, all well-formed."""
    import random
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    rng = random.Random(seed)
    print(f"SEED={seed}")
    raw = RawBackend()
    lab.backends.append(raw)
    lab.app("desync", raw)
    host = f"Host: desync.{BASE}\r\n"
    lines = ["Content-Length: 5", "Content-Length: 0", "Content-Length: 50", "Transfer-Encoding: chunked", "Transfer-Encoding: identity", "Connection: Content-Length",
             "Connection: Transfer-Encoding", "Connection: Host", "Content-Length: 5, 5", "Transfer-Encoding:\tchunked", "Transfer-Encoding: chunked ", "X: y",
             "Content-Length:5", "content-length: 05", "Expect: 100-continue", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "Trailer: Content-Length", "TE: chunked"]
    bodies = ["", "hello", "0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n", "1;x=y\r\na\r\n0\r\n\r\n"]
    marks = ["\r", "\n", "\0", " ", "\t", "\x0b", ":", ",", "\r\n", "\r\n ", "\x80", "+", "0x", ";"]
    for i in range(400):
        text = f"POST /p HTTP/1.1\r\n{host}" + "".join(l + "\r\n" for l in rng.sample(lines, rng.randrange(4))) + "\r\n" + rng.choice(bodies)
        for _ in range(rng.choice((0, 0, 1, 1, 2))):
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice(marks) + text[at + rng.randrange(2):]
        seen = len(raw.seen)
        data = text.encode("latin-1") + f"GET /hidden HTTP/1.1\r\n{host}\r\nGET /last HTTP/1.1\r\n{host}Connection: close\r\n\r\n".encode()
        out = lab.raw("desync", data, tls=True, timeout=0.3)
        answers = out.count(b"\r\n\r\nok")
        news = raw.seen[seen:]
        assert not raw.bad, (seed, i, text, raw.bad)
        assert len(news) == answers, (seed, i, text, news, out)


def test_trickled_heads_and_bodies_are_cut(lab):
    """A head has 15 s in all however it trickles; a body must keep a pace."""
    out = {}

    def head():
        with lab.connect("one", 30) as s, contextlib.suppress(OSError):
            s.sendall(f"GET / HTTP/1.1\r\n{H}".encode())
            begun = time.monotonic()
            while time.monotonic() - begun < 25:
                s.sendall(b"X: y\r\n")
                s.settimeout(1)
                with contextlib.suppress(TimeoutError):
                    out["head"] = (s.recv(100), time.monotonic() - begun)
                    return

    def body():
        with lab.connect("one", 30) as s, contextlib.suppress(OSError):
            s.sendall(f"POST /echo HTTP/1.1\r\n{H}Content-Length: 100000\r\n\r\n".encode())
            begun = time.monotonic()
            while time.monotonic() - begun < 25:
                s.sendall(b"x")
                s.settimeout(1)
                with contextlib.suppress(TimeoutError):
                    out["body"] = (s.recv(100), time.monotonic() - begun)
                    return
    ts = [threading.Thread(target=f) for f in (head, body)]
    [t.start() for t in ts]
    [t.join() for t in ts]
    assert out["head"][0].startswith(b"HTTP/1.1 408 ") and out["head"][1] < 18
    assert out["body"][0].startswith(b"HTTP/1.1 408 ") and out["body"][1] < 14


# ---- the plain listener ----

def test_force_https(lab):
    lab.app("forced", lab.backend(), force_https=True)
    out = lab.raw("forced", f"GET /a?b=c HTTP/1.1\r\nHost: forced.{BASE}\r\nConnection: close\r\n\r\n".encode(), tls=False)
    assert out.startswith(b"HTTP/1.1 301 ") and f"Location: https://forced.{BASE}:{lab.port}/a?b=c\r\n".encode() in out
    out = lab.raw("forced", f"OPTIONS * HTTP/1.1\r\nHost: forced.{BASE}\r\nConnection: close\r\n\r\n".encode(), tls=False)
    assert f"Location: https://forced.{BASE}:{lab.port}/\r\n".encode() in out


def test_plain(lab):
    lab.app("plain", lab.backend("plain"), plain=True)
    out = lab.raw("plain", f"GET /headers HTTP/1.1\r\nHost: plain.{BASE}\r\nConnection: close\r\n\r\n".encode(), tls=False)
    assert b'["X-Forwarded-Proto", "http"]' in out
    # the API's tokens never travel in the clear
    out = lab.raw("x", f"GET /v1 HTTP/1.1\r\nHost: api.{BASE}\r\nConnection: close\r\n\r\n".encode(), tls=False)
    assert out.startswith(b"HTTP/1.1 301 ")


# ---- the API ----

def test_api_through_the_edge(lab):
    assert error(lab.get("api", "/v1/apps")) == (503, "unavailable")
    import http.server, socketserver

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True
        requests = 0
        name = "api"

    class Api(Handler):
        def address_string(self):
            return "unix"
    path = str(lab.run / "api.sock")
    server = Server(path, Api)
    os.chmod(path, 0o666)
    t = threading.Thread(target=server.serve_forever, args=(0.05,))
    t.start()
    try:
        r = lab.get("api", "/v1/apps", "POST", b"{}", headers={"Authorization": "Bearer x"})
        assert (r.status, r.data) == (200, b"api")
    finally:
        server.shutdown()
        server.server_close()
        t.join()
        os.unlink(path)


# ---- change and loss ----

def load(lab, name, seconds, connections=16, path="/"):
    """wrk over TLS; its own count of errors, and requests."""
    script = lab.root / f"{name}.lua"
    script.write_text(f'wrk.headers["Host"] = "{name}.{BASE}"\n'
                      'done = function(s, l, r) io.write(string.format("RESULT %d %d %d %d %d\\n", s.requests, s.errors.connect, '
                      's.errors.read + s.errors.write, s.errors.status, s.errors.timeout)) end\n')
    hosts = lab.root / "hosts"
    hosts.write_text(f"127.0.0.1 {name}.{BASE}\n")
    # it has no way to be told an address: a mount namespace with a hosts file of its own
    p = subprocess.Popen(["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts, "wrk", "-t2", f"-c{connections}", f"-d{seconds}s", "-s", str(script), f"https://{name}.{BASE}:{lab.port}{path}"],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return p


def result(p):
    out = p.communicate(timeout=90)[0]
    numbers = [int(n) for n in out.split("RESULT ")[1].split()]
    return numbers[0], numbers[1:]


@contextlib.contextmanager
def quick_backends(lab, n):
    """Backends that answer fast enough for load: python's cannot. Each is a process of its own."""
    code = pathlib.Path(__file__).with_name("quick_backend.py")
    ps, out = [], []
    try:
        for i in range(n):
            p = subprocess.Popen(["/usr/bin/python3", str(code), f"q{i}"], stdout=subprocess.PIPE, text=True)
            ps.append(p)
            b = type("Quick", (), {})()
            b.port, b.name, b.pid = int(p.stdout.readline()), f"q{i}", p.pid
            out.append(b)
        yield out
    finally:
        for p in ps:
            p.kill()
            p.wait()


def test_tables_swap_under_load(lab):
    with quick_backends(lab, 3) as bs:
        lab.app("load", *bs)
        p = load(lab, "load", 6)
        swaps, end = 0, time.monotonic() + 5.5
        while time.monotonic() < end:
            lab.app("load", *[bs[i] for i in ((0, 1), (1, 2), (2, 0), (0, 1, 2))[swaps % 4]])
            swaps += 1
        requests, errors = result(p)
    assert errors == [0, 0, 0, 0] and requests > 1000 and swaps > 4, (requests, errors, swaps)


def test_killed_worker(lab):
    """Its own connections are lost and no other; new ones are never refused; the supervisor starts another."""
    with quick_backends(lab, 2) as bs:
        lab.app("load", *bs)
        before = worker_pids(lab)
        refused = []
        stop = threading.Event()

        def knock():
            while not stop.is_set():
                try:
                    lab.get("load")
                except ConnectionRefusedError as e:
                    refused.append(e)
                except OSError:
                    pass  # it was the dead worker's
        t = threading.Thread(target=knock)
        t.start()
        kept = [lab.connection("load") for _ in range(12)]
        for victim in before:
            os.kill(victim, signal.SIGKILL)
            wardtest.wait_for("its successor", lambda: victim not in worker_pids(lab) and all(worker_pids(lab)), 5, 0.01)
        stop.set()
        t.join()
        assert not refused
        assert not set(before) & set(worker_pids(lab))
        assert lab.get("load").status == 200
        for c in kept:
            c.close()


def test_key_process_dies(lab):
    """Connections that stand go on; new handshakes wait for the next key process, and none fails."""
    c = lab.connection("one")
    lab.keys.kill(signal.SIGKILL)
    c.request("GET", "/")
    assert c.getresponse().read() == b"one"
    got = []
    t = threading.Thread(target=lambda: got.append(lab.get("one").data))
    t.start()
    time.sleep(0.5)
    lab.keys.start()
    t.join(10)
    assert got == [b"one"]
    c.close()


def test_private_keys_are_nowhere_else(lab):
    """A worker's memory holds no private key, its folder on disk only sealed ones."""
    for f in (lab.lib / "edge-keys").glob("*.key"):
        assert b"PRIVATE" not in f.read_bytes() and not f.read_bytes().startswith(b"\x30")
    # the scalar of a key as DER has it (RFC 5915): version 1, then OCTET STRING of 32 bytes
    marker = b"\x02\x01\x01\x04\x20"
    for pid in worker_pids(lab):
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            where, rights = line.split()[:2]
            if "rw" not in rights or "[v" in line:
                continue
            start, end = (int(x, 16) for x in where.split("-"))
            with open(f"/proc/{pid}/mem", "rb") as m, contextlib.suppress(OSError):
                m.seek(start)
                assert marker not in m.read(end - start)


def test_drain(lab):
    """A stopped edge finishes what is under way, then ends; nothing is cut."""
    got = []
    t = threading.Thread(target=lambda: got.append(lab.get("one", "/slow?3")))
    t.start()
    time.sleep(0.3)
    wardtest.wait_for("no other client", lambda: lab.status()["totals"]["clients"] == 1, 15)
    assert lab.edge.kill(signal.SIGTERM, 10) == 0
    t.join()
    assert got[0].status == 200
    lab.edge.start()
    wardtest.wait_for("the edge again", lambda: lab.get("one").status == 200, 10)
