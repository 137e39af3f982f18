"""`ward logs -f` on a whole platform while what carries the lines is killed under it:

    app -> guest -> link -> telemetry -> api -> ward logs -f          SIGKILL: api, telemetry, agent, vault; the machine restarts
"""
import json, os, signal, subprocess, sys, time

import pytest

import wardtest
from test_platform import APP_TOML
from wardtest import wait_for

BATCH = 40


@pytest.fixture(scope="module")
def talking(tmp_path_factory):
    d = tmp_path_factory.mktemp("follow")
    subprocess.run([wardtest.ROOT / "scripts/test-image", d / "one.oci.tar", "one"], check=True, stdout=subprocess.DEVNULL)
    with wardtest.Platform() as p:
        (d / "fly.toml").write_text(APP_TOML.format(app="talker", version="1", env="", wait="120s"))
        p.ward("deploy", "--config", d / "fly.toml", "--image", d / "one.oci.tar")
        yield p, d
        p.ward("apps", "destroy", "talker", "--yes")
        wait_for("nothing to be left of the machine", lambda: not p.machine_leftovers(), 60)
        p.stop()


def environment(p):
    return {"WARD_API_URL": f"unix://{p.run}/api.sock", "WARD_API_TOKEN": p.token}


def test_no_line_is_lost_or_told_twice(talking):
    p, d = talking
    out = d / "followed"
    said = 0
    with open(out, "wb") as f:
        follower = subprocess.Popen([wardtest.WARD, "logs", "-f", "--json", "--app", "talker"], env=environment(p), stdin=subprocess.DEVNULL, stdout=f,
                                    stderr=subprocess.DEVNULL)
    try:
        def got():
            return [json.loads(l) for l in out.read_text().splitlines() if l.endswith("}")]

        for victim in ("api", "telemetry", "agent", "vault", "machine", "api", None):
            wait_for("the app to say its lines", lambda: p.https("talker", f"/log?from={said + 1}&to={said + BATCH}")[0] == 200, 60)
            said += BATCH
            if victim == "machine":
                [m] = wait_for("the API to know", lambda: p.machines("talker"), 30)
                p.ward("machine", "restart", m["id"], "--app", "talker")
                wait_for("the machine to be back", lambda: p.machines("talker")[0]["state"] == "started" and p.https("talker", "/")[0] == 200, 90)
            elif victim:
                pid = p.pids()[victim]
                os.kill(pid, signal.SIGKILL)
                wait_for(f"{victim} to be back", lambda: p.pids().get(victim) not in (0, None, pid), 30)
        wait_for("the last line", lambda: any(g["message"] == f"line {said}" for g in got()), 60)
        lines = [g["message"] for g in got() if g["message"].startswith("line ")]
        assert lines == [f"line {i}" for i in range(1, said + 1)]
        assert follower.poll() is None
        numbers = [g["n"] for g in got() if g.get("machine")]
        assert numbers == sorted(set(numbers))
    finally:
        follower.kill()
        follower.wait()


def test_a_console_over_https(talking):
    """A terminal through the edge: TLS, the API's upgrade, link, guest."""
    import pty
    p, _ = talking
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(WARD_API_URL=f"https://api.ward.localhost:{p.https_port}", WARD_API_TOKEN=p.token, WARD_CA_FILE=str(p.lib / "vault/ca.pem"))
        os.execv(wardtest.WARD, ["ward", "console", "--app", "talker", "--", "/app", "exec-test", "9"])
    out = b""
    try:
        while data := os.read(fd, 1000):
            out += data
    except OSError:
        pass  # the terminal's other end is closed
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    assert os.waitstatus_to_exitcode(status) == 9 and b"to stdout\r\nto stderr\r\n" in out, out
