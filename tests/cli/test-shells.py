#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The completion files in the shells that they are for, where those are installed."""

import fcntl
import functools
import os
import pty
import re
import select
import shutil
import signal
import struct
import termios
import time

import clilib

FILES = os.path.join(clilib.ROOT, "data/completions")
PATIENCE = 60
# The words to start a shell without anybody's settings, and what is typed first.  The prompt is
# written in two parts, so that it is not found in the echo of what is typed.
SHELLS = {
    "zsh": (["zsh", "-f", "-i"],
            "fpath=(%s $fpath); autoload -Uz compinit; compinit -u -D; "
            "zstyle ':completion:*' insert-tab false; LISTMAX=0; PS1='rea''dy> '\n" % FILES),
    "fish": (["fish", "--no-config", "--private", "-i"],
             "set -g fish_autosuggestion_enabled 0; source %s/lodge.fish; "
             "function fish_prompt; printf 'rea''dy> '; end\n" % FILES),
}
# What is typed before TAB, and the words that the line has afterwards.
COMPLETED = (
    ("lodge sta", ["lodge", "start"]),
    ("lodge image imp", ["lodge", "image", "import"]),
    ("lodge info w", ["lodge", "info", "web"]),
    ("lodge list --for", ["lodge", "list", "--format"]),
    ("lodge list --format=js", ["lodge", "list", "--format=json"]),
    ("lodge list -f js", ["lodge", "list", "-f", "json"]),
    # Goes on at once: no space, and nothing else either.
    ("lodge launch x y -c limits.cp", ["lodge", "launch", "x", "y", "-c", "limits.cpu="]),
    # A file of one's own, with what the shell must quote in its name.
    ("lodge image import sub", ["lodge", "image", "import", "sub dir.tar"]),
)
# What is typed before TAB, and what is then told, in any order.
LISTED = (
    ("lodge start ", ["broken", "db", "slow", "stopped"]),
    ("lodge image ", ["import", "Add a root file system", "serve-tree"]),
)


class Shell:
    """An interactive shell on a terminal of its own."""

    def __init__(self, world, name):
        words, setup = SHELLS[name]
        self.seen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(world.folder)
            os.execvpe(words[0], words, {**world.environment, "XDG_CONFIG_HOME": world.folder,
                                         "XDG_DATA_HOME": world.folder})
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self.type(setup)
        self.expect("ready> ")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)

    def type(self, text):
        os.write(self.fd, text.encode())

    def plain(self):
        """-> what was said, without colours and movements"""
        return re.sub("\x1b\\[[0-9;?>=]*[a-zA-Z]|\x1b[()].|\x1b[=>]|[\r\x08]", "", self.seen)

    def expect(self, *patterns):
        """Waits until all of `patterns` were said, and forgets what came."""
        end = time.monotonic() + PATIENCE
        while not all(re.search(pattern, self.plain(), re.DOTALL) for pattern in patterns):
            if time.monotonic() > end:
                raise AssertionError("the shell does not say %r: %r" % (patterns, self.plain()))
            if select.select([self.fd], [], [], 0.2)[0]:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")
        self.seen = ""

    def complete(self, line, wanted):
        """The shell takes one key after the other: the rest when it is done with TAB."""
        self.type(line + "\t\x01printf '<%s>' \x05; echo .\n")
        self.expect("".join("<%s>" % word for word in wanted) + "[.].*ready> ")

    def list(self, line, wanted):
        self.type(line + "\t")
        self.expect(*wanted)
        self.type("\x15\n")
        self.expect("ready> ")


def completes(name):
    if not shutil.which(name):
        return name + " is not installed"
    with clilib.World() as world:
        with open(os.path.join(world.folder, "sub dir.tar"), "wb"):
            pass
        with Shell(world, name) as shell:
            for line, wanted in COMPLETED:
                shell.complete(line, wanted)
            for line, wanted in LISTED:
                shell.list(line, wanted)
    return None


def test_of(name):
    test = functools.partial(completes, name)
    test.__doc__ = "%s completes what lodge knows, and names of files" % name
    return test


if __name__ == "__main__":
    clilib.main([test_of(name) for name in SHELLS])
