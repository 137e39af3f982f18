"""wardd with stand-ins for the daemons (idle_daemon.c): what each is started with, restarts, adoption, the end.

    wardd --only vault,net --libexec <copies of idle_daemon>
      |- ward-vault   vault.sock, an empty network of its own
      |- ward-net     net.sock, the machines' namespace, three capabilities
      '- ward-jail -> ward-link, in a cage
"""
import json, os, pathlib, pwd, random, resource, shutil, signal, socket, subprocess, threading, time

import pytest

import wardtest
from warddlab import LINK, Wardd, machine_id

HERE = pathlib.Path(__file__).parent
DAEMONS = ("control", "api", "net", "edge", "vault")


@pytest.fixture(scope="module")
def libexec(tmp_path_factory):
    d = tmp_path_factory.mktemp("libexec")
    for folder in (d, *d.parents):
        if str(folder).startswith("/tmp/pytest"):
            folder.chmod(0o755)
    subprocess.run(["gcc", "-O1", "-D_GNU_SOURCE", "-Wall", "-Werror", "-o", d / "ward-control", HERE / "idle_daemon.c"], check=True)
    for name in DAEMONS:
        if name != "control":
            shutil.copy(d / "ward-control", d / f"ward-{name}")
    shutil.copy(d / "ward-control", d / "ward-link")
    shutil.copy(wardtest.LIBEXEC / "ward-jail", d)
    shutil.copy(wardtest.LIBEXEC / "ward-uplink", d)
    return d


class Lab(Wardd):
    def started(self, name):
        try:
            return [json.loads(x) for x in (self.lib / name / "started").read_text().splitlines()]
        except FileNotFoundError:
            return []

    def behave(self, name, how):
        self.lib.mkdir(parents=True, exist_ok=True)
        (self.lib / name).mkdir(exist_ok=True)
        (self.lib / name / "behave").write_text(how)

    def up(self, name, count=1):
        return wardtest.wait_for(f"{name} to be up", lambda: len(self.started(name)) >= count and self.started(name)[-1], 15)

    def answers(self, name, kind=socket.SOCK_STREAM):
        s = socket.socket(socket.AF_UNIX, kind)
        s.settimeout(10)
        s.connect(str(self.run / f"{name}.sock"))
        with s:
            return s.recv(1) == b"!"


@pytest.fixture
def lab(libexec):
    def make(only, toml="", **behaviour):
        w = Lab(only=only, libexec=libexec, toml=toml)
        for name, how in behaviour.items():
            w.behave(name, how)
        labs.append(w)
        return w.__enter__()
    labs = []
    yield make
    for w in labs:
        w.__exit__()


def same_namespace(inode, path):
    return os.stat(path).st_ino == inode


