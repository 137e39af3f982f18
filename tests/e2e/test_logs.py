"""An app that talks without pause, through its machine's whole life, while what carries its lines is killed under it:

    app -> guest -> link -> telemetry -> sealed segments -> api -> ward logs
                    KILL    KILL, STOP                               the agent: KILL; the machine: restart, stop and start, destroy

Each run of the app says "tick 1", "tick 2", … and "said N" at its end. All of it is there once and in order; what could not be kept
is told as a gap.
"""
import json, os, signal, subprocess, time

import wardtest
from test_platform import APP_TOML
from wardtest import wait_for


def link_pid(p):
    found = wardtest.processes(lambda pid, uid, cmd: uid in wardtest.MACHINE_UIDS and "ward-link" in cmd and p.in_instance(pid))
    return found[0][0] if len(found) == 1 else 0


def lines_of(p):
    return [json.loads(l) for l in p.ward("logs", "--json", "--app", "talker").stdout.splitlines()]


def ticks(lines):
    return [l for l in lines if l.get("stream") == "stdout" and l["message"].startswith("tick ")]


def check(lines, runs):
    """Every run's ticks once, in order, as many as it says it said; lines that are missing are counted by gaps."""
    numbers = [l["n"] for l in lines if l.get("machine")]
    assert numbers == sorted(set(numbers)), "a line twice, or out of order"
    missing, said = 0, []
    last = 0
    for l in lines:
        if l.get("gap"):
            missing += l["gap"]
        elif l["message"] == "listening on 8080":
            last = 0
        elif l["message"].startswith("tick "):
            n = int(l["message"].split()[1])
            if n != last + 1:
                missing -= n - last - 1
                assert n > last and missing >= 0, f"{l['message']} after {last}, and no gap tells of it"
            last = n
        elif l["message"].startswith("said "):
            said.append(int(l["message"].split()[1]))
            assert last == said[-1] or missing > 0, f"the last line was {last}, of {said[-1]}"
    assert len(said) == runs, said
    return missing


def test_every_line_of_a_machines_life(tmp_path):
    subprocess.run([wardtest.ROOT / "scripts/test-image", tmp_path / "one.oci.tar", "one"], check=True, stdout=subprocess.DEVNULL)
    with wardtest.Platform() as p:
        (tmp_path / "fly.toml").write_text(APP_TOML.format(app="talker", version="1", env='TALK_MS = "20"', wait="120s"))
        p.ward("deploy", "--config", tmp_path / "fly.toml", "--image", tmp_path / "one.oci.tar")
        [m] = p.machines("talker")

        def state(want):
            return lambda: p.machines("talker")[0]["state"] == want

        def goes_on():
            before = len(ticks(lines_of(p)))
            wait_for("more lines", lambda: len(ticks(lines_of(p))) > before + 20, 30, 0.3)

        for victim in ("telemetry", "link", "agent", "telemetry"):
            pid = link_pid(p) if victim == "link" else p.pids()[victim]
            os.kill(pid, signal.SIGKILL)
            back = (lambda: link_pid(p) not in (0, pid)) if victim == "link" else (lambda: p.pids().get(victim) not in (0, None, pid))
            wait_for(f"{victim} to be back", back, 30)
            goes_on()
        p.ward("machine", "restart", m["id"], "--app", "talker")
        wait_for("the machine to be back", state("started"), 60)
        goes_on()
        p.ward("machine", "stop", m["id"], "--app", "talker")
        wait_for("the machine to stop", state("stopped"), 60)
        p.ward("machine", "start", m["id"], "--app", "talker")
        wait_for("the machine to start", state("started"), 60)
        goes_on()

        # its last lines are waited for, although nobody takes them for some seconds
        telemetry = p.pids()["telemetry"]
        os.kill(telemetry, signal.SIGSTOP)
        p.ward("machine", "stop", m["id"], "--app", "talker")
        wait_for("the machine to stop", state("stopped"), 60)
        p.ward("machine", "destroy", m["id"], "--app", "talker")
        time.sleep(3)
        os.kill(telemetry, signal.SIGCONT)
        p.wait_clean(30)
        wait_for("telemetry", lambda: lines_of(p), 30)
        lines = lines_of(p)
        assert {l["machine"] for l in ticks(lines)} == {m["id"]} and len(ticks(lines)) > 200
        assert check(lines, runs=3) == 0, [l for l in lines if l.get("gap")]
        p.ward("apps", "destroy", "talker", "--yes")
