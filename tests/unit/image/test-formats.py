#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images of other formats and of more than one part: squashfs, split, OVA, OCI; whole and hostile.

    test-formats.py RUN-HELPER LODGE-IMAGE-WORKER

TAP on stdout.  Needs root.
"""
import gzip
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import threading

from imagelib import (CANARY, CONTENT, INPUT, MIB, STAGING, SYSTEM, WORK, accepted, case, disk_of, main,
                      member, patch, path, put, qcow2, refused, run, tar)
import tinyiso


def squashfs(*options, tree=None):
    """Of a small system, made as root."""
    if tree is None:
        tree = os.path.join(WORK, "tree")
        shutil.rmtree(tree, ignore_errors=True)
        os.makedirs(os.path.join(tree, "usr/bin"))
        os.makedirs(os.path.join(tree, "etc"))
        os.symlink("usr/bin", os.path.join(tree, "sbin"))
        for name, text in (("usr/bin/init", "x"), ("etc/hostname", "boxed\n"),
                           ("etc/os-release", 'ID=testix\nVERSION_ID="3"\nPRETTY_NAME="Testix 3"\n')):
            with open(os.path.join(tree, name), "w", encoding="ascii") as file:
                file.write(text)
    if os.path.lexists(INPUT):
        os.unlink(INPUT)
    subprocess.run(["mksquashfs", tree, INPUT, "-noappend", "-nopad", "-quiet", "-no-progress",
                    *options],
                   check=True, capture_output=True)
    return tree


@case
def squashfs_is_unpacked():
    squashfs("-p", "home d 700 1000 1000", "-p", "usr/bin/su f 4755 0 0 echo x")
    result = accepted(run())
    assert result.value("kind") == "container" and result.value("description") == "Testix 3"
    assert result.value("property.hostname") == "boxed" and result.value("property.release") == "3"
    assert os.lstat(path("home")).st_uid == 1000 and os.listdir(STAGING) == ["rootfs"]
    assert stat.S_IMODE(os.lstat(path("usr/bin/su")).st_mode) == 0o4755


@case
def t20_hostile_squashfs():
    squashfs("-p", "dev d 755 0 0", "-p", "dev/sda b 660 0 6 8 0", "-p", "dev/null c 666 0 0 1 3")
    accepted(run())
    assert os.listdir(path("dev")) == []
    for number in (65536, (1 << 32) - 1):
        squashfs("-p", f"etc/x f 644 {number} 0 echo x")
        refused(run())
    tree = squashfs()
    os.setxattr(os.path.join(tree, "etc"), "trusted.overlay.opaque", b"y")
    os.setxattr(os.path.join(tree, "etc"), "user.mine", b"kept")
    squashfs(tree=tree)
    accepted(run())
    assert os.listxattr(path("etc")) == ["user.mine"]
    squashfs("-p", f"usr/zeros f 644 0 0 head -c {256 * MIB} /dev/zero")
    assert not run(f"max-bytes={32 * MIB}").ok
    squashfs()
    with open(INPUT, "rb") as file:
        good = file.read()
    for length in (4, 95, 96, 200, len(good) // 2):
        put(good[:length])
        refused(run())
    for offset in range(0, 96, 4):
        put(good)
        patch(offset, b"\xff\xff\xff\x7f")
        result = run()
        assert result.seconds < 20 and (result.ok or result.error()[0]), offset



@case
def t20_bare_file_systems():
    """They are disks that nothing can start, and no kernel but an appliance's ever mounts them."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        mounts = file.read()
    for kind, options, size in (("ext4", ["-q", "-F"], 16), ("xfs", ["-q", "-f"], 512)):
        put(b"")
        os.truncate(INPUT, size * MIB)
        subprocess.run(["mkfs." + kind, *options, INPUT], check=True, capture_output=True)
        assert accepted(run()).value("kind") == "vm"
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        assert file.read() == mounts


