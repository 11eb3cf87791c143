#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 240
"""Changed copies of images: a container is launched from one, and a disk is read back."""

import atexit
import os
import shutil
import subprocess
import tarfile
import tempfile

import tinyimage
from hostlib import USAGE, contains, equal, lodge, lodge_fails, main

TREE, DISK = "c-customize", "m-customize"
NAME = "c-customize"
WORK = tempfile.mkdtemp(prefix="lodge-customize-", dir="/var/tmp")
atexit.register(shutil.rmtree, WORK, True)
MIB = 1 << 20
SCRIPT = "#!/bin/sh\ncat /etc/motd > /srv/done\necho scripted >> /srv/done\n"


def file(name, text, mode=0o644):
    path = os.path.join(WORK, name)
    with open(path, "w", encoding="ascii") as stream:
        stream.write(text)
    os.chmod(path, mode)
    return path


def test_container():
    archive = os.path.join(WORK, "tree.tar")
    tinyimage.rootfs(archive, b"mark")
    lodge("image", "import", archive, TREE)
    lodge("image", "customize", TREE, TREE + "/2", "--copy=%s:/etc/motd" % file("motd", "copied\n"),
          "--run", file("script", SCRIPT))
    lodge("launch", TREE + "/2", NAME)
    equal(lodge("exec", NAME, "--", "/bin/cat", "/srv/done").stdout, "copied\nscripted\n")
    lodge("delete", "--force", NAME)
    done = lodge_fails(USAGE, "image", "customize", TREE, "--run",
                       file("bad", "#!/bin/sh\necho no good\nexit 7\n"), says="status 7")
    contains(done.stderr, "no good")
    lodge("image", "delete", "--yes", TREE, TREE + "/2")


def make_disk():
    root = os.path.join(WORK, "root")
    archive = os.path.join(WORK, "tree.tar")
    with tarfile.open(archive) as members:
        members.extractall(root)
    with open(os.path.join(root, "etc/shadow"), "w", encoding="ascii") as stream:
        stream.write("root:*:19000:0:99999:7:::\n")
    path = os.path.join(WORK, "disk.raw")
    with open(path, "wb") as stream:
        stream.truncate(40 * MIB)
    subprocess.run(["sfdisk", "-q", path], input=b"label: gpt\nstart=2048, size=65536\n", check=True)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-E", "offset=%d" % MIB, "-d", root, path,
                    "32768k"], check=True, capture_output=True)
    return path


def test_disk():
    lodge("image", "import", make_disk(), DISK, seconds=120)
    lodge("image", "customize", DISK, DISK + "/2", "--size=96MiB", "--hostname=boxed", "--password",
          "--copy=%s:/etc/motd" % file("motd", "copied\n", 0o640), "--reset-machine-id",
          "--run", file("script", SCRIPT), data="secret\n", seconds=120)
    image = os.path.join(WORK, "out.raw")
    lodge("image", "export", "--format=raw", DISK + "/2", image)
    equal(os.stat(image).st_size, 96 * MIB)
    part = os.path.join(WORK, "part")
    with open(image, "rb") as source, open(part, "wb") as target:
        source.seek(MIB)
        target.write(source.read())

    def read(path):
        return subprocess.run(["debugfs", "-R", "cat " + path, part], capture_output=True,
                              check=True, text=True).stdout
    equal(read("/srv/done"), "copied\nscripted\n")
    equal(read("/etc/hostname"), "boxed\n")
    equal(read("/etc/machine-id"), "")
    contains(read("/etc/shadow"), "root:$6$")
    about = subprocess.run(["dumpe2fs", "-h", part], capture_output=True, check=True, text=True)
    fields = dict(line.split(":", 1) for line in about.stdout.splitlines() if ":" in line)
    size = int(fields["Block count"]) * int(fields["Block size"])
    equal(size > 90 * MIB, True, "the root has all of the disk")
    lodge_fails(USAGE, "image", "customize", DISK, "--size=16MiB", says="only grow")
    lodge("image", "delete", "--yes", DISK, DISK + "/2")


if __name__ == "__main__":
    main("c-customize")
