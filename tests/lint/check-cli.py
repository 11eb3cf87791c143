#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""check-cli.py LODGE MANPAGE: every verb of the command table is in the completion, has a help of
its own, and is in the manual page (in reST, as it is generated)."""

import os
import re
import subprocess
import sys

import sources


def lodge(*words):
    return subprocess.run([sys.argv[1], *words], text=True, capture_output=True, check=False,
                          stdin=subprocess.DEVNULL)


def candidates(*words):
    lines = lodge("complete", "--", *words, "").stdout.split("\n")
    return [line.split("\t")[0] for line in lines if line and not line.startswith((":", "-"))]


def table():
    """The names in the table: {"launch", "image list", ...}, without the hidden ones."""
    text = sources.read("src/cli/lodge-cmd-table.c")
    rows = re.split(r"\.name = ", text)[1:]
    return {re.match(r'"([a-z-]+)"', row).group(1).replace("-", " ", 1) for row in rows
            if re.match(r'"[a-z-]+"', row) and "LODGE_CMD_HIDDEN" not in row}


def completed():
    found = set()
    for word in candidates():
        found.add(word)
    for family in ("file", "image", "job", "remote"):
        if family in found:
            found.discard(family)
            found.update(family + " " + word for word in candidates(family))
    return found


def main():
    if not all(os.path.exists(path) for path in sys.argv[1:3]):
        print("1..0 # SKIP Lodge is not built")
        return
    report = sources.Report()
    verbs = table()
    with open(sys.argv[2], encoding="utf-8") as stream:
        page = stream.read().replace("\\", "")
    report.rule("the table has verbs", [] if len(verbs) > 10 else ["only %s" % verbs])
    report.rule("every verb is completed", ("%s is not" % v for v in sorted(verbs - completed())))
    report.rule("nothing else is completed", ("%s is no verb" % v
                                              for v in sorted(completed() - verbs)))
    report.rule("every verb has a help", ("%s has none" % v for v in sorted(verbs)
                                          if not lodge(*v.split(), "--help").stdout))
    report.rule("every verb is in the manual page", ("%s is not" % v for v in sorted(verbs)
                                                     if not re.search(r"^(lodge )?%s( |$)" % v, page, re.M)))
    report.finish()


if __name__ == "__main__":
    main()
