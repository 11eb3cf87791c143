#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 200
"""An ISO is imported, a VM boots from it, installs onto its empty disk, and boots from that."""

import atexit
import os
import shutil
import tempfile

import tinyiso
from hostlib import CONFLICT, DIR, FAILED, contains, equal, lodge, lodge_fails, main, virsh, wait_for
from hostlib import QEMU

NAME = "m-iso"
IMAGE = "m-iso/1"
WORK = tempfile.mkdtemp(prefix="lodge-iso-", dir="/var/tmp")
atexit.register(shutil.rmtree, WORK, True)
# QEMU's tools would take it for an address.
ISO = os.path.join(WORK, "nbd:127.0.0.1:1,json:{}.iso")


def show(image):
    fields = (line.split(":", 1) for line in lodge("image", "show", image).stdout.splitlines())
    return {key: value.strip() for key, value in fields}


def said(text, times=1):
    """Waits until the console has shown it that often."""
    wait_for(lambda: lodge("console", "--log", NAME).stdout.count(text) >= times, 60,
             "the console does not say %s" % text)


def test_import():
    with open(ISO, "wb") as stream:
        stream.write(tinyiso.make("Tiny 7", hybrid=True))
    lodge("image", "import", ISO, IMAGE)
    found = show(IMAGE)
    equal((found["kind"], found["description"]), ("iso", "Tiny 7"))
    contains(found["properties"], "firmware=bios")


def test_no_container():
    lodge_fails(FAILED, "launch", IMAGE, "m-iso-c", says="--vm")


def test_it_installs_and_boots_from_the_disk():
    lodge("launch", "--vm", "--size=32MiB", IMAGE, NAME, seconds=90)
    said(tinyiso.INSTALLER)
    said(tinyiso.SYSTEM)
    lodge("restart", "--force", NAME)
    said(tinyiso.SYSTEM, 2)
    equal(lodge("console", "--log", NAME).stdout.count(tinyiso.INSTALLER), 1)


def test_nobody_looks_for_a_backing_file_on_the_medium():
    for words in ((), ("--inactive",)):
        drive, = [text for text in virsh(QEMU, "dumpxml", NAME, *words).stdout.split("<disk ")
                  if "disk.iso" in text]
        contains(drive, "<backingStore/>")


def test_the_medium_is_kept_and_unchanged():
    lodge_fails(CONFLICT, "image", "delete", "--yes", IMAGE, says=NAME)
    fingerprint = show(IMAGE)["fingerprint"]
    contains(lodge("info", NAME).stdout, fingerprint)
    medium = os.stat(os.path.join(DIR, "state/images", fingerprint, "disk.iso"))
    equal((medium.st_uid, medium.st_mode & 0o777), (0, 0o444))
    copy = os.path.join(WORK, "nbd:copy,a=b.iso")
    lodge("image", "export", IMAGE, copy)
    with open(ISO, "rb") as one, open(copy, "rb") as other:
        equal(one.read() == other.read(), True, "same bytes")


def test_eject():
    contains(virsh(QEMU, "domblklist", NAME).stdout, "disk.iso")
    lodge("eject", NAME)
    for words in ((), ("--inactive",)):
        blocks = virsh(QEMU, "domblklist", NAME, *words).stdout
        equal("disk.iso" in blocks, False, "no medium")
        contains(blocks, "sda")
    lodge_fails(CONFLICT, "eject", NAME, says="no install medium")
    lodge("image", "delete", "--yes", IMAGE)
    lodge("restart", "--force", NAME)
    said(tinyiso.SYSTEM, 3)


def test_delete():
    lodge("delete", "--force", NAME)


if __name__ == "__main__":
    main("m-iso")
