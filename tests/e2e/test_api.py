"""The API as its clients meet it: every operation, every status that docs/openapi.json declares (apilab.py draws the set-up).

Run only this:  make test T=tests/e2e/test_api.py
"""
import concurrent.futures, hashlib, http.client, json, os, socket, subprocess, time

import pytest

import openapi
import wardtest
from apilab import ApiLab, Link, Telemetry
from wardtest import wait_for

CONFIG = {"image": "registry.example.org/web:1"}
M = "/v1/apps/{app}/machines/{machine}"
# What each operation is asked with when all is well.
CALLS = {
    "Apps_list": ("GET", "/v1/apps", None),
    "Apps_create": ("POST", "/v1/apps", {"name": "calls"}),
    "Apps_show": ("GET", "/v1/apps/{app}", None),
    "Apps_delete": ("DELETE", "/v1/apps/{app}", None),
    "Machines_list": ("GET", "/v1/apps/{app}/machines", None),
    "Machines_create": ("POST", "/v1/apps/{app}/machines", {"config": CONFIG}),
    "Machines_show": ("GET", M, None),
    "Machines_update": ("POST", M, {"config": CONFIG}),
    "Machines_delete": ("DELETE", M, None),
    "Machines_start": ("POST", M + "/start", None),
    "Machines_stop": ("POST", M + "/stop", {"signal": "SIGTERM", "timeout": "5s"}),
    "Machines_restart": ("POST", M + "/restart?timeout=5s", None),
    "Machines_suspend": ("POST", M + "/suspend", None),
    "Machines_signal": ("POST", M + "/signal", {"signal": "SIGHUP"}),
    "Machines_wait": ("GET", M + "/wait?timeout=1", None),
    "Machines_exec": ("POST", M + "/exec", {"cmd": "true"}),
    "Machines_list_events": ("GET", M + "/events", None),
    "Machines_list_versions": ("GET", M + "/versions", None),
    "Machines_list_processes": ("GET", M + "/ps", None),
    "Machines_cordon": ("POST", M + "/cordon", None),
    "Machines_uncordon": ("POST", M + "/uncordon", None),
    "Machines_show_lease": ("GET", M + "/lease", None),
    "Machines_create_lease": ("POST", M + "/lease", {"ttl": 10}),
    "Machines_release_lease": ("DELETE", M + "/lease", None),
    "Machines_show_metadata": ("GET", M + "/metadata", None),
    "Machines_replace_metadata": ("PUT", M + "/metadata", {"metadata": {"a": "b"}}),
    "Machines_update_metadata": ("PATCH", M + "/metadata", {"metadata": {"a": "b"}}),
    "Machines_get_metadata_key": ("GET", M + "/metadata/a", None),
    "Machines_upsert_metadata": ("POST", M + "/metadata/a", {"value": "b"}),
    "Machines_delete_metadata": ("DELETE", M + "/metadata/a", None),
    "Machines_exec_stream": ("POST", M + "/exec-stream", None),
    "Platform_regions_get": ("GET", "/v1/platform/regions", None),
    "Deploys_list": ("GET", "/v1/apps/{app}/deploys", None),
    "Deploys_create": ("POST", "/v1/apps/{app}/deploys", {"groups": [{"name": "app", "config": CONFIG}]}),
    "Deploys_show": ("GET", "/v1/apps/{app}/deploys/01AAAAAAAAAAAAAAAAAAAAAAAA", None),
    "Releases_list": ("GET", "/v1/apps/{app}/releases", None),
    "Releases_rollback": ("POST", "/v1/apps/{app}/releases/rollback", {}),
    "Scale_show": ("GET", "/v1/apps/{app}/scale", None),
    "Scale_set": ("POST", "/v1/apps/{app}/scale", {"group": "app", "count": 2}),
    "Logs_show": ("GET", "/v1/apps/{app}/logs", None),
    "Blobs_head": ("HEAD", "/v1/blobs/sha256:" + "0" * 64, None),
    "Blobs_put": ("PUT", "/v1/blobs/sha256:" + "0" * 64, b"x"),
    "Status_show": ("GET", "/v1/status", None),
    "Hosts_list": ("GET", "/v1/hosts", None),
    "Openapi_show": ("GET", "/v1/openapi.json", None),
}
HEADERS = {"Machines_exec_stream": {"Connection": "Upgrade", "Upgrade": "ward-exec"}}


def ask(lab, op, app="nobody", machine="0123456789abcd", **kw):
    method, path, body = CALLS[op]
    return lab.call(method, path.format(app=app, machine=machine), body, headers=HEADERS.get(op), **kw)


def declared(status):
    return sorted(o for o, all_ in openapi.operations().items() if status in all_)


@pytest.fixture(scope="module")
def lab():
    with ApiLab() as it:
        yield it


@pytest.fixture(scope="module")
def web(lab):
    """An app with one machine that runs, for tests that do not change it for long."""
    lab.app("web")
    return lab.machine("web", name="web-1")


def at(m, rest=""):
    return f"/v1/apps/web/machines/{m['id']}{rest}"


# ---- what holds for every operation ----

def test_the_calls_here_are_the_contracts_operations(lab):
    assert set(CALLS) == set(openapi.operations())


@pytest.mark.parametrize("op", sorted(CALLS))
def test_without_a_valid_token_nothing_answers(lab, op):
    for token in (False, "ward_wrong"):
        status, out, _ = ask(lab, op, token=token)
        assert status == 401
        if CALLS[op][0] != "HEAD":
            assert out["error"] == "Authenticate: token validation error", out


