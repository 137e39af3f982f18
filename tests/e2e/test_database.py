"""Who may reach the database, and who may not.

    organisation A:  [db :5432]  <--6PN, by name--  [web]          answers
    organisation B:                                 [spy]    X     dropped
    the host, the edge, the outside                          X     dropped or no route
"""
import json, subprocess

import pytest

import wardtest
from test_platform import push
from wardtest import wait_for

GUEST = {"cpus": 1, "memory_mb": 256, "cpu_kind": "shared"}


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    image = tmp_path_factory.mktemp("db") / "app.oci.tar"
    subprocess.run([wardtest.ROOT / "scripts/test-image", image, "one"], check=True, stdout=subprocess.DEVNULL)
    with wardtest.Platform() as p:
        digest = push(p, image)
        made = {}
        for name, org in (("db", "clinic"), ("web", "clinic"), ("spy", "other")):
            p.api("POST", "/v1/apps", {"app_name": name, "org_slug": org}, want=201)
            made[name] = p.api("POST", f"/v1/apps/{name}/machines", {"config": {"image": digest, "guest": GUEST, "env": {"PORT": "5432" if name == "db" else "8080"}}}, want=200)
        for name, m in made.items():
            p.api("GET", f"/v1/apps/{name}/machines/{m['id']}/wait?state=started&timeout=60", want=200)
            made[name] = p.api("GET", f"/v1/apps/{name}/machines/{m['id']}", want=200)
        yield p, made
        for name in made:
            p.api("DELETE", f"/v1/apps/{name}", want=202)
        p.wait_clean()


def dial(p, made, who, address, port=5432):
    """What the small app's `dial` says from inside machine `who`: "connected", "refused" or "timeout"."""
    r = p.api("POST", f"/v1/apps/{who}/machines/{made[who]['id']}/exec", {"command": ["/app", "dial", address, str(port)], "timeout": 10}, want=200)
    return r["stdout"].strip()


def test_the_app_reaches_it_by_name(three):
    p, made = three
    wait_for("the name", lambda: dial(p, made, "web", "db.internal") == "connected", 20)
    assert dial(p, made, "web", made["db"]["private_ip"]) == "connected"
    assert dial(p, made, "web", f"{made['db']['id']}.vm.db.internal") == "connected"


def test_another_organisation_does_not(three):
    p, made = three
    assert dial(p, made, "spy", made["db"]["private_ip"]) == "timeout"
    assert dial(p, made, "spy", "db.internal") == "no such name"


def test_nor_by_the_private_ipv4_that_the_edge_uses(three):
    p, made = three
    addresses = [l.split()[0].split("/")[0] for l in p.inside("ip", "-4", "route").stdout.splitlines() if l.startswith("172.19.")]
    assert len(addresses) >= 3, addresses
    for who in ("web", "spy"):
        for a in set(addresses) - set(own(p, made, who)):
            assert dial(p, made, who, a) != "connected", (who, a)


def own(p, made, who):
    r = p.api("POST", f"/v1/apps/{who}/machines/{made[who]['id']}/exec", {"command": ["/app", "addresses"]}, want=200)
    return r["stdout"].split()


def test_the_host_and_the_outside_have_no_way_in(three):
    p, made = three
    db = made["db"]["private_ip"]
    # from the host's own namespace there is no route to any machine
    r = subprocess.run(["ip", "-6", "route", "get", db], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert r.returncode != 0 or p.instance not in r.stdout, r.stdout
    # and the edge has no route by that name: the app declared no service
    status, _, headers = p.https("db", "/")
    assert status in (404, 421, 503) and headers["ward-error"]


def test_a_machine_reaches_none_of_the_hosts_services(three):
    import socket
    p, made = three
    with socket.socket() as s:
        s.bind(("0.0.0.0", 0))
        s.listen()
        port = s.getsockname()[1]
        addresses = [a for a in subprocess.run(["hostname", "-I"], stdout=subprocess.PIPE, text=True).stdout.split() if ":" not in a]
        uplink = [l.split()[3].split("/")[0] for l in subprocess.run(["ip", "-o", "-4", "addr"], stdout=subprocess.PIPE, text=True).stdout.splitlines()]
        for a in {*addresses, *uplink, "172.19.0.1"} - {"127.0.0.1"}:
            assert dial(p, made, "spy", a, port) != "connected", a
