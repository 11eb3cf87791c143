# SPDX-License-Identifier: LGPL-2.1-or-later
"""An image that is made in a moment and starts in one: busybox, and an init that does nothing."""

import io
import random
import tarfile

# Of images; compressible data would not show that pages are missing.
CONTENT = random.Random(1).randbytes(3 << 20)


def rootfs(path, mark):
    """The smallest thing that boots and can be looked into."""
    with tarfile.open(path, "w") as archive:
        def add(name, data=None, link=None, mode=0o755):
            info = tarfile.TarInfo(name)
            info.mode = mode
            if link:
                info.type, info.linkname = tarfile.SYMTYPE, link
            elif data is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data) if data is not None else None)

        for name in ("bin", "dev", "etc", "proc", "root", "run", "sbin", "srv", "sys", "tmp"):
            add(name)
        with open("/bin/busybox", "rb") as stream:
            add("bin/busybox", stream.read())
        for name in ("sh", "cat", "sync", "sleep", "sha256sum"):
            add("bin/" + name, link="busybox")
        add("sbin/init", b"#!/bin/sh\ntrap 'exit 0' TERM INT PWR\n"
            b"while :; do /bin/busybox sleep 1; done\n")
        add("etc/os-release", b"ID=testix\nPRETTY_NAME=Testix\n", mode=0o644)
        add("srv/content", CONTENT + mark, mode=0o644)
