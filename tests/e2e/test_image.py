"""ward-image-fetch and ward-image-convert: from a registry, or from uploaded blobs, to a root disk; and what hostile images come to.

   registry (HTTP) --skopeo--> fetch --> blobs/sha256/<hex> --> convert [merger | tar2sqfs] --> images/<root>.squashfs, <digest>.json
"""
import collections, contextlib, gzip, hashlib, http.server, io, json, os, shutil, socket, stat, struct, subprocess, tarfile, tempfile, threading, time

import pytest

import wardtest
from netlab import Daemon, Ipc, program

PLAIN_PORT = wardtest.free_port()  # the registry that may be reached over plain HTTP
PLAIN = f"localhost:{PLAIN_PORT}"
ASK, ANSWER = "IIQ384s72s", "IIQiIQQ72s240s"
FETCH, CONVERT, PUT, HAS, PROGRESS, DONE = range(1, 7)
ENOENT, EPERM, EINVAL = 2, 1, 22
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="starts daemons as their own users: needs root")


def sha(data):
    return hashlib.sha256(data).hexdigest()


def errors():
    """Error codes by number, from the one table."""
    path = os.path.join(os.path.dirname(__file__), "../../src/base/errors.def")
    lines = [l for l in open(path) if l.startswith("X(")]
    return {i + 1: l.split('"')[1] for i, l in enumerate(lines)}


class Image:
    """An image made in memory: layers are lists of entries, or raw bytes of a tar."""

    def __init__(self, *layers, config=None, compress=gzip.compress, diff_ids=None, manifest=None):
        self.blobs = {}
        tars = [l if isinstance(l, bytes) else tar(*l) for l in layers]
        packed = [compress(t) for t in tars]
        kind = {gzip.compress: "+gzip", bytes: ""}.get(compress, "+gzip")
        config = {"os": "linux", "architecture": "amd64", "config": {"Cmd": ["/bin/app"]}, **(config or {}),
                  "rootfs": {"type": "layers", "diff_ids": diff_ids or ["sha256:" + sha(t) for t in tars]}}
        self.manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                         "config": self.add(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
                         "layers": [self.add(p, "application/vnd.oci.image.layer.v1.tar" + kind) for p in packed],
                         **(manifest or {})}
        self.text = json.dumps(self.manifest).encode()
        self.digest = self.add(self.text, "")["digest"][7:]

    def add(self, data, kind):
        self.blobs[sha(data)] = data
        return {"mediaType": kind, "digest": "sha256:" + sha(data), "size": len(data)}


def entry(name, data=b"", kind=None, mode=None, link="", **kw):
    i = tarfile.TarInfo(name)
    i.type = kind or tarfile.REGTYPE
    i.mode = mode if mode is not None else 0o755 if i.type == tarfile.DIRTYPE else 0o644
    i.linkname = link
    i.size = len(data)
    i.mtime = 1700000000
    for k, v in kw.items():
        setattr(i, k, v)
    return i, data


def folder(name, **kw):
    return entry(name, kind=tarfile.DIRTYPE, **kw)


def symlink(name, to):
    return entry(name, kind=tarfile.SYMTYPE, link=to, mode=0o777)


def hardlink(name, to):
    return entry(name, kind=tarfile.LNKTYPE, link=to)


def tar(*entries):
    f = io.BytesIO()
    with tarfile.open(fileobj=f, mode="w", format=tarfile.PAX_FORMAT) as t:
        for info, data in entries:
            t.addfile(info, io.BytesIO(data))
    return f.getvalue()


