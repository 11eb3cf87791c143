#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What unpacking keeps of an archive, and what it takes for it.

    test-unpack.py RUN-HELPER LODGE-IMAGE-WORKER

TAP on stdout.  Needs root.
"""
import gzip
import os
import shutil
import stat
import subprocess
import sys
import tarfile

from imagelib import (INPUT, MIB, SANITIZED, STAGING, accepted, case, main, member, path, put,
                      refused, run, tar)

# Of what an import takes at its peak, whatever its size: decompressing by default windows included.
MEMORY_MAX = 64


@case
def attributes_are_kept():
    put(tar(member("d", tarfile.DIRTYPE, mode=0o2750, uid=3, gid=7, mtime=1000),
            member("d/e", tarfile.DIRTYPE, mode=0o000, mtime=2000),
            member("d/e/root", content="x", mode=0o640, mtime=3000),
            member("d/e/su", content="x", mode=0o6755, uid=5, gid=6),
            member("d/link", tarfile.SYMTYPE, "e", uid=8, gid=9, mtime=4000),
            member("d/pipe", tarfile.FIFOTYPE, mode=0o620, uid=8, mtime=5000)))
    accepted(run())
    for name, mode, uid, gid, mtime in (("d", 0o2750, 3, 7, 1000), ("d/e", 0, 0, 0, 2000),
                                        ("d/e/root", 0o640, 0, 0, 3000), ("d/e/su", 0o6755, 5, 6, 0),
                                        ("d/link", 0o777, 8, 9, 4000), ("d/pipe", 0o620, 8, 0, 5000)):
        found = os.lstat(path(name))
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, int(found.st_mtime)) == (
            mode, uid, gid, mtime), (name, found)


@case
def missing_directories_are_made():
    put(tar(member("a/b/c/file", content="x"), member("a/b/c", tarfile.DIRTYPE, mode=0o700),
            member("/".join(["deep"] * 200) + "/file", content="y"),
            member("a/hard", tarfile.LNKTYPE, "a/b/c/file")))
    accepted(run())
    assert stat.S_IMODE(os.lstat(path("a/b")).st_mode) == 0o755
    assert stat.S_IMODE(os.lstat(path("a/b/c")).st_mode) == 0o700
    assert os.path.exists(path(*["deep"] * 200, "file"))
    assert os.lstat(path("a/hard")).st_nlink == 2


@case
def members_that_come_again():
    put(tar(member("x", content="first"), member("hard", tarfile.LNKTYPE, "x"),
            member("x", content="second"),
            member("y", tarfile.SYMTYPE, "x"), member("y", tarfile.DIRTYPE),
            member("y/inside", content="z"),
            member("empty", tarfile.DIRTYPE), member("empty", content="a file"),
            member("z", content="a"), member("z", tarfile.SYMTYPE, "x"),
            member("z", tarfile.LNKTYPE, "hard")))
    accepted(run())
    for name, text in (("x", "second"), ("hard", "first"), ("y/inside", "z"), ("empty", "a file"),
                       ("z", "first")):
        with open(path(name), encoding="ascii") as file:
            assert file.read() == text, name
    assert not os.path.islink(path("y"))
    for twice in ([member("full", tarfile.DIRTYPE), member("full/x"), member("full", content="x")],
                  [member("f", content="x"), member("f/below", content="x")],
                  [member("self", tarfile.LNKTYPE, "self")],
                  [member("hard", tarfile.LNKTYPE, "not-there")],
                  [member("link", tarfile.SYMTYPE, "etc"), member("etc/x", content="x"),
                   member("hard", tarfile.LNKTYPE, "link/x")]):
        put(tar(*twice))
        refused(run())


@case
def zeros_become_holes():
    content = b"a" * 70000 + b"\0" * (8 * MIB) + b"b" * 3 + b"\0" * (4 * MIB)
    put(tar(member("sparse", content=content), member("zero", content=b"\0" * MIB)))
    accepted(run())
    with open(path("sparse"), "rb") as file:
        assert file.read() == content
    assert os.lstat(path("sparse")).st_blocks * 512 < MIB
    assert os.lstat(path("zero")).st_size == MIB and os.lstat(path("zero")).st_blocks == 0


@case
def damage_is_noticed_wherever_it_is():
    packed = gzip.compress(tar(member("random", content=os.urandom(3 * MIB))))
    for size in (1, 11, 500, len(packed) // 2, len(packed) - 100):
        put(packed[:size])
        refused(run())
    put(packed[:MIB] + bytes(1000) + packed[MIB + 1000:])
    refused(run())
    put(packed + b"what follows the end is nobody's business")
    accepted(run())
    put(tar(member("cut", content=b"x" * MIB))[:MIB // 2])
    refused(run())
    put(b"")
    refused(run())


class Mostly:
    """A stream in which eight KiB of each MiB are random, so that little of it is written."""

    def __init__(self):
        self.at = 0

    def read(self, size):
        assert size <= MIB - 8192
        self.at += size
        return os.urandom(size) if self.at % MIB < size else bytes(size)


def big_archive(mebibytes):
    if not shutil.which("zstd"):
        return False
    with open(INPUT, "wb") as output, subprocess.Popen(
            ["zstd", "-q", "-1"], stdin=subprocess.PIPE, stdout=output) as packer:
        with tarfile.open(fileobj=packer.stdin, mode="w|", copybufsize=8192) as archive:
            for info, data in (member("bin", tarfile.DIRTYPE), member("big")):
                info.size = mebibytes * MIB if data is not None else 0
                archive.addfile(info, Mostly() if data is not None else None)
    return packer.returncode == 0


@case
def memory_does_not_grow_with_the_image():
    peaks = []
    for mebibytes in (64, 2048):
        if not big_archive(mebibytes):
            return
        result = accepted(run())
        assert os.lstat(path("big")).st_size == mebibytes * MIB
        peaks.append(result.memory)
    assert SANITIZED or peaks[1] <= min(MEMORY_MAX, peaks[0] + 16), peaks


if __name__ == "__main__":
    sys.exit(main())