@case
def install_media():
    for platforms, hybrid, firmware in (((0,), False, "bios"), ((0, 0xef), True, "bios,uefi"),
                                        ((0xef,), True, "uefi"), ((), False, None)):
        data = tinyiso.make("Tiny 1", platforms, hybrid) + bytes(MIB)
        put(data)
        result = accepted(run())
        assert result.value("kind") == "iso" and os.listdir(STAGING) == ["disk.iso"]
        assert result.value("fingerprint") == hashlib.sha256(data).hexdigest()
        assert result.value("property.firmware") == firmware, platforms
        assert result.value("virtual-size") == str(len(data))
        assert result.value("description") == "Tiny 1"
        assert bool(result.notices()) == (not platforms)
        with open(os.path.join(STAGING, "disk.iso"), "rb") as file:
            assert file.read() == data
        assert stat.S_IMODE(os.stat(os.path.join(STAGING, "disk.iso")).st_mode) == 0o444
        assert os.stat(os.path.join(STAGING, "disk.iso")).st_uid == 0
    assert run("max-bytes=4096").error()[0] == "NoSpace"


@case
def broken_install_media():
    good = tinyiso.make()
    for length in (32774, 33000, 34815):
        put(good[:length])
        refused(run())
    put(good[:32768] + b"\7" + good[32769:])  # no primary descriptor
    refused(run())
    put(good)
    patch(34816 + 71, b"\xff\xff\xff\xff")  # its catalogue is nowhere
    assert accepted(run()).value("property.firmware") is None
    assert "one file" in refused(split(good))


METADATA = ("architecture: x86_64\ncreation_date: 1\nproperties:\n  os: Testix\n  serial: '7'\n"
            "templates:\n  /etc/hostname:\n    when: [create]\n    template: hostname.tpl\n")


def metadata_archive(*members, content=METADATA):
    return tar(member("metadata.yaml", content=content), member("templates", tarfile.DIRTYPE),
               member("templates/hostname.tpl", content="{{ container.name }}\n"), *members,
               system=False)


def split(root, metadata=None):
    """Imports METADATA and the bytes or file ROOT."""
    put(metadata or metadata_archive())
    second = os.path.join(WORK, "second")
    with open(second, "wb") as file:
        file.write(root)
    return run(f"fd.root={second}:r")


@case
def split_images():
    packed = gzip.compress(tar())
    squashfs()
    with open(INPUT, "rb") as file:
        squashed = file.read()
    qcow2()
    with open(INPUT, "rb") as file:
        disk = file.read()
    for root, kind in ((packed, "container"), (squashed, "container"), (disk, "vm")):
        result = accepted(split(root))
        assert result.value("kind") == kind and result.value("property.os") == "Testix"
        assert result.value("property.serial") == "7"
        with open(INPUT, "rb") as file:
            both = hashlib.sha256(file.read() + root).hexdigest()
        assert result.value("fingerprint") == both
        content = "disk.qcow2" if kind == "vm" else "rootfs"
        assert sorted(os.listdir(STAGING)) == sorted([content, "metadata.yaml", "templates"])
    assert "give both" in run().error()[1]  # the metadata alone
    refused(split(packed, metadata=tar(unified=True)))
    refused(split(packed, metadata=disk))
    refused(split(b"hello"))


@case
def unified_image_of_a_vm():
    qcow2()
    with open(INPUT, "rb") as file:
        disk = file.read()
    put(gzip.compress(metadata_archive(member("rootfs.img", content=disk))))
    result = accepted(run())
    assert result.value("kind") == "vm" and result.value("virtual-size") == str(16 * MIB)
    assert sorted(os.listdir(STAGING)) == ["disk.qcow2", "metadata.yaml", "templates"]
    qcow2("-b", "/etc/passwd", "-F", "raw", "-u")
    with open(INPUT, "rb") as file:
        disk = file.read()
    put(metadata_archive(member("rootfs.img", content=disk)))
    assert "backing" in refused(run())
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
        put(metadata_archive(member("rootfs.img", kind, "/etc/shadow")))
        refused(run())
    put(metadata_archive(member("rootfs.img", content="text"), member("rootfs.img", content="text")))
    refused(run())


