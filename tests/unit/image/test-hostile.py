#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Archives and disks that want to harm the host: each case is a row of the list of hostile inputs.

    test-hostile.py RUN-HELPER LODGE-IMAGE-WORKER

TAP on stdout.  Needs root.
"""
import bz2
import gzip
import lzma
import os
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile

from imagelib import (CANARY, CONTENT, INPUT, MIB, STAGING, WORK, accepted, case, disk_of, main,
                      member, patch, path, put, qcow2, qemu_img, refused, run, tar)
import tinyiso

unpack = convert = run


@case
def plain_archive_is_unpacked():
    put(tar(member("etc/os-release", content='PRETTY_NAME="Testix 1"\nID=testix\nVERSION_ID="1"\n'),
            member("home/u", tarfile.DIRTYPE, uid=1000, gid=1000, mode=0o700),
            member("bin/su", content="x", mode=0o4755), member("hard", tarfile.LNKTYPE, "bin/su")))
    result = accepted(unpack())
    assert result.value("description") == "Testix 1", result.lines
    assert os.lstat(path("home/u")).st_uid == 1000
    assert stat.S_IMODE(os.lstat(path("bin/su")).st_mode) == 0o4755
    assert os.lstat(path("hard")).st_ino == os.lstat(path("bin/su")).st_ino
    assert os.path.isdir(path("proc"))


@case
def unified_archive_is_stripped():
    put(tar(member("templates", tarfile.DIRTYPE), member("templates/hosts.tpl", content="x"),
            member("rootfs/hard", tarfile.LNKTYPE, "rootfs/usr/bin/true"), unified=True))
    result = accepted(unpack())
    assert result.value("property.os") == "Testix" and result.value("description") == "A test"
    assert sorted(os.listdir(STAGING)) == ["metadata.yaml", "rootfs", "templates"]
    assert os.listdir(os.path.join(STAGING, "templates")) == ["hosts.tpl"]
    assert "rootfs" not in os.listdir(path()) and "metadata.yaml" not in os.listdir(path())
    assert os.lstat(path("hard")).st_nlink == 2


@case
def compressed_archives_are_unpacked():
    data = tar()
    packers = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress}
    for name in ("zstd", "lz4"):
        packers[name] = lambda d, n=name: subprocess.run([n, "-q", "-c"], input=d, check=True,
                                                         capture_output=True).stdout
    fingerprints = set()
    for packer in packers.values():
        put(packer(data))
        fingerprints.add(accepted(unpack()).value("fingerprint"))
    assert len(fingerprints) == len(packers)


@case
def t01_dotdot():
    for name in ("../../../../tmp/lodge-canary", "a/../../lodge-canary", ".."):
        put(tar(member(name, content="x")))
        refused(unpack())
    put(tar(member("rootfs/../../lodge-canary", content="x"), unified=True))
    refused(unpack())


@case
def t02_absolute():
    put(tar(member(CANARY + "/x", content="x")))
    refused(unpack())


@case
def t03_through_symlink():
    for target in ("/etc", CANARY, "..", "/"):
        put(tar(member("link", tarfile.SYMTYPE, target), member("link/x", content="x")))
        refused(unpack())
        put(tar(member("link", tarfile.SYMTYPE, target), member("link", tarfile.DIRTYPE),
                member("link/x", content="x")))
        unpack()


@case
def t04_rootfs_is_symlink():
    put(tar(member("metadata.yaml", content="a: b"), member("rootfs", tarfile.SYMTYPE, "/"),
            member("rootfs/tmp/lodge-canary", content="x"), system=False))
    assert "symbolic link" in refused(unpack())


@case
def t05_templates_is_symlink():
    put(tar(member("templates", tarfile.SYMTYPE, "/etc"), unified=True))
    refused(unpack())
    put(tar(member("templates/x", tarfile.SYMTYPE, "/etc/shadow"), unified=True))
    refused(unpack())


@case
def t06_metadata_is_symlink():
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        put(tar(member("metadata.yaml", kind, "/etc/shadow"), system=False))
        refused(unpack())


@case
def t08_symlink_then_file():
    target = os.path.join(CANARY, "file")
    put(tar(member("etc/x", tarfile.SYMTYPE, target), member("etc/x", content="new")))
    accepted(unpack())
    assert stat.S_ISREG(os.lstat(path("etc/x")).st_mode)


@case
def t09_device_nodes():
    put(tar(member("dev/sda", tarfile.BLKTYPE, devmajor=8), member("dev/null", tarfile.CHRTYPE, devmajor=1, devminor=3)))
    result = accepted(unpack())
    assert not os.path.lexists(path("dev/sda")) and not os.path.lexists(path("dev/null"))
    assert any("device" in notice for notice in result.notices())


@case
def t10_fifo_metadata():
    put(tar(member("metadata.yaml", tarfile.FIFOTYPE), system=False))
    assert refused(unpack()) and unpack().seconds < 5


@case
def t14_impossible_sizes():
    for size in (str(8 << 60), str((1 << 63) - 1), "-1", "99999999999999999999"):
        info, _ = member("usr/huge", content="x")
        info.pax_headers = {"size": size}
        put(tar((info, b"x")))
        result = unpack()
        assert not result.ok, size
    # A sparse file of 8 EiB in GNU's format.
    sparse, _ = member("usr/sparse", content=b"")
    sparse.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0",
                          "GNU.sparse.name": "usr/sparse", "GNU.sparse.realsize": str(8 << 60)}
    put(tar((sparse, b"")))
    assert not unpack().ok


@case
def t15_bombs():
    info, _ = member("usr/zeros")
    info.size = 2048 * MIB
    header = info.tobuf(tarfile.PAX_FORMAT)
    packer = lzma.LZMACompressor(preset=1)
    with open(INPUT, "wb") as file:
        file.write(packer.compress(tar()[:512 * 4] + header))
        for _ in range(2048):
            file.write(packer.compress(bytes(MIB)))
        file.write(packer.flush())
    result = unpack()
    assert "times its size" in refused(result) and result.memory < 128, result.memory
    assert "room" in refused(unpack(f"max-bytes={64 * MIB}"), "NoSpace")
    if shutil.which("zstd"):  # a window of 2 GiB
        data = subprocess.run(["zstd", "-q", "-c", "--ultra", "-22", "--long=31"], input=tar(),
                              capture_output=True, check=True).stdout
        put(data)
        assert unpack().memory < 128
    put(lzma.compress(tar(), preset=9 | lzma.PRESET_EXTREME))
    result = accepted(unpack())
    assert result.memory < 128, result.memory


@case
def t17_option_like_names():
    put(tar(member("usr/--checkpoint-action=exec=sh x", content="x")))
    accepted(unpack())
    assert os.path.isfile(path("usr/--checkpoint-action=exec=sh x"))


@case
def t18_xattrs():
    capability = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0).decode("latin-1")
    info, data = member("usr/bin/ping", content="x")
    info.pax_headers = {
        "SCHILY.xattr.user.mine": "kept", "SCHILY.xattr.trusted.overlay.opaque": "y",
        "SCHILY.xattr.security.selinux": "x", "SCHILY.acl.access": "user::rwx,user:1:rwx",
    }
    put(tar((info, data)))
    accepted(unpack())
    names = os.listxattr(path("usr/bin/ping"))
    assert names == ["user.mine"], names
    assert capability  # that it is kept is what builds show: ping works


@case
def t19_ids():
    for number in (65536, 1 << 31, (1 << 32) - 1, 1 << 40):
        for field in ("uid", "gid"):
            put(tar(member("usr/x", content="x", **{field: number})))
            refused(unpack())
    put(tar(member("usr/x", content="x", uid=65535)))
    accepted(unpack())
    assert os.lstat(path("usr/x")).st_uid == 65535


@case
def t_hard_links_out():
    put(tar(member("usr/x", tarfile.LNKTYPE, "/etc/shadow")))
    refused(unpack())
    put(tar(member("usr/x", tarfile.LNKTYPE, "../../etc/shadow")))
    refused(unpack())
    put(tar(member("rootfs/x", tarfile.LNKTYPE, "metadata.yaml"), unified=True))
    refused(unpack())
    put(tar(member("etc/l", tarfile.SYMTYPE, "/etc"), member("usr/x", tarfile.LNKTYPE, "etc/l/shadow")))
    assert not unpack().ok or not os.path.samefile(path("usr/x"), "/etc/shadow")


@case
def t_foreign_members():
    put(tar(member("backup/index.yaml", content="x"), unified=True))
    refused(unpack())


@case
def t_not_an_archive():
    for data in (b"", b"hello", os.urandom(100000), tar()[:700], gzip.compress(tar())[:-400],
                 tar(member("README", content="x"), system=False)):
        put(data)
        result = unpack()
        assert not result.ok and result.error()[0] == "ImageInvalid", (data[:10], result.error())


@case
def t_many_members_and_long_names():
    put(tar(member("usr/" + "a" * 300, content="x")))
    refused(unpack())
    put(tar(member("/".join(["usr"] + ["d" * 200] * 30), tarfile.DIRTYPE)))
    refused(unpack())


@case
def t_archive_larger_than_allowed():
    put(tar(member("usr/x", content=os.urandom(3 * MIB))))
    refused(unpack(f"max-bytes={MIB}"), "NoSpace")
    accepted(unpack(f"max-bytes={16 * MIB}"))


# ---- disks ----

@case
def disk_is_converted():
    qcow2()
    result = accepted(convert())
    assert result.value("virtual-size") == str(16 * MIB)
    disk = os.path.join(STAGING, "disk.qcow2")
    assert stat.S_IMODE(os.lstat(disk).st_mode) == 0o444 and os.lstat(disk).st_uid == 0
    assert os.listdir(STAGING) == ["disk.qcow2"]


@case
def disk_on_another_file_system():
    qcow2()
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as copy:
        shutil.copy(INPUT, copy.name)
        os.unlink(INPUT)
        os.symlink(copy.name, INPUT)
        accepted(convert())
        os.unlink(INPUT)


@case
def disk_is_not_copied_first():
    with open(INPUT, "wb") as file:
        file.write(CONTENT[:512])
        file.truncate(1 << 30)
    # Enough for what comes out, but not for a copy of what goes in.
    accepted(convert(f"limit.fsize={64 * MIB}"))


@case
def d01_backing_file():
    secret = os.path.join(WORK, "secret")
    with open(secret, "w", encoding="ascii") as file:
        file.write("secret" * 1000)
    qcow2("-b", secret, "-F", "raw", "-u")
    assert "backing" in refused(convert())


@case
def d03_data_file():
    data = os.path.join(WORK, "data.raw")
    qcow2("-o", f"data_file={data}")
    assert "another file" in refused(convert())
    patch(72, struct.pack(">Q", 0))  # the bit is gone, the name is still there
    assert "another file" in refused(convert())


@case
def d_other_formats_are_converted():
    for kind, options in (("vmdk", []), ("vmdk", ["-o", "subformat=streamOptimized"]), ("vdi", []),
                          ("vhdx", []), ("vpc", []), ("vpc", ["-o", "subformat=fixed"]), ("raw", [])):
        disk_of(kind, *options)
        result = accepted(convert())
        assert result.value("kind") == "vm", (kind, result.lines)
        size = int(result.value("virtual-size"))
        assert 16 * MIB <= size < 17 * MIB, (kind, size)
        output = os.path.join(STAGING, "disk.qcow2")
        with open(output, "rb") as file:
            assert file.read(4) == b"QFI\xfb"
        plain = os.path.join(WORK, "plain")
        qemu_img("convert", "-O", "raw", output, plain)
        with open(plain, "rb") as file:
            assert file.read(16 * MIB) == CONTENT, kind


@case
def d04_parts_elsewhere():
    put(b'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'
        b'RW 1 FLAT "/etc/shadow" 0\n')
    refused(convert())
    disk_of("vmdk")
    with open(INPUT, "rb") as file:
        good = file.read()
    descriptor = good[512:512 + 20 * 512]
    for old, new in ((b"monolithicSparse", b"monolithicFlat"), (b" SPARSE ", b" FLAT "),
                     (b"parentCID=ffffffff", b'parentCID=00000001'),
                     (b"CID=", b'parentFileNameHint="/etc/shadow"\nCID=')):
        bad = descriptor.replace(old, new, 1)[:len(descriptor)]
        assert bad != descriptor
        put(good[:512] + bad.ljust(len(descriptor), b"\0") + good[512 + len(descriptor):])
        refused(convert())
    # Without a capacity QEMU believes the description.
    put(good)
    patch(12, struct.pack("<Q", 0))
    refused(convert())
    # Differences to another file.
    disk_of("vdi")
    patch(76, struct.pack("<I", 4))
    refused(convert())
    disk_of("vpc")
    patch(60, struct.pack(">I", 4))
    refused(convert())


@case
def d07_virtual_size_of_others():
    disk_of("vmdk")
    patch(12, struct.pack("<Q", 1 << 50))
    refused(convert())
    disk_of("vdi")
    patch(368, struct.pack("<Q", 1 << 60))
    refused(convert())
    disk_of("vpc")
    patch(48, struct.pack(">Q", 1 << 60))
    refused(convert())
    disk_of("vhdx", size="2T")
    refused(convert(f"max-virtual-size={1024 * MIB}"))


@case
def d09_formats_that_are_not_imported():
    for kind in ("parallels", "qcow", "qed", "luks"):
        if os.path.exists(INPUT):
            os.unlink(INPUT)
        extra = ["--object", "secret,id=s,data=x", "-o", "key-secret=s,iter-time=10"]
        try:
            qemu_img("create", "-q", "-f", kind, *(extra if kind == "luks" else []), INPUT, "16M")
        except subprocess.CalledProcessError:
            continue
        refused(convert())
    for start in (b"Bochs Virtual HD Image".ljust(512, b"\0"), b"#!/bin/sh\n#V2.0 Format\nmodprobe",
                  b"PK\x03\x04" + bytes(600), b"COWD" + bytes(600)):
        put(start)
        assert "cannot be imported" in refused(convert())
    put(bytes(4096) + b"koly".ljust(512, b"\0"))
    assert "cannot be imported" in refused(convert())


@case
def d10_polyglots():
    qcow2()
    patch(510, b"\x55\xaa")
    assert "at once" in refused(convert())
    qcow2()
    patch(32769, b"CD001")
    assert "at once" in refused(convert())
    put(tinyiso.make() + b"conectix".ljust(512, b"\0"))
    assert "at once" in refused(convert())


@case
def d06_nothing_is_probed():
    """A disk that a guest made to look like another one is what it was declared as."""
    put(b"\x55\xaa".rjust(512, b"\0") + b"QFI\xfb".ljust(MIB, b"\0"))
    assert accepted(convert()).value("virtual-size") == str(MIB + 512)


@case
def d11_names_are_only_names():
    """No name of a file makes QEMU's programs connect to something or open something else."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        for name in (f"nbd:127.0.0.1:{port}", "json:{}", f'json:{{"driver":"nbd","port":"{port}"}}',
                     "a:b", "a,b", "-x", "fat:rw:etc"):
            folder = tempfile.mkdtemp(dir=WORK)
            disk_of("qcow2")
            os.rename(INPUT, os.path.join(folder, name))
            assert accepted(run(source=os.path.join(folder, name))).value("virtual-size") \
                == str(len(CONTENT)), name
        try:
            server.accept()
        except BlockingIOError:
            return
    raise AssertionError("something connected")


