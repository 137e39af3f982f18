"""What a process in a machine's cage can see and do. The attacker (caged.c) takes the monitor's or the link's place:

    test as ward-agent --wardd.sock--> wardd --> ward-jail --> caged     (uid 2,000,000,007, no network, its own few files)
                                                                 |
    test as root reads  <run>/machines/<id>/result  <------------+
"""
import os, pathlib, secrets, shutil, signal, socket, subprocess, time

import pytest

import wardtest
from warddlab import CAGE_START, KVM, LINK, MONITOR, EMULATED, Agent, Tap, Wardd, machine_id

HERE = pathlib.Path(__file__).parent
SLOT = 7
UID = 2_000_000_000 + SLOT
KILLED = signal.SIGSYS


class Cage:
    """One wardd whose ward-vmm and ward-link are the attacker."""

    def __init__(self, tmp):
        libexec = tmp / "libexec"
        shutil.copytree(wardtest.LIBEXEC, libexec)
        subprocess.run(["gcc", "-O1", "-D_GNU_SOURCE", "-Wall", "-Werror", "-o", libexec / "ward-vmm", HERE / "caged.c"], check=True)
        shutil.copy(libexec / "ward-vmm", libexec / "ward-link")
        tmp.chmod(0o755)
        self.wardd = Wardd(libexec=libexec)
        self.tap = Tap()

    def __enter__(self):
        w = self.wardd.__enter__()
        guest = w.lib / "guest/k1"
        guest.mkdir()
        for name in ("vmlinux", "initrd"):
            (guest / name).write_text(name)
        (w.lib / "images" / ("a" * 64 + ".squashfs")).write_text("disk")
        self.agent = w.agent().subscribe()
        return self

    def __exit__(self, *exc):
        self.tap.close()
        self.wardd.__exit__(*exc)

    def machine(self, scratch="scratch"):
        m = machine_id()
        folder = self.wardd.lib / "machines" / m
        folder.mkdir(mode=0o711)
        (folder / "scratch.img").write_text(scratch)
        for p in (folder, folder / "scratch.img"):
            shutil.chown(p, "ward-agent", "ward-agent")
        return m

    def start(self, m, role=MONITOR, **kw):
        if role == MONITOR:
            kw = {"tap": self.tap.fd, "kernel": "k1", "root": "a" * 64, "slot": SLOT, "memory": 64, **kw}
        return self.agent.start(m, role=role, **{"slot": SLOT, **kw})

    def attack(self, name, role=MONITOR):
        """The attack's own words, or the signal that ended it."""
        m = self.machine()
        run = self.wardd.run / "machines" / m
        run.mkdir()
        (run / "attack").write_text(name)
        (run / "attack").chmod(0o644)
        result, pid, why = self.start(m, role)
        assert result == 0, why
        try:
            end = time.monotonic() + 15
            while time.monotonic() < end:
                if (run / "result").exists():
                    return (run / "result").read_text()
                if not pathlib.Path(f"/proc/{pid}").exists():
                    break
                time.sleep(0.01)
            return self.agent.wait_exit(m, role)
        finally:
            assert self.agent.stop(m)[0] == 0


@pytest.fixture(scope="module")
def cage(tmp_path_factory):
    for folder in tmp_path_factory.getbasetemp().parents:
        if str(folder).startswith("/tmp/pytest"):
            folder.chmod(0o755)
    with Cage(tmp_path_factory.mktemp("cage")) as c:
        yield c
        assert c.wardd.stop() == 0
        assert not c.wardd.leftovers()


def test_it_is_nobody(cage):
    for role, fds in ((MONITOR, "0 1 2 3 4 "), (LINK, "0 1 2 3 ")):
        said = cage.attack("identity", role)
        assert said.startswith(f"uid={UID} gid={UID} groups=0 pid=1 caps=0 nnp=1 seccomp=2 core=0 host="), said
        assert said.endswith(f"env=0 fds={fds}"), said


def lines(said):
    return {k: sorted(v.split()) for k, v in (line.split(": ", 1) if ": " in line else (line.rstrip(":"), "") for line in said.split("\n")[:5])}


def test_it_sees_only_its_own(cage):
    said = cage.attack("look", MONITOR)
    seen = lines(said)
    assert seen["/"] == sorted(["boot", "console", "dev", "disk", "etc", "lib", "lib64", "run", "usr"] + [str(cage.wardd.libexec).split("/")[1]]), said
    assert seen["/proc"] == ["ENOENT"]
    assert seen["/boot"] == ["initrd", "vmlinux"] and seen["/disk"] == ["root", "scratch"]
    assert seen["/dev"] == ["full", "null", "random", "urandom", "zero"]
    assert said.endswith("others: 0"), said
    seen = lines(cage.attack("look", LINK))
    assert seen["/boot"] == seen["/disk"] == ["ENOENT"] and "state" in seen["/"]