@pytest.mark.parametrize("op", sorted(o for o in CALLS if "{app}" in CALLS[o][1]))
def test_an_unknown_app_is_not_found(lab, op):
    status, out, _ = ask(lab, op)
    assert status == 404 and out["status"] == "not-found", out


@pytest.mark.parametrize("op", sorted(o for o in CALLS if "{machine}" in CALLS[o][1]))
def test_an_unknown_machine_is_not_found(lab, web, op):
    for machine in ("0123456789abcd", "not-an-id"):
        status, out, _ = ask(lab, op, app="web", machine=machine)
        assert status == 404, out


@pytest.mark.parametrize("op", declared(413))
def test_too_large_a_body_is_refused(lab, op):
    method, path, body = CALLS[op]
    path = path.format(app="web", machine="0123456789abcd")
    big = b"x" * (ApiLab.BLOB_MAX + 1) if op == "Blobs_put" else json.dumps({"pad": "x" * 300_000}).encode()
    try:
        status, out, _ = lab.call(method, path, big)
    except (BrokenPipeError, ConnectionResetError):
        pytest.fail("the client could not read why it was refused")
    assert status == 413 and out["status"] == "too-large", out


@pytest.mark.parametrize("op", sorted(o for o in declared(400) if CALLS[o][0] != "GET" and "lob" not in o and "stream" not in o))
def test_a_malformed_body_is_refused(lab, op):
    method, path, _ = CALLS[op]
    path = path.format(app="web", machine="0123456789abcd")
    for body in (b"{", b"[]", b'{"a":1,"a":2}', b'{"a":"\\u0000"}', b"\xff"):
        status, out, _ = lab.call(method, path, body)
        assert status == 400 and out["status"] == "invalid", (body, out)


def test_unknown_paths_and_methods(lab):
    assert lab.fails("GET", "/v1/nothing", want=404)["details"]["next"].startswith("GET /v1/openapi.json")
    status, out, r = lab.call("PATCH", "/v1/apps")
    assert (status, r.getheader("allow")) == (405, "GET, POST")
    lab.fails("GET", "/v1/apps/../apps", want=400)
    lab.fails("GET", "/v1/apps/a%2fb", want=400)
    lab.fails("GET", "/v1//apps", want=400)


# ---- apps ----

def test_an_apps_life(lab):
    a = lab.app("life")
    assert a["name"] == "life" and a["status"] == "pending" and a["organization"]["slug"] == "personal"
    assert lab.ok("GET", "/v1/apps/life") == a
    all_ = lab.ok("GET", "/v1/apps?org_slug=personal")
    assert a in all_["apps"] and all_["total_apps"] == len(all_["apps"])
    assert lab.ok("GET", "/v1/apps?org_slug=other")["total_apps"] == 0
    lab.fails("POST", "/v1/apps", {"name": "life", "org_slug": "x"}, 422, "name-taken", "Name has already been taken")
    assert lab.ok("DELETE", "/v1/apps/life", want=202) == {}
    wait_for("the app to be gone", lambda: lab.call("GET", "/v1/apps/life")[0] == 404, 10)
    again = lab.app("life")
    assert again["id"] != a["id"]
    lab.ok("DELETE", "/v1/apps/life", want=202)


def test_app_names_are_checked(lab):
    for body, part in (({}, "name is missing"), ({"name": "a", "app_name": "b"}, "must not differ"), ({"name": "A b"}, "name must be"),
                       ({"name": 7}, "must be a string"), ({"name": "x" * 64}, "name must be")):
        lab.fails("POST", "/v1/apps", body, 400, "invalid", part)


def test_unknown_fields_are_kept_out_and_warned_of(lab):
    status, out, r = lab.call("POST", "/v1/apps", {"name": "warned", "colour": "red\r\nx-evil: 1"})
    assert status == 201
    assert "colour is not known here" in r.getheader("ward-warning") and not r.getheader("x-evil")
    lab.ok("DELETE", "/v1/apps/warned", want=202)


# ---- machines ----

