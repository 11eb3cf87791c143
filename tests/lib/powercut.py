# SPDX-License-Identifier: LGPL-2.1-or-later
"""A disk that remembers every write and flush in their order, so that a test can have what is on
it after a power cut at any moment.

The file system is the kernel's own, on a loop device; the file below it is exported by
qemu-storage-daemon through FUSE, with blklogwrites between, whose log has the format of
dm-log-writes (and needs no device mapper).  After a cut, what was written before the last flush is
there; of what was written after it, any part may be."""

import os
import random
import shutil
import signal
import struct
import subprocess
import time

SECTOR = 512
PAGE = 4096
FLUSH, FUA, DISCARD = 1, 2, 4
ENTRY = struct.Struct("<QQQQ")

# Of the disk; imports leave 256 MiB free.
SIZE = 768 << 20
MKFS = {"ext4": ("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"),
        "xfs": ("mkfs.xfs", "-q", "-f")}
OPTIONS = {"ext4": "loop", "xfs": "loop,nouuid"}


def missing(kind):
    """Why this cannot be done here, or None."""
    for program in ("qemu-storage-daemon", MKFS[kind][0]):
        if shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None:
            return "%s is not installed" % program
    for device in ("/dev/fuse", "/dev/loop-control"):
        if not os.path.exists(device):
            return "%s is not there" % device
    with open("/proc/filesystems", encoding="ascii") as stream:
        if kind not in stream.read().split():
            return "the kernel has no %s" % kind
    return None


class Disk:
    """A file system of @kind in @folder, mounted at folder/m."""

    def __init__(self, folder, kind):
        self.kind = kind
        self.base = os.path.join(folder, "base")
        self.log = os.path.join(folder, "log")
        self.work = os.path.join(folder, "work")
        self.export = os.path.join(folder, "export")
        self.point = os.path.join(folder, "m")
        self.daemon = None
        os.makedirs(self.point, exist_ok=True)

    def make(self):
        with open(self.base, "wb") as stream:
            stream.truncate(SIZE)
        subprocess.run([*MKFS[self.kind], self.base], check=True, stdout=subprocess.DEVNULL)
        self.mount(self.base)

    def mount(self, path):
        subprocess.run(["mount", "-t", self.kind, "-o", OPTIONS[self.kind], path, self.point],
                       check=True)

    def unmount(self):
        # The last process of a testbed may still be on its way out.
        for _ in range(100):
            if subprocess.run(["umount", self.point], check=False,
                              stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.05)
        subprocess.run(["umount", self.point], check=True)

    def record(self):
        """Mounts a copy of the base, and notes in the log what happens to it."""
        subprocess.run(["cp", "--sparse=always", self.base, self.work], check=True)
        for path in (self.log, self.export):
            with open(path, "wb"):
                pass
        nodes = ("driver=file,filename=%s,node-name=disk" % self.work,
                 "driver=file,filename=%s,node-name=log" % self.log,
                 "driver=blklogwrites,file=disk,log=log,node-name=logged")
        words = [word for node in nodes for word in ("--blockdev", node)]
        self.daemon = subprocess.Popen(
            ["qemu-storage-daemon", *words, "--export",
             "type=fuse,id=export,node-name=logged,mountpoint=%s,writable=on" % self.export])
        end = time.monotonic() + 20
        while os.path.getsize(self.export) == 0:
            if self.daemon.poll() is not None or time.monotonic() > end:
                raise OSError("qemu-storage-daemon does not export the disk")
            time.sleep(0.02)
        self.mount(self.export)

    def stop_recording(self):
        self.unmount()
        self.daemon.send_signal(signal.SIGTERM)
        self.daemon.wait(timeout=30)
        self.daemon = None

    def now(self):
        """The moment, as a place in the log: all that was flushed by now is before it."""
        return os.path.getsize(self.log)

    def entries(self, moment):
        """-> (sector, flags, offset in the log or None for zeros, bytes) up to the moment."""
        with open(self.log, "rb") as stream:
            place = SECTOR
            while place + SECTOR <= moment:
                stream.seek(place)
                # QEMU leaves the last field, the length of the data, at zero.
                sector, count, flags, _ = ENTRY.unpack(stream.read(ENTRY.size))
                place += SECTOR
                if not count and not flags:
                    return
                if flags & DISCARD:
                    yield sector, flags, None, count * SECTOR
                    continue
                if place + count * SECTOR > moment:
                    return
                yield sector, flags, place, count * SECTOR
                place += count * SECTOR

    def cut(self, moment, seed):
        """Mounts what is on the disk after a power cut at this moment.  Of what was not flushed,
        a part that the seed decides is there; with the seed 0 nothing."""
        chance = random.Random(seed)
        subprocess.run(["cp", "--sparse=always", self.base, self.work], check=True)
        entries = list(self.entries(moment))
        flushed = max((i for i, e in enumerate(entries) if e[1] & (FLUSH | FUA)), default=-1)
        with open(self.log, "rb") as log, open(self.work, "r+b") as disk:
            for number, (sector, _, place, size) in enumerate(entries):
                for part in range(0, size, PAGE):
                    length = min(PAGE, size - part)
                    if number > flushed and (seed == 0 or chance.random() < 0.5):
                        continue
                    if place is None:
                        data = bytes(length)
                    else:
                        log.seek(place + part)
                        data = log.read(length)
                    disk.seek(sector * SECTOR + part)
                    disk.write(data)
        self.mount(self.work)

    def close(self):
        if self.daemon is not None:
            subprocess.run(["umount", "-l", self.point], check=False)
            self.daemon.kill()
            self.daemon.wait()