class Converter:
    def __init__(self, base):
        self.base = base
        self.lib = f"{base}/var/lib/ward"
        for name, user in (("blobs", "ward-image-fetch"), ("images", "ward-image-convert")):
            os.makedirs(f"{self.lib}/{name}")
            shutil.chown(f"{self.lib}/{name}", user)
        os.chmod(base, 0o755)
        self.codes = errors()
        self.fetcher = Daemon(program("ward-image-fetch"), "image-fetch", base, "--root", base,
                              "--insecure-registry", "registry.invalid", "--insecure-registry", PLAIN, user="ward-image-fetch")
        self.converter = Daemon(program("ward-image-convert"), "image-convert", base, "--root", base,
                                user="ward-image-convert")

    def ask(self, daemon, kind, ref="", digest="", fds=(), user="ward-agent"):
        ipc = Ipc(daemon.path, user)
        data, _ = ipc.call(struct.pack(ASK, kind, 1, 7, ref.encode(), digest.encode()), struct.calcsize(ANSWER), fds)
        progress = []
        while True:
            assert data, f"closed without an answer: {daemon.text()}"
            f = struct.unpack(ANSWER, data)
            if f[0] == DONE:
                break
            assert f[0] == PROGRESS
            progress.append((f[5], f[6]))
            data, _ = ipc.receive(struct.calcsize(ANSWER))
        ipc.close()
        cut = lambda b: b.split(b"\0")[0].decode()
        return {"result": f[3], "code": self.codes.get(f[4]), "digest": cut(f[7]), "text": cut(f[8]), "progress": progress}

    def put(self, data, digest=None):
        with tempfile.TemporaryFile() as t:
            t.write(data)
            t.flush()
            return self.ask(self.fetcher, PUT, digest=digest or sha(data), fds=[t.fileno()], user="ward-api")

    def upload(self, image):
        for data in image.blobs.values():
            assert self.put(data)["result"] == 0

    def convert(self, image):
        self.upload(image)
        return self.ask(self.converter, CONVERT, digest=image.digest)

    def good(self, image):
        """The converted image, unpacked for a look."""
        a = self.convert(image)
        assert a["result"] == 0, a["text"]
        return self.unpack(a["digest"])

    def unpack(self, root):
        out = tempfile.mkdtemp(dir=self.base)
        subprocess.run(["rdsquashfs", "-q", "-u", "/", "-p", out, "-C", "-O", "-T", "-X", f"{self.lib}/images/{root}.squashfs"],
                       check=True, capture_output=True)
        return out

    def refused(self, image, *words, code="image-invalid"):
        before = set(os.listdir(f"{self.lib}/images"))
        a = self.convert(image)
        assert a["result"] < 0, "accepted"
        assert a["code"] == code, a
        for w in words:
            assert w in a["text"], a["text"]
        assert set(os.listdir(f"{self.lib}/images")) - before <= {".lock"}, "nothing of it is kept"
        return a

    def stop(self):
        self.fetcher.stop()
        self.converter.stop()


@pytest.fixture(scope="module")
def c():
    with tempfile.TemporaryDirectory(prefix="ward-image-") as base:
        c = Converter(base)
        try:
            yield c
        finally:
            c.stop()


def listing_of_root(c, root):
    """The same from a root disk, by way of tar: rdsquashfs makes two files of a hard link."""
    out = subprocess.run(["sqfs2tar", f"{c.lib}/images/{root}.squashfs"], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(out)) as t:
        members = {m.name: m for m in t.getmembers()}
        target = lambda m: members[m.linkname] if m.islnk() else m
        names = collections.Counter(target(m).name for m in members.values())
        kinds = {tarfile.DIRTYPE: stat.S_IFDIR, tarfile.SYMTYPE: stat.S_IFLNK, tarfile.FIFOTYPE: stat.S_IFIFO}
        seen = {}
        for name, m in members.items():
            m = target(m)
            what = m.linkname if m.issym() else sha(t.extractfile(m).read()) if m.isreg() else None
            attrs = {k[13:]: v.encode("utf-8", "surrogateescape") for k, v in m.pax_headers.items() if k.startswith("SCHILY.xattr.")}
            seen[name] = (oct(m.mode | kinds.get(m.type, stat.S_IFREG)), m.uid, m.gid, int(m.mtime), names[m.name] if m.isreg() else 0,
                          what, attrs)
    return seen


