"""A deploy from a registry, on the whole platform: Debian's docker-registry on loopback, over plain HTTP because the platform's
file names it.

    skopeo --push--> docker-registry 127.0.0.1:PORT <--pull-- ward-image-fetch (in the host's network) <- agent <- control <- api <- ward deploy
"""
import json, os, subprocess, urllib.request

import pytest

import wardtest
from test_platform import APP_TOML, images
from wardtest import wait_for


@pytest.fixture
def registry(platform, tmp_path):
    config = tmp_path / "registry.yml"
    config.write_text(f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/registry}}}}\n"
                      f"http: {{addr: {platform.registry}}}\n")
    p = subprocess.Popen(["docker-registry", "serve", config], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                         env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"})
    try:
        wait_for("the registry", lambda: urllib.request.urlopen(f"http://{platform.registry}/v2/", timeout=5).status == 200, 20)
        yield platform.registry
    finally:
        p.kill()
        p.wait()


def test_deploy_by_reference_and_by_digest(platform, registry, images, tmp_path):
    digests = {}
    for v in ("one", "two"):
        subprocess.run(["skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", f"--digestfile={tmp_path}/{v}", f"oci-archive:{images[v]}",
                        f"docker://{registry}/team/app:{v}"], check=True, env={**os.environ, "TMPDIR": str(tmp_path)})
        digests[v] = (tmp_path / v).read_text().strip()
    config = tmp_path / "fly.toml"
    config.write_text(APP_TOML.format(app="pulled", version="1", env="", wait="120s"))
    try:
        platform.ward("deploy", "--config", config, "--image", f"{registry}/team/app:one")
        assert b"one" in platform.https("pulled", "/")[1]
        platform.ward("deploy", "--config", config, "--image", f"{registry}/team/app@{digests['two']}")
        assert b"two" in platform.https("pulled", "/")[1]
        [m] = [m for m in platform.machines("pulled") if m["state"] == "started"]
        assert m["image_ref"]["digest"] == digests["two"], m["image_ref"]

        # a tag that is not there: the deploy says so, and the old version serves on
        p = platform.ward("deploy", "--config", config, "--image", f"{registry}/team/app:three", ok=False)
        assert p.returncode != 0 and "team/app" in p.stderr and "next:" in p.stderr, p.stderr
        assert b"two" in platform.https("pulled", "/")[1]
    finally:
        platform.ward("apps", "destroy", "pulled", "--yes")
    platform.wait_clean()
