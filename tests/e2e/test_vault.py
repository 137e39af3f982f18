"""ward-vault alone, as its peers meet it: real users, real packets.

    test (root) --- fork, setuid ward-api / ward-agent / nobody ---> vault.sock ---> ward-vault (user ward-vault)
"""
import base64, os, pathlib, pwd, secrets, shutil, signal, socket, struct, subprocess, time

import pytest

import wardtest

SEAL, UNSEAL, DERIVE, SIGN, CA, TOKEN, STATUS, UNLOCK = range(1, 9)
HEAD = struct.Struct("=IIQ24s96sII")
ANSWER = struct.Struct("=IIQiI240sII")
MAX = 120 * 1024


class Vault:
    def __init__(self, args=None):
        self.root = pathlib.Path(f"/tmp/wt-vault-{secrets.token_hex(4)}")
        self.lib, self.run = self.root / "var/lib/ward", self.root / "run/ward"
        user = pwd.getpwnam("ward-vault")
        for d in (self.lib / "vault", self.run):
            d.mkdir(parents=True)
        os.chown(self.lib / "vault", user.pw_uid, user.pw_gid)
        self.path = str(self.run / "vault.sock")
        self.args = args if args is not None else ["--key-file", str(self.lib / "vault/master.key"), "--allow-key-file"]
        self.listen = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listen.bind(self.path)
        os.chmod(self.path, 0o666)
        self.listen.listen(64)
        self.process = None

    def start(self, args=None):
        def child():
            os.dup2(self.listen.fileno(), 3)
            os.environ["LISTEN_FDS"], os.environ["LISTEN_FDNAMES"] = "1", "vault"
        env = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "vault"}
        self.log = open(self.root / "vault.log", "ab")
        self.process = subprocess.Popen([wardtest.LIBEXEC / "ward-vault", "--root", str(self.root), *(args or self.args)],
                                        preexec_fn=child, pass_fds=[3], env=env, user="ward-vault", group="ward-vault",
                                        extra_groups=[], stderr=self.log, stdin=subprocess.DEVNULL)
        return self

    def logged(self):
        return (self.root / "vault.log").read_text()

    def ready(self):
        wardtest.wait_for("the vault", lambda: self.ask("root", STATUS)[0] == 0, 10)
        return self

    def stop(self, sig=signal.SIGTERM):
        if self.process:
            self.process.send_signal(sig)
            code = self.process.wait(10)
            self.process = None
            return code

    def packet(self, op, purpose="", ident="", tail=b"", version=1):
        return HEAD.pack(op, version, 7, purpose.encode(), ident.encode(), len(tail), 0) + tail

    def raw(self, user, data):
        """Sends one packet as this user; what comes back, b"" when the vault hung up."""
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(r)
                if user != "root":
                    p = pwd.getpwnam(user)
                    os.setgroups([])
                    os.setgid(p.pw_gid)
                    os.setuid(p.pw_uid)
                s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                s.settimeout(10)
                s.connect(self.path)
                s.send(data)
                out = s.recv(200000)
                with os.fdopen(w, "wb") as f:
                    f.write(b"+" + out)
            finally:
                os._exit(0)
        os.close(w)
        with os.fdopen(r, "rb") as f:
            out = f.read()
        os.waitpid(pid, 0)
        if out[:1] != b"+":
            raise ConnectionError("no answer")
        return out[1:]

    def ask(self, user, op, purpose="", ident="", tail=b""):
        out = self.raw(user, self.packet(op, purpose, ident, tail))
        _, _, seq, result, code, text, n, _ = ANSWER.unpack(out[:ANSWER.size])
        assert seq == 7 and len(out) == ANSWER.size + n
        return result, text.split(b"\0")[0].decode(), out[ANSWER.size:]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process:
            self.stop(signal.SIGKILL)
        self.listen.close()
        if exc[0]:
            print(self.logged())
        shutil.rmtree(self.root, ignore_errors=True)


@pytest.fixture
def vault():
    with Vault() as v:
        yield v.start().ready()


def test_the_peer_decides_what_is_answered(vault):
    secret = secrets.token_bytes(32)
    r, _, sealed = vault.ask("ward-api", SEAL, "app-env", "app1", secret)
    assert r == 0 and secret not in sealed
    assert vault.ask("ward-agent", UNSEAL, "app-env", "app1", sealed) == (0, "", secret)
    for user in ("nobody", "root", "ward-control", "ward-edge", "ward-telemetry"):
        r, text, out = vault.ask(user, UNSEAL, "app-env", "app1", sealed)
        assert r < 0 and out == b"" and "may not" in text
    log = vault.logged()
    assert 'agent' in log and 'unseal app-env "app1"' in log and "refused" in log
    assert secret.hex() not in log and base64.b64encode(sealed).decode() not in log


def test_everything_is_the_same_after_a_kill(vault):
    token = (vault.lib / "vault/bootstrap-token").read_text().strip()
    password = vault.ask("root", DERIVE, "store-password", "api")[2]
    sealed = vault.ask("ward-api", SEAL, "app-env", "app1", b"x" * (MAX - 64))[2]
    ca = vault.ask("ward-edge", CA)[2]
    assert len(password) == 32
    vault.stop(signal.SIGKILL)
    vault.start().ready()
    assert vault.ask("root", DERIVE, "store-password", "api")[2] == password
    assert vault.ask("ward-agent", UNSEAL, "app-env", "app1", sealed)[2] == b"x" * (MAX - 64)
    assert vault.ask("ward-edge", CA)[2] == ca == (vault.lib / "vault/ca.pem").read_bytes()
    assert vault.ask("ward-api", TOKEN, tail=token.encode())[:2] == (0, "bootstrap")
    assert vault.ask("ward-api", TOKEN, tail=token[:-1].encode())[0] < 0


