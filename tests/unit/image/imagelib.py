# SPDX-License-Identifier: LGPL-2.1-or-later
"""Gives files to the real worker of images, and runs the cases that do so.  Needs root.

    test-….py RUN-HELPER LODGE-IMAGE-WORKER
"""
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../lib"))
import canary  # noqa: E402

RUN_HELPER, WORKER = sys.argv[1:3]
WORK = tempfile.mkdtemp(prefix="lodge-hostile-", dir="/var/tmp")
CANARY = os.path.join(WORK, "canary")
INPUT = os.path.join(WORK, "input")
STAGING = os.path.join(WORK, "staging")
SYSTEM = [("etc", tarfile.DIRTYPE, ""), ("usr/bin/true", tarfile.REGTYPE, "true"),
          ("sbin/init", tarfile.SYMTYPE, "/usr/bin/true")]
MIB = 1 << 20
# Sanitizers reserve terabytes of addresses.
SANITIZED = bool(os.environ.get("LODGE_TEST_SANITIZED"))
CASES = []


def case(function):
    CASES.append(function)
    return function


class Result:
    def __init__(self, text, seconds):
        self.lines = [line[8:] for line in text.split("\n")]
        self.seconds = seconds
        self.memory = 0 if SANITIZED else int(self.lines[-2].split()[-4])  # MiB

    @property
    def ok(self):
        return "done" in self.lines

    def error(self):
        found = [line for line in self.lines if line.startswith("error ")]
        return found[-1].split(" ", 2)[1:] if found else [None, "\n".join(self.lines[-4:])]

    def value(self, key):
        prefix = f"result {key} "
        return next((l[len(prefix):] for l in self.lines if l.startswith(prefix)), None)

    def notices(self):
        return [line for line in self.lines if line.startswith("notice ")]


def run(*arguments, source=INPUT):
    """Imports a file as lodged would, but for the look into disks, which takes long."""
    shutil.rmtree(STAGING, ignore_errors=True)
    os.mkdir(STAGING)
    limits = [] if SANITIZED else [f"memory.unpack={256 * MIB}", f"memory.convert={1024 * MIB}"]
    start = time.monotonic()
    process = subprocess.run(
        [RUN_HELPER, WORKER, "import", f"fd.input={source}:r", f"fd.staging={STAGING}:dir",
         "limit.cpu=60", *limits, *arguments], capture_output=True, text=True, errors="replace",
        timeout=120, check=False)
    return Result(process.stdout, time.monotonic() - start)


unpack = convert = run


def member(name, kind=tarfile.REGTYPE, content="", **fields):
    info = tarfile.TarInfo(name)
    info.type, info.mode = kind, fields.pop("mode", 0o755)
    data = None
    if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        info.linkname = content
    elif kind == tarfile.REGTYPE:
        data = content if isinstance(content, bytes) else content.encode()
        info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def tar(*members, system=True, unified=False):
    output = io.BytesIO()
    prefix = "rootfs/" if unified else ""
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as archive:
        base = []
        if unified:
            base = [member("metadata.yaml", content="architecture: x86_64\nproperties:\n"
                           "  os: Testix\n  description: \"A test\"\n"), member("rootfs", tarfile.DIRTYPE)]
        if system:
            base += [member(prefix + name, kind, content) for name, kind, content in SYSTEM]
        for info, data in [*base, *members]:
            archive.addfile(info, io.BytesIO(data) if data is not None else None)
    return output.getvalue()


def put(data):
    with open(INPUT, "wb") as file:
        file.write(data)


def path(*parts):
    return os.path.join(STAGING, "rootfs", *parts)


def refused(result, nick="ImageInvalid"):
    code, text = result.error()
    assert not result.ok and code == nick, f"expected {nick}, got {code}: {text}"
    assert "root:" not in text and "\x1b" not in text, text
    return text


def accepted(result):
    assert result.ok, result.error()
    return result


# ---- archives ----


def qemu_img(*arguments):
    subprocess.run(["qemu-img", *arguments], check=True, capture_output=True)


def qcow2(*options, size="16M", name=INPUT):
    if os.path.exists(name):
        os.unlink(name)
    qemu_img("create", "-q", "-f", "qcow2", *options, name, size)


CONTENT = (b"\0" * 510 + b"\x55\xaa" + os.urandom(MIB)).ljust(16 * MIB, b"\0")


def disk_of(kind, *options, size=None):
    """A disk with a partition table's mark, in some format."""
    raw = os.path.join(WORK, "raw")
    for name in (raw, INPUT):
        if os.path.lexists(name):
            os.unlink(name)
    if size is not None:
        qemu_img("create", "-q", "-f", kind, *options, INPUT, size)
        return
    with open(raw, "wb") as file:
        file.write(CONTENT)
    qemu_img("convert", "-f", "raw", "-O", kind, *options, raw, INPUT)


def patch(offset, data):
    with open(INPUT, "r+b") as file:
        file.seek(offset)
        file.write(data)


def main():
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root")
        return 0
    os.mkdir(CANARY)
    with open(os.path.join(CANARY, "file"), "w", encoding="ascii") as file:
        file.write("untouched")
    # As another instance's: nothing has any business there.
    os.mkdir(os.path.join(CANARY, "folder"))
    host, failed = canary.Canary(CANARY, files=(RUN_HELPER, WORKER, "/tmp/lodge-canary")), 0
    print(f"1..{len(CASES)}")
    for number, function in enumerate(CASES, 1):
        why = None
        try:
            function()
        except Exception as error:  # each case is judged by itself
            why = f"{type(error).__name__}: {error}"
        changed = host.changed()
        if changed:
            why = "the host was written to: " + " ".join(changed)
        if why is not None:
            failed += 1
            print("\n".join("# " + line for line in why.split("\n")))
        print(f"{'not ok' if why else 'ok'} {number} - {function.__name__}", flush=True)
    shutil.rmtree(WORK, ignore_errors=True)
    return 1 if failed else 0
