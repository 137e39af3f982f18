"""docs/openapi.json against the Machines API that clients know: the names, the types and the places of fields. What a known client
reads must be there under its own name; what is ours beside it is listed here, so that nothing slips in unseen."""
import json

import pytest

import wardtest

CONTRACT = json.loads((wardtest.ROOT / "docs/openapi.json").read_text())
SCHEMAS = CONTRACT["components"]["schemas"]

# schema: (fields of the Machines API, fields of ours beside them, fields that this version does not have)
FIELDS = {
    "Machine": ("checks config created_at events host_status id image_ref instance_id name nonce private_ip region state updated_at cordoned",
                "reason restarts version", "incomplete_config"),
    "ImageRef": ("registry repository tag digest labels", "", ""),
    "CheckStatus": ("name status output updated_at", "", ""),
    "Event": ("id type status source timestamp request", "", ""),
    "ExitEvent": ("exit_code guest_exit_code guest_signal oom_killed requested_stop restarting signal exited_at", "", ""),
    "Exec": ("cmd command container machine stdin timeout", "", ""),
    "ExecResult": ("exit_code exit_signal stdout stderr", "", ""),
    "LeaseCreate": ("description ttl", "", ""),
    "MachineCreate": ("config lease_ttl name region skip_launch", "", "lsvd min_secrets_version skip_secrets skip_service_registration"),
    "MachineUpdate": ("config current_version lease_ttl name region skip_launch", "", "lsvd min_secrets_version skip_secrets skip_service_registration"),
    "MachineStarted": ("previous_state migrated new_host", "", ""),
    "MachineVersion": ("version user_config", "", ""),
    "MetadataUpdate": ("metadata machine_version updated_at", "", ""),
    "Process": ("pid stime rtime command directory cpu rss listen_sockets", "", ""),
    "Stop": ("signal timeout", "", ""),
    "Signal": ("signal", "", ""),
    "Waited": ("ok state event_id version", "", ""),
    "App": ("id name internal_numeric_id network status machine_count volume_count organization", "created_at", ""),
    "MachineConfigClosed": ("auto_destroy checks containers dns env files guest image init metadata metrics mounts processes restart rootfs "
                            "schedule services size standbys statics stop_config disable_machine_autostart cache_drive spot volumes", "", ""),
}
# the data in an envelope {"status","data"}
ENVELOPES = {"Lease": "nonce expires_at owner description version", "LeaseReleased": "ok"}

OPERATIONS = """
GET /v1/apps 200|POST /v1/apps 201|GET /v1/apps/{app} 200|DELETE /v1/apps/{app} 202
GET /v1/apps/{app}/machines 200|POST /v1/apps/{app}/machines 200
GET {m} 200|POST {m} 200|DELETE {m} 200
POST {m}/start 200|POST {m}/stop 200|POST {m}/restart 200|POST {m}/signal 200|POST {m}/cordon 200|POST {m}/uncordon 200
GET {m}/wait 200 408|POST {m}/exec 200|GET {m}/events 200|GET {m}/versions 200|GET {m}/ps 200
GET {m}/lease 200 404|POST {m}/lease 201 409|DELETE {m}/lease 200 409
GET {m}/metadata 200|PUT {m}/metadata 412|PATCH {m}/metadata 412|GET {m}/metadata/{key} 200|POST {m}/metadata/{key} 204|DELETE {m}/metadata/{key} 204
""".replace("{m}", "/v1/apps/{app}/machines/{machine}").replace("\n", "|")


def resolved(schema):
    return SCHEMAS[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema


@pytest.mark.parametrize("name", FIELDS)
def test_fields_have_the_names_that_clients_know(name):
    known, ours, absent = (set(f.split()) for f in FIELDS[name])
    got = set(SCHEMAS[name]["properties"])
    assert got == known | ours, f"{name}: missing {sorted((known | ours) - got)}, not named in this test {sorted(got - known - ours)}"
    assert not absent & got, f"{name}: {sorted(absent & got)} is there now: move it to the known fields"


@pytest.mark.parametrize("name", ENVELOPES)
def test_leases_come_in_an_envelope(name):
    s = SCHEMAS[name]["properties"]
    data = resolved(s["data"])["properties"]
    assert s["status"]["enum"] == ["success"] and set(data) == set(ENVELOPES[name].split())
    if name == "Lease":
        assert data["expires_at"]["type"] == "integer", "seconds"


def test_a_held_lease_is_told_as_clients_expect():
    s = SCHEMAS["LeaseError"]["properties"]
    assert s["status"]["enum"] == ["error"] and {"message", "code"} <= set(s)


def test_states_and_times():
    known = ("created creating starting started stopping stopped restarting suspending suspended updating replacing replaced failed "
             "destroying destroyed launch_failed")
    assert set(SCHEMAS["MachineState"]["enum"]) <= set(known.split())
    assert SCHEMAS["Event"]["properties"]["timestamp"]["type"] == "integer", "milliseconds"
    assert set(SCHEMAS["Event"]["properties"]["source"]["enum"]) == {"user", "flyd"}
    assert "exit_event" in SCHEMAS["Event"]["properties"]["request"]["properties"]
    listen = SCHEMAS["Process"]["properties"]["listen_sockets"]["items"]
    assert set(resolved(listen)["properties"]) == {"proto", "address"}


@pytest.mark.parametrize("line", [o.strip() for o in OPERATIONS.split("|") if o.strip()])
def test_operations_and_their_statuses(line):
    method, path, *statuses = line.split()
    responses = CONTRACT["paths"][path][method.lower()]["responses"]
    assert set(statuses) <= set(responses), sorted(responses)


def test_the_leases_nonce_may_come_with_every_change():
    for path, item in CONTRACT["paths"].items():
        for method, op in item.items():
            if "/machines/{machine}" in path and method in ("post", "put", "patch", "delete") and not path.endswith(("/exec", "/exec-stream")):
                names = [p.get("name", p.get("$ref", "").rsplit("/", 1)[-1]) for p in op.get("parameters", []) + item.get("parameters", [])]
                assert any("nonce" in n.lower() for n in names), f"{method} {path}: {names}"


def test_waiting_knows_the_names_of_its_questions():
    names = [p.get("name") for p in CONTRACT["paths"]["/v1/apps/{app}/machines/{machine}/wait"]["get"]["parameters"]]
    assert {"state", "instance_id", "version", "from_event_id", "timeout"} <= set(names), names
