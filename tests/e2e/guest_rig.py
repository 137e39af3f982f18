"""Boots one guest with QEMU directly and drives ward-link over its socket: what test_guest.py needs, and nothing of the platform."""
import base64
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import time

import wardtest

BUILD = os.environ.get("WARD_BUILD")  # a meson folder, to test what was just compiled; else what is staged
OUT = pathlib.Path(os.environ.get("WARD_GUEST", wardtest.GUEST))
APPLETS = ("sh echo cat sleep id true false ls seq yes stty ps mount df tail head kill hostname ip nc wc touch printenv pwd "
           "readlink dd mkdir chmod rm test tty date env sync tr sed printf").split()


def program(name):
    return pathlib.Path(BUILD) / "src" / {"ward-init": "guest", "ward-link": "link"}[name] / name if BUILD else wardtest.LIBEXEC / name


def kernel():
    """The folder with vmlinux and initrd, made or renewed by scripts/guest."""
    subprocess.run([wardtest.ROOT / "scripts/guest", OUT, program("ward-init")], check=True)
    return OUT / "current"


def image(folder):
    """A small root: busybox, two users, nothing else."""
    root = folder / "root"
    for d in ("bin", "etc", "tmp", "srv", "proc", "sys", "dev", "root"):
        (root / d).mkdir(parents=True, exist_ok=True)
    shutil.copy("/bin/busybox", root / "bin" / "busybox")
    for a in APPLETS:
        (root / "bin" / a).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/srv:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\napp:x:1000:\nextra:x:2000:app\nwheel:x:10:\n")
    (root / "etc/resolv.conf").symlink_to("../run/nowhere/resolv.conf")
    out = folder / "root.squashfs"
    subprocess.run(["gensquashfs", "-q", "-f", "-D", root, "-c", "zstd", out], check=True, stdout=subprocess.DEVNULL)
    return out


