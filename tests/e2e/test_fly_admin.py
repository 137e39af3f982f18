"""A third party's client drives the API: npm's fly-admin (tests/e2e/fly-admin/life.js) makes an app and a machine, waits, stops,
updates and deletes.

    life.js --HTTP--> 127.0.0.1 --(bytes)--> api.sock --> ward-api --> the host played by apilab.py,  or  the whole platform
"""
import json, os, shutil, socket, subprocess, tarfile, threading

import pytest

import wardtest
from apilab import ApiLab
from wardtest import wait_for

HERE = wardtest.ROOT / "tests/e2e/fly-admin"
BUILD = wardtest.ROOT / "build/fly-admin"
LAST = "the app is gone"


@pytest.fixture(scope="session")
def client():
    """The client by its lock file, in the build folder."""
    BUILD.mkdir(parents=True, exist_ok=True)
    for f in ("package.json", "package-lock.json", "life.js"):
        shutil.copyfile(HERE / f, BUILD / f)
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=BUILD, check=True, stdout=subprocess.DEVNULL,
                   timeout=180)
    return BUILD / "life.js"


class Door:
    """127.0.0.1:port to a unix socket, byte by byte: fly-admin speaks to addresses only."""
    def __init__(self, path):
        self.path = str(path)
        self.listen = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listen.getsockname()[1]}"
        threading.Thread(target=self.go, daemon=True).start()

    def go(self):
        while True:
            try:
                a, _ = self.listen.accept()
            except OSError:
                return
            b = socket.socket(socket.AF_UNIX)
            b.connect(self.path)
            for x, y in ((a, b), (b, a)):
                threading.Thread(target=self.carry, args=(x, y), daemon=True).start()

    def carry(self, x, y):
        try:
            while data := x.recv(65536):
                y.sendall(data)
            y.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listen.close()


def live(client, url, token, image, **env):
    p = subprocess.run(["node", client], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=600, stdin=subprocess.DEVNULL,
                       env={"PATH": os.environ["PATH"], "WARD_API_URL": url, "WARD_API_TOKEN": token, "WARD_TEST_IMAGE": image, **env})
    assert p.returncode == 0, f"{p.stdout}\n{p.stderr}"
    assert p.stdout.splitlines()[-1] == LAST, p.stdout


def test_fly_admin_drives_the_api(client):
    with ApiLab() as lab:
        door = Door(lab.run / "api.sock")
        try:
            live(client, door.url, lab.token, "registry.example.org/web:1", WARD_TEST_WAIT="20s")
        finally:
            door.close()


def upload(platform, archive):
    """An OCI archive's blobs by PUT /v1/blobs; the reference of its image."""
    with tarfile.open(archive) as tar:
        read = lambda name: tar.extractfile(name).read()
        manifest = json.loads(read("index.json"))["manifests"][0]["digest"]
        parts = json.loads(read(f"blobs/sha256/{manifest[7:]}"))
        for digest in [manifest, parts["config"]["digest"], *(l["digest"] for l in parts["layers"])]:
            status, out, _ = platform.request("PUT", f"/v1/blobs/{digest}", read(f"blobs/sha256/{digest[7:]}"))
            assert status == 201, out
    return manifest


def test_fly_admin_drives_real_machines(client, platform, tmp_path):
    archive = tmp_path / "one.oci.tar"
    subprocess.run([wardtest.ROOT / "scripts/test-image", archive, "one"], check=True, stdout=subprocess.DEVNULL)
    image = upload(platform, archive)
    door = Door(platform.run / "api.sock")
    try:
        live(client, door.url, platform.token, image)
    finally:
        door.close()
    wait_for("nothing to be left of the machine", lambda: not platform.machine_leftovers(), 60)
