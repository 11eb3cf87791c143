# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's LXD inside the testbed, in mount and process namespaces of its own, to see whether it
takes what Lodge writes.  What it did is gone with it: its state is a folder of the test."""

import os
import shutil
import subprocess
import time

from hostlib import DIR, Skip, TESTBED, inside

# LXC looks for the control groups of process 1, which is outside of the testbed's; hence the
# namespace of processes.  Whom the ids belong to is LXD's to know, whatever the host has set up.
START = """
mount --make-rshared / && mkdir -p "$LXD_DIR/conf" && echo root:5000000:65536 >"$LXD_DIR/ids" &&
for file in /etc/subuid /etc/subgid; do
  [ ! -e $file ] || mount --bind "$LXD_DIR/ids" $file
done
exec lxd --logfile="$LXD_DIR/log"
"""


def why_not():
    """Why there is no LXD here, or None."""
    for program in ("lxd", "lxc"):
        if not shutil.which(program):
            return "%s is not installed (Debian's package lxd)" % program
    return None


class Lxd:
    """with Lxd(folder, authority) as lxd: lxd.run("list")"""

    def __init__(self, folder, authority):
        self.folder = folder
        # Whom the daemon and its client trust beside nobody.
        self.environment = ["LXD_DIR=" + folder, "LXD_CONF=" + folder + "/conf",
                            "SSL_CERT_FILE=" + authority]
        self.child = None

    def run(self, *words, check=True, seconds=60):
        return inside("env", *self.environment, "lxc", "--quiet", *words, check=check,
                      seconds=seconds)

    def __enter__(self):
        # Root of a container, who is nobody here, has to get through.
        os.makedirs(self.folder)
        os.chmod(self.folder, 0o711)
        with open(self.folder + ".out", "wb") as output:
            self.child = subprocess.Popen(
                [TESTBED, "exec", DIR, "env", *self.environment, "unshare", "--mount", "--pid",
                 "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
                 "bash", "-c", START],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        end = time.monotonic() + 60
        while self.run("storage", "list", check=False).returncode != 0:
            if self.child.poll() is not None or time.monotonic() > end:
                self.end()
                raise Skip("LXD does not start here: " + self.output()[-300:].replace("\n", " "))
            time.sleep(0.1)
        self.run("storage", "create", "pool", "dir")
        return self

    def output(self):
        with open(self.folder + ".out", encoding="utf-8", errors="replace") as stream:
            return stream.read()

    def end(self):
        # unshare(1) heeds nothing else; all that runs in its namespace ends with it.
        self.child.kill()
        self.child.wait()

    def __exit__(self, *_):
        for line in self.run("list", "-f", "csv", "-c", "n", check=False).stdout.split():
            self.run("delete", "--force", line, check=False)
        self.end()
        # What LXC keeps for its next container.
        inside("sh", "-c", "rmdir /sys/fs/cgroup/lxc.pivot /sys/fs/cgroup/*/lxc.pivot",
               check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.unlink(self.folder + ".out")
