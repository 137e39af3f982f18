"""The command line alone, against a small API of our own on a unix socket:

    ward (real) --HTTP--> [this file's API: remembers what it was asked, answers from a table, breaks connections when told]

What people and scripts rely on: stdout is data, stderr the rest, exit codes, the error's code, cause and next step; only missing blobs are
uploaded; no log line lost or doubled when the connection breaks; consoles with a terminal.
"""
import base64, contextlib, hashlib, http.server, json, os, pathlib, pty, re, select, signal, socket, socketserver, ssl, struct, subprocess, threading, time

import pytest

import wardtest

WARD = pathlib.Path(os.environ.get("WARD_CLI", wardtest.WARD))
MACHINE = "0123456789abcd"
STARTED = {"id": MACHINE, "name": "red", "state": "started", "region": "local", "instance_id": "01H", "private_ip": "fdaa::1", "checks": [],
           "config": {"image": "sha256:" + "0" * 64, "metadata": {"fly_process_group": "app"}}, "created_at": "2026-01-02T03:04:05Z", "events": []}


class Api:
    """self.routes: (method, path without query) -> function(request) or JSON value. self.calls: what was asked."""

    def __init__(self, family=socket.AF_UNIX, address=None, context=None):
        self.routes, self.calls, self.blobs = {}, [], {}
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def address_string(self):
                return "client"

            def log_message(self, *a):
                pass

            def handle_any(self):
                path, _, query = self.path.partition("?")
                self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                api.calls.append((self.command, self.path, self.body, dict(self.headers)))
                found = api.routes.get((self.command, path), api.blob if path.startswith("/v1/blobs/") else None)
                if found is None:
                    found = lambda r: r.refuse(404, "not-found", f"there is nothing at {path}", "look elsewhere")
                if callable(found):
                    found(self)
                else:
                    self.give(200, found)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any

            def give(self, status, value=None):
                data = b"" if value is None else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            def refuse(self, status, code, error, step):
                self.give(status, {"error": error, "status": code, "details": {"cause": error, "next": step}})

            def lines(self, values, cut=False):
                """JSON lines, chunked; cut: the connection breaks in the middle of a further line."""
                self.send_response(200)
                self.send_header("Content-Type", "application/x-ndjson")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for v in values:
                    data = json.dumps(v).encode() + b"\n"
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                if cut:
                    self.wfile.write(b"20\r\n{\"cursor\":")
                    self.wfile.flush()
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                else:
                    self.wfile.write(b"0\r\n\r\n")

        class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
            address_family, daemon_threads, allow_reuse_address = family, True, True

            def get_request(self):
                s, a = super().get_request()
                return (context.wrap_socket(s, server_side=True) if context else s), a

            def handle_error(self, *a):
                pass

        self.server = Server(address, Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def blob(self, r):
        digest = r.path.rsplit("/", 1)[1]
        if r.command == "HEAD":
            return r.give(200 if digest in self.blobs else 404)
        if "sha256:" + hashlib.sha256(r.body).hexdigest() != digest:
            return r.refuse(422, "image-invalid", "the bytes are not those of the digest", "send it again")
        self.blobs[digest] = r.body
        r.give(201, {"digest": digest, "size": len(r.body)})

    def asked(self, method, pattern):
        return [c for c in self.calls if c[0] == method and re.fullmatch(pattern, c[1])]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def api(tmp_path):
    path = str(tmp_path / "api.sock")
    a = Api(address=path)
    a.url = f"unix://{path}"
    yield a
    a.close()


@pytest.fixture
def ward(tmp_path, api):
    folder = tmp_path / "work"
    folder.mkdir()

    def run(*args, code=0, env=None, stdin=subprocess.DEVNULL, **kw):
        full = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "WARD_API_URL": api.url, "WARD_API_TOKEN": "secret-token", **(env or {})}
        p = subprocess.run([WARD, *map(str, args)], cwd=folder, env=full, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           timeout=60, **kw)
        assert p.returncode == code, f"ward {args}: {p.returncode}, not {code}\n{p.stdout}{p.stderr}"
        return p

    run.folder = folder
    return run


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """An OCI archive with two layers, made by the same writer as the demonstration's."""
    import sys
    sys.path.insert(0, str(wardtest.ROOT / "scripts"))
    import ociwrap
    path = tmp_path_factory.mktemp("image") / "x.oci.tar"
    a = ociwrap.Archive(path)
    a.layer(ociwrap.tar_of({"a": (b"one" * 1000, 0o644)}))
    a.layer(ociwrap.tar_of({"b": (b"two" * 400_000, 0o644)}))
    a.finish({"Cmd": ["/a"]})
    return path


def file(ward, text, name="fly.toml"):
    (ward.folder / name).write_text(text)


GOOD = 'app = "shop"\n[http_service]\ninternal_port = 8080\n'


# ---- errors: code, cause, next step ----

def test_a_typo_in_the_file_is_named(ward, api):
    file(ward, 'app = "shop"\n[http_service]\nintenal_port = 8080\n')
    for words in (("config", "validate"), ("deploy", "--image", "x.tar")):
        p = ward(*words, code=8)
        assert "fly.toml: line 3: http_service.intenal_port is not a known key; did you mean `internal_port`? [unknown-key]" in p.stderr
        assert "\nnext: " in p.stderr and p.stdout == ""
    assert not api.calls  # nothing was begun