def test_a_machines_life(lab):
    lab.app("full")
    m = lab.machine("full", wait=False, name="one", region="local", config={
        "image": "registry.example.org/web:1@sha256:" + "a" * 64, "env": {"SECRET": "s3cret"}, "metadata": {"team": "blue"},
        "files": [{"guest_path": "/etc/x", "raw_value": "aGk="}], "restart": {"policy": "always"},
        "services": [{"internal_port": 80, "autostop": False, "ports": [{"port": 443, "handlers": ["tls", "http"]}]}]})
    path = f"/v1/apps/full/machines/{m['id']}"
    assert m["state"] in ("created", "started") and m["name"] == "one" and m["region"] == "local"
    assert m["config"]["env"] == {"SECRET": "s3cret"} and m["config"]["files"][0]["raw_value"] == "aGk="
    assert m["image_ref"]["registry"] == "registry.example.org" and m["image_ref"]["tag"] == "1"
    w = lab.ok("GET", f"{path}/wait?state=started&instance_id={m['instance_id']}&timeout=20")
    assert w["ok"] and w["state"] == "started" and w["version"] == m["instance_id"]
    shown = wait_for("its checks", lambda: (x := lab.ok("GET", path))["checks"] and x, 10)
    assert shown["private_ip"] and shown["host_status"] == "ok" and shown["checks"][0]["status"] == "passing"
    # Nothing of the environment or the files is readable in the store.
    raw = lab.etcd.root_call("/v3/kv/range", {"key": "AA==", "range_end": "AA=="})
    import base64
    for kv in raw["kvs"]:
        value = base64.b64decode(kv["value"])
        assert b"s3cret" not in value and b'"aGk="' not in value, base64.b64decode(kv["key"])

    assert lab.ok("POST", f"{path}/stop", {"signal": "SIGTERM", "timeout": "10s"}) == {"ok": True}
    lab.ok("GET", f"{path}/wait?state=stopped&timeout=20")
    started = lab.ok("POST", f"{path}/start")
    assert started == {"previous_state": "stopped", "migrated": False, "new_host": ""}
    lab.ok("GET", f"{path}/wait?state=started&timeout=20s")
    lab.ok("POST", f"{path}/restart?timeout=5&signal=SIGINT&force_stop=true")

    new = lab.ok("POST", path, {"config": {**CONFIG, "env": {"B": "2"}}, "current_version": m["instance_id"]})
    assert new["instance_id"] > m["instance_id"] and new["version"] == m["version"] + 1
    lab.ok("GET", f"{path}/wait?instance_id={new['instance_id']}&timeout=20")
    versions = lab.ok("GET", f"{path}/versions")
    assert versions[0]["version"] == new["instance_id"] and versions[0]["user_config"]["env"] == {"B": "2"}
    events = lab.ok("GET", f"{path}/events?limit=2")
    assert len(events) == 2 and events[0]["timestamp"] >= events[1]["timestamp"]

    for verb, cordoned in (("cordon", True), ("uncordon", False)):
        assert lab.ok("POST", f"{path}/{verb}") == {"ok": True}
        wait_for(verb, lambda: lab.ok("GET", path)["cordoned"] is cordoned, 5)
    lab.fails("POST", f"{path}/suspend", want=422, code="not-supported-yet")
    lab.fails("DELETE", path, want=412, code="failed-precondition")
    assert lab.ok("DELETE", f"{path}?force=true") == {"ok": True}
    assert lab.ok("GET", f"{path}/wait?state=destroyed&timeout=20")["state"] == "destroyed"
    assert lab.ok("GET", "/v1/apps/full/machines") == []
    assert [x["state"] for x in lab.ok("GET", "/v1/apps/full/machines?include_deleted=true")] == ["destroyed"]
    lab.ok("DELETE", "/v1/apps/full", want=202)


def test_lists_are_filtered(lab, web):
    other = lab.machine("web", name="web-2", config={**CONFIG, "env": {"S": "x"}, "metadata": {"team": "red"}})
    base = "/v1/apps/web/machines"
    ids = lambda q: {m["id"] for m in lab.ok("GET", base + q)}
    assert ids("") == {web["id"], other["id"]}
    assert ids("?region=elsewhere") == set() and len(ids("?region=local")) == 2
    assert ids("?metadata.team=red") == {other["id"]} and ids("?metadata.team=red&metadata.x=y") == set()
    assert len(ids("?state=stopped,started")) == 2 and ids("?state=stopped&state=failed") == set()
    assert all("env" not in m["config"] for m in lab.ok("GET", base + "?summary=true"))
    lab.fails("GET", base + "?summary=maybe", want=400)
    lab.ok("DELETE", f"{base}/{other['id']}?kill=true")
    lab.ok("GET", f"{base}/{other['id']}/wait?state=destroyed&timeout=20")


def test_configs_are_checked_before_any_work(lab, web):
    create, update = "/v1/apps/web/machines", at(web)
    for path in (create, update):
        lab.fails("POST", path, {}, 400, "invalid", "config is missing")
        lab.fails("POST", path, {"config": {**CONFIG, "guest": {"cpus": 99}}}, 400, "invalid", "config.guest.cpus must be between")
        lab.fails("POST", path, {"config": {**CONFIG, "mounts": [{"volume": "v", "path": "/d"}]}}, 422, "not-supported-yet", "config.mounts")
        lab.fails("POST", path, {"config": {**CONFIG, "guest": {"gpus": 1}}}, 422, "not-supported-yet", "config.guest.gpus")
    lab.fails("POST", create, {"config": CONFIG, "name": "web-1"}, 409, "conflict", "taken")
    lab.fails("POST", create, {"config": CONFIG, "region": "mars"}, 422, "insufficient-capacity", "mars")
    lab.fails("POST", create, {"config": {**CONFIG, "guest": {"memory_mb": 200000}}}, 422, "insufficient-capacity")
    lab.fails("POST", update, {"config": CONFIG, "current_version": "01AAAAAAAAAAAAAAAAAAAAAAAA"}, 412, "failed-precondition")
    lab.fails("POST", update, {"config": CONFIG, "region": "mars"}, 400, "invalid", "cannot move")
    status, _, r = lab.call("POST", update, {"config": {**CONFIG, "metrics": {"port": 9}, "gest": 1}})
    assert status == 200 and {"config.metrics", "config.gest"} <= {w.split()[0] for w in r.headers.get_all("ward-warning")}