def test_a_certificate_verifies_with_openssl(vault):
    def ssl(*args, data=None):
        return subprocess.run(["openssl", *args], input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True).stdout
    key = ssl("ecparam", "-name", "prime256v1", "-genkey", "-noout")
    spki = ssl("pkey", "-pubout", "-outform", "DER", data=key)
    r, text, chain = vault.ask("ward-edge-keys", SIGN, "", "*.ward.localhost", spki)
    assert r == 0, text
    (vault.root / "leaf.pem").write_bytes(chain)
    ssl("verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "web.ward.localhost", "-CAfile",
        str(vault.lib / "vault/ca.pem"), str(vault.root / "leaf.pem"))
    assert vault.ask("ward-api", SIGN, "", "web.ward.localhost", spki)[0] < 0
    # for its base domain and for nothing else, whoever holds its key
    assert b"X509v3 Name Constraints: critical" in ssl("x509", "-in", str(vault.lib / "vault/ca.pem"), "-noout", "-text")
    assert vault.ask("ward-edge-keys", SIGN, "", "www.example.org", spki)[0] < 0


def test_broken_packets_end_the_connection_and_nothing_else(vault):
    good = vault.packet(STATUS)
    bad = [good[:i] for i in (1, 15, 16, 100, HEAD.size - 1)] + [good + b"x", vault.packet(STATUS, version=2),
           vault.packet(99), vault.packet(STATUS, "P\n"), vault.packet(STATUS, "a" * 24), vault.packet(STATUS, "", "x" * 96),
           HEAD.pack(STATUS, 1, 7, b"", b"", 0xffffffff, 0)]
    for b in bad:
        out = vault.raw("ward-api", b)
        assert out == b"" or ANSWER.unpack(out[:ANSWER.size])[3] < 0, b
    assert vault.ask("ward-api", STATUS)[:2] == (0, "unsealed: key file")


def test_one_user_cannot_keep_the_others_out(vault):
    held = []
    for _ in range(100):  # as root; each stays open
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.connect(vault.path)
        held.append(s)
    assert vault.ask("ward-api", STATUS)[0] == 0
    for s in held:
        s.close()
    wardtest.wait_for("room for root again", lambda: vault.ask("root", STATUS)[0] == 0, 5)


def test_no_key_is_in_reach(vault):
    """Not dumpable, no core, no new privileges, a filter; the key file is its own user's alone."""
    status = dict(l.split(":\t", 1) for l in open(f"/proc/{vault.process.pid}/status").read().splitlines() if ":\t" in l)
    assert status["Seccomp"].strip() == "2" and status["NoNewPrivs"].strip() == "1"
    limits = open(f"/proc/{vault.process.pid}/limits").read()
    assert [l for l in limits.splitlines() if l.startswith("Max core file size")][0].split()[4] == "0"
    assert int(status["VmLck"].split()[0]) > 0
    assert os.stat(f"/proc/{vault.process.pid}/mem").st_uid == 0  # a process that is not dumpable belongs to root here
    assert (vault.lib / "vault/master.key").stat().st_mode & 0o777 == 0o400
    for f in (vault.lib / "vault").iterdir():
        assert f.stat().st_mode & 0o077 == 0 or f.name == "ca.pem", f


def test_a_key_file_needs_the_explicit_word():
    with Vault() as v:
        v.start(["--key-file", str(v.lib / "vault/master.key")])
        assert v.process.wait(10) == 1
        v.process = None
        assert "[wall-missing]" in v.logged() and "--allow-key-file" in v.logged()


def test_a_passphrase_opens_it_and_only_root_may_say_it():
    with Vault(args=[]) as v:
        v.start().ready()
        assert v.ask("root", STATUS)[1] == "sealed"
        assert v.ask("root", DERIVE, "store-password", "api")[0] < 0
        assert v.ask("ward-api", UNLOCK, tail=b"correct horse battery")[0] < 0
        assert v.ask("root", UNLOCK, tail=b"correct horse battery")[0] == 0
        p = v.ask("root", DERIVE, "store-password", "api")[2]
        v.stop()
        v.start().ready()
        assert v.ask("root", UNLOCK, tail=b"correct horse batterx")[0] < 0
        assert v.ask("root", UNLOCK, tail=b"correct horse battery")[0] == 0
        assert v.ask("root", DERIVE, "store-password", "api")[2] == p and len(p) == 32
        assert "horse" not in v.logged()


def unlock(v, text, *args):
    return subprocess.run([wardtest.LIBEXEC / "ward-unlock", "--root", str(v.root), *args], input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=30)


def test_ward_vault_unlock_gives_the_passphrase():
    with Vault(args=[]) as v:
        v.start().ready()
        assert v.ask("root", STATUS)[1] == "sealed"
        p = unlock(v, "short\n")
        assert p.returncode == 1 and "12 to 1024 bytes" in p.stderr
        p = unlock(v, "correct horse battery\n")
        assert p.returncode == 0 and "unsealed: passphrase" in p.stderr, p.stderr
        v.stop()
        v.start().ready()
        p = unlock(v, "wrong horse battery\n")
        assert p.returncode == 1 and "not the passphrase" in p.stderr and "next:" in p.stderr
        p = unlock(v, "correct horse battery", "--json")
        assert (p.returncode, p.stdout) == (0, '{"vault": "unsealed: passphrase"}\n')
        p = unlock(v, "anything, for it is open", "--json")
        assert (p.returncode, p.stdout) == (0, '{"vault": "unsealed: passphrase"}\n')
        v.stop()
        v.listen.close()
        p = unlock(v, "")
        assert p.returncode == 1 and "next: start the platform" in p.stderr, p.stderr