def listing(path):
    """Every name below path with what a program in the machine would see of it."""
    seen = {}
    for top, dirs, files in os.walk(path):
        for name in dirs + files + ["."]:
            full = os.path.join(top, name)
            st = os.lstat(full)
            what = os.readlink(full) if stat.S_ISLNK(st.st_mode) else \
                sha(open(full, "rb").read()) if stat.S_ISREG(st.st_mode) else None
            attrs = {k: os.getxattr(full, k, follow_symlinks=False) for k in os.listxattr(full, follow_symlinks=False)}
            links = st.st_nlink if stat.S_ISREG(st.st_mode) else 0
            seen[os.path.relpath(full, path)] = (oct(st.st_mode), st.st_uid, st.st_gid, int(st.st_mtime), links, what, attrs)
    return seen


CAP_NET_BIND = bytes.fromhex("0100000200040000000000000000000000000000")


def test_a_good_image_is_what_umoci_unpacks(c):
    image = Image(
        [folder("./"), folder("bin"), entry("bin/app", b"#!" * 1000, mode=0o4755), symlink("sbin", "bin"), folder("etc"),
         entry("etc/passwd", b"root:x:0:0::/:/bin/sh\n"), entry("etc/gone", b"1"), folder("var"), folder("var/cache", uid=33, gid=34),
         entry("var/cache/old", b"o"), entry("var/cache/older", b"o"), entry("été/naïve", b"utf8"), hardlink("bin/app2", "bin/app"),
         entry("noted", b"c", pax_headers={"SCHILY.xattr.user.note": "hello"}),
         entry("long/" + "d" * 100 + "/" + "f" * 200, b"long"), entry("empty"), entry("pipe", kind=tarfile.FIFOTYPE),
         entry("big-owner", b"x", uid=3000000, gid=4000000)],
        [entry("etc/.wh.gone"), entry("var/cache/.wh..wh..opq"), entry("var/cache/new", b"n", mode=0o600, uid=33),
         hardlink("var/cache/same", "bin/app"), entry("sbin/tool", b"through the link"), folder("etc", mode=0o700)],
        [entry("bin/app2", b"replaced"), entry(".wh.empty"), folder("d"), entry("d/.wh.nothing"), symlink("var/lib", "/nowhere")],
        config={"config": {"Entrypoint": ["/bin/app"], "Cmd": ["-x"], "Env": ["A=1", "B=="], "WorkingDir": "/w", "User": "33:34",
                           "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGINT", "Labels": {"a": "b"}}})
    a = c.convert(image)
    assert a["result"] == 0, a["text"]
    ours = listing_of_root(c, a["digest"])
    with tempfile.TemporaryDirectory() as t:
        os.makedirs(f"{t}/l/blobs/sha256")
        for k, v in image.blobs.items():
            open(f"{t}/l/blobs/sha256/{k}", "wb").write(v)
        open(f"{t}/l/oci-layout", "w").write('{"imageLayoutVersion":"1.0.0"}')
        open(f"{t}/l/index.json", "w").write(json.dumps({"schemaVersion": 2, "manifests": [
            {"mediaType": image.manifest["mediaType"], "digest": "sha256:" + image.digest, "size": len(image.text),
             "annotations": {"org.opencontainers.image.ref.name": "x"}}]}))
        subprocess.run(["umoci", "unpack", "--image", f"{t}/l:x", f"{t}/b"], check=True, capture_output=True)
        theirs = listing(f"{t}/b/rootfs")
    theirs.pop(".")
    ours.pop("./", None)
    assert set(ours) == set(theirs)
    implicit = {"été", "long", "long/" + "d" * 100}  # folders no entry describes: their times are each tool's own
    touched = {"bin", "sbin", "etc", "var", "var/cache", "d"}  # umoci restores a folder's time at each layer; a detail of the tool
    for name in sorted(ours):
        a, b = list(ours[name]), list(theirs[name])
        if name in implicit | touched:
            a[3] = b[3] = 0
        assert a == b, (name, a, b)
    about = json.load(open(f"{c.lib}/images/{image.digest}.json"))
    assert about["v"] == 1 and about["digest"] == image.digest and about["size"] > 0
    assert about["config"] == {"entrypoint": ["/bin/app"], "cmd": ["-x"], "env": ["A=1", "B=="], "working_dir": "/w", "user": "33:34",
                               "exposed_ports": ["80/tcp"], "stop_signal": "SIGINT", "labels": {"a": "b"}}


