"""Writing OCI images: layers in, an archive of an OCI layout out. Used by scripts/demo-images and scripts/test-image."""
import hashlib, io, json, os, tarfile, time

EPOCH = 1_700_000_000  # the same input makes the same image


class Archive:
    """An OCI archive under way: blobs are appended as they come, the index at the end."""

    def __init__(self, path):
        self.path, self.part = path, f"{path}.part"
        self.tar = tarfile.open(self.part, "w", format=tarfile.GNU_FORMAT)
        self.layers, self.diff_ids = [], []
        self.add("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')

    def add(self, name, data):
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = len(data), EPOCH, 0o644
        self.tar.addfile(info, io.BytesIO(data))

    def blob(self, media_type, data):
        digest = hashlib.sha256(data).hexdigest()
        self.add(f"blobs/sha256/{digest}", data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def layer(self, tar_bytes):
        """One layer from an uncompressed tar."""
        self.layers.append(self.blob("application/vnd.oci.image.layer.v1.tar", tar_bytes))
        self.diff_ids.append(self.layers[-1]["digest"])

    def layer_file(self, path, media_type, diff_id):
        """One layer from a file, already compressed; diff_id is that of the uncompressed tar."""
        digest = hashlib.sha256()
        with open(path, "rb") as f:
            while piece := f.read(1 << 20):
                digest.update(piece)
            f.seek(0)
            info = tarfile.TarInfo(f"blobs/sha256/{digest.hexdigest()}")
            info.size, info.mtime, info.mode = os.path.getsize(path), EPOCH, 0o644
            self.tar.addfile(info, f)
        self.layers.append({"mediaType": media_type, "digest": f"sha256:{digest.hexdigest()}", "size": info.size})
        self.diff_ids.append(diff_id)

    def finish(self, config):
        """config: Entrypoint, Cmd, Env, ... Renames the archive into place and returns the manifest's digest."""
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH))
        image = {"created": created, "architecture": "amd64", "os": "linux", "config": config,
                 "rootfs": {"type": "layers", "diff_ids": self.diff_ids},
                 "history": [{"created": created, "created_by": "ward"} for _ in self.diff_ids]}
        dump = lambda o: json.dumps(o, sort_keys=True, separators=(",", ":")).encode()
        about = self.blob("application/vnd.oci.image.config.v1+json", dump(image))
        manifest = self.blob("application/vnd.oci.image.manifest.v1+json", dump(
            {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": about, "layers": self.layers}))
        manifest["platform"] = {"os": "linux", "architecture": "amd64"}
        self.add("index.json", dump({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest]}))
        self.tar.close()
        os.rename(self.part, self.path)
        return manifest["digest"]


def tar_of(files):
    """An uncompressed tar from {path: (bytes or None for a folder, mode)}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as t:
        for path, (data, mode) in sorted(files.items()):
            info = tarfile.TarInfo(path)
            info.mode, info.mtime = mode, EPOCH
            if data is None:
                info.type = tarfile.DIRTYPE
                t.addfile(info)
            else:
                info.size = len(data)
                t.addfile(info, io.BytesIO(data))
    return out.getvalue()
