# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the helpers of containers by their protocols, and a container made of bare namespaces that
stands in for libvirt's: a copy-on-write view of the host's own root with a shell as its init."""

import ctypes
import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import uuid

LIBC = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUTS, NEWIPC = 0x20000, 0x4000000, 0x8000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 0x1000, 0x4000, 0x40000, 2
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}[os.uname().machine]
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
BASE = 2000000000

REQUEST = struct.Struct("@IIIIIIqHHI")
REPLY = struct.Struct("@IIiIIIIHHQq")
STAT, LIST, GET, PUT, MKDIR, SYMLINK, REMOVE = range(1, 8)


def check(result, what):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, "%s: %s" % (what, os.strerror(number)))
    return result


def mount(source, target, kind=None, flags=0, data=None):
    encode = lambda text: text.encode() if text is not None else None
    check(LIBC.mount(encode(source), encode(target), encode(kind), flags, encode(data)),
          "mount " + target)


def sealed(data, executable=False):
    fd = os.memfd_create("sealed", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "wb") as stream:
        stream.write(data)
    if executable:
        os.fchmod(fd, 0o755)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


class Helper:
    """One run of lodge-enter, from a sealed copy as lodged does it."""

    program = None

    def __init__(self, op, records=(), fds=(), stdio=(None, None, None)):
        ours, theirs = socket.socketpair()
        self.socket, self.buffer, self.fds = ours, b"", []
        request = sealed(b"".join(("%s=%s" % record).encode() + b"\0"
                                  for record in [("op", op), *records]))
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        given = [null if fd is None else fd for fd in stdio]
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 200)
                for fd in [*given, theirs.fileno(), request, *fds]]
        self.pid = os.posix_spawn("/proc/self/fd/%d" % Helper.program, ["lodge-enter"], {},
                                  file_actions=[(os.POSIX_SPAWN_DUP2, fd, number)
                                                for number, fd in enumerate(high)])
        for fd in [*high, null, request]:
            os.close(fd)
        theirs.close()

    def line(self):
        self.socket.settimeout(20)
        while b"\n" not in self.buffer:
            data, fds, _, _ = socket.recv_fds(self.socket, 4096, 4)
            self.fds += fds
            if not data:
                return None
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode()

    def rest(self):
        lines = []
        while (line := self.line()) is not None:
            lines.append(line)
        os.waitpid(self.pid, 0)
        return lines

    def send(self, line):
        self.socket.sendall(line.encode() + b"\n")


def drain(fd):
    with os.fdopen(fd, "rb") as stream:
        return stream.read().decode()


def execute(container, *argv, records=()):
    """Runs a program to its end: its status lines, stdout and stderr."""
    out, out_end = os.pipe()
    err, err_end = os.pipe()
    helper = Helper("exec", [*container.records(), *(("arg", a) for a in argv), *records],
                    stdio=(None, out_end, err_end))
    os.close(out_end)
    os.close(err_end)
    lines = helper.rest()
    return lines, drain(out), drain(err)


class Session:
    """A file session."""

    def __init__(self, op, records):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket = ours
        self.helper = Helper(op, [*records, ("fd.session", 5)], fds=[theirs.fileno()])
        theirs.close()
        ours.settimeout(60)

    def call(self, op, path, fd=None, flags=0, uid=0, gid=0, mode=0):
        packet = REQUEST.pack(1, op, flags, uid, gid, mode, 0, len(path.encode()), 0, 0)
        packet += path.encode()
        if fd is None:
            self.socket.send(packet)
        else:
            socket.send_fds(self.socket, [packet], [fd])
        reply = self.socket.recv(16384)
        if not reply:
            return None
        fields = REPLY.unpack(reply[:REPLY.size])
        return dict(zip(("version", "flags", "error", "type", "uid", "gid", "mode", "text_len",
                         "link_len", "size", "mtime"), fields))

    def close(self):
        self.socket.close()
        return self.helper.rest()


class Container:
    """Plan, mounts and namespaces of one container below `work`."""

    def __init__(self, programs, work):
        self.programs, self.work, self.uuid = programs, work, str(uuid.uuid4())
        self.child = 0
        self.unified = not os.path.isdir("/sys/fs/cgroup/pids") and os.path.exists(
            "/sys/fs/cgroup/cgroup.controllers")
        self.plan = "%s/state/instances/%s/plan" % (work, self.uuid)
        self.root, self.control, self.runtime = (
            "%s/run/%s/%s" % (work, part, self.uuid) for part in ("mnt", "ctl", "instances"))
        for path in (os.path.dirname(self.plan), work + "/lower", work + "/layer/upper",
                     work + "/layer/work"):
            os.makedirs(path, mode=0o755, exist_ok=True)
        mount("/", work + "/lower", flags=MS_BIND)
        self.write_plan("")

    def write_plan(self, more):
        with open(self.plan, "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), 0o600)
            stream.write("version=1\nuuid=%s\nname=test\nidmap=%d 65536\nlower=%s/lower\n"
                         "upper=%s/layer/upper\nwork=%s/layer/work\nroot=%s\ncontrol=%s\n"
                         "runtime=%s\ninit=%s\npids-max=200\nsetup.hostname=inside\n%s"
                         % (self.uuid, BASE, self.work, self.work, self.work, self.root,
                            self.control, self.runtime, self.programs["lodge-init"], more))

    def hook(self, operation):
        return subprocess.run([self.programs["lodge-mount"], "test", operation, "begin", "-"],
                              input="<domain><uuid>%s</uuid></domain>" % self.uuid, text=True,
                              capture_output=True, timeout=30, check=False,
                              env={"LODGE_STATE_DIR": self.work + "/state"})

    def start(self):
        """As libvirt does it, but for what the helpers do not see."""
        ready, ready_end = os.pipe()
        mapped_end, mapped = os.pipe()
        self.child = os.fork()
        if self.child == 0:
            try:
                self.become_container(ready_end, mapped_end)
            except OSError as error:
                os.write(2, ("# container: %s\n" % error).encode())
            os._exit(1)
        os.close(ready_end)
        os.close(mapped_end)
        os.read(ready, 1)
        for name in ("uid_map", "gid_map"):
            with open("/proc/%d/%s" % (self.child, name), "w", encoding="ascii") as stream:
                stream.write("0 %d 65536\n" % BASE)
        os.write(mapped, b"x")
        os.close(mapped)
        os.close(ready)

    def become_container(self, ready, mapped):
        if self.unified:
            self.enter_cgroup()
        check(LIBC.unshare(NEWUSER | NEWNS | NEWPID | NEWNET | NEWUTS | NEWIPC), "unshare")
        os.write(ready, b"x")
        os.read(mapped, 1)
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        init = os.fork()
        if init:
            os._exit(os.waitstatus_to_exitcode(os.waitpid(init, 0)[1]) & 255)
        LIBC.prctl(1, signal.SIGKILL)
        self.enter_root()
        os.closerange(3, 1000)
        os.execve("/dev/lodge/init", ["init", "/bin/sh", "-c", "while :; do sleep 1000; done"],
                  {"LIBVIRT_LXC_NAME": "test", "KEPT": "yes"})

    def enter_cgroup(self):
        path = "/sys/fs/cgroup/lodge-test-%s/libvirt" % self.uuid
        os.makedirs(path, exist_ok=True)
        with open(path + "/cgroup.procs", "w", encoding="ascii") as stream:
            stream.write("0")

    def enter_root(self):
        devices = {name: os.open("/dev/" + name, os.O_PATH)
                   for name in ("null", "zero", "urandom", "tty")}
        mount(None, "/", flags=MS_REC | MS_PRIVATE)
        mount(self.root, self.root, flags=MS_BIND)
        dev = self.root + "/dev"
        mount("dev", dev, "tmpfs", data="mode=0755")
        for name in ("lodge", "pts", "shm"):
            os.mkdir(dev + "/" + name)
        mount(self.control, dev + "/lodge", flags=MS_BIND)
        mount("devpts", dev + "/pts", "devpts", data="newinstance,ptmxmode=0666,mode=0620")
        for name, fd in devices.items():
            os.close(os.open(dev + "/" + name, os.O_CREAT | os.O_WRONLY, 0o666))
            mount("/proc/self/fd/%d" % fd, dev + "/" + name, flags=MS_BIND)
        mount("proc", self.root + "/proc", "proc")
        mount("sysfs", self.root + "/sys", "sysfs")
        os.chdir(self.root)
        check(LIBC.syscall(SYS_PIVOT_ROOT, b".", b"."), "pivot_root")
        check(LIBC.umount2(b".", MNT_DETACH), "umount2")
        os.chdir("/")

    def facts(self):
        """What the handshake has written, or None before it."""
        try:
            with open(self.runtime + "/init", encoding="ascii") as stream:
                return dict(line.rstrip("\n").split("=", 1) for line in stream)
        except FileNotFoundError:
            return None

    def records(self):
        facts = self.facts()
        return [("init-pid", facts["pid"]), ("init-start", facts["start-time"]),
                ("cgroup", facts["cgroup"]), ("cgroup-mount", facts["cgroup-mount"])]

    def wait_end(self, seconds=10):
        fd = os.pidfd_open(self.child)
        ended = select.select([fd], [], [], seconds)[0] != []
        os.close(fd)
        if ended:
            os.waitpid(self.child, 0)
            self.child = 0
        return ended

    def clean(self):
        self.hook("release")
        if self.child:
            os.kill(self.child, signal.SIGKILL)
            self.wait_end()
        if self.unified and os.path.isdir("/sys/fs/cgroup/lodge-test-" + self.uuid):
            for path, _, _ in os.walk("/sys/fs/cgroup/lodge-test-" + self.uuid, topdown=False):
                os.rmdir(path)