def test_file_capabilities_are_kept(c):
    i, data = entry("ping", b"x", mode=0o755)
    i.pax_headers = {"SCHILY.xattr.security.capability": CAP_NET_BIND.decode("utf-8", "surrogateescape"),
                     "SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.security.selinux": "label"}
    a = c.convert(Image([(i, data)]))
    assert a["result"] == 0, a["text"]
    got = listing_of_root(c, a["digest"])["ping"][6]
    assert got == {"security.capability": CAP_NET_BIND}, "and what is not the program's is not"


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lambda d: subprocess.run(["zstd", "-c"], input=d, capture_output=True,
                                                                                   check=True).stdout], ids=["plain", "gzip", "zstd"])
def test_each_compression_gives_the_same_root_disk(c, compress):
    image = Image([entry("same", b"bytes" * 1000)], compress=compress)
    a = c.convert(image)
    assert a["result"] == 0, a["text"]
    plain = c.convert(Image([entry("same", b"bytes" * 1000)], compress=bytes))
    assert a["digest"] == plain["digest"]


def test_the_second_ask_is_instant_and_needs_no_blobs(c):
    image = Image([entry(f"f{i}", os.urandom(5000)) for i in range(200)])
    first = c.convert(image)
    for d in image.blobs:
        os.unlink(f"{c.lib}/blobs/sha256/{d}")
    t = time.monotonic()
    again = c.ask(c.converter, CONVERT, digest=image.digest)
    assert again["result"] == 0 and again["digest"] == first["digest"] and not again["progress"]
    assert time.monotonic() - t < 0.5


def test_layers_over_each_other(c):
    """What a merged tree must get right beyond simple cases."""
    root = c.good(Image(
        [entry("a/b/c", b"low"), entry("a/d", b"low"), entry("f", b"file"), symlink("up", "../../../a"), symlink("abs", "/a/b"),
         symlink("lib", "usr/lib"), entry("x/y", b"1")],
        [folder("f"), entry("f/in", b"in"),   # a file becomes a folder
         entry("a/b", b"file"),                       # a folder becomes a file
         entry("up/by-link", b"clamped"),             # ".." of a link ends at the image's root
         entry("lib/foo", b"made"),                   # a link to a folder that no layer brought
         entry("x/z", b"2"), entry(".wh.x"),          # a whiteout takes only what lower layers had
         hardlink("a/d", "a/d")]))
    read = lambda p: open(f"{root}/{p}").read()
    assert read("f/in") == "in" and read("a/b") == "file" and read("a/by-link") == "clamped"
    assert read("usr/lib/foo") == "made" and os.readlink(f"{root}/lib") == "usr/lib"
    assert os.listdir(f"{root}/x") == ["z"] and read("a/d") == "low"


def test_device_nodes_in_dev_are_left_out_and_elsewhere_refused(c):
    node = lambda name: entry(name, kind=tarfile.CHRTYPE, devmajor=1, devminor=3)
    root = c.good(Image([folder("dev"), node("./dev/null"), entry("dev/ok", b"1")]))
    assert os.listdir(f"{root}/dev") == ["ok"]
    c.refused(Image([node("bin/null")]), "device node", "bin/null")
    c.refused(Image([entry("disk", kind=tarfile.BLKTYPE, devmajor=8, devminor=0)]), "device node")
    c.refused(Image([node("dev/../null")]), "")


def cut(data):
    return gzip.compress(data)[:-200]


