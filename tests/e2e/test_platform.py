"""The whole path, on one platform with real VMs:

    image --ward deploy--> api -> etcd -> control -> agent -> wardd -> [cage: link, monitor -> VM: ward-init, app]
                                                                            ^ 172.19.x.y
    https://app.ward.localhost -> edge (TLS, routes, checks) ---------------/

Each test is one promise of the path; they share the platform and leave it as they found it.
"""
import json, os, re, signal, subprocess, time

import pytest

import wardtest
from wardtest import Load, wait_for

APP_TOML = """
app = "{app}"

[env]
  VERSION = "{version}"
  {env}

[http_service]
  internal_port = 8080
  force_https = true
  processes = ["app"]

  [[http_service.checks]]
    method = "GET"
    path = "/health"
    interval = "1s"
    timeout = "2s"
    grace_period = "1s"

[[vm]]
  memory = "256mb"
  cpus = 1

[deploy]
  wait_timeout = "{wait}"
"""


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """Two versions of the small test app as OCI archives."""
    out = tmp_path_factory.mktemp("images")
    made = {}
    for v in ("one", "two"):
        made[v] = out / f"{v}.oci.tar"
        subprocess.run([wardtest.ROOT / "scripts/test-image", made[v], v], check=True, stdout=subprocess.DEVNULL)
    return made


@pytest.fixture
def app(platform, tmp_path):
    """Deploys; the app of each test is destroyed after it, and must leave nothing."""
    apps = []

    def deploy(name, image, version="1", env="", count=1, ok=True, wait="120s", toml=APP_TOML):
        config = tmp_path / f"{name}.toml"
        config.write_text(toml.format(app=name, version=version, env=env, wait=wait))
        if name not in apps:
            apps.append(name)
        return platform.ward("deploy", "--config", config, "--image", image, ok=ok)

    yield deploy
    for name in apps:
        p = platform.ward("apps", "destroy", name, "--yes", ok=False)
        assert p.returncode == 0 or "not-found" in p.stderr, p.stderr
    platform.wait_clean()


def state(platform, app):
    return [(m["state"], m["version"] if "version" in m else m["instance_id"]) for m in platform.machines(app)]


def test_deploys_and_answers_over_https(platform, app, images):
    app("web", images["one"], env='GREETING = "hello"')
    status, body, headers = platform.https("web", "/")
    assert status == 200 and b"one" in body
    assert headers["fly-request-id"]
    [m] = platform.machines("web")
    assert m["state"] == "started" and m["checks"][0]["status"] == "passing", m
    # what the guest was told: the ecosystem's names and the app's own
    env = json.loads(platform.https("web", "/env")[1])
    assert env["FLY_APP_NAME"] == "web" and env["FLY_MACHINE_ID"] == m["id"] and env["GREETING"] == "hello"
    assert env["FLY_PRIVATE_IP"] == m["private_ip"]


def test_plain_http_is_sent_to_https(platform, app, images):
    app("redir", images["one"])
    import http.client
    c = http.client.HTTPConnection("127.0.0.1", platform.http_port, timeout=10)
    c.request("GET", "/x?y=1", headers={"Host": "redir.ward.localhost"})
    r = c.getresponse()
    assert r.status == 301 and r.getheader("location").startswith("https://redir.ward.localhost"), (r.status, r.getheader("location"))


def test_an_unknown_host_is_told_so(platform):
    status, body, headers = platform.https("nobody", "/")
    assert status in (404, 421) and headers["ward-error"], (status, body)


def test_logs_are_whole_and_in_order(platform, app, images):
    app("logger", images["one"])
    platform.https("logger", "/log?from=1&to=500")

    def lines():
        out = platform.ward("logs", "--app", "logger", "--json").stdout
        return [json.loads(l) for l in out.splitlines()]

    wait_for("the 500th line", lambda: any(l["message"] == "line 500" for l in lines()), 30)
    got = [l for l in lines() if l["message"].startswith("line ")]
    assert [l["message"] for l in got] == [f"line {i}" for i in range(1, 501)]
    assert {l["stream"] for l in got} == {"stdout"} and all(l["machine"] and l["region"] == "local" for l in got)
    numbers = [l["n"] for l in got]
    assert numbers == sorted(set(numbers))


