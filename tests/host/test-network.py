#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 300
"""The default network: names and addresses come with an instance and go with it."""

import re
import time

from hostlib import Failure, equal, inside, lodge, main, row, virsh, wait_for

ONE, TWO = "n-one", "n-two"
# A query for an A record, put to the network's own name server as the host would do it.
ASK = """
import socket, struct, sys
name, server = sys.argv[1:]
labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split("."))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)
s.sendto(struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\\0\\0\\1\\0\\1", (server, 53))
answer = s.recv(512)
print(socket.inet_ntoa(answer[-4:]) if struct.unpack(">H", answer[6:8])[0] else "")
"""


def gateway():
    xml = virsh("qemu:///system", "net-dumpxml", "lodgebr0").stdout
    return re.search(r"<ip [^>]*address='([^']+)'", xml).group(1)


def asked_from_the_host(name):
    return inside("/usr/bin/python3", "-c", ASK, name, gateway()).stdout.strip()


def asked_from(instance, name):
    words = lodge("exec", instance, "--", "getent", "ahostsv4", name, check=False).stdout.split()
    return words[0] if words else ""


def leases():
    return virsh("qemu:///system", "net-dhcp-leases", "lodgebr0").stdout


def test_instances_know_each_other_by_name():
    for name in (ONE, TWO):
        lodge("launch", "debian/12", name, seconds=400)
    for one, other in ((ONE, TWO), (TWO, ONE)):
        wait_for(lambda o=one, t=other: asked_from(o, t) == row(t)["address"], 10,
                 "%s does not find %s" % (one, other))
        equal(asked_from(one, other + ".lodge"), row(other)["address"])


def test_they_reach_each_other():
    lodge("exec", ONE, "--", "bash", "-c", "! echo > /dev/tcp/%s/9" % TWO)
    said = lodge("exec", ONE, "--", "bash", "-c", "echo > /dev/tcp/%s/9" % TWO, check=False).stderr
    # Nobody listens there, but the machine answers.
    if "refused" not in said:
        raise Failure(said)


def test_the_host_can_ask_for_them():
    equal(asked_from_the_host(ONE + ".lodge"), row(ONE)["address"])
    equal(asked_from_the_host("nobody.lodge"), "")


def test_libvirt_shows_the_lease():
    wait_for(lambda: re.search(r"\s%s\s" % TWO, leases()), 15, "no lease")


def test_name_and_lease_go_with_the_instance():
    """Without that they would live for as long as the lease."""
    address = row(TWO)["address"]
    lodge("delete", "--force", TWO)
    wait_for(lambda: asked_from(ONE, TWO) == "", 5, "the name is still there")
    wait_for(lambda: address not in leases(), 5, "the lease is still there")
    equal(asked_from_the_host(TWO + ".lodge"), "")


def test_other_leases_are_left_alone():
    """dnsmasq runs libvirt's program once for each lease when it is told to read everything."""
    wait_for(lambda: ONE in leases(), 15, "no lease")
    programs = inside("sh", "-c", "cat /run/libvirt/network/lodgebr0.pid").stdout.strip()
    before = children_time(programs)
    for _ in range(3):
        lodge("create", "debian/12", TWO)
        lodge("delete", TWO)
    time.sleep(0.5)
    equal(children_time(programs), before, "processor time of dnsmasq's programs")


def children_time(pid):
    """Of the helper that runs programs for dnsmasq: ticks, user and system, of ended children."""
    with open("/proc/%s/task/%s/children" % (pid, pid), encoding="ascii") as stream:
        helpers = stream.read().split() or [pid]
    with open("/proc/%s/stat" % helpers[0], encoding="ascii") as stream:
        return stream.read().rpartition(")")[2].split()[13:15]


def test_another_name_is_known_at_once():
    lodge("create", "debian/12", TWO)
    lodge("rename", TWO, "n-three")
    lodge("start", "n-three")
    wait_for(lambda: asked_from(ONE, "n-three") == row("n-three")["address"], 10, "not found")
    wait_for(lambda: asked_from(ONE, TWO) == "", 10, "the old name is still there")


def rules():
    """Without their counters, which go on."""
    said = inside("nft", "list", "ruleset").stdout
    return sorted(re.sub(r"packets \d+ bytes \d+", "", said).split("\n"))


def test_w04_flushed_rules_come_back():
    before = rules()
    for way in (("flush", "ruleset"), ("delete", "table", "ip", "nat")):
        inside("nft", *way)
        equal(rules() == before, False, "the rules are there after nft " + " ".join(way))
        wait_for(lambda: rules() == before, 15, "the rules do not come back")
    equal(asked_from(ONE, "n-three"), row("n-three")["address"])


def test_a_stopped_network_is_started_again():
    lodge("delete", "--force", ONE, "n-three")
    virsh("qemu:///system", "net-destroy", "lodgebr0")
    lodge("launch", "debian/12", ONE)
    wait_for(lambda: asked_from_the_host(ONE + ".lodge") == row(ONE)["address"], 10, "not found")


main("n-")