ABOVE = "../" * 12
HOSTILE = {
    "dot-dot": (lambda: Image([entry("../etc/passwd", b"x")]), '".."'),
    "dot-dot-inside": (lambda: Image([entry("a/../../etc/passwd", b"x")]), '".."'),
    "hard-link-outside": (lambda: Image([hardlink("shadow", ABOVE + "etc/shadow")]), '".."'),
    "hard-link-to-host": (lambda: Image([hardlink("shadow", "/etc/shadow")]), "hard link"),
    "hard-link-by-symlink": (lambda: Image([symlink("e", "/etc")], [hardlink("s", "e/shadow")]), "hard link"),
    "hard-link-to-folder": (lambda: Image([folder("d"), hardlink("e", "d")]), "hard link"),
    "whiteout-of-parent": (lambda: Image([entry("a/b", b"1")], [entry("a/.wh...", b"")]), "whiteout"),
    "whiteout-of-itself": (lambda: Image([entry("a/b", b"1")], [entry("a/.wh..", b"")]), "whiteout"),
    "whiteout-of-nothing": (lambda: Image([entry("a/b", b"1")], [entry("a/.wh.", b"")]), "whiteout"),
    "file-as-folder": (lambda: Image([entry("a", b"1")], [entry("a/b", b"2")]), "used as a folder"),
    "link-loop": (lambda: Image([symlink("a", "b"), symlink("b", "a"), entry("a/x", b"1")]), "symbolic links"),
    "link-bomb": (lambda: Image([symlink(f"l{i}", f"l{i + 1}/l{i + 1}") for i in range(60)] + [entry("l0/x", b"1")]), "symbolic links"),
    "too-deep": (lambda: Image([entry("/".join("d" * 300), b"1")]), "deep"),
    "path-too-long": (lambda: Image([entry("/".join(["n" * 250] * 20), b"1")]), "4096"),
    "name-too-long": (lambda: Image([entry("n" * 300, b"1")]), "255"),
    "long-by-links": (lambda: Image([entry("/".join(["p" * 200] * 18) + "/x", b""), symlink("s", "/".join(["p" * 200] * 18)),
                                     entry("s/" + "/".join(["q" * 200] * 5), b"1")]), "4096"),
    "no-tar": (lambda: Image(b"this is not a tar archive" * 100), "layer 1"),
    "cut-gzip": (lambda: Image([entry("a", os.urandom(9000))], compress=cut), "layer 1"),
    "cut-tar": (lambda: Image(tar(entry("a", os.urandom(9000)))[:4000]), "layer 1"),
    "other-layer": (lambda: Image([entry("a", b"1")], diff_ids=["sha256:" + "0" * 64]), "not the one the image names"),
    "too-many-layers": (lambda: Image(*([entry("a", b"1")] for _ in range(128))), "128 layers"),
    "no-layers": (lambda: Image(), "layers"),
    "diff-ids-missing": (lambda: Image([entry("a")], [entry("b")], diff_ids=["sha256:" + "0" * 64]), "diff_ids"),
    "root-is-a-file": (lambda: Image([entry(".", b"1")]), "root"),
    "other-processor": (lambda: Image([entry("a")], config={"architecture": "arm64"}), "linux/amd64"),
    "artifact": (lambda: Image([entry("a")], manifest={"config": {"mediaType": "application/x", "digest": "sha256:" + "0" * 64, "size": 2}}),
                 "artifact"),
    "two-shapes": (lambda: Image([entry("a")], manifest={"manifests": []}), "at once"),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_a_hostile_image_is_refused(c, name):
    make, word = HOSTILE[name]
    a = c.refused(make(), word)
    assert not [d for d in os.listdir(c.base) if d in ("passwd", "shadow")]
    assert a["text"], "says why"


def test_absolute_paths_stay_inside(c):
    root = c.good(Image([entry("/etc/evil", b"1"), symlink("host", "/")], [entry("host/etc/evil2", b"2"), symlink("out", ABOVE + "tmp"),
                                                                     entry("out/evil3", b"3")]))
    assert os.path.exists(f"{root}/etc/evil") and os.path.exists(f"{root}/etc/evil2") and os.path.exists(f"{root}/tmp/evil3")
    assert not os.path.exists("/etc/evil") and not os.path.exists("/etc/evil2") and not os.path.exists("/tmp/evil3")


def test_the_same_name_twice_is_the_last_one(c):
    root = c.good(Image([entry("a", b"1"), entry("a", b"2"), entry("./a", b"3"), folder("d"), folder("d/"), entry("d//e", b"4")]))
    assert open(f"{root}/a").read() == "3" and open(f"{root}/d/e").read() == "4"


def test_a_bomb_is_stopped_early(c):
    """30 GiB of zeros in 30 MB: refused by the ratio at the first GiB."""
    head = entry("zeros")[0]
    head.size = 12 << 30
    packed = gzip.compress(head.tobuf(tarfile.PAX_FORMAT)) + gzip.compress(bytes(1 << 20)) * (30 << 10)
    before = time.monotonic()
    c.refused(Image(b"", compress=lambda _: packed), "no real image")
    assert time.monotonic() - before < 60


def test_a_large_file_that_compresses_well_is_no_bomb(c):
    """1.1 GiB at about 80 to 1, in one file: the ratio counts what was read, not what the file says of itself."""
    chunk = os.urandom(13000) + bytes((1 << 20) - 13000)
    n = 1130
    head = entry("large")[0]
    head.size = n << 20
    first, last = head.tobuf(tarfile.PAX_FORMAT), bytes(1024)
    whole = hashlib.sha256(first)
    for _ in range(n):
        whole.update(chunk)
    whole.update(last)
    packed = gzip.compress(first) + gzip.compress(chunk, 1) * n + gzip.compress(last)
    a = c.convert(Image(b"", compress=lambda _: packed, diff_ids=["sha256:" + whole.hexdigest()]))
    assert a["result"] == 0, a["text"]
    assert len(a["progress"]) > 2, "and tells how far it is"


def test_a_million_entries_are_enough(c):
    one = entry("same")[0].tobuf(tarfile.PAX_FORMAT)
    body = one * 1000001 + bytes(1024)
    c.refused(Image(body, compress=lambda d: gzip.compress(d, 1)), "1000000 entries")


def test_a_sparse_file_cannot_hide_its_size(c):
    """GNU's sparse form: 12 bytes on disk, 14 GiB to write."""
    head = entry("sparse")[0]
    head.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "sparse",
                        "GNU.sparse.realsize": str(14 << 30)}
    body = b"1\n0\n0\n" + bytes(506)
    head.size = 512
    f = io.BytesIO()
    with tarfile.open(fileobj=f, mode="w", format=tarfile.PAX_FORMAT) as t:
        t.addfile(head, io.BytesIO(body[:512]))
    c.refused(Image(f.getvalue()), "no real image")