def test_json_at_its_limits(lab, web):
    """What jansson, or a later reader of what was stored, could choke on is a client's error, never a 5xx and never a hang."""
    path, config = "/v1/apps/web/machines", json.dumps(CONFIG)[:-1]
    for odd in ("99999999999999999999", "1e999", "-0", "-1e999", "[" * 62 + "]" * 62, "[" * 63 + "]" * 63, "[" * 2000 + "]" * 2000,
                "[" * 5000 + "]" * 5000, '"\\u0000"', '"\\ud800"', '{"a":1,"a":2}', "NaN"):
        started = time.time()
        status, out, _ = lab.call("POST", path, ('{"skip_launch": true, "config": %s, "odd": %s}}' % (config, odd)).encode())
        assert status == (200 if odd == "-0" or odd.count("[") == 62 else 400), (odd[:40], status)
        assert time.time() - started < 5, odd[:40]
        if status == 200:
            lab.ok("DELETE", f"{path}/{out['id']}?force=true")
    lab.fails("POST", path, {"skip_launch": True, "config": {**CONFIG, "metadata": {f"m{i}": "x" * 4000 for i in range(5)}}}, 413, "too-large", "metadata")


def test_waiting(lab, web):
    lab.ok("GET", at(web, "/wait?state=started,stopped&timeout=5"))
    lab.ok("GET", at(web, "/wait?state=settled&timeout=5"))
    begin = time.monotonic()
    lab.fails("GET", at(web, "/wait?state=stopped&timeout=1"), want=408, code="timeout", part="did not reach")
    assert 0.9 < time.monotonic() - begin < 5
    for q in ("state=nonsense", "timeout=61", "timeout=x", "instance_id=" + "A" * 40):
        lab.fails("GET", at(web, f"/wait?{q}"), want=400)
    newest = lab.ok("GET", at(web, "/events?limit=1"))[0]["id"]
    lab.fails("GET", at(web, f"/wait?state=started&from_event_id={newest}&timeout=1"), want=408)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        later = pool.submit(lab.ok, "GET", at(web, f"/wait?state=started&from_event_id={newest}&timeout=20"))
        lab.ok("POST", at(web, "/restart"))
        assert later.result(25)["event_id"] > newest
    # After a restart was answered, "started" is the new run.
    newest = lab.ok("GET", at(web, "/events?limit=1"))[0]["id"]
    lab.ok("POST", at(web, "/restart"))
    assert lab.ok("GET", at(web, "/wait?state=started&timeout=20"))["event_id"] > newest
    lab.host.hold = True
    try:
        begin = time.monotonic()
        lab.ok("POST", at(web, "/restart"))  # a host that does not begin does not hold the answer for ever
        assert 4 < time.monotonic() - begin < 10
    finally:
        lab.host.hold = False
    lab.fails("GET", at(web, "/events?limit=0"), want=400)


def test_inside_a_machine(lab, web):
    assert lab.ok("POST", at(web, "/exec"), {"command": ["a", "b c"], "stdin": "in\n", "timeout": 5}) == {
        "exit_code": 3, "exit_signal": 0, "stdout": "in\n", "stderr": "e"}
    assert Link.asked[-1] == ("/v1/exec", {"cmd": ["a", "b c"], "stdin": "aW4K", "timeout_ms": 5000})
    lab.ok("POST", at(web, "/exec"), {"cmd": "sh -c 'echo \"x y\"'"})
    assert Link.asked[-1][1]["cmd"] == ["sh", "-c", 'echo "x y"']
    for body in ({}, {"cmd": "'"}, {"command": []}, {"timeout": 61, "cmd": "x"}):
        lab.fails("POST", at(web, "/exec"), body, 400, "invalid")
    lab.fails("POST", at(web, "/exec"), {"cmd": "x", "container": "c"}, 422, "not-supported-yet")
    lab.fails("POST", at(web, "/exec"), {"cmd": "refuse"}, 400, "invalid", "no such command")

    assert [p["pid"] for p in lab.ok("GET", at(web, "/ps?sort_by=rss"))] == [7, 1]
    assert [p["pid"] for p in lab.ok("GET", at(web, "/ps?sort_by=rss&order=desc"))] == [1, 7]
    assert [p["pid"] for p in lab.ok("GET", at(web, "/ps?sort_by=command&order=desc"))] == [7, 1]
    lab.fails("GET", at(web, "/ps?sort_by=colour"), want=400)
    lab.fails("GET", at(web, "/ps?order=up"), want=400)

    lab.ok("POST", at(web, "/signal"), {"signal": "SIGTERM"})
    lab.ok("POST", at(web, "/signal"), {"signal": 9})
    assert Link.asked[-1] == ("/v1/signal", {"signal": "SIGKILL"})
    for value in ("SIGNONE", 999, None, []):
        lab.fails("POST", at(web, "/signal"), {"signal": value}, 400, "invalid")


def stream(lab, m, headers=b"Connection: Upgrade\r\nUpgrade: ward-exec\r\n", early=b""):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(str(lab.run / "api.sock"))
    s.sendall(f"POST {at(m, '/exec-stream')} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {lab.token}\r\n".encode() + headers + b"\r\n" + early)
    return s


def hear(s, until):
    data = b""
    while until not in data:
        more = s.recv(65536)
        assert more, data
        data += more
    return data


def test_a_stream_into_a_machine(lab, web):
    s = stream(lab, web, early=b"early ")
    head, rest = hear(s, b"\r\n\r\n").split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 101 ") and b"Upgrade: ward-exec" in head
    openapi.check("POST", at(web, "/exec-stream"), 101, b"")
    got = rest
    while b"EARLY " not in got:
        got += s.recv(100)
    assert got == b"hello EARLY "
    blob = os.urandom(1 << 20).replace(b"\0", b"a").lower()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        sent = pool.submit(s.sendall, blob)
        back = b""
        while len(back) < len(blob):
            back += s.recv(65536)
        sent.result(20)
    assert back == blob.upper()
    s.shutdown(socket.SHUT_WR)  # the end goes through, and its answer back
    assert s.recv(10) == b""
    s.close()
    s = stream(lab, web, headers=b"")
    assert b"HTTP/1.1 400" in hear(s, b"\r\n\r\n")
    s.close()
    status, _, _ = lab.call("POST", at(web, "/exec-stream"))
    assert status == 400