def test_files_out_of_reach(cage):
    said = dict(line.rsplit(" ", 1) for line in cage.attack("files", MONITOR).splitlines())
    allowed = {"/disk/root r", "/disk/scratch rw", "/run/mine new"}
    assert {k for k, v in said.items() if v == "done"} == allowed, said
    assert said["/etc/shadow r"] == "ENOENT" and said["/lib/../../../../../../etc/shadow r"] == "ENOENT"
    assert said["/disk/root rw"] in ("EROFS", "EACCES") and said["/usr/lib/new new"] in ("EROFS", "EACCES")
    said = dict(line.rsplit(" ", 1) for line in cage.attack("files", LINK).splitlines())
    assert {k for k, v in said.items() if v == "done"} == {"/run/mine new", "/state/mine new"}, said


def test_no_network(cage):
    assert cage.attack("sockets") == "inet=EAFNOSUPPORT packet=EAFNOSUPPORT vsock=EAFNOSUPPORT netlink=EAFNOSUPPORT unix=done"


def test_its_own_code_does_not_run(cage):
    assert cage.attack("exec").startswith("exec EACCES")


@pytest.mark.parametrize("name", ["setuid", "unshare", "mount", "ptrace", "fork", "bpf", "keyctl", "mknod", "userfaultfd", "setns",
                                  "chroot", "chmod-suid", "open-sgid"])
def test_a_forbidden_call_is_the_last(cage, name):
    x = cage.attack(name)
    assert isinstance(x, dict) and x["signal"] == KILLED, x


def test_an_ordinary_open_is_no_attack(cage):
    assert cage.attack("open-plain") == "done"


def test_no_ring_walks_around_the_filter(cage):
    assert cage.attack("io_uring") == "ENOSYS"


def test_threads_are_bounded(cage):
    said = cage.attack("threads")
    assert 1 < int(said.split("=")[1]) < 128, said


def test_memory_is_bounded_and_the_reason_is_told(cage):
    x = cage.attack("memory")
    assert isinstance(x, dict) and x["signal"] == signal.SIGKILL and x["oom"] == 1, x


def test_its_disk_does_not_grow(cage):
    assert cage.attack("grow") == "within=done beyond=EFBIG"


def test_a_terminal_of_wardds_sends_it_no_signals(cage):
    for role in (LINK, MONITOR):
        m = cage.machine()
        result, pid, why = cage.start(m, role)
        assert result == 0, why
        assert os.getsid(pid) == os.getpgid(pid) == pid
        assert cage.agent.stop(m)[0] == 0


def test_questions_that_are_refused(cage):
    m = cage.machine()
    for change, code in (({"slot": 70000}, "slot"), ({"kernel": "../etc"}, "kernel"), ({"kernel": ".."}, "kernel"), ({"root": "A" * 64}, "hex"),
                         ({"root": "a" * 63}, "hex"), ({"engine": KVM}, "engine"), ({"engine": 9}, "engine"), ({"cpus": 0}, "CPUs"),
                         ({"memory": 1}, "MiB"), ({"mac": "02:00:00:00:00:0Z"}, "hex"), ({"tap": None}, "tap"), ({"role": 2}, "role")):
        kw = dict(change)
        role = kw.pop("role", MONITOR)
        result, pid, why = cage.start(m, role, **kw)
        assert result < 0 and pid == 0 and code in why, (change, result, why)
    for bad in ("../../etc/passw", "A" * 14, "", "g" * 14):
        assert cage.start(bad)[0] < 0
    devnull = os.open("/dev/null", os.O_RDWR)
    assert cage.start(m, tap=devnull)[0] < 0
    os.close(devnull)
    assert not cage.agent.list() and not (cage.wardd.run / "machines" / m).exists()


def test_a_step_that_fails_is_named_and_nothing_stays(cage):
    m = cage.machine()
    result, _, why = cage.start(m, root="b" * 64)
    assert result < 0 and why.startswith("cage: root: cannot open") and "b" * 64 in why, why
    folder = cage.wardd.lib / "machines" / m
    (folder / "scratch.img").unlink()
    (folder / "scratch.img").symlink_to("/etc/shadow")
    result, _, why = cage.start(m)
    assert result < 0 and "scratch.img" in why, why
    (folder / "scratch.img").unlink()
    os.link("/etc/hostname", folder / "scratch.img") if os.stat("/etc").st_dev == os.stat(folder).st_dev else (folder / "scratch.img").mkdir()
    before = os.stat("/etc/hostname")
    result, _, why = cage.start(m)
    assert result < 0 and "not what it should be" in why, why
    assert os.stat("/etc/hostname").st_uid == before.st_uid
    assert not cage.agent.list()
    assert not [g for top in cage.wardd.groups() for g in top.iterdir() if g.name == m]


