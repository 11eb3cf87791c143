#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""shellcheck has nothing to say of our shell scripts."""

import shutil
import subprocess

import sources


def scripts():
    for path in sources.files():
        first = sources.read(path).split("\n", 1)[0]
        if first.startswith("#!") and first.rstrip().endswith(("sh", "bash")) \
                and not path.startswith("src/helper/image/rootfs/"):
            yield path


def complaints(path):
    done = subprocess.run(["shellcheck", "-x", "-f", "gcc", path], cwd=sources.ROOT, text=True,
                          capture_output=True, check=False)
    return done.stdout.strip().split("\n") if done.returncode else []


def main():
    if not shutil.which("shellcheck"):
        print("1..0 # SKIP shellcheck is not installed")
        return
    report = sources.Report()
    for path in scripts():
        report.rule(path, complaints(path))
    report.finish()


if __name__ == "__main__":
    main()