@pytest.mark.parametrize("text,code,says", [
    ('app = "a', "toml-syntax", "line 1"),
    ('app = "a"\n[mounts]\nsource = "d"\n', "not-supported-yet", "line 2: mounts"),
    ('app = "a"\n[http_service]\ninternal_port = 80\nauto_stop_machines = "stop"\n', "not-supported-yet", "line 4: http_service.auto_stop_machines"),
])
def test_a_file_that_cannot_be_deployed(ward, api, text, code, says):
    file(ward, text)
    p = ward("config", "validate", code=8)
    assert f"[{code}]" in p.stderr and says in p.stderr and "next:" in p.stderr


@pytest.mark.parametrize("line", ['auto_stop_machines = "stop"', "auto_start_machines = true"])
def test_a_file_of_flyctl_says_what_to_change(ward, api, line):
    file(ward, f'app = "a"\n[http_service]\ninternal_port = 80\n{line}\n')
    assert 'next: write auto_stop_machines = "off" and auto_start_machines = false' in ward("config", "validate", code=8).stderr


def test_a_missing_image_is_named(ward, api):
    file(ward, GOOD)
    p = ward("deploy", "--image", "absent.oci.tar", code=3)
    assert "absent.oci.tar" in p.stderr and "[image-not-found]" in p.stderr and "next:" in p.stderr
    assert not api.calls


def test_a_file_that_is_no_image(ward, api):
    file(ward, GOOD)
    (ward.folder / "x.tar").write_bytes(b"no archive" * 100)
    assert "[image-invalid]" in ward("deploy", "--image", "x.tar", code=1).stderr


def test_the_apis_own_error_is_passed_on(ward, api):
    api.routes["POST", "/v1/apps"] = lambda r: r.refuse(403, "forbidden", "this token may only read", "use another token")
    p = ward("apps", "create", "shop", code=4)
    assert p.stderr == "error: this token may only read [forbidden]\nnext: use another token\n"


def test_nobody_answers(ward):
    p = ward("apps", code=6, env={"WARD_API_URL": "unix:///tmp/nobody/api.sock"})
    assert "[unavailable]" in p.stderr and "WARD_API_URL" in p.stderr


def test_while_the_api_restarts_reading_is_repeated_and_changing_is_not(ward, api):
    answers = [503, 503, 200]
    unready = lambda r: r.refuse(503, "unavailable", "the state has not been read yet", "try again")
    api.routes["GET", "/v1/apps"] = lambda r: r.give(200, {"apps": []}) if answers.pop(0) == 200 else unready(r)
    ward("apps")
    assert not answers
    api.routes["POST", "/v1/apps"] = unready
    assert "[unavailable]" in ward("apps", "create", "shop", code=6).stderr
    assert len(api.asked("POST", ".*")) == 1


def test_what_is_not_acted_on_is_told(ward, api):
    def warned(r):
        r.send_response(200)
        r.send_header("Ward-Warning", "config.size is not acted on yet")
        r.send_header("Content-Length", "11")
        r.end_headers()
        r.wfile.write(b'{"apps":[]}')

    api.routes["GET", "/v1/apps"] = warned
    assert ward("apps").stderr == "warning: config.size is not acted on yet\n"


@pytest.mark.parametrize("words,next_step", [
    (["deplyo"], "did you mean `ward deploy`?"),
    (["machine", "lits"], "did you mean `ward machine list`?"),
    (["machine"], "ward help machine"),
    (["deploy", "--imgae", "x"], "did you mean --image?"),
    (["machine", "start"], "ward help machine start"),
    (["version", "extra"], "ward help version"),
])
def test_wrongly_written_commands(ward, words, next_step):
    p = ward(*words, code=2)
    assert next_step in p.stderr and p.stdout == ""


# ---- help and what comes from the table ----

def test_help_man_and_completions_name_every_command(ward):
    names = re.findall(r"^  ([a-z ]+?)  ", ward("help").stdout, re.M)
    assert len(names) > 35 and "machine leases view" in names
    man, fish, bash = ward("help", "--man").stdout, ward("completions", "fish").stdout, ward("completions", "bash").stdout
    for n in names:
        assert f".SS ward {n}" in man.replace("\\-", "-"), n
        assert f"ward {n}" in ward(*n.split(), "--help").stdout
        assert f"-a {n.split()[-1]} " in fish and f'"{n}"' in bash, n
    subprocess.run(["bash", "-n"], input=bash, text=True, check=True)
    done = subprocess.run(["bash", "-c", bash + '\nCOMP_WORDS=(ward machine st); COMP_CWORD=2; _ward; echo "${COMPREPLY[@]}"'], stdout=subprocess.PIPE, text=True)
    assert set(done.stdout.split()) == {"start", "status", "stop"}


def test_no_colours_without_a_terminal(ward, api):
    api.routes["GET", "/v1/apps"] = {"apps": [{"name": "shop", "status": "deployed", "machine_count": 1, "network": "default", "organization": {"slug": "personal"}}]}
    p = ward("apps")
    assert "\033" not in p.stdout and p.stdout.splitlines()[1].split() == ["shop", "deployed", "personal", "1", "default"]
    assert json.loads(ward("apps", "list", "--json").stdout)[0]["name"] == "shop"


# ---- who we are ----

def test_token_url_and_file(ward, api, tmp_path):
    api.routes["GET", "/v1/apps"] = {"apps": []}
    ward("apps")
    assert api.calls[-1][3]["Authorization"] == "Bearer secret-token"
    ward("apps", env={"WARD_API_URL": "", "WARD_API_TOKEN": "", "FLY_FLAPS_BASE_URL": api.url, "FLY_API_TOKEN": "FlyV1 fm2_x"})
    assert api.calls[-1][3]["Authorization"] == "FlyV1 fm2_x"
    config = tmp_path / ".config/ward/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'url = "{api.url}"\ntoken = "from the file"\n')
    config.chmod(0o644)
    none = {"WARD_API_URL": "", "WARD_API_TOKEN": ""}
    p = ward("apps", env=none, code=4)
    assert "config.toml" in p.stderr and "chmod 600" in p.stderr and "from the file" not in p.stderr
    config.chmod(0o600)
    ward("apps", env=none)
    assert api.calls[-1][3]["Authorization"] == "Bearer from the file"
    config.write_text('urll = "x"\n')
    assert "did you mean `url`?" in ward("apps", env=none, code=8).stderr


