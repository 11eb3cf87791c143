# SPDX-License-Identifier: LGPL-2.1-or-later
"""A virtual machine with a Debian that has booted, for host tests that need one and do not care
how it came up.

Booting takes a quarter of a minute without KVM, restoring a second: the first test that asks boots
one, saves it, and keeps disk and state beside the testbed; later ones, also of later runs, get a
machine of their own from that.  When a restore fails it is said, counted, and the machine booted.
The kept state is good for one image, one definition and one QEMU."""

import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import time

from hostlib import DIR, IMAGE, QEMU, Failure, lodge, virsh, wait_for

CACHE = os.path.join(DIR, "booted-vm")
COUNT = os.path.join(CACHE, "count")
# What libvirt's file of a saved domain begins with: magic, version, length of the XML, the rest.
HEADER = struct.Struct("=16s19I")
MAGIC = b"LibvirtQemudSave"
AGENT_SECONDS = 240

# The guest was somebody else when it was saved.
NEW_IDENTITY = """
date -s @%(now)d
hostname %(name)s
for device in /sys/class/net/e*; do device=${device##*/}; done
ip link set "$device" down && ip link set "$device" address %(mac)s && ip link set "$device" up
networkctl reconfigure "$device"
"""


def outside(path):
    """A path below lodged's state as it is seen from here."""
    return path.replace("/var/lib/lodge/", os.path.join(DIR, "state") + "/", 1)


def identity(name):
    """What differs between the definitions of two machines of one image."""
    xml = virsh(QEMU, "dumpxml", "--inactive", name).stdout

    def find(pattern):
        return re.search(pattern, xml).group(1)

    disk = find(r"<source file='([^']*)'")
    return {"name": name, "uuid": find(r"<uuid>([^<]*)"), "mac": find(r"<mac address='([^']*)'"),
            "disk": disk, "xml": xml}


def translate(text, old, new):
    """The uuid is part of the paths, so it goes before them, and the name last."""
    for key in ("uuid", "mac", "disk"):
        text = text.replace(old[key], new[key])
    return text.replace("<name>%s</name>" % old["name"], "<name>%s</name>" % new["name"])


def fingerprint(own):
    none = {"uuid": "-", "mac": "-", "disk": "-", "name": "-"}
    version = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True,
                             check=True).stdout
    text = re.sub(r"created='[^']*'|<metadata>.*</metadata>", "", translate(own["xml"], own, none),
                  flags=re.S)
    backing = json.loads(subprocess.run(["qemu-img", "info", "--output=json", "-U",
                                         outside(own["disk"])], capture_output=True, text=True,
                                        check=True).stdout)["backing-filename"]
    return hashlib.sha256("\n".join((text, version, backing)).encode()).hexdigest()


def count(what):
    os.makedirs(CACHE, exist_ok=True)
    with open(COUNT, "a", encoding="ascii") as stream:
        stream.write(what + "\n")


def wait_agent(name, seconds=AGENT_SECONDS):
    wait_for(lambda: lodge("exec", name, "--", "true", check=False, seconds=60).returncode == 0,
             seconds, "the agent of %s does not answer" % name)


def wait_booted(name):
    wait_agent(name)
    lodge("exec", name, "--", "sh", "-c", "until s=$(systemctl is-system-running); "
          "[ \"$s\" = running ] || [ \"$s\" = degraded ]; do sleep 0.5; done", seconds=AGENT_SECONDS)


def keep(name):
    """Saves a machine that has booted, keeps it for others, and lets it go on."""
    own = identity(name)
    os.makedirs(CACHE, exist_ok=True)
    for file in ("identity", "state", "disk"):
        if os.path.exists(os.path.join(CACHE, file)):
            os.unlink(os.path.join(CACHE, file))
    state = os.path.join(CACHE, "state")
    virsh(QEMU, "save", name, state, seconds=120)
    shutil.copyfile(outside(own["disk"]), os.path.join(CACHE, "disk"))
    own["fingerprint"] = fingerprint(own)
    with open(os.path.join(CACHE, "identity"), "w", encoding="utf-8") as stream:
        json.dump(own, stream)
    virsh(QEMU, "restore", state, seconds=120)
    wait_agent(name)


def write_state(source, target, old, new):
    """A copy of libvirt's file with another machine's definition in it."""
    with open(source, "rb") as reader, open(target, "wb") as writer:
        fields = list(HEADER.unpack(reader.read(HEADER.size)))
        if fields[0] != MAGIC:
            raise Failure("%s is no saved domain" % source)
        data = reader.read(fields[2])
        xml, rest = data.split(b"\0", 1)
        xml = translate(xml.decode(), old, new).encode()
        # The cookie follows the XML; its place is the field after "compressed".
        if fields[5]:
            fields[5] += len(xml) - (len(data) - len(rest) - 1)
        fields[2] = len(xml) + 1 + len(rest)
        writer.write(HEADER.pack(*fields) + xml + b"\0" + rest)
        shutil.copyfileobj(reader, writer, 1 << 20)


def restore(name):
    """Gives the stopped machine @name the kept state and disk; Failure when that cannot be."""
    try:
        with open(os.path.join(CACHE, "identity"), encoding="utf-8") as stream:
            old = json.load(stream)
    except OSError as problem:
        raise Failure("none has been kept") from problem
    new = identity(name)
    if fingerprint(new) != old["fingerprint"]:
        raise Failure("the one that was kept is of another image, definition or QEMU")
    state = os.path.join(CACHE, "state-" + name)
    try:
        write_state(os.path.join(CACHE, "state"), state, old, new)
        # Into the file that is there: owner and mode stay.
        shutil.copyfile(os.path.join(CACHE, "disk"), outside(new["disk"]))
        virsh(QEMU, "restore", state, seconds=120)
        wait_agent(name, 60)
        lodge("exec", name, "--", "sh", "-c", NEW_IDENTITY % {**new, "now": time.time()},
              seconds=60)
    finally:
        if os.path.exists(state):
            os.unlink(state)


def booted_vm(name, *options):
    """A machine of the name `name`, booted, whose agent answers.  With options (-c key=value) it is
    booted in any case."""
    lodge("create", IMAGE, name, "--vm", *options, seconds=800)
    if not options:
        try:
            restore(name)
            count("restored")
            return
        except (Failure, OSError, ValueError, struct.error, subprocess.SubprocessError) as problem:
            print("# %s is booted, not restored: %s"
                  % (name, str(problem).strip().replace("\n", "\n# ")))
            lodge("delete", "--force", name)
            lodge("create", IMAGE, name, "--vm")
    lodge("start", name, seconds=120)
    wait_booted(name)
    count("booted")
    if not options:
        keep(name)
