#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""po/POTFILES has exactly the files with texts for translators."""

import re

import sources

POTFILES = "po/POTFILES"


def listed():
    lines = sources.read(POTFILES).split("\n")
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def marked():
    return {p for p in sources.files(".c", ".h", under=("src", "include"))
            if re.search(r'(?<!\w)(?:N?_|C_|ngettext)\s*\(\s*"', sources.read(p))
            and "#define _(" not in sources.read(p)}


def main():
    report = sources.Report()
    have, want = listed(), marked()
    report.rule("every file with texts is listed", ("%s is not in %s" % (p, POTFILES)
                                                    for p in sorted(want - have)))
    report.rule("nothing else is listed", ("%s has no text" % p for p in sorted(have - want)))
    report.finish()


if __name__ == "__main__":
    main()
