# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files of the host that no image and no guest may change: what they are like, to be compared."""

import hashlib
import os
import stat

# What attackers are after, and the programs that are run on what they have made.
TARGETS = ("/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/sudoers",
           "/etc/crontab", "/etc/ld.so.preload", "/etc/hosts", "/etc/profile",
           "/root/.bashrc", "/root/.ssh/authorized_keys", "/usr/bin/env", "/usr/bin/tar",
           "/usr/bin/qemu-img", "/usr/bin/unsquashfs")
# What is in these stays as it is; that somebody else on this machine adds something is no harm.
FOLDERS = ("/", "/etc", "/etc/cron.d", "/etc/profile.d", "/etc/ssh", "/usr", "/usr/bin", "/usr/sbin")
HASHED_MAX = 1 << 20


def look(path):
    """-> all of one file that must stay, None: it is not there.  The time of the last change of the
    inode is part of it, which nobody can set back."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    facts = (found.st_ino, found.st_mode, found.st_uid, found.st_gid, found.st_ctime_ns)
    if stat.S_ISLNK(found.st_mode):
        return (*facts, os.readlink(path))
    if not stat.S_ISREG(found.st_mode):
        return facts[:-1]  # a folder on the way may get other files
    if found.st_size > HASHED_MAX:
        return (*facts, found.st_size)
    with open(path, "rb") as stream:
        return (*facts, hashlib.sha256(stream.read()).hexdigest())


def below(folder):
    yield folder
    for path, folders, files in os.walk(folder):
        yield from (os.path.join(path, name) for name in folders + files)


def entries(folder):
    """-> owner and mode of each entry"""
    try:
        with os.scandir(folder) as found:
            rows = [(entry.name, entry.stat(follow_symlinks=False)) for entry in found]
    except FileNotFoundError:
        return None
    return {name: (row.st_mode, row.st_uid, row.st_gid) for name, row in rows}


class Canary:
    """The host as it is now.  `trees`: also all that is in these."""

    def __init__(self, *trees, files=()):
        self.trees, self.files = trees, (*TARGETS, *files)
        self.before = self.now()

    def now(self):
        paths = [*self.files, *(path for tree in self.trees for path in below(tree))]
        return {path: look(path) for path in paths}, {path: entries(path) for path in FOLDERS}

    def changed(self):
        """-> the names of what is not as it was"""
        (files, folders), (files_now, folders_now) = self.before, self.now()
        names = {name for name in {**files, **files_now}
                 if files.get(name) != files_now.get(name) or (name in files) != (name in files_now)}
        names.update(os.path.join(folder, name) for folder, rows in folders.items()
                     for name, row in (rows or {}).items()
                     if (folders_now[folder] or {}).get(name) != row)
        return sorted(names)
