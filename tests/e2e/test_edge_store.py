"""The edge behind a real store: what control and the agent write decides where requests go; the edge writes what its checks found.

    test (as control, agent) --desired/, observed/--> etcd --> watcher --> workers --> Backend on loopback
                                                        <-- observed/h1/checks/ --
"""
import base64, json, os, signal, threading, time

import pytest

import wardtest
from edgelab import Handler, Lab
from test_store import Etcd


def b64(s):
    return base64.b64encode(s.encode()).decode()


class StoreLab(Lab):
    def __init__(self, etcd):
        super().__init__(etcd=etcd)
        self.records = {}

    def put(self, key, value):
        self.etcd.root_call("/v3/kv/put", {"key": b64(key), "value": b64(json.dumps(value))})

    def delete(self, key):
        self.etcd.root_call("/v3/kv/deleterange", {"key": b64(key)})

    def get_record(self, key):
        kvs = self.etcd.root_call("/v3/kv/range", {"key": b64(key)}).get("kvs")
        return json.loads(base64.b64decode(kvs[0]["value"])) if kvs else None

    def new_app(self, name):
        app = f"{name:a<16}"[:16]
        self.put(f"apps/{app}/app", {"v": 1, "id": app, "name": name, "org": "personal", "network": "default", "network_id": 1,
                                     "status": "deployed", "created_at": "2026-01-01T00:00:00.000000Z"})
        return app

    def machine(self, app, backend, checks=(), state="started", want="started", generation=1, cordoned=False, **more):
        mid = f"{backend.port:014x}"
        name = app.rstrip("a")
        instance = "01J00000000000000000000000"
        self.put(f"desired/h1/{mid}", {
            "v": 1, "id": mid, "app": app, "app_name": name, "group": "app", "name": "m", "region": "local", "instance_id": instance, "version": 1,
            "want": want, "restart_seq": 0, "start_seq": 0, "cordoned": cordoned, "metadata": {}, "release": 1, "number": 1, "network": 1,
            "created_at": "2026-01-01T00:00:00.000000Z", "updated_at": "2026-01-01T00:00:00.000000Z", "skip_launch": False,
            "config": {"image": "x", "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}, "services": [{
                "protocol": "tcp", "internal_port": backend.port, "checks": list(checks),
                "ports": [{"port": 80, "handlers": ["http"], "force_https": True}, {"port": 443, "handlers": ["tls", "http"]}]}], **more}})
        self.put(f"observed/h1/{mid}", {"v": 1, "id": mid, "state": state, "instance_id": instance, "generation": generation,
                                        "ipv4": "127.0.0.1", "events": [], "restarts": 0})
        return mid

    def until(self, name, want, path="/"):
        def answer():
            r = self.get(name, path)
            return (r.status, r.data if r.status == 200 else r.headers["Ward-Error"]) == want
        try:
            wardtest.wait_for(f"{name} to answer {want}", answer, 10, 0.02)
        except AssertionError:
            self.dump()
            raise


class Sick(Handler):
    """Its check's answer is what the test says."""
    def handle_any(self):
        if self.path == "/health":
            self.reply(self.server.health, b"")
        else:
            super().handle_any()
    do_GET = handle_any


@pytest.fixture(scope="module")
def lab():
    with Etcd() as etcd:
        with StoreLab(etcd) as l:
            yield l


CHECK = {"type": "http", "method": "GET", "path": "/health", "interval": "1s", "timeout": "1s", "grace_period": "0s"}


def test_machine_appears_and_leaves(lab):
    app = lab.new_app("web")
    lab.until("web", (503, "no-healthy-machine"))
    b = lab.backend("w1")
    mid = lab.machine(app, b)
    lab.until("web", (200, b"w1"))
    lab.machine(app, b, cordoned=True)
    lab.until("web", (503, "no-healthy-machine"))
    lab.machine(app, b)
    lab.until("web", (200, b"w1"))
    lab.machine(app, b, want="stopped")
    lab.until("web", (503, "no-healthy-machine"))
    lab.machine(app, b, state="stopped")
    lab.until("web", (503, "no-healthy-machine"))
    lab.delete(f"desired/h1/{mid}")
    lab.until("web", (503, "no-healthy-machine"))
    lab.delete(f"apps/{app}/app")
    lab.until("web", (404, "unknown-host"))


def test_checks_decide(lab):
    app = lab.new_app("sick")
    good, bad = lab.backend("good", Sick), lab.backend("bad", Sick)
    good.health, bad.health = 200, 500
    lab.machine(app, good, [CHECK, {"type": "tcp", "interval": "1s"}])
    mid = lab.machine(app, bad, [CHECK])
    lab.until("sick", (200, b"good"))
    assert all(lab.get("sick").data == b"good" for _ in range(10))
    record = wardtest.wait_for("the checks' record", lambda: lab.get_record(f"observed/h1/checks/{mid}"))
    wardtest.wait_for("critical", lambda: lab.get_record(f"observed/h1/checks/{mid}")["checks"][0]["status"] == "critical")
    c = lab.get_record(f"observed/h1/checks/{mid}")
    assert c["checks"][0]["name"] == f"servicecheck-00-http-{bad.port}" and c["checks"][0]["output"].startswith("HTTP 500")
    assert (c["instance_id"], c["generation"]) == ("01J00000000000000000000000", 1)
    good_record = lab.get_record(f"observed/h1/checks/{good.port:014x}")
    assert [x["status"] for x in good_record["checks"]] == ["passing", "passing"]
    # it gets well, and the other one ill: within the check's interval
    bad.health, good.health = 200, 503
    wardtest.wait_for("bad alone", lambda: {lab.get("sick").data for _ in range(6)} == {b"bad"}, 5)
    good.health = 200
    wardtest.wait_for("both", lambda: {lab.get("sick").data for _ in range(12)} == {b"bad", b"good"}, 5)
    lab.delete(f"desired/h1/{mid}")
    wardtest.wait_for("its record to go", lambda: lab.get_record(f"observed/h1/checks/{mid}") is None)


