#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 300
"""What others do to a domain shows in Lodge within 5 s; their own domains are left alone."""

import json
import os
import re

from hostlib import (DIR, LXC, QEMU, TESTBED, Failure, Skip, contains, daemon, equal, leftovers,
                     lodge, main, row, rows, run, state, virsh, wait_for)

NAME = "v-one"
FOREIGN_LXC = """<domain type='lxc'><name>v-foreign</name><memory unit='MiB'>64</memory>
<os><type>exe</type><init>/bin/sleep</init><initarg>1000</initarg></os>
<devices><filesystem type='mount'><source dir='/'/><target dir='/'/></filesystem>
<console type='pty'/></devices></domain>"""
FOREIGN_VM = """<domain type='qemu'><name>v-foreign-vm</name><memory unit='MiB'>32</memory>
<os><type machine='q35'>hvm</type></os><devices><console type='pty'/></devices></domain>"""


def define(uri, text):
    path = os.path.join(DIR, "define.xml")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
    try:
        virsh(uri, "define", path)
    finally:
        os.unlink(path)


def within(wanted, name=NAME, seconds=5):
    wait_for(lambda: state(name) == wanted, seconds, "%s is not %s" % (name, wanted))


def test_virsh_destroy():
    lodge("launch", "debian/12", NAME, "-c", "limits.memory=256MiB", seconds=400)
    virsh(LXC, "destroy", NAME)
    within("stopped")


def test_virsh_start():
    virsh(LXC, "start", NAME)
    within("running")
    wait_for(lambda: lodge("exec", NAME, "--", "true", check=False).returncode == 0, 5, "no exec")


def test_virsh_suspend_and_resume():
    done = virsh(LXC, "suspend", NAME, check=False)
    if done.returncode != 0 and os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        equal(state(NAME), "running")
        raise Skip("this libvirt cannot suspend containers where cgroup2 is alone")
    equal(done.returncode, 0, done.stderr)
    within("paused")
    virsh(LXC, "resume", NAME)
    within("running")


def test_a_title_set_with_virsh_is_kept():
    lodge("stop", "--force", NAME)
    virsh(LXC, "desc", NAME, "--config", "--title", "from virsh")
    lodge("start", NAME)
    equal(virsh(LXC, "desc", NAME, "--title").stdout.strip(), "from virsh")
    lodge("stop", "--force", NAME)


def edit(expression):
    """virsh edit, with sed for an editor."""
    run([TESTBED, "exec", DIR, "env", "EDITOR=sed -i -e '%s'" % expression, "virsh", "-q", "-c", LXC,
         "edit", NAME])


def drift():
    return json.loads(lodge("info", NAME, "-f", "json").stdout)["drift"]


def test_what_virsh_edits_is_shown_and_kept():
    equal(drift(), [])
    edit("s|hard_limit unit=.KiB.>262144<|hard_limit unit=\"MiB\">300<|; "
         "s|<title>.*</title>|<title>edited</title>|")
    wait_for(lambda: any("limits.memory" in line for line in drift()), 5, "the drift is not shown")
    contains(lodge("info", NAME).stdout, "limits.memory")
    lodge("start", NAME)
    equal(virsh(LXC, "desc", NAME, "--title").stdout.strip(), "edited")
    contains(virsh(LXC, "dumpxml", "--inactive", NAME).stdout, ">307200</hard_limit>")
    lodge("stop", "--force", NAME)


def without_the_capability():
    """As a Lodge before 2026-11-23 defined it."""
    text = virsh(LXC, "dumpxml", "--inactive", NAME).stdout
    line = re.search(r"\n *<sys_resource state='off'/>", text).group(0)
    define(LXC, text.replace(line, ""))


def limited():
    return "sys_resource state='off'" in virsh(LXC, "dumpxml", "--inactive", NAME).stdout


def test_a_definition_of_an_older_lodge_is_renewed():
    without_the_capability()
    equal(limited(), False)
    lodge("start", NAME)
    equal(limited(), True)
    status = lodge("exec", NAME, "--", "cat", "/proc/1/status").stdout
    held = int(re.search(r"CapBnd:\s*(\w+)", status).group(1), 16)
    equal(held >> 24 & 1, 0, "CAP_SYS_RESOURCE of its init")
    lodge("stop", "--force", NAME)
    without_the_capability()
    daemon("lodged", "restart")
    equal(state(NAME), "stopped")
    equal(limited(), True)


def test_renamed_as_virt_manager_does_it():
    uuid = row(NAME)["uuid"]
    text = virsh(LXC, "dumpxml", "--inactive", NAME).stdout
    virsh(LXC, "undefine", NAME)
    define(LXC, text.replace("<name>%s</name>" % NAME, "<name>v-two</name>"))
    within("stopped", "v-two")
    equal(row("v-two")["uuid"], uuid)
    equal(row(NAME), None)
    lodge("start", "v-two")
    lodge("exec", "v-two", "--", "true")
    lodge("stop", "--force", "v-two")


def test_virsh_undefine():
    virsh(LXC, "undefine", "v-two")
    wait_for(lambda: state("v-two") != "stopped", 10, "still shown as if nothing had happened")


def test_what_is_lost_can_be_deleted():
    if row("v-two"):
        lodge("delete", "--force", "v-two")
    equal(row("v-two"), None)


def test_foreign_domains_are_listed_and_left_alone():
    define(LXC, FOREIGN_LXC)
    define(QEMU, FOREIGN_VM)
    try:
        within("stopped", "v-foreign")
        within("stopped", "v-foreign-vm")
        equal({r["name"]: r["origin"] for r in rows()},
              {"v-foreign": "foreign", "v-foreign-vm": "foreign"})
        before = virsh(LXC, "dumpxml", "v-foreign").stdout
        lodge("start", "v-foreign-vm")
        within("running", "v-foreign-vm")
        lodge("stop", "--force", "v-foreign-vm")
        within("stopped", "v-foreign-vm")
        equal(virsh(LXC, "dumpxml", "v-foreign").stdout, before)
    finally:
        virsh(QEMU, "destroy", "v-foreign-vm", check=False)
        virsh(QEMU, "undefine", "v-foreign-vm", check=False)
        virsh(LXC, "undefine", "v-foreign", check=False)
    wait_for(lambda: rows() == [], 10, "foreign domains do not go away from the list")


def test_nothing_is_left():
    if leftovers():
        raise Failure(leftovers())


if __name__ == "__main__":
    main("v-")