def test_https_with_the_platforms_ca_and_its_pin(ward, tmp_path):
    """A name below .localhost is this machine even where no resolver knows it; the CA and its pin are checked."""
    key, crt = tmp_path / "key.pem", tmp_path / "ca.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", crt, "-days", "2",
                    "-subj", "/CN=api.ward.localhost", "-addext", "subjectAltName=DNS:api.ward.localhost"], check=True, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    secure = Api(socket.AF_INET, ("127.0.0.1", 0), context)
    try:
        secure.routes["GET", "/v1/apps"] = {"apps": []}
        url = {"WARD_API_URL": f"https://api.ward.localhost:{secure.server.server_address[1]}"}
        p = ward("apps", env=url, code=4)
        assert "not trusted" in p.stderr and "WARD_CA_FILE" in p.stderr and not secure.calls
        ward("apps", env={**url, "WARD_CA_FILE": str(crt)})
        config = tmp_path / ".config/ward/config.toml"
        config.parent.mkdir(parents=True)
        der = ssl.PEM_cert_to_DER_cert(crt.read_text())
        config.touch(0o600)
        config.write_text(f'ca = "{crt}"\nca_sha256 = "{hashlib.sha256(der).hexdigest()}"\n')
        ward("apps", env=url)
        before = len(secure.calls)
        config.write_text(f'ca = "{crt}"\nca_sha256 = "{"0" * 64}"\n')
        assert "pins" in ward("apps", env=url, code=4).stderr
        assert len(secure.calls) == before
    finally:
        secure.close()


# ---- deploys ----

EVENTS = [{"n": 1, "type": "deploy", "message": "release 1 begins"}, {"n": 2, "type": "machine", "machine": MACHINE, "step": "create"},
          {"n": 3, "type": "machine", "machine": MACHINE, "step": "check", "message": "started; waiting for its checks"},
          {"n": 4, "type": "done", "status": "succeeded", "message": "release 1 serves"}]


def deploy_routes(api, follow, status="succeeded", reason="", app="shop"):
    apps = set()

    def create(r):
        apps.add(json.loads(r.body)["name"])
        r.give(201, {"name": app})

    def show(r):
        if "follow=1" in r.path:
            follow(r, int(re.search(r"after=(\d+)", r.path)[1]))
        else:
            r.give(200, {"id": "01D", "release": 1, "status": status, "reason": reason, "machines": [], "events": EVENTS})

    api.routes["GET", f"/v1/apps/{app}"] = lambda r: r.give(200, {"name": app}) if app in apps else r.refuse(404, "not-found", "no such app", "create it")
    api.routes["POST", "/v1/apps"] = create
    api.routes["POST", f"/v1/apps/{app}/deploys"] = lambda r: r.give(202, {"id": "01D", "release": 1, "status": "running"})
    api.routes["GET", f"/v1/apps/{app}/deploys/01D"] = show


def whole(r, after):
    r.lines([{"type": "heartbeat", "at": "now"}] + [e for e in EVENTS if e["n"] > after])


def test_a_deploy_that_is_silent_for_long_says_where_to_look(ward, api, image):
    deploy_routes(api, lambda r, after: r.lines([{"type": "heartbeat", "at": "now"}] * 9 + [e for e in EVENTS if e["n"] > after]))
    file(ward, GOOD)
    assert ward("deploy", "--image", image).stderr.count("still at it; `ward status --app shop` tells more") == 1


def test_ctrl_c_ends_the_watching_and_says_that_the_deploy_goes_on(ward, api, image):
    watching, over = threading.Event(), threading.Event()

    def follow(r, after):
        watching.set()
        over.wait(20)

    deploy_routes(api, follow)
    file(ward, GOOD)
    p = subprocess.Popen([WARD, "deploy", "--image", image], cwd=ward.folder, env={"WARD_API_URL": api.url, "WARD_API_TOKEN": "t", "HOME": str(ward.folder)},
                         stderr=subprocess.PIPE, text=True)
    try:
        assert watching.wait(20)
        p.send_signal(signal.SIGINT)
        assert "the deploy goes on" in p.communicate(timeout=10)[1] and p.returncode == 130
    finally:
        over.set()
        p.kill()


def test_a_deploy_creates_the_app_uploads_what_is_missing_and_follows(ward, api, image):
    deploy_routes(api, whole)
    file(ward, GOOD + '[env]\nA = "1"\n')
    p = ward("deploy", "--image", image)
    assert json.loads(api.asked("POST", "/v1/apps")[0][2]) == {"name": "shop", "org_slug": "personal"}
    assert len(api.blobs) == 4 and len(api.asked("PUT", "/v1/blobs/.*")) == 4  # two layers, the config, the manifest
    body = json.loads(api.asked("POST", "/v1/apps/shop/deploys")[0][2])
    ref = body["groups"][0]["config"]["image"]
    assert json.loads(api.blobs[ref])["schemaVersion"] == 2  # the manifest that was uploaded
    assert body["groups"][0]["config"]["env"] == {"A": "1", "FLY_PROCESS_GROUP": "app"}
    steps = re.findall(r"^ *(\d+)\. (.*)$", p.stderr, re.M)
    assert [n for n, _ in steps] == ["1", "2", "3", "4"] and MACHINE in steps[1][1]
    assert "release 1 of shop is deployed" in p.stderr and p.stdout == ""
    # the second time everything is there
    api.calls.clear()
    p = ward("deploy", "--image", image, "--json")
    assert not api.asked("PUT", ".*") and not api.asked("POST", "/v1/apps")
    assert json.loads(p.stdout)["status"] == "succeeded"