def test_poisonous_records_hurt_nobody_else(lab):
    app = lab.new_app("healthy")
    b = lab.backend("healthy")
    lab.machine(app, b)
    lab.until("healthy", (200, b"healthy"))
    bad = lab.new_app("poison")
    mid = lab.machine(bad, lab.backend("poison"), [{"type": "http", "path": "/a\r\nX: y"}])
    lab.put("desired/h1/00000000000001", {"v": 1, "id": "00000000000001"})
    lab.put("apps/dddddddddddddddd/app", {"v": 1, "id": "dddddddddddddddd", "name": "healthy", "org": "o", "network": "n", "network_id": 1,
                                          "status": "deployed", "created_at": "2026-02-01T00:00:00.000000Z"})
    lab.until("poison", (503, "no-healthy-machine"))
    assert all(lab.get("healthy").data == b"healthy" for _ in range(5))
    for key in (f"desired/h1/{mid}", "desired/h1/00000000000001", "apps/dddddddddddddddd/app"):
        lab.delete(key)


def test_serves_while_everything_else_is_dead(lab):
    """etcd and the vault killed: answers, checks and restarted workers go on; a restarted edge serves its last table."""
    app = lab.new_app("alive")
    one, two = lab.backend("one", Sick), lab.backend("two", Sick)
    one.health = two.health = 200
    lab.machine(app, one, [CHECK])
    lab.machine(app, two, [CHECK])
    wardtest.wait_for("both", lambda: {lab.get("alive").data for _ in range(12)} == {b"one", b"two"}, 10)
    wardtest.wait_for("the table on disk", lambda: list((lab.lib / "edge").glob("routes.*")), 10)
    time.sleep(1.2)
    sealed = (lab.lib / "edge/routes.sealed").read_bytes()
    assert b"alive" not in sealed
    lab.etcd.stop()
    assert lab.get("alive").status == 200
    two.health = 500
    wardtest.wait_for("one alone", lambda: {lab.get("alive").data for _ in range(12)} == {b"one"}, 5)
    for w in lab.status()["workers"]:
        os.kill(w["pid"], signal.SIGKILL)
    wardtest.wait_for("new workers", lambda: all(w["counters"]["certificates"] == 2 for w in lab.status()["workers"]), 5)
    assert {lab.get("alive").data for _ in range(12)} == {b"one"}
    # the whole edge dies and returns while etcd is still away
    lab.edge.kill(signal.SIGKILL)
    lab.edge.start()
    wardtest.wait_for("an answer by the last table", lambda: lab.get("alive").status == 200, 10)
    lab.vault.kill(signal.SIGKILL)
    assert lab.get("alive").status == 200
    os.kill(lab.status()["watcher"]["pid"], signal.SIGKILL)
    assert lab.get("alive").status == 200
    # all return
    lab.vault.start()
    lab.etcd.start()
    two.health = 200
    wardtest.wait_for("both again", lambda: {lab.get("alive").data for _ in range(12)} == {b"one", b"two"}, 20)


def test_rolling_update_fails_no_request(lab):
    """As control does it: the old machine is cordoned, then stopped; the new one is already there. Requests never fail."""
    app = lab.new_app("roll")
    machines = [lab.backend(f"v{i}", Sick) for i in range(6)]
    for b in machines:
        b.health = 200
    lab.machine(app, machines[0], [CHECK])
    lab.until("roll", (200, b"v0"))
    failed, count, stop = [], [0], threading.Event()

    def load():
        c = lab.connection("roll")
        while not stop.is_set():
            try:
                c.request("GET", "/slow?0.01")
                r = c.getresponse()
                r.read()
                count[0] += 1
                if r.status != 200:
                    failed.append((r.status, r.headers["Ward-Error"]))
            except Exception as e:
                failed.append(repr(e))
                c = lab.connection("roll")
    threads = [threading.Thread(target=load) for _ in range(4)]
    [t.start() for t in threads]
    try:
        for old, new in zip(machines, machines[1:]):
            lab.machine(app, new, [CHECK])
            mid = f"{new.port:014x}"
            wardtest.wait_for("the new one passes", lambda: (lab.get_record(f"observed/h1/checks/{mid}") or {"checks": [{"status": ""}]})
                              ["checks"][0]["status"] == "passing", 10)
            lab.machine(app, old, [CHECK], cordoned=True)
            time.sleep(0.3)  # control waits longer
            lab.machine(app, old, [CHECK], want="stopped", cordoned=True)
            old.stop()
            lab.delete(f"desired/h1/{old.port:014x}")
    finally:
        stop.set()
        [t.join() for t in threads]
    assert not failed and count[0] > 100, failed[:5]