def living(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


# store passwords come from the vault, which is not here: daemons that need one are not used in these tests
def test_each_daemon_gets_what_its_row_says(lab):
    w = lab("vault,net")
    vault, net = w.up("vault"), w.up("net")
    for name, it in (("vault", vault), ("net", net)):
        pw = pwd.getpwnam(f"ward-{name}")
        assert it["uid"] == pw.pw_uid and it["nnp"] == 1 and it["host_files"] == 0 and it["umask_ok"] and it["writable"] == [0, 0, 0], it
        assert it["user_ns"] == it["keyctl"] == 0, "what no part of Ward does is refused to all that wardd starts"
    assert vault["caps"] == vault["bounding"] == 0 and vault["fds"] == 4 and vault["names"] == "vault" and vault["groups"] == 0
    assert net["caps"] == net["bounding"] == (1 << 12 | 1 << 13 | 1 << 39) and net["names"] == "net", net
    assert same_namespace(net["net"], w.run / "netns")
    assert not same_namespace(vault["net"], w.run / "netns") and not same_namespace(vault["net"], "/proc/self/ns/net")
    assert "a line on the log" in w.daemon_log("vault")
    assert w.answers("vault", socket.SOCK_SEQPACKET)
    mode = (w.run / "vault.sock").stat()
    assert mode.st_mode & 0o777 == 0o660 and mode.st_gid == pwd.getpwnam("ward-vault").pw_gid
    assert w.stop() == 0 and not w.leftovers()


def test_a_restart_keeps_the_socket_and_its_callers(lab):
    w = lab("vault")
    pid = w.up("vault")["pid"]
    os.kill(pid, signal.SIGSTOP)
    waiting = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    waiting.settimeout(10)
    waiting.connect(str(w.run / "vault.sock"))
    os.kill(pid, signal.SIGKILL)
    assert waiting.recv(1) == b"!", "who connected before the crash is answered by the next"
    waiting.close()
    assert w.up("vault", 2)["pid"] != pid


def test_backoff_doubles(lab):
    w = lab("vault", vault="fail")
    wardtest.wait_for("six starts", lambda: len(w.started("vault")) >= 6, 20)
    at = [line.split()[0] for line in w.log().splitlines() if "started vault" in line]
    times = [float(x[17:-1]) + 60 * int(x[14:16]) for x in at[:6]]
    gaps = [b - a for a, b in zip(times, times[1:])]
    for gap, want in zip(gaps, (0.1, 0.2, 0.4, 0.8, 1.6)):
        assert want * 0.95 <= gap < want * 1.6 + 0.3, gaps
    assert "vault" in w.log() and "ended with code 3" in w.log()
    status = w.agent("ward-api").status()
    assert status["vault"]["restarts"] >= 5


def test_status_is_for_root_and_api(lab):
    w = lab("vault,net")
    pid = w.up("vault")["pid"]
    for user in ("root", "ward-api"):
        s = w.agent(user).status()
        assert s["vault"]["pid"] == pid and s["vault"]["restarts"] == 0 and set(s) == {"vault", "net"}
    with pytest.raises(Exception):
        w.agent("ward-edge").status()


def test_daemons_and_cages_survive_wardd_and_are_adopted(lab):
    w = lab("vault,net")
    before = {n: w.up(n)["pid"] for n in ("vault", "net")}
    m = machine_id()
    folder = w.lib / "machines" / m
    folder.mkdir(mode=0o711)
    shutil.chown(folder, "ward-agent", "ward-agent")
    result, link, why = w.agent().start(m, role=LINK, generation=3, slot=5)
    assert result == 0, why
    namespace = os.stat(w.run / "netns").st_ino

    w.process.kill()
    w.process.wait()
    assert all(living(p) for p in (*before.values(), link))
    assert w.answers("vault", socket.SOCK_SEQPACKET), "daemons answer while there is no wardd"
    w.start()

    status = w.agent("root").status()
    assert {n: s["pid"] for n, s in status.items()} == before and all(s["restarts"] == 0 for s in status.values())
    agent = w.agent().subscribe()
    assert agent.list() == {m: {"generation": 3, "slot": 5, "link": link, "monitor": 0}}
    assert os.stat(w.run / "netns").st_ino == namespace
    assert len(w.started("vault")) == 1

    # an adopted daemon that dies is restarted, on the same socket: its callers lose nothing
    os.kill(before["vault"], signal.SIGSTOP)
    waiting = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    waiting.settimeout(10)
    waiting.connect(str(w.run / "vault.sock"))
    os.kill(before["vault"], signal.SIGKILL)
    assert waiting.recv(1) == b"!"
    waiting.close()
    # an adopted cage's end is told, though its code cannot be known
    os.kill(link, signal.SIGKILL)
    x = agent.wait_exit(m, LINK)
    assert x["generation"] == 3 and x["code"] == -1
    assert agent.list() == {}
    assert w.stop() == 0 and not w.leftovers()


def test_etcd_comes_back_over_its_own_old_sockets(lab):
    w = lab("etcd")

    def healthy():
        c = wardtest.UnixConnection(w.run / "etcd.sock", 5)
        c.request("GET", "/health")
        return json.loads(c.getresponse().read())["health"] == "true"

    wardtest.wait_for("etcd", healthy, 20)
    pid = w.agent("root").status()["etcd"]["pid"]
    os.kill(pid, signal.SIGKILL)
    wardtest.wait_for("etcd again", healthy, 20)
    assert w.agent("root").status()["etcd"]["pid"] not in (0, pid)


def test_what_died_meanwhile_is_started_anew(lab):
    w = lab("vault")
    pid = w.up("vault")["pid"]
    w.process.kill()
    w.process.wait()
    os.kill(pid, signal.SIGKILL)
    w.start()
    assert w.up("vault", 2)["pid"] != pid and "adopted" not in w.log()


def test_what_a_dead_daemon_left_holds_no_port(libexec, tmp_path):
    """The edge's supervisor dies while there is no wardd; its worker lives on with the listener."""
    for folder in (tmp_path, *tmp_path.parents):
        if str(folder).startswith("/tmp/pytest"):
            folder.chmod(0o755)
    own = shutil.copytree(libexec, tmp_path / "libexec")
    shutil.copy(wardtest.LIBEXEC / "ward-vault", own)  # the real one: the edge needs a store password
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    w = Lab(only="vault,edge", libexec=own, toml=f'[edge]\nhttps = ["127.0.0.1:{port}"]\nhttp = []\n')
    w.behave("edge", "child")
    with w:
        pid = w.up("edge")["pid"]
        worker = wardtest.wait_for("its worker", lambda: pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split(), 10)[0]
        w.process.kill()
        w.process.wait()
        os.kill(pid, signal.SIGKILL)
        assert living(int(worker))
        w.start()
        assert w.up("edge", 2)["pid"] != pid and not living(int(worker))


def test_one_daemons_connections_shut_nobody_out(lab):
    w = lab("vault")
    many = [w.agent("ward-api") for _ in range(12)]
    assert many[0].status()["vault"]
    with pytest.raises((ConnectionError, OSError)):
        many[11].status()
    assert w.agent().list() == {}
    for a in many[:5]:
        a.close()
        w.agents.remove(a)
    wardtest.wait_for("room again", lambda: w.agent("ward-api").status(), 5)


def test_a_record_of_another_process_is_not_believed(lab):
    w = lab("vault")
    pid = w.up("vault")["pid"]
    w.process.kill()
    w.process.wait()
    os.kill(pid, signal.SIGKILL)
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        record = json.loads((w.run / "wardd/units/vault").read_text())
        ticks = int(pathlib.Path(f"/proc/{stranger.pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
        (w.run / "wardd/units/vault").write_text(json.dumps({**record, "pid": stranger.pid, "start": ticks}))
        w.start()
        assert w.up("vault", 2)["pid"] != stranger.pid
        assert w.stop() == 0 and living(stranger.pid), "wardd must not touch what it did not start"
    finally:
        stranger.kill()
        stranger.wait()


def test_one_wardd_for_each_instance(lab, libexec):
    w = lab("vault")
    w.up("vault")
    second = subprocess.run([wardtest.LIBEXEC / "wardd", "--root", str(w.root), "--instance", w.instance, "--only", "vault", "--libexec", libexec],
                            stderr=subprocess.PIPE, text=True, timeout=20)
    assert second.returncode == 1 and "another wardd" in second.stderr and "conflict" in second.stderr
    assert w.answers("vault", socket.SOCK_SEQPACKET)


def test_a_service_manager_is_told(lab, tmp_path, monkeypatch):
    """What systemd's Type=notify relies on: READY=1 once all is made, STOPPING=1, and a clean exit after SIGTERM."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(tmp_path / "notify"))
        told.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        w = lab("vault")
        assert told.recv(1000) == b"READY=1"
        assert (w.run / "vault.sock").exists(), "ready means that callers can connect"
        w.up("vault")
        for pid in w.pids():
            assert b"NOTIFY_SOCKET" not in pathlib.Path(f"/proc/{pid}/environ").read_bytes(), "for wardd alone"
        assert w.stop() == 0
        assert told.recv(1000) == b"STOPPING=1"


def test_the_end_leaves_nothing_even_of_the_stubborn(lab):
    w = lab("vault,net", vault="stubborn", net="child")
    w.up("vault"), w.up("net")
    pids = w.pids()
    assert len(pids) >= 3, "two daemons and the child of one"
    began = time.monotonic()
    assert w.stop() == 0
    assert 9 < time.monotonic() - began < 25, "the stubborn one has ten seconds"
    assert not w.leftovers() and not any(living(p) for p in pids)
    assert w.log().index("stopping net") < w.log().index("does not stop: killed")


def test_the_end_says_when_something_is_left(lab):
    """A tree deeper than wardd follows (a machine may make one in its own folder)."""
    w = lab("vault")
    w.up("vault")
    deep = os.open(w.run / "machines", os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=deep)
        below = os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below
    os.close(deep)
    assert w.stop() == 1 and "stopped, but something is left" in w.log() and "machines" in w.log()
    assert not (w.run / "vault.sock").exists() and not w.pids(), "all else is gone"


def test_wardd_may_open_enough_files(lab):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
    try:
        w = lab("vault")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    soft = pathlib.Path(f"/proc/{w.process.pid}/limits").read_text().split("Max open files")[1].split()[0]
    assert int(soft) == min(before[1], 65536)


def test_a_missing_program_is_named(lab, libexec, tmp_path):
    w = Lab(only="vault,telemetry", libexec=libexec)
    with pytest.raises(RuntimeError) as e:
        w.__enter__()
    assert f"{libexec}/ward-telemetry" in str(e.value) and "next:" in str(e.value)


def test_a_taken_port_is_named(lab, libexec):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        w = Lab(only="edge", libexec=libexec, toml=f'[edge]\nhttps = ["127.0.0.1:{port}"]\nhttp = []\n')
        with pytest.raises(RuntimeError) as e:
            w.__enter__()
    assert f"127.0.0.1 port {port}" in str(e.value) and "port-taken" in str(e.value)


def test_a_typo_in_the_platform_file_is_named(lab, libexec):
    w = Lab(only="vault", libexec=libexec, toml='[edge]\nhtps = []\n')
    with pytest.raises(RuntimeError) as e:
        w.__enter__()
    assert "htps" in str(e.value) and "ward.toml" in str(e.value) and "line" in str(e.value)


def test_doctor_answers_in_lines_of_json(lab):
    w = lab("vault")
    w.up("vault")
    p = subprocess.run([wardtest.LIBEXEC / "ward-doctor", "--root", str(w.root), "--instance", w.instance, "--json"], stdout=subprocess.PIPE,
                       text=True, timeout=60)
    checks = {c["name"]: c for c in map(json.loads, p.stdout.splitlines())}
    assert all(set(c) == {"name", "status", "required", "found", "next"} and c["status"] in ("ok", "warn", "fail", "absent") for c in checks.values())
    assert {"kvm", "cgroup", "tun", "wireguard", "bpf", "swap", "disk", "users", "programs", "landlock", "clock"} <= set(checks)
    assert all(c["next"] for c in checks.values() if c["status"] == "fail")
    assert checks["daemons"]["status"] == "ok" and "all 1 run" in checks["daemons"]["found"]
    assert checks["engine"]["status"] == "warn" and "NOT an isolation boundary" in checks["engine"]["found"]
    assert "NOT MET" in checks["encryption-at-rest"]["found"]
    assert ("instructions" in checks["kvm"]["found"]) == os.path.exists("/dev/kvm"), "measured where it can be"
    assert p.returncode == any(c["required"] and c["status"] == "fail" for c in checks.values())


def test_logs_are_bounded(lab):
    w = lab("vault")
    w.up("vault")
    log = w.lib / "log/vault.log"
    with open(log, "ab") as f:
        f.write(b"x" * (9 << 20) + b"\nthe end\n")
    wardtest.wait_for("the log to move", lambda: log.stat().st_size < 1 << 20 and (w.lib / "log/vault.log.1").exists(), 10)
    assert (w.lib / "log/vault.log.1").read_bytes().endswith(b"the end\n")
    assert (w.lib / "log/vault.log.1").stat().st_size <= 8 << 20


def test_killed_in_the_middle_of_starting_cages(lab):
    """Cut anywhere, the next wardd either knows a process by its record or ends it: nothing runs that nobody answers for."""
    seed = int(os.environ.get("WARD_SEED", time.time_ns() % 1_000_000))
    print("WARD_SEED", seed)
    rng = random.Random(seed)
    w = lab("vault")
    for round_ in range(6):
        machines = [machine_id() for _ in range(6)]
        for m in machines:
            folder = w.lib / "machines" / m
            folder.mkdir(mode=0o711)
            shutil.chown(folder, "ward-agent", "ward-agent")
        agent = w.agent()

        def start_all():
            try:
                for slot, m in enumerate(machines):
                    agent.start(m, role=LINK, slot=slot, generation=round_)
            except (ConnectionError, OSError):
                pass  # wardd is dead: the point of it

        t = threading.Thread(target=start_all)
        t.start()
        time.sleep(rng.uniform(0, 0.15))
        w.process.kill()
        w.process.wait()
        t.join(30)
        w.start()
        agent = w.agent().subscribe()
        known = agent.list()
        caged = {p for p in w.pids() if pathlib.Path(f"/proc/{p}/status").read_text().split("Uid:")[1].split()[0].startswith("20000000")}
        assert caged == {c["link"] for c in known.values()}, f"seed {seed}, round {round_}"
        for slot, m in enumerate(machines):  # and each can be started, or is told to run already
            result, pid, why = agent.start(m, role=LINK, slot=slot, generation=round_)
            assert result == 0 and living(pid), f"seed {seed}: {why}"
        for m in machines:
            assert agent.stop(m)[0] == 0
        assert agent.list() == {}
        agent.close()
        w.agents.remove(agent)
    assert w.stop() == 0 and not w.leftovers()