def test_wrong_blobs_are_not_stored(c):
    a = c.put(b"content", digest=sha(b"other"))
    assert a["result"] < 0 and a["code"] == "image-invalid"
    assert c.ask(c.fetcher, HAS, digest=sha(b"other"), user="ward-api")["result"] == -ENOENT
    assert not [n for n in os.listdir(f"{c.lib}/blobs/sha256") if len(n) != 64]
    assert c.put(b"content")["result"] == 0
    assert c.ask(c.fetcher, HAS, digest=sha(b"content"), user="ward-api")["result"] == 0
    for bad in ("", "../../../../etc/passwd", "A" * 64, "0" * 63, "0" * 65):
        assert c.ask(c.fetcher, HAS, digest=bad, user="ward-api")["result"] == -EINVAL
    r, w = os.pipe()
    a = c.ask(c.fetcher, PUT, digest=sha(b"x"), fds=[r], user="ward-api")
    assert a["result"] == -EINVAL, "only a regular file"
    os.close(r)
    os.close(w)


def test_who_may_ask_what(c):
    with tempfile.TemporaryFile() as t:
        a = c.ask(c.fetcher, PUT, digest=sha(b""), fds=[t.fileno()], user="ward-agent")
        assert a["result"] == -EPERM
    for daemon, user in ((c.fetcher, "ward-edge"), (c.converter, "ward-api"), (c.converter, "ward-image-fetch")):
        ipc = Ipc(daemon.path, user)
        assert ipc.receive(10)[0] == b""
        ipc.close()


