#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 300
"""Images go from the store to a folder, by a web server with TLS to another store, and to LXD."""

import json
import os
import shutil
import subprocess
import tempfile

import lxdbox
import tinyimage
from hostlib import (CONFLICT, DIR, FAILED, NOT_FOUND, SOURCE, TESTBED, USAGE, Failure, Skip,
                     contains, equal, lodge, lodge_fails, main, wait_for)

ALIAS = "c-serve/1"
REMOTE = "c-serve"
SIGNED = "c-serve-signed"
NAME = "c-serve-one"
WORK = tempfile.mkdtemp(prefix="lodge-serve-", dir="/var/tmp")
os.chmod(WORK, 0o711)
TREE = os.path.join(WORK, "www")
LIST = os.path.join(TREE, "streams/v1/images.json")
CHILDREN = []


def fingerprints():
    with open(LIST, encoding="utf-8") as stream:
        products = json.load(stream)["products"]
    found = {}
    for name, product in products.items():
        for version in product["versions"].values():
            found[name.split(":")[-1]] = version["items"]["lxd.tar.xz"]["combined_sha256"]
    return found


def folders():
    return sorted(os.listdir(os.path.join(TREE, "images")))


def serve_tree(*words, **keywords):
    return lodge("image", "serve-tree", TREE, "--compression=gzip", *words, **keywords)


def url():
    with open(os.path.join(WORK, "port"), encoding="ascii") as stream:
        return "https://localhost:" + stream.read()