def test_a_uid_is_one_machines_and_a_start_is_idempotent(cage):
    a, b = cage.machine(), cage.machine()
    result, pid, _ = cage.start(a, LINK)
    assert result == 0
    assert cage.start(a, LINK)[:2] == (0, pid)
    result, _, why = cage.start(a, LINK, generation=2)
    assert result < 0 and "generation 1" in why
    result, _, why = cage.start(b, LINK)
    assert result < 0 and "slot 7" in why
    assert cage.start(b, LINK, slot=8)[0] == 0
    assert {k: (v["slot"], v["link"] > 0, v["monitor"]) for k, v in cage.agent.list().items()} == {a: (7, True, 0), b: (8, True, 0)}
    for m in (a, b):
        assert cage.agent.stop(m)[0] == 0
        assert cage.agent.wait_exit(m, LINK)["signal"] == signal.SIGKILL
    assert not cage.agent.list()
    owner = (cage.wardd.lib / "machines" / a / "link").owner()
    assert owner == "ward-agent", "the agent must be able to remove the folder"


def test_only_the_agent_may_ask(cage):
    m = cage.machine()
    a = cage.wardd.agent("ward-api")
    result, _, why = a.start(m, slot=9)
    assert result < 0 and "api may not ask" in why, why
    assert a.stop(m)[0] < 0
    for user in ("ward-edge", "ward-vault", "nobody"):
        stranger = cage.wardd.agent(user)
        with pytest.raises((ConnectionError, OSError)):
            stranger.start(m)
    short = cage.wardd.agent()
    with pytest.raises((ConnectionError, OSError)):
        short.ask(b"\1\0\0\0\1\0\0\0")


def test_folders_of_gone_machines_are_removed(cage):
    m = cage.machine()
    assert cage.start(m, LINK)[0] == 0
    assert cage.agent.stop(m)[0] == 0
    assert (cage.wardd.run / "machines" / m).exists()
    shutil.rmtree(cage.wardd.lib / "machines" / m)
    wardtest.wait_for("the run folder to go", lambda: not (cage.wardd.run / "machines" / m).exists(), 25)
    assert not (cage.wardd.lib / "log" / f"machine-{m}.log").exists()


def test_the_console_is_kept_by_the_next_wardd(cage):
    w, m = cage.wardd, cage.machine()
    run = w.run / "machines" / m
    run.mkdir()
    (run / "attack").write_text("console")
    (run / "attack").chmod(0o644)
    assert cage.start(m)[0] == 0
    wardtest.wait_for("the last words", lambda: (run / "result").exists(), 15)
    assert (run / "result").read_text() == "done"
    w.process.kill()
    w.process.wait()
    w.start()
    cage.agent = w.agent().subscribe()
    assert cage.agent.list()[m]["monitor"] > 0
    assert cage.agent.stop(m)[0] == 0
    assert "---- the guest's console\nKernel panic[2J\n" in w.daemon_log(f"machine-{m}")


def test_the_end_of_the_platform_asks_no_stranger(tmp_path):
    """At the end wardd asks each link to stop its machine. The folder is the machine's own: a link to another's socket is not followed."""
    for folder in (tmp_path, *tmp_path.parents):
        if str(folder).startswith("/tmp/pytest"):
            folder.chmod(0o755)
    with Cage(tmp_path) as c:
        a, b = c.machine(), c.machine()
        assert c.start(a)[0] == 0 and c.start(b, slot=8)[0] == 0
        victim = socket.socket(socket.AF_UNIX)
        victim.bind(str(tmp_path / "victim"))
        victim.listen()
        victim.settimeout(0.5)
        (c.wardd.run / "machines" / a / "link.sock").symlink_to(tmp_path / "victim")
        silent = socket.socket(socket.AF_UNIX)  # the other's own, but nobody answers
        silent.bind(str(c.wardd.run / "machines" / b / "link.sock"))
        silent.listen()
        os.chown(c.wardd.run / "machines" / b / "link.sock", UID + 1, UID + 1)
        began = time.monotonic()
        assert c.wardd.stop() == 0
        assert 11 < time.monotonic() - began < 20, "who does not end is killed after its time"
        assert not c.wardd.leftovers()
        with pytest.raises(TimeoutError):
            victim.accept()
        peer, _ = silent.accept()
        assert peer.recv(1000).startswith(b"POST /v1/stop HTTP/1.1\r\n")
        log = c.wardd.log()
        assert f"machine {a} to stop" in log and "not the machine's own socket" in log and "asked 1 machines" in log
