"""ward-agent alone: a machine's whole life, its ends, adoption, a store that is away or wrong, and what belongs to nothing."""
import json, time

import pytest

from agentlab import DIGEST, LINK, MONITOR, ROOT, AgentLab, ulid
from wardtest import wait_for


@pytest.fixture(scope="module")
def lab():
    with AgentLab() as lab:
        yield lab


def kinds(o):
    return [(e["type"], e["status"]) for e in reversed(o["events"])]


def test_start_stop_start_destroy(lab):
    d = lab.desired()
    o = lab.until(d, "started")
    assert kinds(o) == [("launch", "created"), ("start", "starting"), ("start", "started")]
    assert o["generation"] == 1 and o["instance_id"] == d["instance_id"] and o["image"] == {"digest": DIGEST, "root": ROOT}
    assert o["pid"] == lab.wardd.cages[d["id"]][MONITOR]
    run = lab.link(d["id"]).run
    assert run["image"]["entrypoint"] == ["/app"] and run["scratch"] == "/dev/vdb" and run["dns"] == ["fdaa::3"]
    assert run["env"]["FLY_APP_NAME"] == "shop" and run["env"]["FLY_MACHINE_ID"] == d["id"] and run["env"]["FLY_VM_MEMORY_MB"] == "256"
    assert run["private_ip"] == run["env"]["FLY_PRIVATE_IP"] == o["private_ip"]
    scratch = lab.folder(d) / "scratch.img"
    assert scratch.stat().st_size == 1 << 30 and scratch.stat().st_blocks < 100
    names = json.loads((lab.run / "names/table.json").read_text())["records"]
    assert [(n["machine"], n["app"], n["state"]) for n in names if n["machine"] == d["id"]] == [(d["id"], "shop", "started")]

    d = lab.write(d, want="stopped", stop={"signal": "SIGTERM", "timeout_ms": 1234})
    o = lab.until(d, "stopped")
    assert lab.link(d["id"]).stopped_with == {"signal": "SIGTERM", "timeout_ms": 1234}
    exit_event = o["events"][0]["request"]["exit_event"]
    assert exit_event["exit_code"] == 0 and exit_event["requested_stop"] is True and exit_event["restarting"] is False
    wait_for("the cage, the tap and the scratch disk gone",
             lambda: d["id"] not in lab.wardd.cages and d["id"] not in lab.net.taps and not scratch.exists())

    d = lab.write(d, want="started", start_seq=1, stop={})
    assert lab.until(d, "started")["generation"] == 2

    d = lab.write(d, want="destroyed")
    o = lab.until(d, "destroyed")
    assert o["events"][0]["type"] == "destroy" and not lab.folder(d).exists()
    assert d["id"] not in lab.wardd.cages and d["id"] not in lab.net.taps
    lab.delete(f"desired/h1/{d['id']}")
    wait_for("its record gone", lambda: lab.observed(d)["state"] == "none")


def test_crash_loop_ends_as_failed_with_the_reason(lab):
    d = lab.desired()
    lab.link(d["id"]).behave = "crash"
    lab.write(d, config={**d["config"], "restart": {"policy": "on-failure", "max_retries": 2}}, instance_id=ulid())
    o = lab.until(d, "failed")
    assert o["restarts"] == 2 and "crash loop" in o["reason"] and "code 7" in o["reason"], o
    exits = [e["request"]["exit_event"] for e in o["events"] if e["type"] == "exit"]
    assert [x["restarting"] for x in exits[:3]] == [False, True, True] and all(x["exit_code"] == 7 for x in exits[:3])
    lab.write(d, want="destroyed")
    lab.until(d, "destroyed")


def test_an_update_whose_image_is_missing_keeps_the_old_version(lab):
    d = lab.desired()
    lab.until(d, "started")
    pid = lab.wardd.cages[d["id"]][MONITOR]
    new = lab.write(d, instance_id=ulid(), version=2, config={**d["config"], "image": "docker://absent"})
    o = wait_for("the failure told", lambda: lab.observed(d).get("failed_instance") == new["instance_id"] and lab.observed(d))
    assert o["state"] == "started" and o["instance_id"] == d["instance_id"] and "no such image" in o["reason"]
    assert lab.wardd.cages[d["id"]][MONITOR] == pid
    new = lab.write(d, instance_id=ulid(), version=3)
    o = lab.until(d, "started", instance_id=new["instance_id"])
    assert ("update", "updating") in kinds(o) and lab.wardd.cages[d["id"]][MONITOR] != pid
    lab.write(d, want="destroyed")
    lab.until(d, "destroyed")


