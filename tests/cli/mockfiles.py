# SPDX-License-Identifier: LGPL-2.1-or-later
"""The bytes behind the mock service: file sessions on a directory, a console that echoes, and
pseudo-terminals."""

import array
import errno
import fcntl
import os
import shutil
import socket
import stat
import struct
import termios

REQUEST = struct.Struct("@IIIIIIqHHI")
REPLY = struct.Struct("@IIiIIIIHHQq")
STAT, LIST, GET, PUT, MKDIR, SYMLINK, REMOVE = range(1, 8)
MAKE_PARENTS, SET_OWNER, SET_MODE, FOLLOW, SET_MTIME = (1 << n for n in range(5))
END = 1


def set_size(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def take_terminal(fd):
    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)


def serve_console(sock):
    sock.sendall(b"login: ")
    while True:
        data = sock.recv(4096)
        if not data:
            return
        if b"\x04" in data:
            sock.close()
            return
        sock.sendall(b"<" + data.upper() + b">")


def kind(mode):
    if stat.S_ISREG(mode):
        return 1
    if stat.S_ISDIR(mode):
        return 2
    return 3 if stat.S_ISLNK(mode) else 0


def reply_of(path, name, follow=False):
    info = os.stat(path) if follow else os.lstat(path)
    text = os.fsencode(name)
    link = os.fsencode(os.readlink(path)) if stat.S_ISLNK(info.st_mode) else b""
    return REPLY.pack(1, 0, 0, kind(info.st_mode), info.st_uid, info.st_gid,
                      stat.S_IMODE(info.st_mode), len(text), len(link), info.st_size,
                      int(info.st_mtime)) + text + link


def set_attributes(path, flags, uid, gid, mode, mtime):
    if flags & SET_OWNER:
        os.chown(path, uid, gid)
    if flags & SET_MODE:
        os.chmod(path, mode)
    if flags & SET_MTIME:
        os.utime(path, (mtime, mtime))


def put(path, fd, flags, uid, gid, mode, mtime):
    if flags & MAKE_PARENTS:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    with os.fdopen(os.dup(fd), "rb") as source, open(path + ".new", "wb") as target:
        source.seek(0)
        shutil.copyfileobj(source, target)
    set_attributes(path + ".new", flags, uid, gid, mode, mtime)
    os.rename(path + ".new", path)


def get(path, fd):
    with open(path, "rb") as source, os.fdopen(os.dup(fd), "wb") as target:
        shutil.copyfileobj(source, target)


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        os.rmdir(path)
    else:
        os.unlink(path)


def answer(sock, root, request, fd):
    fields = REQUEST.unpack(request[:REQUEST.size])
    _, op, flags, uid, gid, mode, mtime, path_len, extra_len, _ = fields
    text = os.fsdecode(request[REQUEST.size:])
    name = os.fsdecode(os.fsencode(text)[:path_len])
    extra = os.fsdecode(os.fsencode(text)[path_len:path_len + extra_len])
    path = os.path.normpath(root + "/" + name)
    if op == LIST:
        for entry in sorted(os.listdir(path)):
            # A guest that lies about its names.
            sock.send(reply_of(os.path.join(path, entry),
                               entry.replace("DOTDOT", "..").replace("SLASH", "../evil")))
        sock.send(REPLY.pack(1, END, 0, 0, 0, 0, 0, 0, 0, 0, 0))
        return
    if op == GET:
        get(path, fd)
    elif op == PUT:
        put(path, fd, flags, uid, gid, mode, mtime)
    elif op == MKDIR and not os.path.isdir(path):
        (os.makedirs if flags & MAKE_PARENTS else os.mkdir)(path)
        set_attributes(path, flags & ~SET_MTIME, uid, gid, mode, mtime)
    elif op == SYMLINK:
        if os.path.islink(path):
            os.unlink(path)
        os.symlink(extra, path)
    elif op == REMOVE:
        remove(path)
    if op in (STAT, GET):
        sock.send(reply_of(path, "", bool(flags & FOLLOW)))
    else:
        sock.send(REPLY.pack(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))


def serve_files(sock, root):
    while True:
        try:
            request, ancillary, _, _ = sock.recvmsg(16384, socket.CMSG_SPACE(4))
        except ConnectionError:
            return
        if not request:
            return
        fds = array.array("i")
        for _, _, data in ancillary:
            fds.frombytes(data[:4])
        try:
            answer(sock, root, request, fds[0] if fds else -1)
        except OSError as failure:
            text = os.fsencode("%s: %s" % (failure.filename, os.strerror(failure.errno or errno.EIO))
                               ).replace(os.fsencode(root), b"")
            sock.send(REPLY.pack(1, 0, failure.errno or errno.EIO, 0, 0, 0, 0, len(text), 0, 0, 0)
                      + text)
        for fd in fds:
            os.close(fd)