def test_exec_tells_output_and_exit_code(platform, app, images):
    app("ex", images["one"])
    [m] = platform.machines("ex")
    r = platform.api("POST", f"/v1/apps/ex/machines/{m['id']}/exec", {"command": ["/app", "exec-test", "7"]}, want=200)
    assert r["exit_code"] == 7 and r["stdout"] == "to stdout\n" and r["stderr"] == "to stderr\n"
    p = platform.ward("machine", "exec", m["id"], "--app", "ex", "--", "/app", "exec-test", "3", ok=False)
    assert p.returncode == 3 and "to stdout" in p.stdout
    ps = platform.api("GET", f"/v1/apps/ex/machines/{m['id']}/ps", want=200)
    assert any("/app" in x["command"] and any(s["address"].endswith(":8080") for s in x["listen_sockets"]) for x in ps), ps


def test_stop_and_start_keep_the_machine(platform, app, images):
    app("ss", images["one"])
    [m] = platform.machines("ss")
    platform.api("POST", f"/v1/apps/ss/machines/{m['id']}/stop", {}, want=200)
    platform.api("GET", f"/v1/apps/ss/machines/{m['id']}/wait?state=stopped&timeout=30&instance_id={m['instance_id']}", want=200)
    events = platform.api("GET", f"/v1/apps/ss/machines/{m['id']}", want=200)["events"]
    exit_event = next(e for e in events if e["type"] == "exit")["request"]["exit_event"]
    assert exit_event["requested_stop"] is True and exit_event["oom_killed"] is False
    assert wait_for("503 while stopped", lambda: platform.https("ss", "/")[0] == 503, 10)
    platform.api("POST", f"/v1/apps/ss/machines/{m['id']}/start", want=200)
    platform.api("GET", f"/v1/apps/ss/machines/{m['id']}/wait?state=started&timeout=60", want=200)
    wait_for("an answer again", lambda: platform.https("ss", "/")[0] == 200, 30)
    [after] = platform.machines("ss")
    assert after["id"] == m["id"] and after["private_ip"] == m["private_ip"]


def test_an_update_under_load_fails_no_request(platform, app, images):
    app("roll", images["one"])
    platform.ward("scale", "count", "2", "--app", "roll")
    wait_for("two machines", lambda: [m["state"] for m in platform.machines("roll")] == ["started"] * 2, 60)
    with Load(platform, "roll") as load:
        time.sleep(1)
        app("roll", images["two"], version="2")
        time.sleep(1)
    assert not load.bad, load.bad[:5]
    assert load.good > 20
    assert b"two" in platform.https("roll", "/")[1]
    assert all(m["state"] == "started" for m in platform.machines("roll"))


def test_a_failed_check_stops_the_deploy_and_the_old_version_serves(platform, app, images):
    app("canary", images["one"])
    with Load(platform, "canary") as load:
        p = app("canary", images["two"], env='HEALTH = "fail"', ok=False, wait="15s")
    assert p.returncode != 0
    assert "deploy-failed" in p.stderr and "next:" in p.stderr, p.stderr
    assert not load.bad, load.bad[:5]
    assert b"one" in platform.https("canary", "/")[1]
    releases = platform.api("GET", "/v1/apps/canary/releases", want=200)
    newest = max(releases["releases"] if isinstance(releases, dict) else releases, key=lambda r: r["version"])
    assert newest["status"] == "failed" and newest["reason"]


def test_a_crashed_app_restarts_by_its_policy(platform, app, images):
    app("crash", images["one"])
    [m] = platform.machines("crash")
    try:
        platform.https("crash", "/crash")
    except Exception:
        pass  # the connection dies with the app
    wait_for("the app to be back", lambda: platform.https("crash", "/")[0] == 200, 60)
    [after] = platform.machines("crash")
    assert after["id"] == m["id"]
    exits = [e for e in after["events"] if e["type"] == "exit"]
    assert exits[0]["request"]["exit_event"]["requested_stop"] is False