def test_a_stopped_machine_cannot_be_entered(lab, web):
    m = lab.machine("web", wait=False, name="web-3", skip_launch=True)
    wait_for("it to be observed", lambda: lab.ok("GET", at(m))["events"], 10)
    for op in declared(412):
        method, path, body = CALLS[op]
        if op in ("Machines_update", "Machines_delete", "Machines_replace_metadata", "Machines_update_metadata"):
            continue
        status, out, _ = lab.call(method, path.format(app="web", machine=m["id"]), body, headers=HEADERS.get(op))
        assert status == 412 and "not running" in out["error"], out
    for method in ("PUT", "PATCH"):
        lab.fails(method, at(m, "/metadata"), {"metadata": {}, "machine_version": "x"}, 412, "failed-precondition")
    lab.ok("DELETE", at(m))


# ---- metadata and leases ----

def test_metadata(lab, web):
    path = at(web, "/metadata")
    see = lambda want: wait_for(f"metadata {want}", lambda: lab.ok("GET", path) == want, 5)
    before = lab.ok("GET", at(web))["instance_id"]
    lab.ok("PUT", path, {"metadata": {"a": "1", "b": "2"}, "machine_version": before}, 204)
    see({"a": "1", "b": "2"})
    lab.ok("PATCH", path, {"metadata": {"b": "3"}}, 204)
    see({"a": "1", "b": "3"})
    lab.ok("POST", path + "/c.d", {"value": "4"}, 204)
    see({"a": "1", "b": "3", "c.d": "4"})
    assert lab.ok("GET", path + "/c.d") == {"value": "4"}
    lab.fails("GET", path + "/none", want=404)
    lab.ok("DELETE", path + "/a", want=204)
    see({"b": "3", "c.d": "4"})
    shown = lab.ok("GET", at(web))
    assert shown["config"]["metadata"] == {"b": "3", "c.d": "4"} and shown["instance_id"] == before
    for method, body in (("GET", None), ("POST", {"value": "x"}), ("DELETE", None)):
        lab.fails(method, path + "/not%20a%20key", body, 400)
    lab.fails("PUT", path, {"metadata": {"a": 1}}, 400)
    lab.fails("PATCH", path, {}, 400)
    lab.fails("POST", path + "/a", {}, 400)


def lease_refusal(out, part):
    assert out["status"] == "error" and out["code"] == "invalid" and part in out["message"] and out["error"] == out["message"], out


def test_leases(lab, web):
    path, nonce_header = at(web, "/lease"), "fly-machine-lease-nonce"
    lease_refusal(lab.ok("GET", path, want=404), "lease not found")
    lease_refusal(lab.ok("DELETE", path, want=400), "nonce is missing")
    lease_refusal(lab.ok("DELETE", path, want=404, headers={nonce_header: "abc"}), "lease not found")
    lease_refusal(lab.ok("POST", path, {}, 409, headers={nonce_header: "abc"}), "no live lease")
    begin = time.time()
    lease = lab.ok("POST", path, {"ttl": 30, "description": "a deploy"}, 201)["data"]
    assert lease["owner"] == "bootstrap" and lease["description"] == "a deploy" and 25 < lease["expires_at"] - begin < 35
    wait_for("the lease to be seen", lambda: lab.call("POST", at(web, "/cordon"))[0] == 409, 5)
    # Every change wants the nonce now; a wrong one is as good as none.
    for op in sorted(o for o in declared(409) if o.startswith("Machines_") and o != "Machines_create"):
        method, p, body = CALLS[op]
        for headers in ({}, {nonce_header: "wrongwrongwr"}):
            if op == "Machines_release_lease" and not headers:
                continue
            status, out, _ = lab.call(method, p.format(app="web", machine=web["id"]), body, headers=headers)
            assert status == 409, (op, out)
            lease_refusal(out, f"machine ID {web['id']} lease currently held by bootstrap, expires at ")
    mine = {nonce_header: lease["nonce"]}
    lab.ok("POST", at(web, "/cordon"), headers=mine)
    lab.ok("POST", at(web, "/uncordon"), headers=mine)
    again = lab.ok("POST", path + "?ttl=90", None, 200, headers=mine)["data"]
    assert again["nonce"] == lease["nonce"] and again["expires_at"] > lease["expires_at"] + 30 and again["description"] == "a deploy"
    assert lab.ok("GET", path)["data"] == again
    assert lab.ok("DELETE", path, headers=mine) == {"status": "success", "data": {"ok": True}}
    wait_for("the lease to be gone", lambda: lab.call("POST", at(web, "/uncordon"))[0] == 200, 5)
    lab.fails("POST", path, {"ttl": 0}, 400)
    # One that was not released ends by itself.
    short = lab.ok("POST", path, {"ttl": 1}, 201)["data"]["nonce"]
    time.sleep(2.1)
    lease_refusal(lab.ok("POST", at(web, "/cordon"), want=409, headers={nonce_header: short}), "no live lease")
    lab.ok("POST", at(web, "/uncordon"))


