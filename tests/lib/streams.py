# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes what an image server of LXD or Incus serves, for webserver.py."""
import hashlib
import io
import json
import lzma
import os
import subprocess
import tarfile

SERIAL = "20260608_05:24"


def sha256(*parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def tar_xz(files):
    """A tar.xz of name -> contents; a name that ends in "/" is a directory."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name.rstrip("/"))
            info.mode = 0o755
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return lzma.compress(buffer.getvalue(), preset=0)


def make_metadata(name):
    return tar_xz({"metadata.yaml": ("architecture: x86_64\ncreation_date: 1700000000\nproperties:\n"
                                     f"  description: {name}\n  os: Testix\n").encode()})


def make_rootfs(name, size=0):
    """A root file system that can be imported; `size` bytes of noise make it large."""
    return tar_xz({"bin/": b"", "usr/": b"", "usr/bin/": b"", "sbin/": b"", "sbin/init": b"#!/bin/sh\n",
                   "etc/": b"", "etc/os-release": f'ID=testix\nPRETTY_NAME="{name}"\n'.encode(),
                   "noise": os.urandom(size)})


def make_disk(folder):
    path = os.path.join(folder, "disk.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "64M"], check=True)
    with open(path, "rb") as file:
        return file.read()


class Tree:
    """Products below a folder, as images.linuxcontainers.org has them."""

    def __init__(self, folder):
        self.folder = folder
        self.products = {}
        self.fields = {}

    def write(self, path, data):
        full = os.path.join(self.folder, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full + ".new", "wb") as file:
            file.write(data)
        os.rename(full + ".new", full)

    def add(self, aliases, rootfs=None, disk=None, arch="amd64", serial=SERIAL, **fields):
        """Returns kind -> fingerprint."""
        base = f"images/{aliases[0]}/{arch}/{serial}"
        metadata = make_metadata(aliases[0])
        meta = {"ftype": "lxd.tar.xz", "path": base + "/lxd.tar.xz", "size": len(metadata),
                "sha256": sha256(metadata)}
        items, fingerprints = {"lxd.tar.xz": meta}, {}
        self.write(meta["path"], metadata)
        for kind, data, ftype, name, member in (
                ("container", rootfs, "root.tar.xz", "rootfs.tar.xz", "combined_rootxz_sha256"),
                ("vm", disk, "disk-kvm.img", "disk.qcow2", "combined_disk-kvm-img_sha256")):
            if data is None:
                continue
            self.write(f"{base}/{name}", data)
            items[name] = {"ftype": ftype, "path": f"{base}/{name}", "size": len(data),
                           "sha256": sha256(data)}
            fingerprints[kind] = meta[member] = sha256(metadata, data)
        product = self.products.setdefault(f"{aliases[0]}:{arch}", {"versions": {}})
        product.update({"aliases": ",".join(aliases), "arch": arch, "os": "Testix", "release": "one",
                        "release_title": "1", "variant": "default", **fields})
        product["versions"][serial] = {"items": items}
        return fingerprints

    def publish(self):
        self.write("streams/v1/images.json", json.dumps({
            "content_id": "images", "datatype": "image-downloads", "format": "products:1.0",
            "products": self.products, **self.fields}).encode())
        self.write("streams/v1/index.json", json.dumps({
            "format": "index:1.0", "index": {"images": {
                "datatype": "image-downloads", "path": "streams/v1/images.json",
                "format": "products:1.0", "products": sorted(self.products)}}}).encode())