def test_a_crash_loop_ends_as_failed_with_the_reason(platform, app, images):
    created = platform.api("POST", "/v1/apps", {"app_name": "loop", "org_slug": "personal"})
    assert created[0] == 201, created
    digest = push(platform, images["one"])
    m = platform.api("POST", "/v1/apps/loop/machines", {"config": {
        "image": digest, "env": {"CRASH_AT_START": "5"}, "guest": {"cpus": 1, "memory_mb": 256, "cpu_kind": "shared"},
        "restart": {"policy": "on-failure", "max_retries": 2}}}, want=200)
    got = wait_for("failed", lambda: (x := platform.api("GET", f"/v1/apps/loop/machines/{m['id']}", want=200))["state"] == "failed" and x, 120)
    exits = [e for e in got["events"] if e["type"] == "exit"]
    assert len(exits) >= 3 and exits[0]["request"]["exit_event"]["exit_code"] == 5
    platform.ward("apps", "destroy", "loop", "--yes")


def push(platform, archive):
    """Uploads an OCI archive's blobs as the command line does; returns the reference of its manifest."""
    import hashlib, tarfile
    with tarfile.open(archive) as t:
        index = json.load(t.extractfile("index.json"))
        digest = index["manifests"][0]["digest"]
        for member in t.getmembers():
            if member.isfile() and member.name.startswith("blobs/sha256/"):
                data = t.extractfile(member).read()
                d = "sha256:" + hashlib.sha256(data).hexdigest()
                if platform.api("HEAD", f"/v1/blobs/{d}")[0] == 404:
                    assert platform.api("PUT", f"/v1/blobs/{d}", data)[0] in (200, 201), d
    return digest


def test_destroy_leaves_nothing(platform, app, images):
    app("gone", images["one"])
    assert platform.machine_leftovers()
    [m], ident = platform.machines("gone"), platform.api("GET", "/v1/apps/gone", want=200)["id"]
    of_it = lambda: [k for k in platform.keys() if ident in k or m["id"] in k or k == "names/gone" or k.startswith("requests/")]
    assert {f"apps/{ident}/app", "names/gone", f"desired/host1/{m['id']}"} <= set(of_it())
    platform.ward("apps", "destroy", "gone", "--yes")
    platform.wait_clean()
    wait_for("its keys to be gone", lambda: not of_it(), 20)
    assert platform.api("GET", "/v1/apps/gone")[0] == 404


