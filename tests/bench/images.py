# SPDX-License-Identifier: LGPL-2.1-or-later
"""The image suite of tests/bench/run: imports beside the tools that do the same by hand.

Both read the same file, from the page cache, and write to the same file system, in turns; figures
of both and of each pair's quotient are kept.  The worker is measured by itself, as lodged runs it,
and the whole command, which also makes the result durable, beside the tool and a sync."""

import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time

MIB = 1 << 20
ALIAS = "bench-image"
INSTANCE = "bench-unpacked"
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
# What lodged lets the worker take.
LIMITS = ("limit.cpu=3600", "memory.unpack=%d" % (256 * MIB), "memory.convert=%d" % (1024 * MIB))

ROWS = {}
for _kind, _file, _tool, _goal in (("tar", "tar.zst", "tar -x", 1.3),
                                   ("squashfs", "squashfs", "unsquashfs", 1.3),
                                   ("qcow2", "qcow2", "qemu-img convert", 1.2)):
    ROWS["image_%s_worker" % _kind] = ("image of a %s: the worker" % _file, None)
    ROWS["image_%s_tool" % _kind] = ("  %s" % _tool, None)
    ROWS["image_%s_ratio" % _kind] = ("  the worker ÷ %s" % _tool, _goal)
    ROWS["image_%s_cpu" % _kind] = ("  the same in processor time", None)
    ROWS["image_%s_import" % _kind] = ("  lodge image import, whole command", None)
    ROWS["image_%s_synced" % _kind] = ("  %s, and a sync" % _tool, None)
ROWS["image_qcow2_sha256"] = ("  SHA-256 of the qcow2, by OpenSSL", None)
ROWS["image_big_pss"] = ("lodged PSS at most, importing 2 GiB", 12)
ROWS["image_big_grown"] = ("  grown by that", None)
ROWS["image_create"] = ("import of the tar.zst, create of an instance", None)
ROWS["image_lxd_import"] = ("  lxc image import of it (packed as it is)", None)
ROWS["image_lxd_create"] = ("  lxc image import and lxc init", None)


class Mostly:
    """A stream in which eight KiB of each MiB are random, so that little of it is written."""

    def __init__(self):
        self.at = 0

    def read(self, size):
        self.at += size
        return os.urandom(size) if self.at % MIB < size else bytes(size)


class Images:
    def __init__(self, bench, folder):
        self.bench = bench
        self.folder = folder
        self.result = folder + "/result"
        self.worker = find_worker(bench)

    def path(self, name):
        return os.path.join(self.folder, name)

    def prepare(self, image, rootfs):
        tar, tree = self.path("image.tar"), self.path("tree")
        if rootfs:
            self.bench.must("image", "import", "-q", rootfs, ALIAS)
            image = ALIAS
        self.bench.must("image", "export", "-q", image, tar, "--format=unified",
                        "--compression=none", "--kind=container")
        self.clean()
        os.mkdir(tree)
        call("tar", "-xpf", tar, "--numeric-owner", "-C", tree)
        call("zstd", "-q", "-3", tar, "-o", tar + ".zst")
        call("mksquashfs", tree + "/rootfs", self.path("image.squashfs"), "-comp", "zstd",
             "-Xcompression-level", "3", "-no-progress", "-quiet")
        call("mke2fs", "-q", "-t", "ext4", "-d", tree + "/rootfs", self.path("disk"), "1G")
        call("qemu-img", "convert", "-f", "raw", "-O", "qcow2", self.path("disk"),
             self.path("image.qcow2"))
        os.unlink(tar)
        os.unlink(self.path("disk"))
        shutil.rmtree(tree)

    def clean(self):
        """Away with what the last measure left, and with what of it is not yet on the disk."""
        shutil.rmtree(self.result, ignore_errors=True)
        self.bench.lodge("image", "delete", ALIAS)
        call("sync", "-f", self.folder)

    def fresh(self):
        self.clean()
        os.mkdir(self.result)

    def take_worker(self, source):
        """-> milliseconds, of wall and of processors, of the worker as lodged runs it"""
        self.fresh()
        files = [os.open(source, os.O_RDONLY), os.open(self.result, os.O_PATH | os.O_DIRECTORY)]
        request = os.memfd_create("request", os.MFD_ALLOW_SEALING)
        records = ("op=import", "fd.input=5", "fd.staging=6", *LIMITS)
        os.write(request, b"".join(r.encode() + b"\0" for r in records))
        os.lseek(request, 0, os.SEEK_SET)
        fcntl.fcntl(request, fcntl.F_ADD_SEALS, SEALS)
        ours, theirs = socket.socketpair()
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100)
                for fd in (theirs.fileno(), request, *files)]
        actions = [(os.POSIX_SPAWN_DUP2, self.bench.null, fd) for fd in (0, 1, 2)]
        actions += [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(high, 3)]
        began = time.perf_counter()
        pid = os.posix_spawn(self.worker, [self.worker], os.environ, file_actions=actions)
        for fd in (request, *files, *high):
            os.close(fd)
        theirs.close()
        with ours, ours.makefile("r", errors="replace") as lines:
            text = lines.read()
        if "\ndone\n" not in text:
            sys.exit("bench: the worker failed: " + text[-500:])
        return finish(pid, began)

    def take_tool(self, words):
        self.fresh()
        words = [word.replace("{}", self.result) for word in words]
        actions = [(os.POSIX_SPAWN_DUP2, self.bench.null, fd) for fd in (0, 1, 2)]
        began = time.perf_counter()
        taken = finish(os.posix_spawnp(words[0], words, os.environ, file_actions=actions), began)
        call("sync", "-f", self.result)
        return (*taken, (time.perf_counter() - began) * 1e3)

    def import_command(self, source):
        self.clean()
        return self.bench.must("image", "import", "-q", source, ALIAS)

    def pair(self, kind, source, words, keep, whole):
        wall, processors = self.take_worker(source)
        tool_wall, tool_processors, synced = self.take_tool(words)
        for measure, value, unit in (
                ("worker", wall, "ms"), ("tool", tool_wall, "ms"), ("synced", synced, "ms"),
                ("ratio", wall / tool_wall, "×"), ("cpu", processors / tool_processors, "×")):
            keep("image_%s_%s" % (kind, measure), value, unit)
        if whole:
            keep("image_%s_import" % kind, self.import_command(source))

    def create(self, source, keep):
        began = time.perf_counter()
        self.import_command(source)
        self.bench.must("create", ALIAS, INSTANCE)
        keep("image_create", (time.perf_counter() - began) * 1e3)
        self.bench.must("delete", "--force", INSTANCE)

    def big(self):
        """The memory of lodged, ten times a second, while it imports 2 GiB."""
        self.clean()
        source = self.path("big.tar.zst")
        with open(source, "wb") as output, subprocess.Popen(
                ["zstd", "-q", "-1"], stdin=subprocess.PIPE, stdout=output) as packer:
            with tarfile.open(fileobj=packer.stdin, mode="w|", copybufsize=8192) as archive:
                for name, kind, size in (("bin", tarfile.DIRTYPE, 0),
                                         ("big", tarfile.REGTYPE, 2048 * MIB)):
                    info = tarfile.TarInfo(name)
                    info.type, info.size, info.mode = kind, size, 0o755
                    archive.addfile(info, Mostly() if size else None)
        found = [self.bench.pss()]
        pid = self.bench.spawn("image", "import", "-q", source, ALIAS)
        while not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            found.append(self.bench.pss())
            time.sleep(0.1)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
            sys.exit("bench: 2 GiB cannot be imported")
        self.bench.add("image_big_pss", max(found), "MiB")
        self.bench.add("image_big_grown", max(found) - found[0], "MiB")
        os.unlink(source)

    def lxd(self, client, source, keep):
        began = time.perf_counter()
        call(client, "image", "import", source, "--alias", ALIAS)
        keep("image_lxd_import", (time.perf_counter() - began) * 1e3)
        call(client, "init", ALIAS, INSTANCE)
        keep("image_lxd_create", (time.perf_counter() - began) * 1e3)
        call(client, "delete", "--force", INSTANCE)
        call(client, "image", "delete", ALIAS)


