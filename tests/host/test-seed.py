#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 400
"""What makes an instance itself: templates of LXD's images, and cloud-init's data."""

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

from hostlib import DIR, IMAGE, LXC, QEMU, USAGE, Failure, contains, equal, inside, lodge, \
    lodge_fails, main, run, state, virsh
import tinyimage

NAME = "h-seed"
CLOUD = "build:debian/12/cloud"
WORK = tempfile.mkdtemp(prefix="lodge-seed-", dir="/var/tmp")
STATE = os.path.join(DIR, "state")

METADATA = b"""architecture: %s
creation_date: 1
properties: {os: Testix}
templates:
  /etc/hostname: {when: [create, copy, rename], template: hostname.tpl}
  /etc/hosts: {when: [create, rename], template: hosts.tpl}
  /etc/started: {when: [start], template: started.tpl}
  /etc/os-release: {when: [create], template: hostname.tpl, create_only: true}
  /out/hostname: {when: [create], template: hostname.tpl}
  /etc/link: {when: [create], template: hostname.tpl}
  /etc/shadow.copy: {when: [create], template: evil.tpl}
""" % os.uname().machine.encode()
TEMPLATES = {
    "hostname.tpl": b"{{ container.name }}\n",
    "hosts.tpl": b"127.0.0.1\tlocalhost\n127.0.1.1\t{{ instance.name }} "
                 b"{{ config_get(\"user.alias\", properties.default) }}\n",
    "started.tpl": b"{% if trigger == \"start\" %}{{ path }}{% endif %}\n",
    "evil.tpl": b"\n{% include \"/etc/shadow\" %}\n",
}


def templated_image():
    root, image = os.path.join(WORK, "rootfs.tar"), os.path.join(WORK, "image.tar")
    victim = os.path.join(WORK, "victim")
    os.makedirs(victim)
    tinyimage.rootfs(root, b"seed")
    with tarfile.open(root) as source, tarfile.open(image, "w") as archive:
        def add(name, data=None, link=None):
            info = tarfile.TarInfo(name)
            if link:
                info.type, info.linkname = tarfile.SYMTYPE, link
            else:
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data or b""))

        add("metadata.yaml", METADATA)
        for name, data in TEMPLATES.items():
            add("templates/" + name, data)
        for member in source:
            content = source.extractfile(member) if member.isfile() else None
            member.name = "rootfs/" + member.name
            archive.addfile(member, content)
        add("rootfs/out", link="/../../../../../.." + victim)
        add("rootfs/etc/link", link=victim + "/link")
    return image, victim


def read(name, path):
    return lodge("exec", name, "--", "cat", path).stdout


def test_templates_of_an_image_are_applied():
    image, victim = templated_image()
    lodge("image", "import", image, NAME + "/templates")
    done = lodge("launch", NAME + "/templates", NAME, "-c", "user.alias=other")
    for part in ("/out/hostname", "/etc/shadow.copy", "line 2: “include” is not supported"):
        contains(done.stderr, part)
    equal(read(NAME, "/etc/hostname"), NAME + "\n")
    equal(read(NAME, "/etc/hosts"), "127.0.0.1\tlocalhost\n127.0.1.1\t%s other\n" % NAME)
    equal(read(NAME, "/etc/started"), "/etc/started\n")
    equal(read(NAME, "/etc/link"), NAME + "\n")
    contains(read(NAME, "/etc/os-release"), "ID=testix")
    equal(os.listdir(victim), [])


def test_templates_are_applied_again_by_what_they_are_for():
    lodge("exec", NAME, "--", "sh", "-c", "> /etc/hosts; > /etc/started")
    lodge("stop", "--force", NAME)
    lodge("start", NAME)
    equal(read(NAME, "/etc/started"), "/etc/started\n")
    if "other" in read(NAME, "/etc/hosts"):
        raise Failure("a template for creation was used at a start")
    lodge("stop", "--force", NAME)
    lodge("rename", NAME, NAME + "-2")
    lodge("start", NAME + "-2")
    equal(read(NAME + "-2", "/etc/hostname"), NAME + "-2\n")
    contains(read(NAME + "-2", "/etc/hosts"), NAME + "-2 other")
    lodge("delete", "--force", NAME + "-2")


def test_documents_have_limits():
    lodge_fails(USAGE, "create", IMAGE, NAME, "-c", "cloud-init.user-data=" + "x" * 16385,
                says="16384")
    lodge_fails(USAGE, "create", IMAGE, NAME, "-c", "cloud-init.user-data=a\x1bb", says="control")


