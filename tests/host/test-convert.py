#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 900
"""A container becomes a VM, with a kernel from its distribution, and a container again: both boot,
and what was in it is in it still.  One full boot of a VM."""

from hostlib import (CONFLICT, IMAGE, contains, equal, leftovers, lodge, lodge_fails, main, rows,
                     state, wait_for)

NAME = "v-convert"
MARKS = """
set -e
echo kept > /root/mark
chown 1000:1001 /root/mark
chmod 4711 /root/mark
ln /root/mark /root/hard
ln -s mark /root/soft
truncate -s 64M /root/sparse
mkdir -p /etc/ssh
echo key > /etc/ssh/ssh_host_test_key
systemd-machine-id-setup >/dev/null 2>&1
"""
LOOK = """
stat -c '%u %g %a %h' /root/mark
readlink /root/soft
stat -c '%s' /root/sparse
test $(stat -c %b /root/sparse) -lt 1024 && echo sparse
cat /root/mark /etc/ssh/ssh_host_test_key /etc/machine-id
"""
known = {}


def look():
    return lodge("exec", NAME, "--", "sh", "-c", LOOK, seconds=120).stdout


def kinds():
    return {row["name"]: row["kind"] for row in rows() if row["name"].startswith(NAME)}


def ping():
    """It has an address, and reaches the host by it."""
    def there():
        done = lodge("exec", NAME, "--", "sh", "-c", "ip -4 -o addr show dev eth0", check=False)
        return "inet " in done.stdout
    wait_for(there, 60, "no address on eth0")


def test_a_container_with_marks():
    lodge("launch", IMAGE, NAME, seconds=400)
    lodge("exec", NAME, "--", "sh", "-c", MARKS)
    known["look"] = look()
    contains(known["look"], "1000 1001 4711 2\nmark\n67108864\nsparse\nkept\nkey\n")
    lodge_fails(CONFLICT, "convert", NAME, "--to=vm", says="--force")


def test_it_becomes_a_vm_that_boots():
    lodge("convert", "--force", NAME, "--to=vm", "--size=4GiB", seconds=500)
    equal(kinds(), {NAME: "vm"})
    equal(state(NAME), "running")
    equal(look(), known["look"])
    ping()
    kernel = lodge("exec", NAME, "--", "sh", "-c", "dpkg -S /boot/vmlinuz-$(uname -r)").stdout
    contains(kernel, "linux-image")


def test_and_a_container_again():
    lodge("stop", "--force", NAME)
    lodge("convert", NAME, "--to=container", "--start", seconds=400)
    equal(kinds(), {NAME: "container"})
    equal(look(), known["look"])
    ping()
    done = lodge("exec", NAME, "--", "sh", "-c", "ls /boot; dpkg -l 'linux-image*' 2>/dev/null | "
                 "grep -c ^ii; systemctl is-system-running --wait", check=False)
    equal(done.stdout.split()[-1], "running")
    equal(done.stdout.split()[-2], "0")


def test_nothing_else_is_left():
    lodge("delete", "--force", NAME)
    def gone():
        return "convert:instance" not in lodge("image", "list", "-f", "json").stdout
    wait_for(gone, 20, "the image that was made of the instance is left")
    equal(kinds(), {})
    # Trash is emptied in the background.
    wait_for(lambda: "/trash/" not in leftovers(), 30, "the trash is not emptied")


if __name__ == "__main__":
    main("v-")
