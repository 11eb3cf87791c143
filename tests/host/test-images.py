#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 400
"""An instance becomes an image, and an image a file that makes the same image elsewhere."""

import os
import shutil
import subprocess
import tempfile

from hostlib import CONFLICT, IMAGE, Failure, contains, equal, lodge, lodge_fails, main, state

NAME = "c-images"
COPY = "c-images-copy"
WORK = tempfile.mkdtemp(prefix="lodge-images-", dir="/var/tmp")


def show(image):
    fields = (line.split(":", 1) for line in lodge("image", "show", image).stdout.splitlines())
    return {key: value.strip() for key, value in fields}


def test_a_running_instance_is_not_published():
    lodge("launch", IMAGE, NAME, seconds=400)
    lodge("exec", NAME, "--", "sh", "-c", "echo kept > /root/mark; rm -rf /usr/share/doc; "
          "mkdir /usr/share/doc; chown 1000:1000 /root/mark")
    lodge_fails(CONFLICT, "publish", NAME, says="--force")


def test_an_instance_becomes_an_image():
    lodge("stop", NAME)
    first = lodge("publish", NAME, "c-images/1", "--description=mine").stdout
    equal(state(NAME), "stopped")
    equal(lodge("publish", NAME, "--alias=c-images/2").stdout, first)
    found = show("c-images/1")
    equal((found["source"], found["description"]), ("instance:" + NAME, "mine"))
    contains(found["properties"], "init=systemd")


def test_force_stops_it_for_the_time():
    lodge("start", NAME)
    lodge("exec", NAME, "--", "rm", "/root/mark")
    lodge("publish", "--force", NAME, "c-images/3")
    equal(state(NAME), "running")


def test_what_was_changed_is_in_the_image():
    lodge("launch", "c-images/1", COPY)
    done = lodge("exec", COPY, "--", "sh", "-c", "cat /root/mark; stat -c %u /root/mark; "
                 "ls /usr/share/doc; hostname; ls -d /.oldroot 2>/dev/null")
    equal(done.stdout.replace("/.oldroot\n", ""), "kept\n1000\n%s\n" % COPY)
    lodge("delete", "--force", COPY)


def test_an_export_is_the_same_each_time_and_comes_back():
    files = [os.path.join(WORK, name) for name in ("one.tar.zst", "two.tar.zst")]
    for file in files:
        lodge("image", "export", "c-images/1", file)
    with open(files[0], "rb") as one, open(files[1], "rb") as two:
        if one.read() != two.read():
            raise Failure("two exports of one image differ")
    lodge_fails(CONFLICT, "image", "export", "c-images/1", files[0], says="--force")
    lodge("image", "import", files[0], "c-images/back")
    contains(show("c-images/back")["properties"], "init=systemd")
    split = os.path.join(WORK, "split")
    lodge("image", "export", "c-images/1", split, "--format=split")
    lodge("image", "import", split, split + ".root", "c-images/split")
    lodge("launch", "c-images/split", COPY)
    equal(lodge("exec", COPY, "--", "cat", "/root/mark").stdout, "kept\n")
    lodge("delete", "--force", COPY)


def test_directories_and_pipes_are_imported():
    tree = os.path.join(WORK, "tree")
    os.makedirs(tree)
    archive = lodge("image", "export", "c-images/1", "-", "--format=tar", "--compression=none",
                    binary=True).stdout
    subprocess.run(["tar", "-xp", "-C", tree], input=archive, check=True)
    lodge("image", "import", tree, "c-images/tree")
    lodge("image", "import", "-", "c-images/pipe", data=archive, binary=True)
    lodge("launch", "c-images/tree", COPY)
    equal(lodge("exec", COPY, "--", "cat", "/root/mark").stdout, "kept\n")


def test_images_are_deleted():
    lodge("delete", "--force", NAME, COPY)
    for alias in ("1", "3", "back", "split", "tree", "pipe"):
        # Two of them may be one image.
        lodge("image", "delete", "c-images/" + alias, check=False)
    if "c-images" in lodge("image", "list").stdout:
        raise Failure("there are images left")
    shutil.rmtree(WORK)


if __name__ == "__main__":
    main("c-images")