def test_cloud_init_does_what_a_container_is_told():
    lodge("launch", CLOUD, NAME, "--config=cloud-init.user-data=#cloud-config\n"
          "write_files:\n- {path: /root/proof, content: told}\nfqdn: %s.example\n" % NAME,
          seconds=400)
    done = lodge("exec", NAME, "--", "cloud-init", "status", "--wait", "--long", check=False,
                 seconds=120)
    contains(done.stdout, "status: done")
    contains(done.stdout, "DataSourceNoCloud [seed=/var/lib/cloud/seed/nocloud-net]")
    equal(read(NAME, "/root/proof"), "told")
    equal(lodge("exec", NAME, "--", "stat", "-c", "%a %U",
                "/var/lib/cloud/seed/nocloud-net/user-data").stdout, "600 root\n")
    if "told" in inside("virsh", "-q", "-c", LXC, "dumpxml", NAME).stdout:
        raise Failure("the domain's definition has the user data in it")
    lodge("delete", "--force", NAME)


def test_its_owner_gets_into_a_container():
    key, script = os.path.join(WORK, "key.pub"), os.path.join(WORK, "script")
    line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me@here"
    with open(key, "w", encoding="ascii") as stream:
        stream.write(line + "\n")
    with open(script, "w", encoding="ascii") as stream:
        # Its root is nobody outside, and what is outside is not there.
        stream.write("#!/bin/sh\nset -e\nid -u > /root/ran\ncat /proc/self/uid_map >> /root/ran\n"
                     "test ! -e /var/lib/lodge\n! (echo > /dev/tcp/127.0.0.1/1) 2> /dev/null\n")
    lodge("create", IMAGE, NAME, "--ssh-key", key, "--run", script, "--password",
          data="a secret\n", seconds=400)
    lodge("start", NAME)
    equal(read(NAME, "/root/.ssh/authorized_keys"), line + "\n")
    modes = lodge("exec", NAME, "--", "stat", "-c", "%a %U", "/root/.ssh",
                  "/root/.ssh/authorized_keys", "/etc/shadow").stdout
    equal(modes, "700 root\n600 root\n640 root\n")
    ran = read(NAME, "/root/ran").split()
    equal(ran[:2], ["0", "0"])
    if int(ran[2]) < 65536:
        raise Failure("the script ran as uid %s of the host" % ran[2])
    lodge("exec", NAME, "--", "test", "!", "-e", "/.lodge-script")
    check = ("import crypt, sys; line = [x for x in sys.stdin if x.startswith('root:')][0]; "
             "h = line.split(':')[1]; sys.exit(crypt.crypt('a secret', h) != h)")
    run([sys.executable, "-W", "ignore", "-c", check], data=read(NAME, "/etc/shadow"))
    lodge("delete", "--force", NAME)


def test_what_a_script_breaks_leaves_nothing():
    script = os.path.join(WORK, "script")
    with open(script, "w", encoding="ascii") as stream:
        stream.write("#!/bin/sh\necho it is broken >&2\nexit 3\n")
    lodge_fails(USAGE, "launch", IMAGE, NAME, "--run", script, says="status 3: it is broken")
    equal(state(NAME), None)
    lodge_fails(USAGE, "launch", IMAGE, NAME, "--ssh-key", script, says="no public key")
    lodge_fails(USAGE, "launch", IMAGE, NAME, "--ssh-key", "-", "--password", says="Only one of")
    lodge_fails(USAGE, "launch", IMAGE, NAME, "--password", data="\n", says="no password")


def test_a_virtual_machine_gets_a_disk():
    lodge("create", IMAGE, NAME, "--vm", "-c", "user.user-data=#!/bin/sh\ntrue\n", seconds=400)
    xml = virsh(QEMU, "dumpxml", NAME).stdout
    contains(xml, "<alias name='ua-lodge-seed'/>")
    equal(re.findall("<libosinfo:os id=['\"](.*?)['\"]", xml), ["http://debian.org/debian/12"])
    uuid = re.search("<uuid>(.*)</uuid>", xml).group(1)
    disk = os.path.join(STATE, "instances", uuid, "seed.iso")
    equal(os.stat(disk).st_mode & 0o777, 0o600)
    label = subprocess.run(["blkid", "-p", "-s", "LABEL", "-o", "value", disk], check=True,
                           capture_output=True, text=True).stdout.strip()
    equal(label.lower(), "cidata")
    with open(disk, "rb") as stream:
        content = stream.read()
    for part in ("#!/bin/sh\ntrue\n", "local-hostname: %s\n" % NAME):
        if part.encode() not in content:
            raise Failure("%r is not on the disk" % part)
    lodge("delete", NAME)
    equal(os.path.exists(disk), False)


def cleanup():
    shutil.rmtree(WORK)
    lodge("delete", "--force", NAME, check=False)
    lodge("image", "delete", NAME + "/templates", check=False)


if __name__ == "__main__":
    main("h-seed", cleanup)