def test_images_of_both_kinds_make_a_tree():
    tinyimage.rootfs(os.path.join(WORK, "root.tar"), b"")
    lodge("image", "import", os.path.join(WORK, "root.tar"), ALIAS)
    disk = os.path.join(WORK, "disk.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "64M"], check=True)
    lodge("image", "import", disk, ALIAS, seconds=120)
    rows = json.loads(serve_tree(ALIAS, "-f", "json").stdout)
    equal({row["kind"]: row["fingerprint"] for row in rows}, fingerprints())
    equal(sorted(fingerprints()), ["container", "vm"])


def test_the_same_images_make_the_same_tree():
    def state():
        return {path: (os.stat(path).st_mtime_ns, os.stat(path).st_ino)
                for folder, _, files in os.walk(TREE) for path in
                (os.path.join(folder, name) for name in files)}
    before = state()
    serve_tree(ALIAS)
    equal(state(), before)
    # From nothing it has other dates and the same images.
    was = fingerprints()
    shutil.rmtree(TREE)
    serve_tree(ALIAS)
    equal(fingerprints(), was)


def test_what_is_damaged_is_written_anew():
    path = os.path.join(TREE, "images", folders()[0], "meta.tar.gz")
    os.truncate(path, 10)
    serve_tree(ALIAS)
    if os.path.getsize(path) == 10:
        raise Failure("the file stays short")


def test_trees_of_others_are_left_alone():
    other = os.path.join(WORK, "other/streams/v1")
    os.makedirs(other)
    with open(other + "/images.json", "w", encoding="ascii") as stream:
        stream.write('{"products": {}}')
    lodge_fails(CONFLICT, "image", "serve-tree", WORK + "/other", ALIAS, says="another directory")
    equal(os.listdir(WORK + "/other"), ["streams"])
    lodge_fails(NOT_FOUND, "image", "serve-tree", TREE, "c-serve/nothing", says="image list")


def test_only_one_writes():
    with subprocess.Popen(["flock", TREE, "sh", "-c", "echo; read x"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        lodge_fails(CONFLICT, "image", "serve-tree", TREE, ALIAS, says="Another")
        holder.communicate(b"\n")


def test_what_has_left_goes_with_the_next_run():
    serve_tree(ALIAS, "--kind=container")
    equal(sorted(fingerprints()), ["container"])
    # Somebody may have read the list that named both.
    equal(len(folders()), 2)
    serve_tree(ALIAS, "--kind=container")
    equal(len(folders()), 1)
    serve_tree(ALIAS)
    equal(len(folders()), 2)


def test_a_failure_changes_nothing():
    before = fingerprints()
    full = os.path.join(WORK, "full")
    os.makedirs(full)
    # A folder cannot be made where a file is.
    blocked = os.path.join(full, "images")
    with open(blocked, "w", encoding="ascii"):
        pass
    lodge_fails(FAILED, "image", "serve-tree", full, ALIAS)
    equal(sorted(os.listdir(full)), ["images"])
    equal(fingerprints(), before)


def test_lodge_launches_from_it():
    CHILDREN.append(subprocess.Popen([TESTBED, "exec", DIR, "/usr/bin/python3",
                                      SOURCE + "/tests/lib/webserver.py", WORK],
                                     stdin=subprocess.DEVNULL))
    wait_for(lambda: os.path.exists(WORK + "/port"), 10, "the web server does not start")
    lodge("remote", "add", REMOTE, url(), "--private", "--ca=" + WORK + "/ca.pem")
    listed = lodge("image", "list", REMOTE + ":", "-f", "json").stdout
    equal(sorted(row["kind"] for row in json.loads(listed)), ["container", "vm"])
    lodge("image", "delete", "--kind=container", ALIAS)
    lodge("launch", "%s:%s" % (REMOTE, ALIAS), NAME)
    equal(lodge("exec", NAME, "--", "cat", "/etc/os-release").stdout.split("\n")[0], "ID=testix")
    rows = json.loads(lodge("image", "list", ALIAS, "--kind=container", "-f", "json").stdout)
    equal([row["fingerprint"] for row in rows], [fingerprints()["container"]])
    lodge("delete", "--force", NAME)


def test_what_came_from_a_tree_makes_a_tree():
    # The remote's name is not a part of the alias by which the next one is to know the image.
    serve_tree("%s:%s" % (REMOTE, ALIAS), ALIAS)
    with open(LIST, encoding="utf-8") as stream:
        names = {p["aliases"] for p in json.load(stream)["products"].values()}
    contains(str(names), ALIAS)
    if REMOTE + ":" in str(names):
        raise Failure("the remote is in %s" % names)
    equal(sorted(fingerprints()), ["container", "vm"])


def test_a_signed_tree_is_for_those_who_have_the_key():
    os.environ["GNUPGHOME"] = home = os.path.join(WORK, "gnupg")
    os.mkdir(home, 0o700)
    try:
        gpg = ["gpg", "--batch", "--quiet", "--passphrase", ""]
        subprocess.run([*gpg, "--quick-generate-key", "serve", "ed25519", "sign", "never"],
                       check=True, capture_output=True)
        with open(os.path.join(WORK, "keyring"), "wb") as ring:
            subprocess.run([*gpg, "--export", "serve"], check=True, stdout=ring)
        serve_tree(ALIAS, "%s:%s" % (REMOTE, ALIAS), "--sign=serve")
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], check=False)
        del os.environ["GNUPGHOME"]
    lodge("remote", "add", SIGNED, url(), "--private", "--ca=" + WORK + "/ca.pem",
          "--keyring=" + WORK + "/keyring")
    contains(lodge("image", "list", SIGNED + ":").stdout, ALIAS)
    with open(LIST.replace(".json", ".sjson"), "r+b") as stream:
        text = stream.read().replace(b"testix", b"hostix")
        stream.seek(0)
        stream.write(text)
    lodge_fails(FAILED, "remote", "refresh", SIGNED, says="signed")
    # Who has a key would be left with the old list.
    lodge_fails(USAGE, "image", "serve-tree", TREE, ALIAS, says="--sign")
    for name in ("index", "images"):
        os.unlink("%s/streams/v1/%s.sjson" % (TREE, name))


def test_lxd_launches_from_it():
    reason = lxdbox.why_not()
    if reason:
        raise Skip(reason)
    with lxdbox.Lxd(WORK + "/lxd", WORK + "/ca.pem") as lxd:
        lxd.run("remote", "add", "lodge", url(), "--protocol=simplestreams")
        rows = json.loads(lxd.run("image", "list", "lodge:", "-f", "json").stdout)
        equal({{"virtual-machine": "vm"}.get(row["type"], row["type"]): row["fingerprint"]
               for row in rows}, fingerprints())
        launch_in_lxd(lxd, "lodge:" + ALIAS, "served")
        lxd.run("image", "copy", "lodge:" + ALIAS, "local:", "--vm", "--alias=vm")
        import_into_lxd(lxd)


def launch_in_lxd(lxd, image, name):
    done = lxd.run("launch", image, name, "--storage=pool", check=False)
    if done.returncode != 0:
        raise Failure(done.stderr + lxd.run("info", "--show-log", name, check=False).stdout)
    found = lxd.run("exec", name, "--", "/bin/cat", "/etc/os-release").stdout
    equal(found.split("\n")[0], "ID=testix")
    lxd.run("delete", "--force", name)


def import_into_lxd(lxd):
    """The formats of `image export`; the fingerprint is that of the files."""
    refs = {"container": "%s:%s" % (REMOTE, ALIAS), "vm": ALIAS}
    for compression in ("gzip", "xz", "zstd"):
        path = os.path.join(WORK, "unified." + compression)
        lodge("image", "export", refs["container"], path, "--compression=" + compression)
        lxd.run("image", "import", path, "--alias=unified-" + compression)
        wanted = subprocess.run(["sha256sum", path], check=True, capture_output=True, text=True)
        contains(lxd.run("image", "info", "unified-" + compression).stdout, wanted.stdout[:64])
    launch_in_lxd(lxd, "unified-xz", "unified")
    for kind, ref in refs.items():
        path = os.path.join(WORK, "split-" + kind)
        lodge("image", "export", ref, path, "--format=split", "--kind=" + kind)
        lxd.run("image", "import", path, path + ".root", "--alias=split-" + kind)
        contains(lxd.run("image", "info", "split-" + kind).stdout,
                 {"vm": "virtual-machine"}.get(kind, kind))
    launch_in_lxd(lxd, "split-container", "split")


def clean():
    for child in CHILDREN:
        child.terminate()
        child.wait()
    for name in (REMOTE, SIGNED):
        lodge("remote", "remove", name, check=False)
    for alias in (ALIAS, ALIAS, "%s:%s" % (REMOTE, ALIAS), "%s:%s" % (REMOTE, ALIAS)):
        lodge("image", "delete", alias, check=False)
    shutil.rmtree(WORK, ignore_errors=True)


if __name__ == "__main__":
    main("c-serve", clean)
