#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Changed copies of a container's image: what gets into them, and what a hostile tree or a failing
script comes to.

    test-tailor.py RUN-HELPER LODGE-IMAGE-WORKER

TAP on stdout.  Needs root.
"""
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import time

from imagelib import CANARY, CASES, RUN_HELPER, STAGING, WORK, WORKER, Result, accepted, case, main
from imagelib import path, refused
import tinyimage

IMAGE = os.path.join(WORK, "image")
TREE = os.path.join(IMAGE, "rootfs")
FILE = os.path.join(WORK, "file")


def make_tree():
    shutil.rmtree(IMAGE, ignore_errors=True)
    os.makedirs(TREE)
    archive = os.path.join(WORK, "tree.tar")
    tinyimage.rootfs(archive, b"mark")
    with tarfile.open(archive) as members:
        members.extractall(TREE)
    for name, text in (("etc/machine-id", "0" * 32 + "\n"), ("etc/hostname", "old\n"),
                       ("etc/shadow", "root:*:19000:0:99999:7:::\nu:!::::::\n")):
        with open(os.path.join(TREE, name), "w", encoding="ascii") as file:
            file.write(text)
    os.makedirs(os.path.join(TREE, "home/u"))
    os.chown(os.path.join(TREE, "home/u"), 1000, 1000)
    with open(os.path.join(IMAGE, "metadata.yaml"), "w", encoding="ascii") as file:
        file.write("architecture: x86_64\n")


def tailor(*arguments):
    shutil.rmtree(STAGING, ignore_errors=True)
    os.mkdir(STAGING)
    start = time.monotonic()
    process = subprocess.run([RUN_HELPER, WORKER, "customise", f"rootfs={TREE}", f"metadata={IMAGE}",
                              "arch=x86_64", f"fd.staging={STAGING}:dir", *arguments],
                             capture_output=True, text=True, timeout=120, check=False)
    return Result(process.stdout, time.monotonic() - start)


def put(text, mode=0o644):
    with open(FILE, "w", encoding="ascii") as file:
        file.write(text)
    os.chmod(FILE, mode)


def read(*parts):
    with open(path(*parts), encoding="ascii") as file:
        return file.read()


@case
def everything():
    make_tree()
    put("copied\n", 0o750)
    result = accepted(tailor(
        "hostname=new", "machine-id=1", "password-hash=$6$x$y", "ssh-key=ssh-ed25519 AAAA me",
        "path=/opt/deep/file", f"fd.file-0={FILE}:r", "path=/etc/motd", f"fd.file-1={FILE}:r",
        "script=#!/bin/sh\ncat /opt/deep/file > /srv/done\nls /sys/class/net | wc -l >> /srv/done\n"))
    assert read("etc/hostname") == "new\n" and read("etc/machine-id") == ""
    assert read("etc/shadow") == "root:$6$x$y:19000:0:99999:7:::\nu:!::::::\n"
    assert read("root/.ssh/authorized_keys") == "ssh-ed25519 AAAA me\n"
    assert read("opt/deep/file") == read("etc/motd") == "copied\n"
    assert stat.S_IMODE(os.stat(path("opt/deep/file")).st_mode) == 0o750
    assert read("srv/done").startswith("copied\n")
    assert os.stat(path("home/u")).st_uid == 1000 and os.stat(path("srv/done")).st_uid == 0
    assert sorted(os.listdir(STAGING)) == ["metadata.yaml", "rootfs"]
    assert not os.path.lexists(path(".lodge-script"))
    with open(os.path.join(TREE, "etc/hostname"), encoding="ascii") as file:
        assert file.read() == "old\n"
    first = result.value("fingerprint")
    assert accepted(tailor("hostname=new")).value("fingerprint") != first
    other = accepted(tailor("hostname=new")).value("fingerprint")
    assert accepted(tailor("hostname=new")).value("fingerprint") == other


@case
def links_lead_nowhere():
    """What an image puts in the way is replaced, or followed within it."""
    make_tree()
    target = os.path.join(CANARY, "file")
    os.unlink(os.path.join(TREE, "etc/hostname"))
    os.symlink(target, os.path.join(TREE, "etc/hostname"))
    os.unlink(os.path.join(TREE, "etc/machine-id"))
    os.symlink("../../../../../.." + target, os.path.join(TREE, "etc/machine-id"))
    os.symlink(CANARY, os.path.join(TREE, "opt"))
    put("copied\n")
    accepted(tailor("hostname=new", "machine-id=1"))
    assert read("etc/hostname") == "new\n" and read("etc/machine-id") == ""
    tailor("path=/opt/file", f"fd.file-0={FILE}:r")  # main() looks after what is behind it
    with open(target, encoding="ascii") as file:
        assert file.read() == "untouched"


@case
def failures():
    make_tree()
    text = refused(tailor("script=#!/bin/sh\necho no good; exit 3\n"), "InvalidArgument")
    assert "status 3" in text and "no good" in text
    os.unlink(os.path.join(TREE, "etc/shadow"))
    refused(tailor("password-hash=$6$x$y"), "NotSupported")
    refused(tailor("path=relative", f"fd.file-0={FILE}:r"), "InvalidArgument")
    refused(tailor("path=/etc/motd"), "InvalidArgument")
    refused(tailor("path=/etc/motd", f"fd.file-0={WORK}:dir"), "InvalidArgument")


if __name__ == "__main__":
    assert CASES
    sys.exit(main())