class UnixHTTP(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("link", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Rig:
    """One machine: its run and state folders, a ward-link, and QEMU when asked. Everything ends in close()."""

    def __init__(self, root=None, kernel_dir=None, memory=256):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ward-guest-", dir="/tmp"))
        self.run, self.state = self.dir / "run", self.dir / "state"
        self.run.mkdir()
        self.state.mkdir()
        self.token = os.urandom(32)
        self.root, self.kernel_dir, self.memory = root, kernel_dir, memory
        self.link = self.qemu = None
        self.generation = 0
        try:
            self.start_link()
        except BaseException:
            self.close()
            raise

    # ---- processes
    def start_link(self):
        spec = struct.pack("<6I16s18s2s32sI", 1, 0, 1, 1, self.memory, 1, b"0123456789abcd", b"02:00:00:00:00:01", b"", self.token, 0)
        fd = os.memfd_create("spec")
        os.write(fd, spec)
        os.lseek(fd, 0, 0)

        def place():
            os.dup2(fd, 3)
            os.set_inheritable(3, True)
        log = open(self.dir / "link.log", "a")
        self.link = subprocess.Popen([program("ward-link"), "--run", self.run, "--state", self.state], stderr=log,
                                     stdin=subprocess.DEVNULL, stdout=log, preexec_fn=place, close_fds=False)
        os.close(fd)
        log.close()
        self.wait_for(lambda: self.answers(), 5, "ward-link does not answer")

    def answers(self):
        try:
            return self.get("/v1/state")["phase"]
        except OSError:
            assert self.link.poll() is None, (self.dir / "link.log").read_text()
            return False

    def kill_link(self, sig=9):
        self.link.send_signal(sig)
        self.link.wait(10)

    def start_vm(self, network=False):
        for s in ("guest.sock", "log.sock"):
            (self.run / s).unlink(missing_ok=True)
        scratch = self.dir / "scratch.img"
        scratch.unlink(missing_ok=True)
        with open(scratch, "wb") as f:
            f.truncate(8 << 30)
        args = ["qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-cpu", "max", "-m", str(self.memory), "-smp", "1", "-nodefaults",
                "-no-user-config", "-display", "none", "-no-reboot", "-kernel", self.kernel_dir / "vmlinux", "-initrd",
                self.kernel_dir / "initrd", "-append",
                "console=ttyS0 quiet loglevel=4 panic=-1 reboot=t acpi=off noapictimer tsc=reliable cryptomgr.notests "
                "ward.token=" + self.token.hex(),
                "-serial", f"file:{self.dir}/console",
                "-drive", f"file={self.root},if=none,id=root,format=raw,readonly=on", "-device", "virtio-blk-pci,drive=root",
                "-drive", f"file={scratch},if=none,id=scratch,format=raw", "-device", "virtio-blk-pci,drive=scratch",
                "-device", "virtio-rng-pci"]
        for n, name in (("guest", "ward.control"), ("log", "ward.log")):
            args += ["-chardev", f"socket,id={n},path={self.run}/{n}.sock,server=on,wait=off",
                     "-device", f"virtio-serial-pci,id=serial-{n},max_ports=2",
                     "-device", f"virtserialport,bus=serial-{n}.0,nr=1,chardev={n},name={name}"]
        if network:
            args += ["-netdev", "hubport,id=net,hubid=0", "-device", "virtio-net-pci,netdev=net,mac=02:00:00:00:00:01"]
        self.qemu = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def close(self):
        for p in (self.qemu, self.link):
            if p and p.poll() is None:
                p.kill()
                p.wait()
            if p and p.stderr:
                p.stderr.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- calls
    def ask(self, method, path, body=None, timeout=70):
        c = UnixHTTP(self.run / "link.sock", timeout)
        try:
            c.request(method, path, None if body is None else json.dumps(body))
            r = c.getresponse()
            data = r.read()
            return r.status, data
        finally:
            c.close()

    def get(self, path, timeout=70):
        status, data = self.ask("GET", path, timeout=timeout)
        assert status == 200, (status, data)
        return json.loads(data)

    def send(self, method, path, body, expect=(200, 204)):
        status, data = self.ask(method, path, body)
        assert status in expect, (status, data)
        return json.loads(data) if data else None

    def exec(self, *cmd, expect=200, **more):
        status, data = self.ask("POST", "/v1/exec", {"cmd": list(cmd), **more})
        assert status == expect, (status, data)
        return json.loads(data)

    def config(self, cmd, **more):
        self.generation += 1
        c = {"v": 1, "generation": self.generation, "machine_id": "0123456789abcd", "app_name": "test", "app_id": "abcdefghijklmnop",
             "region": "local", "hostname": "0123456789abcd", "scratch": "/dev/vdb",
             "image": {"entrypoint": [], "cmd": cmd, "env": ["FROM_IMAGE=yes"], "working_dir": "/srv", "user": ""},
             "init": {}, "env": {}, "files": [], "stop": {"signal": "SIGTERM", "timeout_ms": 5000}}
        for k, v in more.items():
            c[k] = {**c[k], **v} if isinstance(c.get(k), dict) else v
        return c

    def boot(self, cmd, wait="running", **more):
        """PUT the config, start the VM, wait for the phase."""
        self.send("PUT", "/v1/run", self.config(cmd, **more))
        self.start_vm()
        return self.wait_phase(wait)

    def wait_phase(self, phase, timeout=60):
        end, s = time.time() + timeout, self.get("/v1/state")
        while s["phase"] != phase:
            left = end - time.time()
            assert left > 0, f"phase is {s['phase']}, not {phase}\n{self.story()}"
            s = self.get(f"/v1/state?after={s['seq']}&wait_ms={int(min(left, 5) * 1000) + 1}")
        return s

    def story(self):
        out = [(self.dir / "link.log").read_text()]
        if (self.dir / "console").exists():
            out.append((self.dir / "console").read_text(errors="replace")[-2000:])
        out += [str(x) for x in self.lines()[-20:]]
        return "\n".join(out)

    def lines(self, after=0):
        status, data = self.ask("GET", f"/v1/logs?after={after}")
        assert status == 200
        return [json.loads(x) for x in data.splitlines()]

    def all_lines(self):
        out, after = [], 0
        while True:
            more = self.lines(after)
            if not more:
                return out
            out += more
            after = more[-1]["n"]

    def text(self, stream="stdout"):
        return [x["line"] for x in self.all_lines() if x.get("stream") == stream]

    def wait_line(self, pattern, timeout=30):
        self.wait_for(lambda: any(re.search(pattern, x.get("line", "")) for x in self.all_lines()), timeout,
                      f"no line like {pattern}", lambda: self.story())

    def wait_vm_end(self, timeout=30):
        self.qemu.wait(timeout)
        self.qemu.stderr.close()

    @staticmethod
    def wait_for(what, timeout, why, more=lambda: ""):
        end = time.time() + timeout
        while True:
            r = what()
            if r:
                return r
            assert time.time() < end, f"{why}\n{more()}"
            time.sleep(0.05)


def b64(data):
    return base64.b64encode(data).decode()