@case
def t06_hostile_metadata():
    for content in ("a: [", "{" * 100000, "a: &x b\nc: *x", "\x01", "- - - - - - - - - - a", "text"):
        refused(split(tar(), metadata=metadata_archive(content=content)))
    refused(split(tar(), metadata=metadata_archive(content="#" * (1 << 20) + "\na: b")))
    for name in ("templates/../x", "templates/a/b", "templates/.x", "templates/a b", "templates/-x" * 60):
        refused(split(tar(), metadata=metadata_archive(member(name, content="x"))))
    refused(split(tar(), metadata=metadata_archive(member("templates/big", content="x" * 65537))))
    refused(split(tar(), metadata=metadata_archive(
        *[member(f"templates/t{i}", content="x") for i in range(100)])))


OVF = """<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
 xmlns:vmw="http://www.vmware.com/schema/ovf">
 <References><File ovf:id="f2" ovf:href="data.vmdk"/><File ovf:id="f1" ovf:href="{disk}"/></References>
 <DiskSection><Info/><Disk ovf:diskId="d2" ovf:fileRef="f2"/><Disk ovf:diskId="d1" ovf:fileRef="f1"/></DiskSection>
 <VirtualSystem ovf:id="Shop"><VirtualHardwareSection>
  <Item><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
  <Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:ResourceType>4</rasd:ResourceType>
   <rasd:VirtualQuantity>1536</rasd:VirtualQuantity></Item>
  <Item><rasd:AddressOnParent>1</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/d2</rasd:HostResource>
   <rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
  <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/d1</rasd:HostResource>
   <rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
  <vmw:Config vmw:key="firmware" vmw:value="efi"/>
 </VirtualHardwareSection></VirtualSystem></Envelope>"""


def ova(description, *members):
    return tar(member("shop.ovf", content=description), *members, system=False)


@case
def ova_is_imported():
    disk_of("vmdk", "-o", "subformat=streamOptimized")
    with open(INPUT, "rb") as file:
        disk = file.read()
    put(ova(OVF.format(disk="system.vmdk"), member("shop.mf", content="x"),
            member("data.vmdk", content="not read"), member("system.vmdk", content=disk)))
    result = accepted(run())
    assert result.value("kind") == "vm" and os.listdir(STAGING) == ["disk.qcow2"]
    assert result.value("description") == "Shop" and result.value("property.cpus") == "2"
    assert result.value("property.memory") == str(1536 * MIB), result.lines
    assert result.value("property.firmware") == "uefi"
    assert any("more than one disk" in notice for notice in result.notices())


@case
def d_hostile_ova():
    secret = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    for description in ("", "<a", "<a/>", OVF.format(disk="../../etc/shadow"),
                        OVF.format(disk="system.vmdk").replace("?>", "?>" + secret, 1),
                        "<a>" * 100000, OVF.format(disk="")):
        put(ova(description, member("system.vmdk", content="x" * 1000)))
        refused(run())
    put(ova(OVF.format(disk="system.vmdk")))
    refused(run())
    put(ova(OVF.format(disk="system.vmdk"), member("system.vmdk", tarfile.SYMTYPE, "/etc/shadow")))
    refused(run())
    put(ova(OVF.format(disk="system.vmdk"), member("system.vmdk", content="plain text")))
    refused(run())


def blob(blobs, data):
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    digest = hashlib.sha256(data).hexdigest()
    blobs["blobs/sha256/" + digest] = data
    return {"digest": "sha256:" + digest, "size": len(data)}