@case
def d05_raw():
    put(bytes(MIB))
    refused(convert())


@case
def d07_virtual_size():
    qcow2(size="63T", name=INPUT)
    assert "virtual size" in refused(convert())
    for size in (0, 1 << 63, (1 << 64) - 1):
        qcow2()
        patch(24, struct.pack(">Q", size))
        refused(convert())
    qcow2(size="2G")
    refused(convert(f"max-virtual-size={1024 * MIB}"))


@case
def d08_tables():
    broken = [(20, ">I", 0), (20, ">I", 63), (20, ">I", 8), (40, ">Q", 1 << 62), (40, ">Q", 0),
              (36, ">I", 0xffffffff), (36, ">I", 0), (48, ">Q", 1 << 40), (56, ">I", 0),
              (56, ">I", 0xffffffff), (60, ">I", 0xffffffff), (96, ">I", 200), (100, ">I", 4),
              (100, ">I", 0xfffffff8), (72, ">Q", 1 << 5), (72, ">Q", 1 << 63), (4, ">I", 4),
              (32, ">I", 1)]
    for offset, form, value in broken:
        qcow2()
        patch(offset, struct.pack(form, value))
        result = convert()
        assert not result.ok and result.seconds < 4, (offset, value, result.error())
        assert result.error()[0] == "ImageInvalid", (offset, value, result.error())
    # The first-level table points at itself, at the header, and past the end.
    for target in (3 << 16, 0, 1 << 50):
        qcow2()
        patch(3 << 16, struct.pack(">Q", target | 1 << 63))
        assert convert().seconds < 4


@case
def d08_truncated():
    qcow2()
    for length in (0, 3, 4, 71, 72, 103, 104, 512, 65536):
        with open(INPUT, "rb") as file:
            head = file.read(length)
        put(head)
        refused(convert())
        qcow2()


@case
def d_encrypted():
    if os.path.exists(INPUT):
        os.unlink(INPUT)
    qemu_img("create", "-q", "-f", "qcow2", "--object", "secret,id=s,data=x", "-o",
             "encrypt.format=aes,encrypt.key-secret=s", INPUT, "16M")
    assert "encrypted" in refused(convert())


@case
def d_larger_than_allowed():
    qcow2("-o", "preallocation=full", size="64M")
    result = convert(f"max-bytes={MIB}")
    # Zeros are not written, so make it data.
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 5 0 32M", INPUT], check=True,
                   capture_output=True)
    result = convert(f"max-bytes={MIB}")
    refused(result, "NoSpace")


if __name__ == "__main__":
    sys.exit(main())
