#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""po/POTFILES has exactly the files with texts for translators, and po/lodge.pot these texts."""

import os
import re
import shutil
import subprocess

import sources

POTFILES = "po/POTFILES"
TEMPLATE = "po/lodge.pot"


def listed():
    lines = sources.read(POTFILES).split("\n")
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def marked():
    return {p for p in sources.files(".c", ".h", under=("src", "include"))
            if re.search(r'(?<!\w)(?:N?_|C_|ngettext)\s*\(\s*"', sources.read(p))
            and "#define _(" not in sources.read(p)}


def msgids(text):
    """All msgids of a catalogue, each with its plural."""
    text = "\n".join(line for line in text.split("\n") if not line.startswith("#"))
    return {"".join(re.findall(r'"(.*)"', block.split("msgstr")[0]))
            for block in text.split("\n\n")}


def extracted():
    """What `ninja lodge-pot` would write now; None without xgettext."""
    if shutil.which("xgettext") is None:
        return None
    keywords = ("_", "N_", "C_:1c,2", "NC_:1c,2", "C_ngettext:1,2")
    return subprocess.run(["xgettext", "--from-code=UTF-8", "--output=-",
                           *["--keyword=" + word for word in keywords], *sorted(listed())],
                          cwd=sources.ROOT, check=True, capture_output=True, text=True,
                          env={**os.environ, "LC_ALL": "C.UTF-8"}).stdout


def main():
    report = sources.Report()
    have, want = listed(), marked()
    report.rule("every file with texts is listed", ("%s is not in %s" % (p, POTFILES)
                                                    for p in sorted(want - have)))
    report.rule("nothing else is listed", ("%s has no text" % p for p in sorted(have - want)))
    now = extracted()
    if now is not None:
        different = sorted(msgids(sources.read(TEMPLATE)) ^ msgids(now))
        report.rule("the template has their texts", (
            "%s differs in “%s”: ninja -C build lodge-pot lodge-update-po" % (TEMPLATE, text)
            for text in different))
    report.finish()


if __name__ == "__main__":
    main()