def test_a_blob_that_was_changed_on_disk_is_noticed(c):
    image = Image([entry("a", b"honest")], compress=bytes)
    c.upload(image)
    layer = image.manifest["layers"][0]["digest"][7:]
    path = f"{c.lib}/blobs/sha256/{layer}"
    evil = image.blobs[layer].replace(b"honest", b"hacked")
    os.chmod(path, 0o600)
    open(path, "wb").write(evil)
    os.chmod(path, 0o444)
    a = c.ask(c.converter, CONVERT, digest=image.digest)
    assert a["result"] == -EINVAL and "not the one the image names" in a["text"]


def running(base):
    """The converter's processes of this test (another platform may run beside), without those only waiting to be reaped."""
    ps = subprocess.run(["ps", "-u", "ward-image-convert", "-o", "stat=,args="], capture_output=True, text=True).stdout
    return [l for l in ps.splitlines() if base in l and not l.startswith("Z")]


def test_the_converter_returns_after_being_killed_and_leaves_nothing(c):
    image = Image([entry(f"f{i}", os.urandom(100000)) for i in range(300)])
    c.upload(image)
    ipc = Ipc(c.converter.path, "ward-agent")
    ipc.sock.send(struct.pack(ASK, CONVERT, 1, 7, b"", image.digest.encode()))
    images = f"{c.lib}/images"
    end = time.monotonic() + 20
    while not [n for n in os.listdir(images) if n.startswith(".making")] and time.monotonic() < end:
        time.sleep(0.002)
    assert len(running(c.base)) > 1, "it is at work"
    c.converter.stop()
    end = time.monotonic() + 5
    while running(c.base) and time.monotonic() < end:
        time.sleep(0.05)
    assert not running(c.base), "its children end with it"
    c.converter = Daemon(program("ward-image-convert"), "image-convert", c.base, "--root", c.base, user="ward-image-convert")
    a = c.ask(c.converter, CONVERT, digest=image.digest)
    assert a["result"] == 0, a["text"]
    assert not [n for n in os.listdir(images) if n.startswith(".making")]


@contextlib.contextmanager
def registry(images, port):
    """The parts of the registry protocol that a pull needs. images: {(name, tag): (media type, manifest)}, blobs beside."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            seen.append(self.path)
            parts = self.path.split("/")
            kind, body = None, None
            if self.path == "/v2/":
                body = b"{}"
            elif parts[-2] == "manifests":
                for (name, tag), (media, text) in images["manifests"].items():
                    if "/".join(parts[2:-2]) == name and parts[-1] in (tag, "sha256:" + sha(text)):
                        kind, body = media, text
            elif parts[-2] == "blobs":
                body = images["blobs"].get(parts[-1][7:])
            code = 200 if body is not None else 404
            if body is None:
                body = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
            self.send_response(code)
            self.send_header("Content-Type", kind or "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)
        do_HEAD = do_GET

        def log_message(self, *a):
            pass
    s = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=s.serve_forever, daemon=True).start()
    try:
        yield f"localhost:{s.server_port}", seen
    finally:
        s.shutdown()
        s.server_close()


def docker(image):
    """The same image as Docker's manifest, which `docker push` makes."""
    m = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
         "config": {**image.manifest["config"], "mediaType": "application/vnd.docker.container.image.v1+json"},
         "layers": [{**l, "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip"} for l in image.manifest["layers"]]}
    return "application/vnd.docker.distribution.manifest.v2+json", json.dumps(m).encode()


