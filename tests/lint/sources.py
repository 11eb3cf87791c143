# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the lint checks share: finding the project's files and reading C well enough."""

import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def files(*suffixes, under=()):
    """Paths, relative to ROOT, of the project's files: those that git tracks, or, in a tarball,
    all but what is hidden or built."""
    try:
        listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True,
                                check=True).stdout.decode().split("\0")
        found = [f for f in listed if f and os.path.isfile(os.path.join(ROOT, f))]
    except (OSError, subprocess.CalledProcessError):
        found = list(walk())
    return sorted(f for f in found
                  if (not suffixes or f.endswith(suffixes))
                  and (not under or f.startswith(tuple(u + "/" for u in under))))


def walk():
    for folder, names, leaves in os.walk(ROOT):
        names[:] = [n for n in names if not n.startswith((".", "build", "__pycache__"))]
        for leaf in leaves:
            yield os.path.relpath(os.path.join(folder, leaf), ROOT)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as stream:
        return stream.read()


TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)


def blank(match):
    text = match.group(0)
    keep = text[0] if text[0] in "\"'" else " "
    return keep + re.sub(r"[^\n]", " ", text[1:-1]) + keep


def code(path):
    """The text of a C file without comments and contents of strings; lines stay where they are."""
    return TOKEN.sub(blank, read(path))


def functions(text):
    """(name, first line, number of lines) of each function; GNU layout: braces in column 0."""
    lines = text.split("\n")
    start, name = None, ""
    for number, line in enumerate(lines, 1):
        if line == "{" and start is None:
            head = " ".join(lines[max(0, number - 12):number - 1]).rstrip()
            if head.endswith(")"):
                start, name = number, function_name(head)
        elif line.startswith("}") and start is not None:
            yield name, start, number - start + 1
            start = None


def function_name(head):
    """The identifier before the parameter list that ends `head`."""
    depth = 0
    for index in range(len(head) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(head[index], 0)
        if depth == 0:
            found = re.search(r"(\w+)\s*$", head[:index])
            return found.group(1) if found else "?"
    return "?"


class Report:
    """Collects complaints; each check prints one TAP point a rule."""

    def __init__(self):
        self.rules = []

    def rule(self, name, complaints):
        self.rules.append((name, list(complaints)))

    def finish(self):
        print("1..%d" % len(self.rules))
        for number, (name, complaints) in enumerate(self.rules, 1):
            for complaint in complaints:
                print("# " + complaint)
            print("%sok %d - %s" % ("not " if complaints else "", number, name))
        sys.exit(any(complaints for _, complaints in self.rules))
