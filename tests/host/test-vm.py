#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 900
"""The life of a virtual machine: the same words as for a container."""

import json
import os
import tempfile

from hostlib import (EXEC_FAILED, QEMU, SOURCE, Failure, Skip, contains, equal, lodge, lodge_fails,
                     main, row, state, virsh, wait_for, wait_state)
from vmlib import keep, wait_agent, wait_booted

NAME = "m-life"


def test_launch():
    lodge("launch", "debian/12", NAME, "--vm", seconds=800)
    equal(state(NAME), "running")
    equal(row(NAME)["kind"], "vm")
    contains(virsh(QEMU, "list", "--name").stdout, NAME)


def test_the_console_shows_it_boot():
    wait_for(lambda: "inux" in lodge("console", "--log", NAME).stdout, 90, "no kernel on the console")


def test_exec_by_the_agent():
    wait_agent(NAME)
    for status in (0, 42):
        equal(lodge("exec", NAME, "--", "sh", "-c", "exit %d" % status, check=False,
                    seconds=60).returncode, status)
    done = lodge("exec", NAME, "--", "sh", "-c", "echo out; echo err >&2", seconds=60)
    equal((done.stdout, done.stderr), ("out\n", "err\n"))


def test_the_kernel_trusts_its_timer():
    # What it does by itself with KVM; emulated on a busy host it would panic at times.
    if "no_timer_check" in lodge("exec", NAME, "--", "cat", "/proc/cmdline").stdout:
        return
    image = next(i for i in json.loads(lodge("image", "list", "-f", "json").stdout)
                 if i["kind"] == "vm")
    if image["created"] < os.path.getmtime(SOURCE + "/src/helper/image/rootfs/vm/boot/grub/grub.cfg"):
        raise Skip("the image is older than what is looked for")
    raise Failure("no_timer_check is not on the kernel's command line")


def test_an_address():
    wait_for(lambda: row(NAME).get("address"), 60, "no address")


def test_files_go_in_and_out():
    with tempfile.TemporaryDirectory() as folder:
        data = os.urandom(200000)
        with open(folder + "/in", "wb") as stream:
            stream.write(data)
        lodge("file", "push", folder + "/in", NAME + "/root/in", seconds=120)
        lodge("file", "pull", NAME + "/root/in", folder + "/out", seconds=120)
        with open(folder + "/out", "rb") as stream:
            equal(stream.read() == data, True, "same bytes")


def test_save_and_restore():
    """By virsh, and what is saved is what other tests restore."""
    wait_booted(NAME)
    boot = lodge("exec", NAME, "--", "cat", "/proc/sys/kernel/random/boot_id").stdout
    keep(NAME)
    wait_state(NAME, "running")
    equal(lodge("exec", NAME, "--", "cat", "/proc/sys/kernel/random/boot_id").stdout, boot)


def test_pause_and_resume():
    lodge("pause", NAME)
    equal(state(NAME), "paused")
    lodge("resume", NAME)
    equal(state(NAME), "running")


def test_stop():
    lodge("stop", "--timeout", "120", NAME, seconds=150)
    equal(state(NAME), "stopped")
    lodge_fails(EXEC_FAILED, "exec", NAME, "--", "true", says=NAME)


def test_files_of_a_stopped_one():
    with tempfile.TemporaryDirectory() as folder:
        lodge("file", "pull", NAME + "/etc/os-release", folder + "/os", seconds=180)
        with open(folder + "/os", encoding="utf-8") as stream:
            contains(stream.read(), "bookworm")
        os.makedirs(folder + "/tree/sub")
        os.rename(folder + "/os", folder + "/tree/sub/os")
        os.symlink("sub/os", folder + "/tree/link")
        os.chmod(folder + "/tree/sub/os", 0o640)
        os.chown(folder + "/tree/sub/os", 1000, 1001)
        lodge("file", "push", folder + "/tree", NAME + "/root/pushed", seconds=180)
        lodge("file", "pull", NAME + "/root/pushed", folder + "/back", seconds=180)
        with open(folder + "/tree/sub/os", "rb") as one, open(folder + "/back/link", "rb") as other:
            equal(one.read() == other.read(), True, "same bytes")
        found = os.stat(folder + "/back/sub/os")
        equal((found.st_uid, found.st_gid, found.st_mode & 0o777), (1000, 1001, 0o640))


def test_virsh_start_and_destroy():
    # Right after the pull: that has waited until libguestfs has let go of the disk.
    virsh(QEMU, "start", NAME)
    wait_state(NAME, "running")
    virsh(QEMU, "destroy", NAME)
    wait_state(NAME, "stopped")


def test_delete():
    lodge("delete", "--force", NAME)
    equal(row(NAME), None)
    equal(virsh(QEMU, "list", "--all", "--name").stdout.strip(), "")


if __name__ == "__main__":
    main("m-")