def test_a_layout_folder_works_as_well(ward, api, image, tmp_path):
    deploy_routes(api, whole)
    subprocess.run(["mkdir", tmp_path / "layout"], check=True)
    subprocess.run(["tar", "-C", tmp_path / "layout", "-xf", image], check=True)
    ward("deploy", "--app", "shop", "--image", tmp_path / "layout")
    assert len(api.blobs) == 4


def test_a_compressed_archive_works_as_well(ward, api, image, tmp_path):
    deploy_routes(api, whole)
    with open(tmp_path / "x.tar.gz", "wb") as f:
        subprocess.run(["gzip", "-c", image], check=True, stdout=f)
    ward("deploy", "--app", "shop", "--image", tmp_path / "x.tar.gz")
    assert len(api.blobs) == 4


def test_a_registry_reference_is_passed_on(ward, api):
    deploy_routes(api, whole)
    file(ward, GOOD + "[build]\nimage = 'docker.io/library/nginx:1'\n")
    ward("deploy")
    assert json.loads(api.asked("POST", ".*deploys")[0][2])["groups"][0]["config"]["image"] == "docker.io/library/nginx:1"
    assert not api.asked("HEAD", ".*")


def test_a_broken_connection_repeats_no_step(ward, api):
    def broken(r, after):
        r.lines([e for e in EVENTS if after < e["n"] <= after + 1], cut=after < 3)

    deploy_routes(api, broken)
    p = ward("deploy", "--app", "shop", "--image", "x:1")
    assert re.findall(r"^ *(\d+)\.", p.stderr, re.M) == ["1", "2", "3", "4"]
    assert len(api.asked("GET", ".*follow=1.*")) == 4


def test_a_failed_deploy_says_why(ward, api):
    deploy_routes(api, whole, status="failed", reason="its checks did not pass")
    p = ward("deploy", "--app", "shop", "--image", "x:1", code=7)
    assert "release 1 of shop failed: its checks did not pass [deploy-failed]" in p.stderr and "next: " in p.stderr


def test_detach_rollback_and_scale(ward, api):
    deploy_routes(api, whole)
    accepted = lambda r: r.give(202, {"id": "01D", "release": 1})
    api.routes["POST", "/v1/apps/shop/releases/rollback"] = accepted
    api.routes["POST", "/v1/apps/shop/scale"] = accepted
    api.routes["GET", "/v1/apps/shop/scale"] = {"groups": [{"name": "app", "count": 2}]}
    api.routes["GET", "/v1/apps/shop/releases"] = {"releases": [{"version": 1, "status": "succeeded", "image": "x", "created_at": "t", "message": "m"}]}
    p = ward("deploy", "--app", "shop", "--image", "x:1", "--detach", "--json", "--message", "why", "--strategy", "immediate", "--wait-timeout", "90s")
    assert json.loads(p.stdout)["id"] == "01D" and not api.asked("GET", ".*follow.*")
    body = json.loads(api.asked("POST", ".*deploys")[0][2])
    assert body["message"] == "why" and body["strategy"] == "immediate" and body["wait_timeout_ms"] == 90000
    ward("rollback", "v3", "--app", "shop")
    assert json.loads(api.calls[-3][2]) == {"version": 3}
    ward("scale", "count", "2", "--app", "shop", "--detach")
    assert json.loads(api.calls[-1][2]) == {"count": 2}
    ward("scale", "count", "web=0", "--app", "shop", "--detach")
    assert json.loads(api.calls[-1][2]) == {"count": 0, "group": "web"}
    ward("scale", "count", "many", "--app", "shop", code=1)
    assert json.loads(ward("scale", "show", "--app", "shop", "--json").stdout)["groups"][0]["count"] == 2
    assert json.loads(ward("releases", "--app", "shop", "--json").stdout)[0]["version"] == 1


# ---- logs ----

class Log:
    """A log that grows; serves pages after a cursor, and breaks the connection where told."""

    def __init__(self, api, breaks=()):
        self.lines, self.breaks = [], set(breaks)
        api.routes["GET", "/v1/apps/shop/logs"] = self.serve

    def add(self, *ns):
        self.lines += [{"cursor": f"c{n}", "at": "2026-01-02T03:04:05.678901Z", "machine": MACHINE, "region": "local", "stream": "stdout", "n": n,
                        "message": f"line {n}"} for n in ns]

    def serve(self, r):
        query = dict(re.findall(r"(\w+)=([^&]*)", r.path))
        after, limit = int(query.get("after", "c0")[1:]), int(query.get("limit", 1 << 30))
        page = [l for l in self.lines if l["n"] > after]
        page = page[:limit] if after else page[-limit:]  # as ward-telemetry: the last ones, unless there is a cursor
        cut = next((i for i, l in enumerate(page) if l["n"] in self.breaks), None)
        if cut is not None:
            self.breaks.discard(page[cut]["n"])
            return r.lines(page[:cut], cut=True)
        if query["follow"] == "1" and not page:
            time.sleep(0.2)
        r.lines(page)


