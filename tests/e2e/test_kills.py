"""Every daemon is killed, one by one, while an app serves: the machines keep answering, each daemon returns, and the VM is the same
one as before (pid and boot id).

    load -> edge -> VM            SIGKILL -> control, agent, api, vault, etcd, telemetry, net, dns, image, edge workers, edge-keys, wardd
"""
import os, pathlib, signal, subprocess, time

import pytest

import wardtest
from test_platform import APP_TOML
from wardtest import Load, processes, wait_for


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A platform of its own with one app on one machine: these tests hurt it."""
    d = tmp_path_factory.mktemp("kills")
    subprocess.run([wardtest.ROOT / "scripts/test-image", d / "one.oci.tar", "one"], check=True, stdout=subprocess.DEVNULL)
    with wardtest.Platform() as p:
        (d / "fly.toml").write_text(APP_TOML.format(app="kept", version="1", env="", wait="120s"))
        p.ward("deploy", "--config", d / "fly.toml", "--image", d / "one.oci.tar")
        yield p
        p.ward("apps", "destroy", "kept", "--yes")
        p.wait_clean()
        p.stop()
        assert not p.leftovers()


def identity(p):
    """What must not change: the machine, its instance, the pid of its emulator, and the boot id of its kernel."""
    [m] = wait_for("the machine in the API", lambda: p.machines("kept"), 20)
    pids = [pid for pid, uid, cmd in processes(lambda pid, uid, cmd: uid in wardtest.MACHINE_UIDS and "qemu" in cmd and p.in_instance(pid))]
    assert len(pids) == 1, pids
    return m["id"], m["instance_id"], pids[0], p.https("kept", "/boot-id")[1]


def kill_and_watch(p, name, pids):
    before = identity(p)
    with Load(p, "kept") as load:
        time.sleep(0.5)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        time.sleep(3)
    assert not load.bad, (name, load.bad[:3])
    assert load.good > 5
    return before


@pytest.mark.parametrize("name", ["control", "agent", "api", "vault", "etcd", "telemetry", "net", "dns", "image-fetch", "image-convert", "edge-keys"])
def test_a_killed_daemon_returns_and_nothing_else_notices(served, name):
    pid = served.pids()[name]
    assert pid
    before = kill_and_watch(served, name, [pid])
    wait_for(f"{name} to be back", lambda: (n := served.pids()[name]) and n != pid, 30)
    assert identity(served) == before
    # and it does its work again: a change goes through the whole path
    m = before[0]
    wait_for(f"a change after {name} returned",
             lambda: served.api("POST", f"/v1/apps/kept/machines/{m}/metadata/k-{name}", {"value": name})[0] in (200, 204), 30)


def test_killed_edge_workers_are_replaced_and_the_listener_stays(served):
    workers = [pid for pid, uid, cmd in processes(lambda pid, uid, cmd: "ward-edge" in cmd and "--worker" in cmd and served.mine(pid, uid, cmd))]
    assert workers
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    # connections that a killed worker held are gone with it; every new one is answered
    wait_for("an answer", lambda: served.https("kept", "/")[0] == 200, 10)
    with Load(served, "kept") as load:
        time.sleep(2)
    assert not load.bad, load.bad[:3]


def test_a_killed_link_returns_and_no_log_line_is_lost(served):
    before = identity(served)
    served.https("kept", "/log?from=1&to=50")
    [link] = [pid for pid, uid, cmd in processes(lambda pid, uid, cmd: "ward-link" in cmd and uid in wardtest.MACHINE_UIDS and served.in_instance(pid))]
    os.kill(link, signal.SIGKILL)
    served.https("kept", "/log?from=51&to=100")

    def lines():
        import json
        out = served.ward("logs", "--app", "kept", "--json").stdout
        return [m for m in (json.loads(l)["message"] for l in out.splitlines()) if m.startswith("line ")]
    wait_for("all the lines", lambda: len(lines()) >= 100, 40)
    assert lines() == [f"line {i}" for i in range(1, 101)]
    assert identity(served) == before


def test_wardd_killed_is_adopted_by_the_next(served):
    before, pids = identity(served), served.pids()
    with Load(served, "kept") as load:
        served.wardd.kill()
        served.wardd.wait()
        time.sleep(2)
        served.start()
        time.sleep(1)
    assert not load.bad, load.bad[:3]
    assert identity(served) == before
    after = served.pids()
    assert {n: p for n, p in after.items() if n != "wardd"} == {n: p for n, p in pids.items() if n != "wardd"}


def test_a_killed_monitor_is_a_crash_and_starts_again(served):
    m, instance, pid, _ = identity(served)
    os.kill(pid, signal.SIGKILL)
    wait_for("the machine to be back", lambda: served.https("kept", "/")[0] == 200 and identity(served)[2] != pid, 60)
    assert identity(served)[:2] == (m, instance)