def test_a_hanging_app_is_ended_after_its_time(lab):
    d = lab.desired()
    lab.link(d["id"]).behave = "hang"
    lab.until(d, "started")
    begun = time.time()
    lab.write(d, want="stopped", stop={"signal": "", "timeout_ms": 500})
    lab.until(d, "stopped")
    assert 9 < time.time() - begun < 16
    lab.write(d, want="destroyed")
    lab.until(d, "destroyed")


def test_agent_and_wardd_die_and_what_runs_is_adopted(lab):
    d = lab.desired()
    o = lab.until(d, "started")
    before = list(lab.wardd.starts)
    lab.kill_agent()
    lab.start_agent()
    time.sleep(2)
    assert lab.observed(d)["pid"] == o["pid"] and lab.wardd.starts == before
    lab.wardd.die()
    lab.wardd.listening.clear()
    time.sleep(0.5)
    lab.wardd.start()
    time.sleep(2.5)
    assert lab.observed(d)["pid"] == o["pid"] and lab.wardd.starts == before and lab.observed(d)["state"] == "started"
    # what ended while the agent was dead is accounted and started again
    lab.kill_agent()
    lab.link(d["id"]).ends(3)
    lab.start_agent()
    o = lab.until(d, "started", generation=2)
    assert o["exit"]["code"] == 3 if "exit" in o else any(e["type"] == "exit" for e in o["events"])
    lab.write(d, want="destroyed")
    lab.until(d, "destroyed")


def test_what_belongs_to_nothing_is_removed(lab):
    stray, folder = "0123456789abcd", lab.lib / "machines/fedcba98765432"
    lab.kill_agent()
    lab.wardd.cages[stray] = {LINK: 0, MONITOR: 77, "generation": 3, "slot": 9}
    lab.net.taps.add("aaaaaaaaaaaaaa")
    folder.mkdir()
    (folder / "scratch.img").write_bytes(b"x")
    import os, pwd
    os.chown(folder, pwd.getpwnam("ward-agent").pw_uid, -1)
    gone = "observed/h1/0123456789abce"
    lab.put(gone, {"v": 1, "id": "0123456789abce", "app": "a", "state": "destroyed"})
    lab.start_agent()
    wait_for("the strays gone", lambda: stray not in lab.wardd.cages and not lab.net.taps & {"aaaaaaaaaaaaaa"} and not folder.exists())
    wait_for("the record of a machine that is gone to be gone", lambda: lab.get(gone) is None, 15)


def test_without_a_store_what_crashes_comes_back(lab):
    d = lab.desired(config={"image": "docker://x:1", "restart": {"policy": "always"}})
    lab.until(d, "started")
    lab.etcd.stop()
    lab.kill_agent()
    lab.start_agent()
    time.sleep(1)
    lab.link(d["id"]).ends(1)
    wait_for("a second start", lambda: (d["id"], 2) in lab.wardd.starts, 20)
    assert lab.folder(d).exists() and d["id"] in lab.wardd.cages
    lab.etcd.start()
    lab.until(d, "started", generation=2)


def test_an_older_or_another_store_tears_nothing_down(lab):
    d = lab.desired()
    lab.until(d, "started")
    lab.kill_agent()
    seen = lab.lib / "machines/seen.json"
    was = json.loads(seen.read_text())
    assert was["revision"] > 0
    seen.write_text(json.dumps({"v": 1, "revision": was["revision"] + 10**6}))
    lab.delete(f"desired/h1/{d['id']}")
    lab.start_agent()
    time.sleep(3)
    assert lab.wardd.cages[d["id"]][MONITOR] and lab.folder(d).exists()
    lab.kill_agent()
    seen.write_text(json.dumps({**was, "cluster": "1"}))
    lab.start_agent()
    time.sleep(3)
    assert lab.wardd.cages[d["id"]][MONITOR] and lab.folder(d).exists()
    lab.kill_agent()
    seen.write_text(json.dumps(was))
    lab.start_agent()
    wait_for("now it goes", lambda: d["id"] not in lab.wardd.cages and not lab.folder(d).exists())
