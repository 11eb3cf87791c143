#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command line in another language: LANGUAGE decides, in any locale but C, so that no locale
has to be installed for this.  Programs read the same in all of them."""

import os
import shutil
import subprocess
import unicodedata

import clilib

GERMAN = {"LC_ALL": "C.UTF-8", "LANGUAGE": "de"}
# What the translation is read from when none is installed.
PO = os.environ.get("LODGE_PO", "")


def installed(world):
    """lodge with its translations beside it, as `make install` below any directory has them."""
    folder = os.path.join(world.folder, "tree")
    catalogue = os.path.join(folder, "share/locale/de/LC_MESSAGES")
    os.makedirs(catalogue)
    os.makedirs(folder + "/bin")
    shutil.copy(os.path.join(PO, "de/LC_MESSAGES/lodge.mo"), catalogue)
    world.program = shutil.copy(world.program, folder + "/bin/lodge")
    return world


def width(text):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def equal(got, wanted):
    if got != wanted:
        raise AssertionError("%r instead of %r" % (got, wanted))


def messages():
    """errors, hints and help are German"""
    with clilib.World() as world:
        installed(world)
        done = world.run("lst", env=GERMAN)
        equal((done.returncode, done.stderr),
              (2, "Fehler: Den Befehl „lst“ gibt es nicht.\nTipp: ist „list“ gemeint?\n"))
        assert "Systemcontainer und virtuelle Maschinen" in world.run("help", env=GERMAN).stdout
        assert "ZUSTAND" in world.run("list", env=GERMAN).stdout.split("\n")[0]


def columns():
    """columns stay under their titles"""
    with clilib.World() as world:
        installed(world)
        for words in (("list",), ("image", "list")):
            lines = world.run(*words, env=GERMAN).stdout.rstrip("\n").split("\n")
            assert len(lines) > 1, lines
            for title in lines[0].split("  ")[1:]:
                if title.strip():
                    at = lines[0].index(title.strip())
                    for line in lines[1:]:
                        equal(line[at - 1:at], " " if len(line) >= at else "")


def every_help():
    """the help of every command comes in lines of a terminal's width"""
    with clilib.World() as world:
        installed(world)
        names = [line[2:21].strip() for line in world.run("help").stdout.split("\n")
                 if line.startswith("  ")]
        assert len(names) > 30, names
        for name in names:
            done = world.run("help", *name.split(), env=GERMAN)
            equal(done.returncode, 0)
            assert "Optionen" in done.stdout or name == "help", done.stdout
            long = [line for line in done.stdout.split("\n") if width(line) > 100]
            equal(long, [])


def programs():
    """what programs read is the same in each language"""
    with clilib.World() as world:
        installed(world)
        for form in ("json", "yaml", "csv", "name"):
            for words in (("list",), ("image", "list"), ("job", "list", "--all")):
                equal(world.run(*words, "-f", form, env=GERMAN).stdout,
                      world.run(*words, "-f", form).stdout)
        equal(world.run("list", "-c", "name,state", "-f", "csv", env=GERMAN).returncode, 0)


def locales():
    """C stays English, and so does a language without translation"""
    with clilib.World() as world:
        installed(world)
        english = world.run("help").stdout
        for language in ({"LC_ALL": "C", "LANGUAGE": "de"}, {"LC_ALL": "", "LANGUAGE": "de"},
                         {"LC_ALL": "C.UTF-8", "LANGUAGE": "xx"},
                         {"LC_ALL": "no_such.UTF-8", "LANGUAGE": ""},
                         {"LC_ALL": "C.UTF-8", "LANGUAGE": "en:de"}):
            equal(world.run("help", env=language).stdout, english)


def catalogue():
    """what is translated fits its text, with all its formats"""
    if shutil.which("msgfmt") is None:
        return "msgfmt is not installed"
    done = subprocess.run(["msgfmt", "-c", "--statistics", "-o", "/dev/null",
                           os.path.join(clilib.ROOT, "po/de.po")], capture_output=True, text=True,
                          check=False, env={**os.environ, "LC_ALL": "C"})
    equal(done.returncode, 0)
    assert "fuzzy" not in done.stderr, done.stderr
    return None


if __name__ == "__main__":
    if not os.path.exists(os.path.join(PO, "de/LC_MESSAGES/lodge.mo")):
        print("1..0 # SKIP this build has no translations")
    else:
        clilib.main([messages, columns, every_help, programs, locales, catalogue])
