#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bad input gets one sentence, the right exit code, and leaves nothing."""

import os

from hostlib import (CONFLICT, DIR, EXEC_FAILED, IMAGE, LXC, NOT_FOUND, UNREACHABLE, USAGE, Failure,
                     daemon, equal, inside, leftovers, lodge, lodge_fails, main, rows, virsh,
                     wait_for)

BAD_NAMES = ["A", "1a", "a_b", "a b", "-a", "a-", "a" * 64, "../x", "a/b", "ä", "a\nb", "a;b"]
BAD_ALIASES = ["A", "-a", "a b", "../x", "a/../b", "a//b", "a/", "ä", "a\nb", "a" * 129]

FOREIGN = """<domain type='lxc'><name>e-foreign</name><memory unit='MiB'>64</memory>
<os><type>exe</type><init>/bin/true</init></os>
<devices><console type='pty'/></devices></domain>"""


def nothing_left():
    equal(rows(), [], "instances")
    equal(leftovers(), "", "leftovers")


def test_bad_names():
    """S01"""
    for name in BAD_NAMES:
        done = lodge("launch", "debian/12", "--", name, check=False)
        if done.returncode == 0:
            raise Failure("%r was taken for a name" % name)
        if done.returncode not in (1, 2):
            raise Failure("%r: exit status %d: %s" % (name, done.returncode, done.stderr))
    nothing_left()


def test_bad_names_of_what_is_there():
    """S01"""
    lodge("create", IMAGE, "e-named", seconds=400)
    for name in BAD_NAMES:
        lodge_fails(USAGE, "rename", "e-named", "--", name)
    for alias in BAD_ALIASES:
        lodge_fails(USAGE, "publish", "e-named", "--", alias)
    equal([row["name"] for row in rows()], ["e-named"])
    lodge("delete", "e-named")
    nothing_left()


def test_unknown_image():
    lodge_fails(NOT_FOUND, "launch", "debian/99", "e-image", says="debian/99")
    nothing_left()


def test_unknown_key_has_the_nearest():
    done = lodge("launch", "debian/12", "e-key", "-c", "limits.memmory=1GiB", check=False)
    if done.returncode not in (1, 2) or "limits.memory" not in done.stderr:
        raise Failure("%d %r" % (done.returncode, done.stderr))
    nothing_left()


def test_wrong_unit():
    done = lodge("launch", "debian/12", "e-unit", "-c", "limits.memory=12parsecs", check=False)
    if done.returncode not in (1, 2) or "12parsecs" not in done.stderr:
        raise Failure("%d %r" % (done.returncode, done.stderr))
    nothing_left()


def test_unknown_instance_has_the_nearest():
    for verb in ("start", "stop", "info", "delete"):
        lodge_fails(NOT_FOUND, verb, "e-nobody", says="e-nobody")
    lodge_fails(EXEC_FAILED, "exec", "e-nobody", "--", "true", says="e-nobody")


def test_unknown_verb_has_the_nearest():
    lodge_fails(2, "lanch", says="launch")


def test_name_of_a_foreign_domain():
    """X05"""
    path = os.path.join(DIR, "foreign.xml")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(FOREIGN)
    virsh(LXC, "define", path)
    try:
        lodge("reconcile", check=False)
        lodge_fails(CONFLICT, "launch", "debian/12", "e-foreign", says="e-foreign")
        lodge("create", IMAGE, "e-own")
        lodge_fails(CONFLICT, "rename", "e-own", "e-foreign", says="e-foreign")
        lodge("delete", "e-own")
    finally:
        virsh(LXC, "undefine", "e-foreign")
        os.unlink(path)
    # For a while it may just be renamed, as virt-manager does it.
    wait_for(lambda: rows() == [], 10, "the undefined domain does not go away")
    nothing_left()


def test_no_daemon():
    daemon("lodged", "stop")
    try:
        lodge_fails(UNREACHABLE, "list")
    finally:
        daemon("lodged", "start")


def test_no_libvirtd():
    daemon("libvirtd", "stop")
    try:
        lodge_fails(UNREACHABLE, "launch", "debian/12", "e-novirt", says="libvirt", seconds=90)
        lodge("list")
    finally:
        daemon("libvirtd", "start")
    lodge("reconcile", check=False)
    inside("virsh", "-q", "-c", LXC, "list")
    nothing_left()


if __name__ == "__main__":
    main("e-")
