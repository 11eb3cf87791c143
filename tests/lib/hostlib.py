# SPDX-License-Identifier: LGPL-2.1-or-later
"""What host tests share.  tests/run sets the environment: LODGE_TESTBED (the testbed's
directory), LODGE_SOURCE, PATH with the `lodge` under test first, and the address of its bus.

A test file calls main() at its end; every function test_*() in it is one TAP point, in the order
of the file.  Names of instances begin with a prefix of the file, and what is left of them is
deleted when the file is done, whatever happened."""

import inspect
import json
import os
import subprocess
import sys
import time
import traceback

DIR = os.environ.get("LODGE_TESTBED", "")
SOURCE = os.environ.get("LODGE_SOURCE", "")
TESTBED = os.path.join(SOURCE, "tests/lib/testbed")
LXC = "lxc:///system"
QEMU = "qemu:///system"
IMAGE = os.environ.get("LODGE_TEST_IMAGE", "debian/12")

# Exit codes of the command line.
OK, FAILED, USAGE, NOT_FOUND, NOT_AUTHORIZED, UNREACHABLE, CONFLICT, TIMED_OUT = range(8)
EXEC_FAILED = 125

# By how much everything may take longer than on an ordinary machine.
PATIENCE = float(os.environ.get("LODGE_TEST_PATIENCE", "1"))


class Skip(Exception):
    """Raised by a test that cannot run here; its text is the reason."""


class Failure(AssertionError):
    """What a test found wrong."""


def run(argv, check=True, data=None, seconds=60, binary=False):
    """Runs a program to its end with separate stdout and stderr."""
    if isinstance(data, str) and binary:
        data = data.encode()
    keywords = {"input": data} if data is not None else {"stdin": subprocess.DEVNULL}
    if not binary:
        keywords.update(text=True, errors="replace")
    done = subprocess.run(argv, capture_output=True, timeout=seconds * PATIENCE, check=False,
                          **keywords)
    if check and done.returncode != 0:
        raise Failure("%s: exit status %d\nstdout: %s\nstderr: %s"
                      % (" ".join(argv), done.returncode, done.stdout, done.stderr))
    return done


def lodge(*words, **keywords):
    return run(["lodge", *words], **keywords)


def lodge_fails(status, *words, says=None, **keywords):
    """Checks the exit status and that stderr is one sentence (and perhaps a hint) with `says`."""
    done = lodge(*words, check=False, **keywords)
    if done.returncode != status:
        raise Failure("lodge %s: exit status %d instead of %d\n%s%s"
                      % (" ".join(words), done.returncode, status, done.stdout, done.stderr))
    lines = done.stderr.strip().split("\n")
    if len(lines) > 3 or not lines[0]:
        raise Failure("not one sentence and a hint: %r" % done.stderr)
    for part in [says] if isinstance(says, str) else says or []:
        if part not in done.stderr:
            raise Failure("%r is not in %r" % (part, done.stderr))
    return done


def rows(*words):
    return json.loads(lodge("list", "-f", "json", *words).stdout)


def row(name):
    """The entry of `lodge list` for one instance, or None."""
    return next((entry for entry in rows() if entry["name"] == name), None)


def state(name):
    entry = row(name)
    return entry["state"] if entry else None


def inside(*argv, **keywords):
    """Runs a program in the testbed, beside libvirtd."""
    return run([TESTBED, "exec", DIR, *argv], **keywords)


def virsh(uri, *words, **keywords):
    return inside("virsh", "-q", "-c", uri, *words, **keywords)


def daemon(name, action):
    return run([TESTBED, "daemon", DIR, name, action]).stdout.strip()


def leftovers():
    return run([TESTBED, "leftovers", DIR], check=False).stdout


def wait_for(condition, seconds, what):
    """Polls until condition() is true; returns what it returned, and fails after `seconds`."""
    end = time.monotonic() + seconds * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure("after %g s: %s" % (seconds * PATIENCE, what))
        time.sleep(0.05)


def wait_state(name, wanted, seconds=5):
    wait_for(lambda: state(name) == wanted, seconds,
             "%s is %s, not %s" % (name, state(name), wanted))


def equal(actual, expected, what=""):
    if actual != expected:
        raise Failure("%s: %r, expected %r" % (what or "value", actual, expected))


def contains(text, part):
    if part not in text:
        raise Failure("%r is not in %r" % (part, text))


def delete_all(prefix):
    """Ends the instances of a test file, by way of Lodge."""
    for entry in rows():
        if entry["name"].startswith(prefix):
            done = lodge("delete", "--force", entry["name"], check=False)
            if done.returncode != 0:
                print("# " + done.stderr.strip().replace("\n", "\n# "), flush=True)


def report(number, name, function):
    try:
        function()
    except Skip as reason:
        print("ok %d - %s # SKIP %s" % (number, name, reason), flush=True)
        return True
    except Exception as error:  # pylint: disable=broad-except
        text = str(error) if isinstance(error, Failure) else traceback.format_exc()
        for line in text.split("\n"):
            print("# " + line)
        if isinstance(error, Failure):
            print("# at %s" % where(error))
        print("not ok %d - %s" % (number, name), flush=True)
        return False
    print("ok %d - %s" % (number, name), flush=True)
    return True


def where(error):
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "hostlib" not in f.filename]
    return "%s:%d" % (os.path.basename(frames[-1].filename), frames[-1].lineno) if frames else "?"


def main(prefix, cleanup=None):
    """Runs the test_*() functions of the caller's file; `prefix` begins its instances' names."""
    if not DIR:
        print("1..0 # SKIP run by: tests/run host")
        sys.exit(0)
    space = inspect.getmodule(inspect.stack()[1][0]).__dict__
    tests = [(n, f) for n, f in space.items() if n.startswith("test_") and callable(f)]
    print("1..%d" % len(tests), flush=True)
    good = True
    try:
        for number, (name, function) in enumerate(tests, 1):
            good &= report(number, name[5:].replace("_", " "), function)
    finally:
        if cleanup:
            cleanup()
        delete_all(prefix)
    sys.exit(0 if good else 1)