def test_logs_come_whole(ward, api):
    log = Log(api)
    log.add(*range(1, 2501))
    got = [json.loads(l)["n"] for l in ward("logs", "--app", "shop", "--json").stdout.splitlines()]
    assert got == list(range(1, 2501))
    assert [l.split()[-1] for l in ward("logs", "--app", "shop", "-n", "3").stdout.splitlines()] == ["2498", "2499", "2500"]
    assert MACHINE in ward("logs", "--app", "shop", "-n", "1", "--machine", MACHINE).stdout


def test_a_broken_log_is_taken_up(ward, api):
    log = Log(api, breaks=[4, 7])
    log.add(*range(1, 10))
    assert [json.loads(l)["n"] for l in ward("logs", "--app", "shop", "--json").stdout.splitlines()] == list(range(1, 10))
    log.breaks = {98}
    log.add(*range(10, 101))
    assert [json.loads(l)["n"] for l in ward("logs", "-n", "5", "--app", "shop", "--json").stdout.splitlines()] == [96, 97, 98, 99, 100]
    assert "[unavailable]" in ward("logs", "-f", "--app", "shop", code=6, env={"WARD_API_URL": "unix:///tmp/nobody/api.sock"}).stderr


def test_follow_begins_even_while_the_api_is_not_ready(api):
    log = Log(api)
    log.add(1)
    serve, unready = api.routes["GET", "/v1/apps/shop/logs"], [1, 1]
    api.routes["GET", "/v1/apps/shop/logs"] = lambda r: r.refuse(503, "unavailable", "not yet", "wait") if unready and unready.pop() else serve(r)
    p = subprocess.Popen([WARD, "logs", "-f", "--json", "--app", "shop"], env={"PATH": os.environ["PATH"], "WARD_API_URL": api.url}, stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, text=True)
    try:
        assert json.loads(p.stdout.readline())["n"] == 1 and not unready
    finally:
        p.kill()
        p.wait()
        p.stdout.close()