def oci(*layers, change=None, more=None):
    blobs = {}
    config = blob(blobs, {"config": {"Entrypoint": ["/bin/app", "a b"], "Cmd": ["-x"], **(more or {})}})
    manifest = {"config": config, "layers": [blob(blobs, layer) for layer in layers]}
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "amd64")
    index = {"manifests": [dict(blob(blobs, {"layers": []}), platform={"architecture": "none"}),
                           dict(blob(blobs, manifest), platform={"architecture": arch, "os": "linux"})]}
    blobs["index.json"] = json.dumps(index).encode()
    blobs["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    if change is not None:
        change(blobs)
    return tar(*[member(name, content=data) for name, data in sorted(blobs.items())], system=False)


@case
def oci_image_is_applied():
    first = tar(member("etc/old", content="x"), member("opt", tarfile.DIRTYPE), member("opt/a", content="a"),
                member("var/turns", tarfile.DIRTYPE), member("var/turns/in", content="x"))
    second = gzip.compress(tar(member("etc/.wh.old"), member("opt/.wh..wh..opq"), member("opt/b", content="b"),
                               member("var/turns", content="a file now"), member("etc/new", content="y"),
                               system=False))
    put(oci(first, second))
    result = accepted(run())
    assert result.value("kind") == "container" and result.value("property.type") == "oci"
    assert result.value("property.command") == "'/bin/app' 'a b' '-x'", result.lines
    assert os.listdir(STAGING) == ["rootfs"] and os.listdir(path("opt")) == ["b"]
    assert not os.path.exists(path("etc/old")) and os.path.exists(path("etc/new"))
    assert os.path.isfile(path("var/turns"))
    # What docker save writes.
    layer = hashlib.sha256(first).hexdigest()
    put(tar(member(f"{layer}/layer.tar", content=first), member("c.json", content='{"config": {}}'),
            member("manifest.json", content=json.dumps([{"Config": "c.json", "Layers": [f"{layer}/layer.tar"]}])),
            system=False))
    accepted(run())
    assert os.path.exists(path("etc/old"))


@case
def t_hostile_oci():
    def replace(**files):
        def change(blobs):
            for name, data in files.items():
                blobs[name.replace("_", ".")] = data
        return change

    def damage(blobs):
        name = max((n for n in blobs if n.startswith("blobs/")), key=lambda n: len(blobs[n]))
        blobs[name] = blobs[name][:-1] + b"x"

    layer = tar()
    for index in (b"", b"[" * 200000, b"{}", b"[]", b"null", b'{"manifests": 7}', b'{"manifests": []}',
                  b'{"manifests": [{"digest": "sha256:../../../etc/shadow"}]}',
                  b'{"manifests": [{"digest": "sha256:' + b"0" * 64 + b'"}]}'):
        put(oci(layer, change=replace(index_json=index)))
        refused(run())
    put(oci(layer, change=damage))
    assert "damaged" in refused(run())
    put(oci())
    refused(run())
    for bad in (tar(member("../x", content="x")), tar(member("x", tarfile.SYMTYPE, "/etc"),
                                                     member("x/.wh.passwd")),
                tar(member("etc/.wh..")), tar(member("etc/.wh...")), b"no archive"):
        put(oci(layer, bad))
        refused(run())
    # A whiteout through a link of a layer below.
    put(oci(tar(member("way", tarfile.SYMTYPE, CANARY)), tar(member("way/.wh.file"), system=False)))
    refused(run())
    put(oci(tar(member("way", tarfile.SYMTYPE, CANARY)), tar(member("way/.wh..wh..opq"), system=False)))
    run()
    put(tar(member("manifest.json", content='[{"Config": "/etc/shadow", "Layers": ["../../etc/shadow"]}]'),
            system=False))
    refused(run())
    put(tar(member("oci-layout", tarfile.SYMTYPE, "/etc/shadow"), system=False))
    refused(run())


# ---- what leaves ----

def export(*arguments, output="output", seconds=120):
    work = os.path.join(WORK, "export")
    shutil.rmtree(work, ignore_errors=True)
    os.mkdir(work)
    path_of_output = os.path.join(WORK, output)
    with open(path_of_output, "wb"):
        pass
    process = subprocess.run([sys.argv[1], sys.argv[2], "export", f"fd.output={path_of_output}:rw",
                              f"fd.staging={work}:dir", *arguments],
                             capture_output=True, text=True, timeout=seconds, check=False)
    assert process.returncode == 0, process.stdout
    assert os.listdir(work) == []
    return path_of_output


def contents(file):
    with open(file, "rb") as stream:
        return stream.read()


@case
def exports_come_back():
    put(tar(member("home/u", tarfile.DIRTYPE, uid=1000, gid=1000, mode=0o700, mtime=5),
            member("bin/su", content="x", mode=0o4755), member("hard", tarfile.LNKTYPE, "bin/su"),
            unified=False))
    accepted(run())
    tree = os.path.join(WORK, "kept")
    shutil.rmtree(tree, ignore_errors=True)
    os.rename(path(), tree)
    about = [f"rootfs={tree}", "architecture=x86_64", "description=It's", "property=os=Testix"]
    for compression in ("none", "gzip", "xz", "zstd"):
        packed = export("format=unified", f"compression={compression}", *about)
        first = contents(packed)
        assert contents(export("format=unified", f"compression={compression}", *about)) == first
        put(first)
        result = accepted(run())
        assert result.value("fingerprint") == hashlib.sha256(first).hexdigest()
        assert result.value("description") == "It's" and result.value("property.os") == "Testix"
        found = os.lstat(path("home/u"))
        assert (found.st_uid, found.st_mtime, stat.S_IMODE(found.st_mode)) == (1000, 5, 0o700)
        assert stat.S_IMODE(os.lstat(path("bin/su")).st_mode) == 0o4755
        assert os.lstat(path("hard")).st_nlink == 2
    root = os.path.join(WORK, "second-output")
    with open(root, "wb"):
        pass
    metadata = contents(export("format=split", f"fd.root={root}:rw", *about))
    assert accepted(split(contents(root), metadata=metadata)).value("description") == "It's"
    assert tarfile.open(export("format=tar", "compression=none", *about)).getnames()[0] == "."


@case
def exports_keep_metadata():
    put(gzip.compress(metadata_archive(*[member("rootfs/" + name, kind, text) for name, kind, text in (
        ("usr", tarfile.DIRTYPE, ""), ("etc", tarfile.DIRTYPE, ""), ("etc/x", tarfile.REGTYPE, "x"))])))
    accepted(run())
    kept = os.path.join(WORK, "kept-image")
    shutil.rmtree(kept, ignore_errors=True)
    os.rename(STAGING, kept)
    archive = export("format=unified", "compression=none", f"rootfs={kept}/rootfs", f"metadata={kept}",
                     "architecture=other")
    with tarfile.open(archive) as members:
        assert members.getnames()[:3] == ["metadata.yaml", "templates/hostname.tpl", "rootfs"]
        assert members.extractfile("metadata.yaml").read().decode() == METADATA


@case
def d15_exported_disks_are_whole():
    below, above = os.path.join(WORK, "below.qcow2"), os.path.join(WORK, "above.qcow2")
    disk_of("qcow2")
    shutil.copy(INPUT, below)
    qcow2("-b", below, "-F", "qcow2", name=above)
    about = [f"disk={above}", f"backing={below}", "architecture=x86_64"]
    whole = export("format=qcow2", *about)
    assert b"below" not in contents(whole)
    first = contents(whole)
    assert contents(export("format=qcow2", *about)) == first
    raw = export("format=raw", *about, output="raw-output")
    assert contents(raw) == CONTENT and os.stat(raw).st_blocks * 512 < 4 * MIB
    put(contents(export("format=unified", *about)))
    assert accepted(run()).value("kind") == "vm"


@case
def a_pipe_is_received():
    for data, content in ((tar(), "rootfs"), (tinyiso.make(), "disk.iso")):
        put(data)
        expected = accepted(run()).value("fingerprint")
        os.unlink(INPUT)
        os.mkfifo(INPUT)
        writer = threading.Thread(target=put, args=(data,))
        writer.start()
        result = accepted(run())
        writer.join()
        os.unlink(INPUT)
        assert result.value("fingerprint") == expected and os.listdir(STAGING) == [content]
    assert stat.S_IMODE(os.stat(os.path.join(STAGING, "disk.iso")).st_mode) == 0o444


@case
def b06_a_stream_without_end():
    """What is received is bounded, whoever sends it."""
    if os.path.lexists(INPUT):
        os.unlink(INPUT)
    os.mkfifo(INPUT)

    def send():
        with open(INPUT, "wb", buffering=0) as pipe:
            try:
                while True:
                    pipe.write(bytes(MIB))
            except BrokenPipeError:
                pass
    writer = threading.Thread(target=send)
    writer.start()
    result = run(f"max-bytes={32 * MIB}")
    writer.join()
    os.unlink(INPUT)
    refused(result, "NoSpace")


# ---- what an image says ----

@case
def c07_an_image_chooses_nothing_of_the_host():
    """Of what it says, what is shown is taken, and nothing else."""
    words = {"runtime": "/tmp/x", "raw.lxc": "lxc.hook.pre-start = /tmp/x", "security.privileged": "true",
             "requirements.privileged": "true", "hooks": "/tmp/x", "logger": "/tmp/x", "os-id": "x",
             "idmap-base": "0", "network": "host", "firmware": "x", "command": "/tmp/x", "cpus": "9999",
             "memory": "9999", "agent": "yes", "cloud-init": "yes", "templates": "yes", "init": "/tmp/x",
             "hostname": "x", "path": "/etc", "fingerprint": "0" * 64, "kind": "vm"}
    lines = "".join(f"  {key}: '{value}'\n" for key, value in words.items())
    content = f"architecture: x86_64\nconfig:\n{lines}{lines.replace('  ', '')}properties:\n  os: Testix\n{lines}"
    put(tar(member("metadata.yaml", content=content),
            *[member("rootfs/" + name, kind, data) for name, kind, data in SYSTEM], system=False))
    plain = tar(unified=True)
    said = results(accepted(run()))
    put(plain)
    assert said == results(accepted(run())), said
    put(oci(tar()))
    plain = results(accepted(run()))
    put(oci(tar(), more={"Labels": words, "User": "0:0", "Volumes": {"/etc:/etc": {}}, "Hooks": words,
                         "annotations": words, "HostConfig": {"Privileged": True}, "Env": ["LD_PRELOAD=/tmp/x"]}))
    assert results(accepted(run())) == plain


def results(result):
    """-> the results of an import, but for what any other byte of the file makes another one"""
    words = [line.split(" ", 2)[1:] for line in result.lines if line.startswith("result ")]
    return {key: value for key, value in words
            if key not in ("fingerprint", "size", "description")}


# ---- what is built ----

@case
def a_mirror_that_is_not_there():
    if not shutil.which("mmdebstrap"):
        return
    shutil.rmtree(STAGING, ignore_errors=True)
    os.mkdir(STAGING)
    done = subprocess.run([sys.argv[1], sys.argv[2], "build", "distribution=debian", "suite=bookworm",
                           "kind=container", "arch=amd64", "mirror=http://127.0.0.1:1/debian",
                           f"fd.staging={STAGING}:dir"],
                          capture_output=True, text=True, timeout=120, check=False)
    assert re.search("^ *[0-9.]+ error Download (The|A file of the) mirror .*127.0.0.1:1", done.stdout,
                     re.M), done.stdout[-2000:]


if __name__ == "__main__":
    sys.exit(main())
