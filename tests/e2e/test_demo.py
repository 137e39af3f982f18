"""The demonstration as a newcomer runs it: a real DICOM server and its database, from Debian's packages to HTTPS, twice, then gone.

    scripts/demo start -> images -> platform "ward-demo" -> orthanc-db, 2 x orthanc -> store over HTTPS, read back from both
"""
import os, pathlib, re, subprocess

import pytest

import wardtest
from wardtest import free_port, guest, processes

ROOT = wardtest.ROOT
PLACES = [pathlib.Path(p, "ward-demo") for p in ("/etc", "/var/lib", "/run")]


def demo(what, env, timeout):
    return subprocess.run([ROOT / "scripts/demo", what], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=timeout)


@pytest.mark.skipif(pathlib.Path("/run/ward-demo/wardd").exists(), reason="a demonstration runs here already: `make demo-stop` first")
def test_the_demo_runs_can_be_repeated_and_leaves_nothing():
    guest()
    env = dict(os.environ, WARD_DEMO_HTTPS=str(free_port()), WARD_DEMO_HTTP=str(free_port()))
    try:
        p = demo("start", env, 900)
        assert p.returncode == 0, p.stdout[-3000:]
        back = re.findall(r"machine ([0-9a-f]{14}): (\d+) bytes, identical", p.stdout)
        assert len({m for m, _ in back}) == 2 and all(int(n) > 4000 for _, n in back), p.stdout[-3000:]
        again = demo("start", env, 600)
        assert again.returncode == 0 and again.stdout.count("identical") == 2, again.stdout[-3000:]
    finally:
        stopped = demo("stop", env, 180)
    assert stopped.returncode == 0, stopped.stdout
    assert not [d for d in PLACES if d.exists()]
    assert not processes(lambda pid, uid, cmd: "--instance ward-demo" in cmd)
    tables = subprocess.run(["nft", "list", "tables"], stdout=subprocess.PIPE, text=True, check=True).stdout
    links = os.listdir("/sys/class/net")
    assert "ward-demo" not in tables and not [l for l in links if "ward-demo" in l], (tables, links)