def test_follow_loses_and_doubles_nothing(ward, api):
    log = Log(api, breaks=[5, 12, 13, 30])
    log.add(*range(1, 4))
    env = {"PATH": os.environ["PATH"], "WARD_API_URL": api.url, "HOME": "/nonexistent"}
    p = subprocess.Popen([WARD, "logs", "-f", "--json", "--app", "shop"], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        got = [json.loads(p.stdout.readline())["n"] for _ in range(3)]
        log.add(*range(4, 21))
        got += [json.loads(p.stdout.readline())["n"] for _ in range(17)]
        log.add(*range(21, 41))
        got += [json.loads(p.stdout.readline())["n"] for _ in range(20)]
        assert got == list(range(1, 41)) and not log.breaks
    finally:
        p.kill()
        p.wait()
        p.stdout.close()


# ---- machines ----

def machine_routes(api, machine=STARTED):
    base = f"/v1/apps/shop/machines/{MACHINE}"
    api.routes["GET", "/v1/apps"] = {"apps": [{"name": "empty"}, {"name": "shop"}]}
    api.routes["GET", "/v1/apps/empty/machines"] = []
    api.routes["GET", "/v1/apps/shop/machines"] = [machine]
    api.routes["GET", base] = machine
    for verb in ("start", "stop", "restart", "signal", "cordon", "uncordon"):
        api.routes["POST", f"{base}/{verb}"] = {"ok": True}
    api.routes["DELETE", base] = {"ok": True}
    return base


def test_machine_commands_find_their_app(ward, api):
    base = machine_routes(api)
    for words, method, path, body in [
        (("start", MACHINE), "POST", "/start", None), (("cordon", MACHINE), "POST", "/cordon", None), (("uncordon", MACHINE), "POST", "/uncordon", None),
        (("stop", MACHINE, "-s", "term", "-t", "5s"), "POST", "/stop", {"signal": "SIGTERM", "timeout": "5s"}),
        (("restart", MACHINE, "-s", "HUP"), "POST", "/restart?signal=SIGHUP", None), (("kill", MACHINE), "POST", "/signal", {"signal": "SIGKILL"}),
        (("signal", MACHINE, "usr1"), "POST", "/signal", {"signal": "SIGUSR1"}), (("destroy", MACHINE, "--force"), "DELETE", "?force=true", None),
    ]:
        ward("machine", *words)
        m, p, b, h = api.calls[-1]
        assert (m, p) == (method, base + path), words
        assert not body or json.loads(b) == body
    ward("machine", "start", MACHINE, "--app", "shop", "--lease", "nonce1")
    assert api.calls[-1][3]["fly-machine-lease-nonce"] == "nonce1"
    assert "no machine" in ward("machine", "start", "ffffffffffffff", code=3).stderr
    assert "14 hexadecimal" in ward("machine", "start", "red", code=1).stderr


def test_machine_reading(ward, api):
    base = machine_routes(api)
    event = {"type": "exit", "status": "stopped", "source": "flyd", "timestamp": 1_767_323_045_000, "request": {"exit_event": {"exit_code": 3, "oom_killed": True}}}
    api.routes["GET", f"{base}/events"] = [event]
    api.routes["GET", f"{base}/ps"] = [{"pid": 7, "rss": 1, "cpu": 2, "command": "/app", "listen_sockets": [{"proto": "tcp", "address": "[::]:8080"}]}]
    api.routes["GET", f"{base}/metadata"] = {"a": "b"}
    api.routes["POST", f"{base}/metadata/k.1"] = lambda r: r.give(204)
    api.routes["DELETE", f"{base}/metadata/old"] = lambda r: r.give(204)
    assert "started" in ward("machine", "list", "--app", "shop").stdout
    assert json.loads(ward("machine", "list", "--app", "shop", "--json").stdout)[0]["id"] == MACHINE
    assert "fdaa::1" in ward("machine", "status", MACHINE).stdout
    out = ward("machine", "events", MACHINE).stdout
    assert "exit code 3" in out and "out of memory" in out and "2026-01-02T03:04:05" in out
    api.routes["GET", f"{base}/versions"] = [{"version": "01J0000000000000000000000B", "user_config": {"image": "shop:2", "guest": {"memory_mb": 256}}}]
    assert re.search("01J0000000000000000000000B +shop:2 +256", ward("machine", "versions", MACHINE).stdout)
    assert json.loads(ward("machine", "versions", MACHINE, "--json").stdout)[0]["user_config"]["image"] == "shop:2"
    assert "[::]:8080" in ward("machine", "ps", MACHINE).stdout
    assert ward("machine", "metadata", MACHINE, "k.1=v", "old=").stdout == "a=b\n"
    assert json.loads(api.asked("POST", ".*metadata/k.1")[0][2]) == {"value": "v"} and api.asked("DELETE", ".*metadata/old")


def test_wait_asks_again_until_its_own_time_is_over(ward, api):
    base = machine_routes(api)
    asked = []

    def wait(r):
        asked.append(r.path)
        r.give(200, {"ok": True}) if len(asked) == 2 else r.refuse(408, "timeout", "not yet", "wait longer")

    api.routes["GET", f"{base}/wait"] = wait
    ward("machine", "wait", MACHINE, "--state", "stopped", "--timeout", "90s", "--app", "shop")
    assert [re.search(r"timeout=(\d+)", p)[1] for p in asked] == ["60", "30"] and "state=stopped" in asked[0]
    asked.clear()
    assert "[timeout]" in ward("machine", "wait", MACHINE, "--timeout", "1s", "--app", "shop", code=6).stderr


def test_machine_run_create_and_update(ward, api, image):
    base = machine_routes(api)
    api.routes["POST", "/v1/apps/shop/machines"] = STARTED
    api.routes["POST", base] = STARTED
    p = ward("machine", "run", image, "--app", "shop", "-e", "A=b=c", "--memory", "1gb", "--cpus", "2", "--port", "80", "--metadata", "k=v",
             "--restart", "no", "--", "/a", "-x", "--json")
    assert p.stdout == MACHINE + "\n" and len(api.blobs) == 4
    sent = json.loads(api.calls[-1][2])
    c = sent["config"]
    assert c["image"] in api.blobs and c["env"] == {"A": "b=c"} and c["guest"] == {"cpus": 2, "memory_mb": 1024} and not sent["skip_launch"]
    assert c["init"]["cmd"] == ["/a", "-x", "--json"] and c["metadata"] == {"k": "v"} and c["restart"] == {"policy": "no"}
    assert c["services"][0]["internal_port"] == 80
    ward("machine", "create", "x:1", "--app", "shop")
    assert json.loads(api.calls[-1][2])["skip_launch"] is True
    ward("machine", "update", MACHINE, "--app", "shop", "--memory", "512mb")
    sent = json.loads(api.calls[-1][2])
    assert sent["current_version"] == "01H" and sent["config"]["guest"] == {"memory_mb": 512} and sent["config"]["image"] == STARTED["config"]["image"]
    assert "NAME=VALUE" in ward("machine", "run", "x:1", "--app", "shop", "-e", "A", code=1).stderr


def test_leases(ward, api):
    base = machine_routes(api)
    lease = {"status": "success", "data": {"nonce": "n1", "owner": "me", "expires_at": 5}}
    api.routes["GET", f"{base}/lease"] = api.routes["POST", f"{base}/lease"] = lease
    api.routes["DELETE", f"{base}/lease"] = {"status": "success", "data": {"ok": True}}
    assert "nonce n1" in ward("machine", "leases", "acquire", MACHINE, "--ttl", "1m", "--description", "work").stdout
    assert json.loads(api.calls[-1][2]) == {"ttl": 60, "description": "work"}
    assert json.loads(ward("machine", "leases", "view", MACHINE, "--json").stdout)["data"]["nonce"] == "n1"
    ward("machine", "leases", "clear", MACHINE, "--lease", "n1")
    assert api.calls[-1][3]["fly-machine-lease-nonce"] == "n1"


def test_what_destroys_asks_first(ward, api):
    machine_routes(api)
    api.routes["DELETE", "/v1/apps/shop"] = lambda r: r.give(202, {})
    p = ward("apps", "destroy", "shop", code=1)
    assert "--yes" in p.stderr and not api.asked("DELETE", ".*")
    ward("apps", "destroy", "shop", "--yes")
    assert api.asked("DELETE", "/v1/apps/shop")
    ward("machine", "destroy", "--all", code=1)
    ward("machine", "destroy", "--all", "--force")
    assert api.calls[-1][:2] == ("DELETE", f"/v1/apps/shop/machines/{MACHINE}?force=true")
    assert "[invalid]" in ward("machine", "destroy", code=1).stderr


def test_status_of_app_platform_and_hosts(ward, api):
    machine_routes(api)
    api.routes["GET", "/v1/apps/shop"] = {"name": "shop", "status": "deployed", "network": "default"}
    api.routes["GET", "/v1/status"] = {"version": "1", "region": "local", "apps": 1, "machines": 1, "hosts": 1, "vault": "unsealed", "store": {"connected": True, "revision": 1},
                                       "daemons": [{"name": "api", "pid": 5, "restarts": 0, "up_ms": 3_723_000}, {"name": "dns", "pid": 0, "restarts": 4, "up_ms": 0}]}
    api.routes["GET", "/v1/hosts"] = {"hosts": [{"name": "h", "alive": True, "cpus": 2, "memory_mib": 100, "disk_mib": 5, "used": {"machines": 1, "cpus": 1, "memory_mib": 7, "disk_mib": 1}}]}
    out = ward("status").stdout
    assert "1h02m03s" in out and re.search(r"^dns +down +4", out, re.M)
    assert "7 of 100" in ward("status", "--hosts").stdout
    assert MACHINE in ward("status", "--app", "shop").stdout
    machine_routes(api, {**STARTED, "state": "starting", "reason": "image-prepare: no such registry"})
    assert f"{MACHINE}: image-prepare: no such registry" in ward("status", "--app", "shop").stdout
    assert re.search("^reason +image-prepare: no such registry$", ward("machine", "status", MACHINE, "--app", "shop").stdout, re.M)
    machine_routes(api)
    assert json.loads(ward("status", "--json", env={"FLY_APP": "shop"}).stdout)["app"]["name"] == "shop"


def test_launch_writes_a_file_that_validates(ward, api):
    ward("launch", "shop", "--port", "3000", "--health", "/up", "--memory", "512", "--region", "par")
    body = json.loads(ward("config", "show").stdout)
    service = body["groups"][0]["config"]["services"][0]
    assert service["internal_port"] == 3000 and service["checks"][0]["path"] == "/up" and body["groups"][0]["config"]["guest"]["memory_mb"] == 512
    assert "[conflict]" in ward("launch", "shop", code=5).stderr
    ward("launch", "other", "--force")
    assert 'app = \'other\'' in (ward.folder / "fly.toml").read_text()
    (ward.folder / "fly.toml").rename(ward.folder / "ward.toml")  # its other name
    assert json.loads(ward("config", "validate", "--json").stdout)["app"] == "other"


# ---- exec and console ----

OPEN, STDIN, STDIN_EOF, RESIZE, SIGNAL, STDOUT, STDERR, EXIT, ERROR = 1, 2, 3, 4, 5, 16, 17, 18, 19


def frame(kind, data=b""):
    return struct.pack(">B3xI", kind, len(data)) + data


def read_frame(f):
    head = f.read(8)
    if len(head) < 8:
        return None, b""
    kind, n = struct.unpack(">B3xI", head)
    return kind, f.read(n)


def exec_stream(serve):
    def handler(r):
        assert r.headers["Upgrade"] == "ward-exec" and r.headers["Connection"].lower() == "upgrade"
        r.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ward-exec\r\n\r\n")
        kind, data = read_frame(r.rfile)
        assert kind == OPEN
        serve(r, json.loads(data))
        r.close_connection = True
    return handler


def test_exec_passes_output_and_exit_code_on(ward, api):
    base = machine_routes(api)
    api.routes["POST", f"{base}/exec"] = {"exit_code": 3, "exit_signal": 0, "stdout": "out\n", "stderr": "err\n"}
    p = ward("machine", "exec", MACHINE, "--app", "shop", "--", "/app", "-x", "--json", code=3)
    assert p.stdout == "out\n" and p.stderr == "err\n"
    assert json.loads(api.calls[-1][2]) == {"command": ["/app", "-x", "--json"], "timeout": 60}
    p = ward("machine", "exec", MACHINE, "ls", "-l", "--app", "shop", code=3)
    assert json.loads(api.calls[-1][2])["command"] == ["ls", "-l", "--app", "shop"]  # all after the command's name is the command's


def test_exec_with_input_is_a_stream(ward, api, tmp_path):
    base = machine_routes(api)

    def upper(r, opened):
        assert opened == {"cmd": ["tr", "a-z", "A-Z"], "tty": False}
        while True:
            kind, data = read_frame(r.rfile)
            if kind != STDIN:
                break
            out = frame(STDOUT, data.upper())
            for i in range(0, len(out), 3):  # in small pieces: frames need not come whole
                r.wfile.write(out[i:i + 3])
        assert kind == STDIN_EOF
        r.wfile.write(frame(STDERR, b"done\n") + frame(STDOUT) + frame(EXIT, struct.pack(">II", 5, 0)))

    api.routes["POST", f"{base}/exec-stream"] = exec_stream(upper)
    (tmp_path / "in").write_text("hello\n" * 50)
    with open(tmp_path / "in") as f:
        p = ward("machine", "exec", "-i", MACHINE, "tr", "a-z", "A-Z", code=5, stdin=f)
    assert p.stdout == "HELLO\n" * 50 and p.stderr == "done\n"


def test_exec_that_cannot_start_or_is_refused(ward, api):
    base = machine_routes(api)
    api.routes["POST", f"{base}/exec-stream"] = exec_stream(lambda r, o: r.wfile.write(frame(ERROR, b"no such file: /nope")))
    assert "no such file: /nope" in ward("machine", "exec", "-i", MACHINE, "/nope", code=1).stderr
    api.routes["POST", f"{base}/exec-stream"] = lambda r: r.refuse(409, "conflict", "the machine does not run", "start it")
    p = ward("machine", "exec", "-i", MACHINE, "ls", code=5)
    assert "the machine does not run [conflict]" in p.stderr and "next: start it" in p.stderr
    api.routes["POST", f"{base}/exec-stream"] = exec_stream(lambda r, o: r.wfile.write(frame(STDOUT, b"half")))
    assert "[unavailable]" in ward("machine", "exec", "-i", MACHINE, "ls", code=6).stderr


def test_a_console_has_a_terminal_its_size_and_raw_keys(api, tmp_path):
    base = machine_routes(api)
    seen = {}

    def shell(r, opened):
        seen["open"] = opened
        r.wfile.write(frame(STDOUT, b"$ "))
        while True:
            kind, data = read_frame(r.rfile)
            seen.setdefault(kind, b"")
            seen[kind] += data
            if kind == STDIN and b"\x04" in data:
                return r.wfile.write(frame(EXIT, struct.pack(">II", 0, 9)))
            if kind == STDIN:
                r.wfile.write(frame(STDOUT, b"<" + data + b">"))

    api.routes["POST", f"{base}/exec-stream"] = exec_stream(shell)
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(WARD_API_URL=api.url, TERM="vt100", HOME="/nonexistent", WARD_APP="shop")
        os.execv(WARD, [str(WARD), "console"])
    out = b""

    def until(what):
        nonlocal out
        end = time.monotonic() + 15
        while what not in out:
            assert time.monotonic() < end and select.select([fd], [], [], 15)[0], out
            out += os.read(fd, 4096)

    try:
        until(b"$ ")
        import fcntl, termios
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
        os.write(fd, b"\x03q")  # raw: control-C goes to the machine, not to us
        until(b"<\x03q>")
        end = time.monotonic() + 10
        while RESIZE not in seen:
            assert time.monotonic() < end
            time.sleep(0.05)
        os.write(fd, b"\x04")
        _, status = os.waitpid(pid, 0)
        pid = 0
    finally:
        if pid:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        os.close(fd)
    assert os.waitstatus_to_exitcode(status) == 128 + 9
    assert seen["open"]["cmd"] == ["/bin/sh"] and seen["open"]["tty"] is True and seen["open"]["env"]["TERM"] == "vt100"
    assert seen[RESIZE] == struct.pack(">HH", 101, 33)


# ---- images that are none ----

def blob(text):
    return "sha256:" + hashlib.sha256(text).hexdigest()


MANIFEST = {"schemaVersion": 2, "config": {"digest": blob(b"{}"), "size": 2}, "layers": []}


@pytest.mark.parametrize("index,blobs,says", [
    ({}, {}, "no image for linux"),
    ({"manifests": [{"digest": "sha256:../../etc/passwd", "size": 1}]}, {}, "no image for linux"),
    ({"manifests": [{"digest": "sha512:" + "a" * 128, "size": 1}]}, {}, "no image for linux"),
    ({"manifests": [{"digest": blob(b"absent"), "size": 1}]}, {}, "holds no blobs/sha256/"),
    ({"manifests": [{"digest": "M", "size": 1, "platform": {"os": "linux", "architecture": "s390x"}}]}, {}, "no image for linux"),
    ({"manifests": [{"digest": "M", "size": "1"}]}, {}, "without a SHA-256 digest and a size"),
    ({"manifests": [{"digest": "M", "size": -1}]}, {}, "without a SHA-256 digest and a size"),
    ({"manifests": [{"digest": "M", "size": 1}]}, {"layers": [{"digest": "x", "size": 1}]}, "without a SHA-256 digest and a size"),
    ({"manifests": [{"digest": "M", "size": 1}]}, {"layers": [{"digest": blob(b"%d" % i), "size": 1} for i in range(300)]}, "more than 256 blobs"),
    ({"manifests": [{"digest": "M", "size": 1}]}, {"layers": {}}, "has no layers"),
])
def test_images_that_are_none(ward, api, tmp_path, index, blobs, says):
    manifest = json.dumps({**MANIFEST, **blobs}).encode()
    layout = tmp_path / "layout"
    (layout / "blobs/sha256").mkdir(parents=True)
    (layout / "blobs/sha256" / blob(manifest)[7:]).write_bytes(manifest)
    for m in index.get("manifests", []):
        m["digest"] = blob(manifest) if m["digest"] == "M" else m["digest"]
    (layout / "index.json").write_text(json.dumps(index))
    p = ward("deploy", "--app", "shop", "--image", layout, code=1)
    assert "[image-invalid]" in p.stderr and says in p.stderr and not api.calls


def test_a_blob_that_is_shorter_than_it_says_is_not_sent_whole(ward, api, tmp_path):
    deploy_routes(api, whole)
    manifest = json.dumps({**MANIFEST, "layers": [{"digest": blob(b"x"), "size": 1000}]}).encode()
    layout = tmp_path / "layout"
    (layout / "blobs/sha256").mkdir(parents=True)
    for data in (manifest, b"x"):
        (layout / "blobs/sha256" / blob(data)[7:]).write_bytes(data)
    (layout / "index.json").write_text(json.dumps({"manifests": [{"digest": blob(manifest), "size": len(manifest)}]}))
    assert "could not be read whole [image-invalid]" in ward("deploy", "--app", "shop", "--image", layout, code=1).stderr
    assert not api.asked("POST", ".*/deploys")


@pytest.mark.parametrize("words, program", [(["doctor"], "ward-doctor"), (["vault", "unlock"], "ward-unlock")])
def test_what_looks_at_the_host_becomes_the_program_beside_ward(tmp_path, words, program):
    import shutil
    for d in ("bin", "libexec/ward"):
        (tmp_path / d).mkdir(parents=True)
    shutil.copy(WARD, tmp_path / "bin/ward")
    beside = tmp_path / "libexec/ward" / program
    beside.write_text('#!/bin/sh\necho "$@"\nexit 4\n')
    beside.chmod(0o755)
    p = subprocess.run([tmp_path / "bin/ward", *words, "--json", "--instance", "x"], stdout=subprocess.PIPE, text=True)
    assert (p.returncode, p.stdout) == (4, "--json --instance x\n")
    beside.unlink()
    p = subprocess.run([tmp_path / "bin/ward", *words], stderr=subprocess.PIPE, text=True)
    assert p.returncode == 1 and program in p.stderr and "next:" in p.stderr
