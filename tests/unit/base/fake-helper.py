#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A helper program for test-helper: does what the request's op says."""
import array
import os
import signal
import socket
import sys
import time

request = {}
for record in os.pread(4, 1 << 20, 0).split(b"\0")[:-1]:
    key, _, value = record.partition(b"=")
    request.setdefault(key.decode(), []).append(value.decode())
status = socket.socket(fileno=3)


def say(line):
    status.sendall(line.encode() + b"\n")


op = request["op"][0]
if op == "echo":
    say("progress 0.5 1 2 half done")
    say("notice " + request["word"][0])
    say("result answer " + "|".join(request["arg"]))
    say("done")
elif op == "fail":
    say("error NoSpace the pool is full")
    sys.exit(1)
elif op == "lie":
    say("result fingerprint " + 64 * "a")
    say("done")
    say("error ImageInvalid it was found out")
    sys.exit(1)
elif op == "many":
    for number in range(10000):
        say("result key%d %s" % (number, 1000 * "x"))
    say("done")
elif op == "die":
    print("last words\x1b", file=sys.stderr)
    sys.exit(3)
elif op == "hang":
    if request.get("stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say("notice hanging")
    time.sleep(60)
elif op == "fd":
    with os.fdopen(int(request["fd.file"][0])) as passed:
        say("result text " + passed.read().strip())
    read, write = os.pipe()
    os.write(write, b"from the helper")
    os.close(write)
    status.sendmsg([b"fd pipe\n"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [read]))])
    say("done")
elif op == "fds":
    say("result open " + ",".join(sorted(os.listdir("/proc/self/fd"), key=int)[:-1]))
    say("done")
elif op == "listen":
    say("result heard " + status.recv(100).decode().strip())
    say("done")
elif op == "flood":
    try:
        status.sendall(b"x" * 1000000 + b"\n")
    except OSError:
        pass
    say("done")
