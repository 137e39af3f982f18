"""What `meson install` puts beside the programs: the service, the users' helper, the example of the platform's file."""
import json, os, re, shutil, subprocess

import pytest

import wardtest

SYSTEM = wardtest.STAGE / "usr"
UNIT = SYSTEM / "lib/systemd/system/ward.service"
EXAMPLE = SYSTEM / "share/doc/ward/ward.toml"


def test_the_service_is_valid(tmp_path):
    unit = tmp_path / "ward.service"
    unit.write_text(UNIT.read_text().replace("/usr/libexec/ward", str(wardtest.LIBEXEC)))
    p = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert p.returncode == 0 and "ward.service" not in p.stdout, p.stdout


def test_the_service_starts_what_is_installed():
    text = UNIT.read_text()
    assert "@" not in text
    for program in re.findall(r"^Exec\w+=(\S+)", text, re.M):
        assert program.startswith("/usr/libexec/ward/") and os.access(wardtest.STAGE / program[1:], os.X_OK), program


def test_users_may_be_made_again():
    for _ in range(2):
        subprocess.run([wardtest.LIBEXEC / "ward-users"], check=True, timeout=60)


@pytest.mark.parametrize("uncomment", [False, True])
def test_the_example_is_a_valid_file(tmp_path, uncomment):
    """As it is, and with every key that it shows in a comment."""
    text = EXAMPLE.read_text()
    shown = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.M)
    assert len(re.findall(r"^\w+ = ", shown, re.M)) > 10
    etc = tmp_path / "etc/ward"
    etc.mkdir(parents=True)
    (etc / "ward.toml").write_text(shown if uncomment else text)
    p = subprocess.run([wardtest.LIBEXEC / "ward-doctor", "--root", tmp_path, "--json"], stdout=subprocess.PIPE, text=True, timeout=60)
    check = next(c for c in map(json.loads, p.stdout.splitlines()) if c["name"] == "platform-file")
    assert check["status"] == "ok" and "host" in check["found"], check