def test_only_one_of_many_gets_a_lease(lab, web):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: lab.call("POST", at(web, "/lease"), {"ttl": 30}), range(8)))
    assert sorted(s for s, _, _ in got) == [201] + [409] * 7
    nonce = next(out["data"]["nonce"] for s, out, _ in got if s == 201)
    lab.ok("DELETE", at(web, "/lease"), headers={"fly-machine-lease-nonce": nonce})
    wait_for("the lease to be gone", lambda: lab.call("POST", at(web, "/uncordon"))[0] == 200, 5)


def test_a_lease_with_the_creation(lab, web):
    m = lab.machine("web", wait=False, name="web-4", lease_ttl=60)
    assert m["nonce"] == lab.ok("GET", at(m, "/lease"))["data"]["nonce"]
    wait_for("the lease to be seen", lambda: lab.call("POST", at(m, "/cordon"))[0] == 409, 5)
    lab.ok("DELETE", at(m, "?force=1"), headers={"fly-machine-lease-nonce": m["nonce"]})


# ---- deploys ----

def finished(lab, app, d):
    return wait_for("the deploy to end", lambda: (x := lab.ok("GET", f"/v1/apps/{app}/deploys/{d['id']}"))["status"] != "running" and x, 40)


def test_deploys_releases_and_scale(lab):
    lab.app("dep")
    base = "/v1/apps/dep"
    body = {"strategy": "rolling", "wait_timeout_ms": 20000, "message": "first", "groups": [
        {"name": "app", "count": 2, "config": {**CONFIG, "env": {"K": "v"}}}]}
    lab.host.hold = True  # so that the deploy is under way while we look
    d = lab.ok("POST", base + "/deploys", body, 202)
    assert d["release"] == 1 and d["status"] == "running"
    wait_for("the deploy to be seen", lambda: lab.call("GET", f"{base}/deploys/{d['id']}")[0] == 200, 10)
    lab.fails("POST", base + "/deploys", body, 409, "conflict", "under way")
    lab.fails("POST", base + "/releases/rollback", {}, 409, "conflict", "under way")
    lab.fails("POST", base + "/scale", {"count": 1}, 409, "conflict", "under way")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        follow = pool.submit(lab.call, "GET", f"{base}/deploys/{d['id']}?follow=1")
        time.sleep(5.5)
        lab.host.hold = False
        status, text, r = follow.result(60)
    lines = [json.loads(l) for l in text.splitlines()]
    assert status == 200 and r.getheader("content-type") == "application/x-ndjson"
    assert any(l["type"] == "heartbeat" for l in lines), lines
    events = [l for l in lines if l["type"] != "heartbeat"]
    assert [e["n"] for e in events] == list(range(1, len(events) + 1)) and events[-1]["type"] == "done", events
    whole = finished(lab, "dep", d)
    assert whole["status"] == "succeeded" and whole["events"] == events and len(whole["machines"]) == 2
    after = lab.call("GET", f"{base}/deploys/{d['id']}?follow=1&after={events[-2]['n']}")[1]
    assert [json.loads(l)["type"] for l in after.splitlines()] == ["done"]
    assert lab.call("GET", f"{base}/deploys/{d['id']}?follow=1&after={events[-1]['n']}", timeout=4)[1] == b""
    lab.fails("GET", f"{base}/deploys/{d['id']}?follow=maybe", want=400)
    assert lab.ok("GET", base + "/scale") == {"groups": [{"name": "app", "count": 2}]}

    two = finished(lab, "dep", lab.ok("POST", base + "/deploys", {**body, "message": "second"}, 202))
    three = finished(lab, "dep", lab.ok("POST", base + "/scale", {"group": "app", "count": 1}, 202))
    four = finished(lab, "dep", lab.ok("POST", base + "/releases/rollback", {"version": 1}, 202))
    assert [x["status"] for x in (two, three, four)] == ["succeeded"] * 3
    deploys = lab.ok("GET", base + "/deploys")["deploys"]
    assert [x["id"] for x in deploys] == [four["id"], three["id"], two["id"], d["id"]]
    releases = lab.ok("GET", base + "/releases")["releases"]
    assert releases[-1]["message"] == "first" and releases[-1]["actor"] == "bootstrap" and releases[0]["status"] == "succeeded"
    assert "env" not in json.dumps(releases)

    lab.fails("POST", base + "/releases/rollback", {"version": 99}, 404)
    lab.fails("POST", base + "/scale", {"group": "nobody", "count": 1}, 404)
    for path, bad in (("/deploys", {**body, "stratgy": "rolling"}), ("/releases/rollback", {"versoin": 1}), ("/scale", {"count": 1, "x": 1})):
        lab.fails("POST", base + path, bad, 422, "unknown-key")
    lab.fails("POST", base + "/deploys", {**body, "groups": body["groups"] * 2}, 400, "invalid", "twice")
    lab.fails("POST", base + "/deploys", {**body, "groups": [{"name": "a", "config": {**CONFIG, "gest": {}}}]}, 422, "unknown-key", 'did you mean "guest"?')
    lab.ok("DELETE", base, want=202)


# ---- blobs and logs ----

