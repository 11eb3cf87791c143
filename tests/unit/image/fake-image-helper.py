#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stands in for lodge-image-worker: does what the file "behaviour" beside it says,
and appends a line to the file "runs" each time."""
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(sys.argv[0]))
request = {}
for record in os.pread(4, 1 << 20, 0).split(b"\0")[:-1]:
    key, _, value = record.partition(b"=")
    request[key.decode()] = value.decode()
status = socket.socket(fileno=3)
with open(os.path.join(HERE, "behaviour")) as file:
    behaviour = file.read().split("\n")
with open(os.path.join(HERE, "runs"), "a") as file:
    file.write(" ".join(f"{k}={v}" for k, v in request.items()) + "\n")
staging = f"/proc/self/fd/{request.get('fd.staging')}"


def say(line):
    status.sendall(line.encode() + b"\n")


def make():
    is_medium = False
    is_vm = "vm" in (request.get("kind"), request.get("to"))
    seed = request.get("suite", "import")
    if "to" in request:
        seed = "turned " + (request.get("rootfs") or request.get("disk") or request["plan"])
    if request["op"] == "customise":
        is_vm = "disk" in request
        seed = "changed " + (request.get("rootfs") or request["disk"]) + request.get("script", "")
        for number, path in enumerate(request.get("path", "").split()):
            with os.fdopen(int(request[f"fd.file-{number}"]), "rb") as file:
                seed += f" {path}={file.read().decode()}"
    if "fd.input" in request:
        with os.fdopen(int(request["fd.input"]), "rb") as source:
            seed = source.read().decode(errors="replace")
        is_vm = seed.startswith("QFI")
        if "fd.root" in request:
            with os.fdopen(int(request["fd.root"]), "rb") as source:
                seed += " and " + source.read().decode(errors="replace")
        is_medium = seed.startswith("ISO")
        say("result kind " + ("iso" if is_medium else "vm" if is_vm else "container"))
    if is_medium:
        with open(staging + "/disk.iso", "w") as disk:
            disk.write(seed)
    elif is_vm and "to" in request:  # that something can be built on
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", staging + "/disk.qcow2", "64M"],
                       check=True, close_fds=False)
    elif is_vm:
        with open(staging + "/disk.qcow2", "w") as disk:
            disk.write(seed)
    else:
        os.makedirs(staging + "/rootfs/etc")
        with open(staging + "/rootfs/etc/os-release", "w") as file:
            file.write(seed)
    say("result fingerprint " + hashlib.sha256(f"{seed} {is_vm}".encode()).hexdigest())
    say("result size 1234")
    say(f"result virtual-size {5678 if is_vm else 0}")
    say("result description Made of " + seed)
    say("result property.os debian")
    say("result property.hook /bin/sh")
    if "to" in request and is_vm:
        say("result property.agent yes")
    say("result architecture x86_64")


for line in behaviour:
    word, _, rest = line.partition(" ")
    if word == "wait":  # until a file is there
        while not os.path.exists(os.path.join(HERE, rest)):
            time.sleep(0.01)
    elif word == "touch":
        with open(os.path.join(HERE, rest), "w") as file:
            pass
    elif word == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif word == "say":
        say(rest)
    elif word == "litter":
        with open(staging + "/half", "w") as file:
            file.write("half of it")
    elif word == "exit":
        sys.exit(int(rest))
    elif word == "make":
        if request["op"] not in ("seed", "access-guestfs"):
            make()
        say("done")
