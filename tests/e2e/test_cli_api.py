"""The command line against the real API (apilab.py draws it): what one sends the other must take, and both must mean the same.

    ward --HTTP--> ward-api -> vault, image store, etcd -> ward-control;   the machines' host is played
"""
import json, os, pathlib, re, subprocess, sys

import pytest

import wardtest
from apilab import ApiLab, Link

WARD = pathlib.Path(os.environ.get("WARD_CLI", wardtest.WARD))
TOML = """
app = "{app}"
primary_region = "local"
kill_signal = "SIGTERM"
kill_timeout = "10s"

[env]
  A = "1"
  N = 5

[processes]
  web = "serve --port 8080"
  worker = "work 'a b'"

[http_service]
  internal_port = 8080
  force_https = true
  auto_stop_machines = "off"
  min_machines_running = 1
  concurrency = {{ type = "requests", soft_limit = 20, hard_limit = 50 }}
  processes = ["web"]

  [[http_service.checks]]
    interval = "5s"
    timeout = "2s"
    grace_period = "1s"
    path = "/health"
    headers = {{ X-From = "check" }}

[checks.alive]
  type = "tcp"
  port = 8080
  interval = "15s"
  processes = ["web", "worker"]

[[vm]]
  size = "shared-cpu-1x"

[[restart]]
  policy = "on-failure"
  retries = 3

[[files]]
  guest_path = "/etc/app.conf"
  raw_value = "x = 1"

[deploy]
  wait_timeout = "30s"
"""


@pytest.fixture(scope="module")
def lab():
    with ApiLab() as it:
        yield it


@pytest.fixture
def ward(lab, tmp_path):
    def run(*args, code=0, token=None):
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "WARD_API_URL": f"unix://{lab.run}/api.sock", "WARD_API_TOKEN": token or lab.token}
        p = subprocess.run([WARD, *map(str, args)], cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           timeout=90)
        assert p.returncode == code, f"ward {args}: {p.returncode}, not {code}\n{p.stdout}{p.stderr}"
        return p
    return run


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    sys.path.insert(0, str(wardtest.ROOT / "scripts"))
    import ociwrap
    path = tmp_path_factory.mktemp("image") / "x.oci.tar"
    a = ociwrap.Archive(path)
    a.layer(ociwrap.tar_of({"app": (b"#!" * 1000, 0o755)}))
    a.finish({"Cmd": ["/app"]})
    return path


def test_every_key_that_the_file_may_have_is_taken(lab, ward, image, tmp_path):
    (tmp_path / "fly.toml").write_text(TOML.format(app="full"))
    p = ward("deploy", "--image", image, "--message", "first", "--json")
    deploy = json.loads(p.stdout)
    assert deploy["status"] == "succeeded" and len(deploy["machines"]) == 2
    assert re.findall(r"^ *(\d+)\.", p.stderr, re.M)[:3] == ["1", "2", "3"]
    machines = lab.ok("GET", "/v1/apps/full/machines")
    web = next(m for m in machines if m["config"]["metadata"]["fly_process_group"] == "web")
    c = web["config"]
    assert c["init"]["cmd"] == ["serve", "--port", "8080"] and c["stop_config"] == {"signal": "SIGTERM", "timeout": "10s"}
    assert c["restart"] == {"policy": "on-failure", "max_retries": 3} and c["guest"]["memory_mb"] == 256
    assert c["services"][0]["internal_port"] == 8080 and c["services"][0]["checks"][0]["path"] == "/health" and "alive" in c["checks"]
    [release] = json.loads(ward("releases", "--json").stdout)
    assert release["version"] == 1 and release["status"] == "succeeded" and release["message"] == "first"
    # nothing is sent a second time, and the machines are replaced by the next release
    p = ward("deploy", "--image", image)
    assert "0 of 3 blobs uploaded" in p.stderr and "release 2 of full is deployed" in p.stderr
    ward("rollback", "1")
    assert json.loads(ward("releases", "--json").stdout)[0]["version"] == 3
    ward("scale", "count", "web=2")
    assert {g["name"]: g["count"] for g in json.loads(ward("scale", "show", "--json").stdout)["groups"]} == {"web": 2, "worker": 1}
    assert "full" in ward("status").stdout and len(ward("machine", "list").stdout.splitlines()) == 4
    ward("apps", "destroy", "full", "--yes")
    assert "[not-found]" in ward("status", "--app", "full", code=3).stderr


def test_a_machine_by_hand(lab, ward, image):
    ward("apps", "create", "hand")
    assert "[name-taken]" in ward("apps", "create", "hand", code=5).stderr
    m = ward("machine", "run", image, "--app", "hand", "-e", "A=1", "--memory", "512mb", "--port", "8080", "--restart", "no", "--metadata", "k=v", "--", "/app", "-x").stdout.strip()
    ward("machine", "wait", m, "--app", "hand")
    assert "started" in ward("machine", "status", m).stdout  # found without --app
    ward("machine", "stop", m, "--signal", "TERM", "--timeout", "5s")
    ward("machine", "wait", m, "--state", "stopped")
    ward("machine", "start", m)
    ward("machine", "wait", m)
    ward("machine", "restart", m, "--timeout", "3s", "--signal", "INT")
    ward("machine", "wait", m)
    ward("machine", "update", m, "--memory", "1gb")
    ward("machine", "wait", m)
    shown = json.loads(ward("machine", "status", m, "--json").stdout)
    assert shown["config"]["guest"]["memory_mb"] == 1024 and shown["config"]["init"]["cmd"] == ["/app", "-x"] and shown["config"]["metadata"]["k"] == "v"
    ward("machine", "cordon", m)
    ward("machine", "uncordon", m)
    ward("machine", "signal", m, "hup")
    assert ("/v1/signal", {"signal": "SIGHUP"}) in Link.asked
    assert ward("machine", "metadata", m, "a=b").stdout.splitlines().count("a=b") == 1
    assert "a=b" not in ward("machine", "metadata", m, "a=").stdout
    assert "/sbin/app" in ward("machine", "ps", m).stdout
    assert "TIME" in ward("machine", "events", m).stdout
    nonce = json.loads(ward("machine", "leases", "acquire", m, "--ttl", "30s", "--json").stdout)["data"]["nonce"]
    assert "[conflict]" in ward("machine", "stop", m, code=5).stderr
    ward("machine", "stop", m, "--lease", nonce)
    ward("machine", "leases", "clear", m, "--lease", nonce)
    ward("machine", "destroy", m, "--force")
    ward("machine", "create", "registry.example.org/x:1", "--app", "hand")
    ward("machine", "destroy", "--all", "--force", "--app", "hand")
    ward("apps", "destroy", "hand", "--yes")


def test_exec_and_logs(lab, ward):
    lab.app("talk")
    m = lab.machine("talk")["id"]
    wardtest.wait_for("the played link", (lab.run / "machines" / m / "link.sock").exists, 10)
    p = ward("machine", "exec", m, "--app", "talk", "--timeout", "5s", "--", "cat", "-n", code=3)
    assert p.stderr == "e"
    assert [json.loads(l)["n"] for l in ward("logs", "--app", "talk", "--json").stdout.splitlines()] == [0, 1, 2]
    ward("logs", "--app", "talk", "-n", "2", "--machine", m)
    ward("apps", "destroy", "talk", "--yes")


def test_status_hosts_and_who_may(lab, ward):
    assert json.loads(ward("status", "--json").stdout)["store"]["connected"] is True
    assert "h1" in ward("status", "--hosts").stdout
    p = ward("apps", token="wrong", code=4)
    assert "[unauthenticated]" in p.stderr and "next:" in p.stderr