def test_blobs(lab):
    data = os.urandom(300_000)
    path = "/v1/blobs/sha256:" + hashlib.sha256(data).hexdigest()
    lab.ok("HEAD", path, want=404)
    assert lab.ok("PUT", path, data, 201, raw=True) == {"digest": path.split("/")[-1], "size": len(data)}
    lab.ok("HEAD", path, want=200)
    lab.ok("PUT", path, data, 201, raw=True)
    wrong = "/v1/blobs/sha256:" + "0" * 64
    lab.fails("PUT", wrong, data, 400, "invalid", "the bytes have the SHA-256", raw=True)
    lab.ok("HEAD", wrong, want=404)
    for bad in ("/v1/blobs/sha256:abc", "/v1/blobs/md5:" + "0" * 32, "/v1/blobs/sha256:" + "A" * 64):
        lab.fails("PUT", bad, data, 400, "invalid", raw=True)
        lab.ok("HEAD", bad, want=400)
    # Without a length, more than the limit is found out on the way.
    c = wardtest.UnixConnection(lab.run / "api.sock", 20)
    piece = b"x" * 65536
    c.request("PUT", wrong, (piece for _ in range(lab.BLOB_MAX // len(piece) + 2)), {"Authorization": f"Bearer {lab.token}"}, encode_chunked=False)
    assert c.getresponse().status == 413
    c.close()
    assert not list((lab.lib / "uploads").iterdir())


def test_an_upload_cut_short_leaves_nothing(lab):
    for _ in range(20):  # more than may be under way at once
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(lab.run / "api.sock"))
        s.sendall(f"PUT /v1/blobs/sha256:{'0' * 64} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {lab.token}\r\nContent-Length: 1000\r\n\r\nabc".encode())
        time.sleep(0.02)
        s.close()
    time.sleep(0.2)
    data = b"after"
    lab.ok("PUT", "/v1/blobs/sha256:" + hashlib.sha256(data).hexdigest(), data, 201, raw=True)
    assert not list((lab.lib / "uploads").iterdir())


def test_logs(lab, web):
    app = lab.ok("GET", "/v1/apps/web")["id"]
    status, text, r = lab.call("GET", f"/v1/apps/web/logs?machine={web['id']}&after=c0&limit=10&follow=1")
    assert status == 200 and r.getheader("content-type") == "application/x-ndjson" and len(text.splitlines()) == 3
    assert Telemetry.asked[-1] == f"/v1/logs?app={app}&machine={web['id']}&after=c0&follow=1&limit=10"
    for q in ("machine=x", "limit=0", "follow=x", "after=a%26b"):
        lab.fails("GET", f"/v1/apps/web/logs?{q}", want=400)


def test_a_slow_reader_of_logs_gets_every_line(lab, web):
    Telemetry.lines = 20_000
    try:
        c = wardtest.UnixConnection(lab.run / "api.sock", 30)
        c.request("GET", "/v1/apps/web/logs", headers={"Authorization": f"Bearer {lab.token}"})
        r = c.getresponse()
        got = r.read(1000)
        time.sleep(1)
        got += r.read()
        assert [json.loads(l)["n"] for l in got.splitlines()] == list(range(20_000))
        c.close()
    finally:
        Telemetry.lines = 3


# ---- the platform ----

def test_the_platform(lab, web):
    s = lab.ok("GET", "/v1/status")
    assert s["store"]["connected"] and s["vault"].startswith("unsealed") and s["hosts"] == 1 and s["machines"] >= 1
    h = lab.ok("GET", "/v1/hosts")["hosts"]
    assert [x["name"] for x in h] == ["h1"] and h[0]["alive"] and h[0]["used"]["memory_mib"] >= 256
    assert [r["code"] for r in lab.ok("GET", "/v1/platform/regions")["regions"]] == ["local"]
    assert lab.ok("GET", "/v1/openapi.json") == openapi.document()


# ---- the contract and the code say the same ----

RICH = {"image": "registry.example.org/web:1", "env": {"A": "b"}, "init": {"exec": ["a"], "entrypoint": ["a"], "cmd": ["a"], "tty": True,
        "swap_size_mb": 64}, "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
        "services": [{"protocol": "tcp", "internal_port": 80, "autostop": "off", "autostart": True, "min_machines_running": 1,
                      "ports": [{"port": 443, "start_port": 1, "end_port": 2, "handlers": ["tls"], "force_https": True}],
                      "checks": [{"type": "http", "port": 80, "interval": "10s", "timeout": 1000000000, "grace_period": "1s", "method": "GET",
                                  "path": "/", "protocol": "http", "headers": [{"name": "a", "values": ["b"]}], "tls_skip_verify": True,
                                  "tls_server_name": "a"}], "concurrency": {"type": "requests", "soft_limit": 1, "hard_limit": 2}}],
        "checks": {"alive": {"type": "tcp", "port": 1, "kind": "readiness"}}, "restart": {"policy": "no", "max_retries": 1},
        "auto_destroy": True, "stop_config": {"signal": "SIGTERM", "timeout": "5s"}, "dns": {"skip_registration": True},
        "files": [{"guest_path": "/a", "raw_value": "aGk=", "mode": 420}], "metadata": {"a": "b"}, "rootfs": {"size_gb": 1}}
BODIES = {
    "Machines_create": {"config": RICH, "name": "a", "region": "local", "skip_launch": True, "lease_ttl": 1},
    "Machines_update": {"config": RICH, "current_version": "x"},
    "Machines_stop": {"signal": "SIGTERM", "timeout": "5s"},
    "Machines_signal": {"signal": "SIGTERM"},
    "Machines_exec": {"command": ["a"], "cmd": "a", "stdin": "a", "timeout": 1},
    "Machines_create_lease": {"ttl": 1, "description": "a"},
    "Machines_replace_metadata": {"metadata": {"a": "b"}, "machine_version": "x", "updated_at": "x"},
    "Machines_update_metadata": {"metadata": {"a": "b"}, "machine_version": "x", "updated_at": "x"},
    "Machines_upsert_metadata": {"value": "a", "updated_at": "x"},
    "Deploys_create": {"strategy": "rolling", "wait_timeout_ms": 5000, "message": "a", "groups": [{"name": "app", "count": 1, "config": RICH}]},
    "Releases_rollback": {"version": 1},
    "Scale_set": {"group": "app", "count": 1},
}
OTHERS = [7, -1, 10**12, 1.5, "", "x y", "no such word", "SIGNONE", "A" * 5000, True, [], [7], {}, {"zz": 7}]


def places(value, path=()):
    """Every place inside a body: a way to put something else there, or to take it away."""
    yield path
    for k, v in (value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()):
        yield from places(v, (*path, k))


def changed(body, path, value, remove=False):
    if not path:
        return value
    copy = json.loads(json.dumps(body))
    at_ = copy
    for k in path[:-1]:
        at_ = at_[k]
    if remove:
        del at_[path[-1]]
    else:
        at_[path[-1]] = value
    return copy


@pytest.mark.parametrize("op", sorted(BODIES))
def test_the_contract_refuses_what_the_code_refuses(lab, op):
    """For an app that is not there: 404 when the body was taken, 400 or 422 when it was refused."""
    assert set(BODIES) == {o for o in CALLS if isinstance(CALLS[o][2], dict) and "{app}" in CALLS[o][1]}
    method, path, _ = CALLS[op]
    path = path.format(app="nobody", machine="0123456789abcd")
    c = wardtest.UnixConnection(lab.run / "api.sock", 30)
    wrong, tried = [], 0
    for where in places(BODIES[op]):
        for body in [changed(BODIES[op], where, v) for v in OTHERS] + ([changed(BODIES[op], where, None, True)] if where else []):
            c.request(method, path, json.dumps(body), {"Authorization": f"Bearer {lab.token}"})
            r = c.getresponse()
            out = r.read()
            assert r.status in (400, 404, 422), out
            tried += 1
            if (r.status == 404) != openapi.check_request(method, path, body):
                got = body
                for k in where:
                    got = got.get(k, "(gone)") if isinstance(got, dict) else got[k] if k < len(got) else "(gone)"
                wrong.append(f"{'.'.join(map(str, where))} = {str(got)[:40]!r}: the code {'takes' if r.status == 404 else 'refuses'} it: {out[:150]}")
    c.close()
    assert tried > 10 and not wrong, f"{len(wrong)} of {tried}:\n" + "\n".join(wrong[:40])


# ---- parts that are away ----

@pytest.mark.parametrize("op", sorted(CALLS))
def test_with_the_vault_away_nobody_gets_in(lab, web, op):
    if "ward-vault" in lab.started:
        lab.stop("ward-vault")
        os.unlink(lab.run / "vault.sock")  # so that nobody waits in the socket's queue
    status, out, _ = ask(lab, op, app="web", machine=web["id"], token="never-seen-before")
    assert status == 503, out


def test_the_vault_comes_back(lab):
    lab.vault = lab.listen("vault.sock", socket.SOCK_SEQPACKET)
    lab.start_vault()
    wait_for("the API", lambda: lab.call("GET", "/v1/apps")[0] == 200, 10)


def test_with_the_store_away_reads_go_on_and_changes_are_refused(lab, web):
    before = lab.ok("GET", "/v1/apps")
    lab.etcd.stop()
    wait_for("the API to notice", lambda: lab.call("GET", "/v1/apps")[2].getheader("ward-stale") == "1", 30)
    status, out, r = lab.call("GET", "/v1/apps")
    assert (status, out, r.getheader("ward-stale")) == (200, before, "1")
    assert lab.ok("GET", at(web))["id"] == web["id"]
    assert lab.ok("GET", "/v1/status")["store"]["connected"] is False
    for op in ("Apps_create", "Apps_delete", "Machines_create", "Machines_update", "Machines_stop", "Deploys_create", "Scale_set",
               "Machines_create_lease", "Machines_update_metadata"):
        status, out, _ = ask(lab, op, app="web", machine=web["id"])
        assert status == 503 and out["status"] == "unavailable", out
    lab.etcd.start()
    wait_for("the API to be level again", lambda: lab.call("GET", "/v1/apps")[2].getheader("ward-stale") is None, 60)
    lab.ok("POST", at(web, "/cordon"))
    lab.ok("POST", at(web, "/uncordon"))


def test_without_control_a_change_is_taken_back(lab):
    lab.stop("ward-control")
    begin = time.monotonic()
    lab.fails("POST", "/v1/apps", {"name": "late"}, 503, "unavailable", "nothing was changed")
    assert 25 < time.monotonic() - begin < 45
    left = lab.etcd.root_call("/v3/kv/range", {"key": "cmVxdWVzdHMv", "range_end": "cmVxdWVzdHMw"})
    assert not left.get("kvs"), left
    lab.start_control()
    wait_for("control", lambda: lab.call("POST", "/v1/apps", {"name": "late"})[0] == 201, 60)
    lab.ok("DELETE", "/v1/apps/late", want=202)


def test_the_api_killed_and_back(lab, web):
    p = lab.started["ward-api"]
    p.kill()
    p.wait()
    lab.start_api()
    wait_for("the API", lambda: lab.call("GET", at(web))[0] == 200, 30)
    lab.ok("POST", at(web, "/uncordon"))


def test_nothing_of_the_contract_was_left_out(lab):
    assert openapi.unseen() == []