def test_an_image_comes_from_a_registry(c):
    image, other = Image([entry("from", b"registry")]), Image([entry("for", b"arm")], config={"architecture": "arm64"})
    media, text = docker(image)
    index = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
        {"mediaType": other.manifest["mediaType"], "digest": "sha256:" + other.digest, "size": len(other.text),
         "platform": {"os": "linux", "architecture": "arm64"}},
        {"mediaType": image.manifest["mediaType"], "digest": "sha256:" + image.digest, "size": len(image.text),
         "platform": {"os": "linux", "architecture": "amd64"}}]}).encode()
    oci = image.manifest["mediaType"]
    store = {"blobs": {**image.blobs, **other.blobs},
             "manifests": {("team/app", "v1"): (media, text), ("team/app", "multi"): ("application/vnd.oci.image.index.v1+json", index),
                           ("team/app", "oci"): (oci, image.text)}}
    with registry(store, PLAIN_PORT) as (host, seen):
        a = c.ask(c.fetcher, FETCH, ref=f"docker://{host}/team/app:v1")
        assert a["result"] == 0, a["text"]
        assert a["digest"] == sha(text), "the very manifest, not a rewritten one"
        b = c.ask(c.fetcher, FETCH, ref=f"{host}/team/app:multi")
        assert b["result"] == 0 and b["digest"] == image.digest, b["text"]
        done = c.ask(c.converter, CONVERT, digest=a["digest"])
        assert done["result"] == 0, done["text"]
        assert open(c.unpack(done["digest"]) + "/from").read() == "registry"
        n = len(seen)
        again = c.ask(c.fetcher, FETCH, ref=f"{host}/team/app@sha256:{image.digest}")
        assert again["result"] == 0 and len(seen) == n, "by digest: what is here is not asked for again"
        gone = c.ask(c.fetcher, FETCH, ref=f"{host}/team/app:nope")
        assert gone["result"] == -ENOENT and gone["code"] == "image-not-found", gone
        assert not [x for x in os.listdir(f"{c.lib}/blobs") if x != "sha256"], "no temporary folder stays"
    closed = c.ask(c.fetcher, FETCH, ref=f"{host}/team/app:v1")
    assert closed["result"] < 0 and closed["code"] == "unavailable", closed


def test_plain_http_is_for_registries_that_the_platform_names(c):
    image = Image([entry("plain", b"http")])
    store = {"blobs": image.blobs, "manifests": {("x", "v1"): (image.manifest["mediaType"], image.text)}}
    with registry(store, 0) as (host, seen):
        a = c.ask(c.fetcher, FETCH, ref=f"{host}/x:v1")
    assert a["result"] < 0 and not seen, (a, seen)


def test_a_lying_registry_is_noticed(c):
    image = Image([entry("a", b"said")])
    store = {"blobs": dict(image.blobs), "manifests": {("x", "v1"): (image.manifest["mediaType"], image.text)}}
    layer = image.manifest["layers"][0]["digest"][7:]
    store["blobs"][layer] = gzip.compress(tar(entry("a", b"done")))
    with registry(store, PLAIN_PORT) as (host, _):
        a = c.ask(c.fetcher, FETCH, ref=f"{host}/x:v1")
    assert a["result"] < 0
    assert c.ask(c.fetcher, HAS, digest=image.digest, user="ward-api")["result"] == -ENOENT


def test_uploaded_images_need_all_their_blobs(c):
    image = Image([entry("up", b"loaded")])
    ref = "sha256:" + image.digest
    a = c.ask(c.fetcher, FETCH, ref=ref)
    assert a["result"] == -ENOENT and a["code"] == "image-not-found"
    c.put(image.text)
    assert "configuration" in c.ask(c.fetcher, FETCH, ref=ref)["text"]
    c.put(image.blobs[image.manifest["config"]["digest"][7:]])
    assert "layer 1" in c.ask(c.fetcher, FETCH, ref=ref)["text"]
    c.upload(image)
    assert c.ask(c.fetcher, FETCH, ref=ref)["digest"] == image.digest
    index = json.dumps({"schemaVersion": 2, "manifests": [{"mediaType": image.manifest["mediaType"], "digest": ref,
                                                          "size": len(image.text)}]}).encode()
    c.put(index)
    assert c.ask(c.fetcher, FETCH, ref="sha256:" + sha(index))["digest"] == image.digest, "a layout's index of one"


def test_bad_references_are_explained(c):
    for ref in ("", "UPPER", "a b", "x:", "x@sha256:12", "http://x/y", "-x", "x/../y", "--help", "docker://"):
        a = c.ask(c.fetcher, FETCH, ref=ref)
        assert a["result"] == -EINVAL and "name of an image" in a["text"], (ref, a)