def finish(pid, began):
    _, status, usage = os.wait4(pid, 0)
    wall = (time.perf_counter() - began) * 1e3
    if status != 0:
        sys.exit("bench: what was measured failed with status %d" % os.waitstatus_to_exitcode(status))
    return wall, (usage.ru_utime + usage.ru_stime) * 1e3


def call(*words):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        sys.exit("bench: %s failed: %s" % (" ".join(words[:3]), done.stderr.strip()[-300:]))


def find_worker(bench):
    roots = [bench.testbed + "/root"] if bench.testbed else []
    for root in roots + [""]:
        for place in ("/usr/libexec", "/usr/local/libexec"):
            path = root + place + "/lodge/lodge-image-worker"
            if os.path.exists(path):
                return path
    sys.exit("bench: there is no lodge-image-worker")


def find_lxd():
    """The client of an LXD that answers: LODGE_BENCH_LXC, or lxc of PATH; LXD_DIR is honoured."""
    client = os.environ.get("LODGE_BENCH_LXC") or shutil.which("lxc")
    if client:
        done = subprocess.run([client, "query", "/1.0"], stdin=subprocess.DEVNULL,
                              capture_output=True, check=False)
        if done.returncode == 0:
            return client
    print("bench: no LXD answers, so it is not compared", file=sys.stderr)
    return None


def checksum(path):
    began = time.perf_counter()
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(MIB):
            digest.update(block)
    return (time.perf_counter() - began) * 1e3


def suite_image(bench):
    client = find_lxd()
    with tempfile.TemporaryDirectory(dir=bench.directory, prefix="lodge-bench-") as folder:
        images = Images(bench, folder)
        tar, squashfs, qcow2 = (images.path("image." + x) for x in ("tar.zst", "squashfs", "qcow2"))
        images.prepare(bench.image, bench.rootfs)
        for number in range(bench.rounds + 1):
            keep = bench.add if number else lambda *_: None  # the first one warms up
            images.pair("tar", tar, ["tar", "-xpf", tar, "--numeric-owner", "-C", "{}"], keep, True)
            images.pair("squashfs", squashfs, ["unsquashfs", "-q", "-n", "-f", "-d", "{}/root",
                                               squashfs], keep, True)
            # The look into the disk takes seconds where there is no KVM.
            images.pair("qcow2", qcow2, ["qemu-img", "convert", "-O", "qcow2", qcow2, "{}/disk"],
                        keep, number == 1)
            keep("image_qcow2_sha256", checksum(qcow2))
            images.create(tar, keep)
            if client:
                images.lxd(client, tar, keep)
        images.big()
        images.clean()
