#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the commands of each *.golden file in a shell, with `lodge` and a fresh mock service, and
compares what they print.  After "$ command" come the lines of stdout, those of stderr behind "2> ",
and "? N" when the exit status is not 0.  LODGE_GOLDEN_UPDATE=1 writes the files anew."""

import difflib
import glob
import os
import subprocess

import clilib


def run_command(world, command):
    done = subprocess.run(["bash", "-c", command], env=world.environment, cwd=world.folder,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    lines = []
    for stream, mark in ((done.stdout, ""), (done.stderr, "2> ")):
        text = stream.decode("utf-8", "backslashreplace").replace("\r", "\\r")
        text = text.replace(world.folder, "@DIR@")
        lines += [mark + line for line in text.split("\n")[:-1]]
        if text and not text.endswith("\n"):
            lines.append(mark + text.split("\n")[-1] + "<no newline>")
    if done.returncode:
        lines.append("? %d" % done.returncode)
    return lines


def check(path):
    with open(path, encoding="utf-8") as stream:
        wanted = stream.read().split("\n")[:-1]
    got = []
    with clilib.World(service="without-service" not in path) as world:
        for line in wanted:
            if line.startswith("#"):
                got.append(line)
            elif line.startswith("$ "):
                got.append(line)
                got += run_command(world, line[2:])
    if got == wanted:
        return
    if os.environ.get("LODGE_GOLDEN_UPDATE"):
        with open(path, "w", encoding="utf-8") as stream:
            stream.write("\n".join(got) + "\n")
        return
    raise AssertionError("\n".join(difflib.unified_diff(wanted, got, "wanted", "got", lineterm="")))


def test_of(path):
    def test():
        check(path)
    test.__doc__ = os.path.basename(path)
    return test


if __name__ == "__main__":
    clilib.main([test_of(path)
                 for path in sorted(glob.glob(os.path.join(clilib.HERE, "*.golden")))])