def test_a_websocket_reaches_the_app(platform, app, images):
    import base64, hashlib, socket
    app("ws", images["one"])
    raw = socket.create_connection(("127.0.0.1", platform.https_port), 10)
    s = platform.tls().wrap_socket(raw, server_hostname="ws.ward.localhost")
    key = base64.b64encode(os.urandom(16)).decode()
    s.sendall(f"GET /ws HTTP/1.1\r\nHost: ws.ward.localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
              f"Sec-WebSocket-Key: {key}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += s.recv(4096)
    want = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
    assert b" 101 " in head.split(b"\r\n")[0] and want in head, head
    s.sendall(b"\x81\x85\0\0\0\0hello")
    assert s.recv(100) == b"\x81\x05hello"
    s.close()


def test_what_does_not_fit_is_refused(platform, images):
    platform.api("POST", "/v1/apps", {"app_name": "big", "org_slug": "personal"}, want=201)
    [host] = platform.api("GET", "/v1/hosts", want=200)["hosts"]
    digest = push(platform, images["one"])
    guest = {"cpus": 1, "memory_mb": (host["memory_mib"] // 256 + 1) * 256, "cpu_kind": "shared"}
    status, body = platform.api("POST", "/v1/apps/big/machines", {"config": {"image": digest, "guest": guest}})
    assert status == 422 and body["status"] == "insufficient-capacity", (status, body)
    assert body["details"]["next"] and "memory" in body["error"] + body["details"]["cause"], body
    assert not platform.machines("big")
    platform.ward("apps", "destroy", "big", "--yes")


def test_every_command_answers_in_json(platform, app, images, tmp_path):
    """Data on stdout, one JSON value or one a line, whatever the command; nothing else there."""
    app("js", images["one"])
    [m] = platform.machines("js")
    config = tmp_path / "js.toml"
    on = ("--app", "js")
    for args in (("status", *on), ("logs", *on), ("releases", *on), ("scale", "count", "1", *on), ("scale", "show", *on), ("apps", "list"),
                 ("apps", "create", "js2"), ("apps", "destroy", "js2", "--yes"), ("machine", "list", *on), ("machine", "status", m["id"], *on),
                 ("machine", "events", m["id"], *on), ("machine", "versions", m["id"], *on), ("machine", "ps", m["id"], *on),
                 ("machine", "metadata", m["id"], *on), ("machine", "exec", m["id"], *on, "--", "/app", "exec-test", "0"),
                 ("machine", "cordon", m["id"], *on), ("machine", "uncordon", m["id"], *on), ("machine", "leases", "acquire", m["id"], *on),
                 ("machine", "leases", "view", m["id"], *on), ("machine", "leases", "clear", m["id"], *on, "--lease"), ("machine", "stop", m["id"], *on),
                 ("machine", "wait", m["id"], "--state", "stopped", *on), ("machine", "start", m["id"], *on),
                 ("config", "validate", "--config", config), ("config", "show", "--config", config), ("version",)):
        if args[-1] == "--lease":
            args = (*args, nonce)
        at = args.index("--") if "--" in args else len(args)
        p = platform.ward(*args[:at], "--json", *args[at:])
        assert p.stdout.strip(), args
        for value in [p.stdout] if args[0] != "logs" else p.stdout.splitlines():
            said = json.loads(value)
        if "acquire" in args:
            nonce = (said.get("data") or said)["nonce"]


# ---- what goes wrong is told with a code, the cause and the next step ----

def test_a_typo_in_the_file_is_named(platform, tmp_path, images):
    f = tmp_path / "fly.toml"
    f.write_text('app = "typo"\n[http_service]\nintenal_port = 8080\n')
    p = platform.ward("deploy", "--config", f, "--image", images["one"], ok=False)
    assert p.returncode != 0 and "intenal_port" in p.stderr and "internal_port" in p.stderr and "line 3" in p.stderr
    assert "[unknown-key]" in p.stderr and "next:" in p.stderr


def test_a_missing_image_is_named(platform, tmp_path):
    f = tmp_path / "fly.toml"
    f.write_text('app = "noimage"\n')
    p = platform.ward("deploy", "--config", f, "--image", tmp_path / "absent.oci.tar", ok=False)
    assert p.returncode != 0 and "absent.oci.tar" in p.stderr and "[image-not-found]" in p.stderr and "next:" in p.stderr


def test_a_taken_port_is_named():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        p = wardtest.Platform()
        p.https_port = s.getsockname()[1]
        p.prepare()
        try:
            r = subprocess.run([wardtest.LIBEXEC / "wardd", "--root", str(p.root), "--instance", p.instance], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, timeout=30)
            assert r.returncode != 0 and "port-taken" in r.stdout and str(p.https_port) in r.stdout and "next:" in r.stdout, r.stdout
            assert not p.leftovers()
        finally:
            p.sweep()


def test_emulation_must_be_allowed(images, tmp_path):
    with wardtest.Platform(engine="kvm") as p:
        p.api("POST", "/v1/apps", {"app_name": "iso", "org_slug": "personal"}, want=201)
        digest = push(p, images["one"])
        status, body = p.api("POST", "/v1/apps/iso/machines", {"config": {"image": digest}})
        assert status == 422, (status, body)
        assert "emulat" in body["error"] and body["details"]["next"], body
        assert not p.machines("iso")
