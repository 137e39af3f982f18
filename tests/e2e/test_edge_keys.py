"""ward-edge-keys with a vault of the test's own: what it does with certificates of a few seconds, a silent vault, and wrong peers.

    FakeVault (python; signs by a CA of its own) <-- ward-edge-keys <-- ward-edge workers <-- TLS clients
"""
import contextlib, datetime, os, pwd, socket, ssl, struct, threading, time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import wardtest
from edgelab import BASE, Lab

ASK, ANSWER = struct.Struct("=IIQ24s96sII"), struct.Struct("=IIQiI240sII")


class FakeVault:
    """Speaks proto/ipc_vault.h; "sealing" flips bits, so that a key in the clear would show."""
    def __init__(self, listener, life):
        self.listener, self.life, self.silent, self.signed = listener, life, False, 0
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
        now = datetime.datetime.utcnow()
        self.ca = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.key.public_key())
                   .serial_number(1).not_valid_before(now - datetime.timedelta(hours=1))
                   .not_valid_after(now + datetime.timedelta(hours=1))
                   .add_extension(x509.BasicConstraints(True, 0), True).sign(self.key, hashes.SHA256()))
        self.stopped = False
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def start(self):
        self.thread.start()

    def leaf(self, name, spki):
        now = datetime.datetime.utcnow().replace(microsecond=0)
        self.signed += 1
        cert = (x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(self.ca.subject)
                .public_key(serialization.load_der_public_key(spki)).serial_number(x509.random_serial_number())
                .not_valid_before(now).not_valid_after(now + datetime.timedelta(seconds=self.life))
                .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), True).sign(self.key, hashes.SHA256()))
        return cert.public_bytes(serialization.Encoding.PEM) + self.ca.public_bytes(serialization.Encoding.PEM)

    def serve(self):
        self.listener.settimeout(0.2)
        while not self.stopped:
            try:
                s, _ = self.listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return  # the test closed it
            with s:
                s.settimeout(5)
                with contextlib.suppress(OSError):
                    data = s.recv(200000)
                    op, _, seq, purpose, ident, n, _ = ASK.unpack(data[:ASK.size])
                    tail, ident = data[ASK.size:], ident.rstrip(b"\0").decode()
                    if self.silent:
                        continue
                    out = {1: lambda: bytes(b ^ 0x5a for b in tail), 2: lambda: bytes(b ^ 0x5a for b in tail),
                           4: lambda: self.leaf(ident, tail), 5: lambda: self.ca.public_bytes(serialization.Encoding.PEM)}[op]()
                    s.send(ANSWER.pack(op, 1, seq, 0, 0, b"", len(out), 0) + out)


class KeyLab(Lab):
    def __init__(self, life):
        super().__init__()
        self.fake = FakeVault(self.vault.fds["vault"], life)
        self.vault.start, self.vault.kill = self.fake.start, lambda *a: setattr(self.fake, "stopped", True)


def serial(lab, name="one"):
    with lab.connect(name) as s:
        return s.getpeercert()["serialNumber"]


def test_renewal_without_a_lost_handshake():
    with KeyLab(life=9) as lab:
        lab.app("one", lab.backend("one"))
        first, seen, kept = serial(lab), set(), lab.connection("one")
        end = time.monotonic() + 15
        while time.monotonic() < end:
            seen.add(serial(lab))  # verified: an expired one would fail
            kept.request("GET", "/")
            assert kept.getresponse().read() == b"one"
            time.sleep(0.05)
        assert first in seen and len(seen) >= 3, seen
        assert lab.status()["totals"]["handshakes_failed"] == 0
        kept.close()


def test_silent_vault_and_restart():
    with KeyLab(life=3600) as lab:
        lab.app("one", lab.backend("one"))
        before, signed = serial(lab), lab.fake.signed
        lab.fake.silent = True
        assert serial(lab) == before  # the keys are in its memory
        lab.keys.kill()
        lab.keys.start()
        got = []
        t = threading.Thread(target=lambda: got.append(serial(lab)))  # waits for the key process, which waits for the vault
        t.start()
        time.sleep(1.5)
        assert not got
        lab.fake.silent = False
        t.join(10)
        assert got == [before] and lab.fake.signed == signed  # the kept key and certificate, not new ones
        for f in (lab.lib / "edge-keys").iterdir():
            assert f.stat().st_mode & 0o077 == 0


def ask(lab, data, user=None):
    """Sends one packet as a user; the answer, b"" when hung up."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if user:
                p = pwd.getpwnam(user)
                os.setgroups([])
                os.setgid(p.pw_gid)
                os.setuid(p.pw_uid)
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.settimeout(5)
            s.connect(str(lab.run / "edge-keys.sock"))
            s.send(data)
            os.write(w, b"+" + s.recv(60000)[:4000])
        except OSError:
            os.write(w, b"+")
        finally:
            os._exit(0)
    os.close(w)
    with os.fdopen(r, "rb") as f:
        out = f.read()
    os.waitpid(pid, 0)
    return out[1:]


def test_who_may_ask_and_what():
    head = struct.Struct("=IIQ")
    with KeyLab(life=3600) as lab:
        good = head.pack(1, 1, 5)
        assert ask(lab, good, "ward-edge").startswith(head.pack(1, 1, 5))
        for user in ("nobody", "ward-api", "ward-agent"):
            assert ask(lab, good, user) == b""
        for bad in (b"", b"x", head.pack(9, 1, 5), head.pack(1, 2, 5), good + b"x", head.pack(3, 1, 5) + b"\xff" * 100,
                    head.pack(3, 1, 5) + struct.pack("=II", 17, 0) + b"\0" * (16 * 88), head.pack(2, 1, 5)):
            assert ask(lab, bad, "ward-edge") == b"", bad
        # an unknown key and a digest of no known length, are refused one by one
        item = struct.pack("=QQII64s", 12345, 7, 32, 0, b"d" * 64)
        out = ask(lab, head.pack(3, 1, 5) + struct.pack("=II", 1, 0) + item + b"\0" * (15 * 88), "ward-edge")
        tag, result, n = struct.unpack_from("=QiI", out, 24)
        assert (tag, result, n) == (7, -2, 0)
        assert lab.status()["totals"]["certificates"] >= 2  # it lives on
