#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sizes, statics, goto, SPDX lines, words that have no place here, and the top-level layout."""

import os
import re

import sources

FILE_LINES = 800
HEADER_LINES = 250
FUNCTION_LINES = 100
LICENCE = "SPDX-License-Identifier: LGPL-2.1-or-later"

# Variables that change, where, and why that is right.  Everything else is passed as an argument.
MUTABLE = {
    ("", "signals"): "ids that GObject hands out when the class is made",
    ("", "properties"): "pspecs of a class, made once with it",
    ("src/base/lodge-error.c", "quark"): "the error domain, set once",
    ("src/base/lodge-executor.c", "current"): "a key; what it stands for is each thread's own",
    ("src/base/lodge-failpoint.c", "lock"): "only in test builds",
    ("src/base/lodge-failpoint.c", "counts"): "only in test builds",
    ("src/virt/lodge-virt-loop.c", "loop"): "libvirt has one event loop a process",
    ("src/virt/lodge-virt-loop.c", "once"): "the same",
}

# Programs of one thread and one task, whose large buffers are better off the stack.
SINGLE_TASK = ("src/helper/init/", "src/helper/mount/", "src/helper/enter/")

# What goes into guests as it is.
GUEST_FILES = "src/helper/image/rootfs/"

TOP_LEVEL = {
    ".ci", ".clang-format", ".editorconfig", ".gitignore", "LICENSE", "README.md", "data",
    "include", "meson.build", "meson_options.txt", "po", "schemas", "src", "tests",
}

# Hosts of package registries and paths of somebody's machine: a clone must work anywhere.
WORDS = [r"\bpypi\.", r"pythonhosted", r"crates\.io", r"npmjs", r"rubygems", r"docker\.io",
         r"proxy\.golang", r"ghcr\.io", r"artifact-?registry", r"(?<![\w/])/work/", r"/tmp/b-",
         r"\bTODO\b", r"\bFIXME\b", r"\bXXX\b(?!X)"]

# Every byte of these counts.
FUZZ_INPUT = re.compile(r"tests/fuzz/\w+/")

# Documents and data that have no place for a comment.
NO_LICENCE_LINE = ("LICENSE", "README.md", ".gitignore", ".clang-format", ".editorconfig", ".json",
                   ".golden", ".txt", ".po", ".pot", "LINGUAS", "POTFILES", ".out", ".xml.in",
                   ".key", ".csv")

THIS_FILE = "tests/lint/check-source.py"


def long_files():
    for path in sources.files(".c", ".h", ".py", under=("src", "include", "tests")):
        limit = HEADER_LINES if path.endswith(".h") and path.startswith("src/") else FILE_LINES
        lines = sources.read(path).count("\n")
        if lines > limit:
            yield "%s: %d lines, more than %d" % (path, lines, limit)


def long_functions():
    for path in sources.files(".c", under=("src", "tests")):
        for name, start, lines in sources.functions(sources.code(path)):
            if lines > FUNCTION_LINES:
                yield "%s:%d: %s() has %d lines, more than %d" % (path, start, name, lines,
                                                                  FUNCTION_LINES)


def gotos():
    for path in sources.files(".c", ".h", under=("src", "include", "tests")):
        for number, line in enumerate(sources.code(path).split("\n"), 1):
            if re.match(r"\s*goto\b", line):
                yield "%s:%d: goto" % (path, number)


STATIC = re.compile(r"^\s*static\s+(?!inline\b)(?:G_GNUC_UNUSED\s+)?([^()=;{]+?)(\[[^=;]*)?\s*(=|;)")


def is_constant(declaration):
    """`declaration`: all between `static` and the `=`, `[` or `;`, with the name at its end."""
    if "*" in declaration:
        return re.search(r"\*\s*(restrict\s+)?const\s+\w+$", declaration) is not None
    return re.search(r"\bconst\b", declaration) is not None


def mutable_statics():
    for path in sources.files(".c", ".h", under=("src", "include")):
        local = path.startswith(SINGLE_TASK)
        for number, line in enumerate(sources.code(path).split("\n"), 1):
            found = STATIC.match(line)
            if not found or is_constant(found.group(1).strip()):
                continue
            if local and line.startswith(" "):
                continue
            name = re.search(r"(\w+)$", found.group(1).strip())
            if name and not {("", name.group(1)), (path, name.group(1))} & set(MUTABLE):
                yield "%s:%d: %s can change: pass it, or make it const" % (path, number,
                                                                           name.group(1))


def licences():
    for path in sources.files():
        if path.endswith(NO_LICENCE_LINE) or "/data/" in path or FUZZ_INPUT.match(path) \
                or path.startswith(GUEST_FILES):
            continue
        if LICENCE not in "\n".join(sources.read(path).split("\n")[:6]):
            yield "%s: no SPDX line" % path


def words():
    for path in sources.files():
        if path == THIS_FILE or path == "LICENSE":
            continue
        for number, line in enumerate(sources.read(path).split("\n"), 1):
            for word in WORDS:
                found = re.search(word, line)
                if found:
                    yield "%s:%d: %r" % (path, number, found.group(0))


def layout():
    for name in sorted({path.split("/")[0] for path in sources.files()} - TOP_LEVEL):
        yield "%s: not in the agreed top level" % name


def programs():
    for path in sources.files(".py", ".sh", under=("tests/host", "tests/fault")):
        if os.path.basename(path).startswith("test-") and not os.access(
                os.path.join(sources.ROOT, path), os.X_OK):
            yield "%s: cannot be run (chmod +x)" % path


def main():
    report = sources.Report()
    report.rule("files are short", long_files())
    report.rule("functions are short", long_functions())
    report.rule("no goto", gotos())
    report.rule("no variables that live as long as the process", mutable_statics())
    report.rule("every file names its licence", licences())
    report.rule("no words that have no place here", words())
    report.rule("the top level is as agreed", layout())
    report.rule("host tests are programs", programs())
    report.finish()


if __name__ == "__main__":
    main()
