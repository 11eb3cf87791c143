#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs Lodge's tests and counts them; called by tests/run, which has the usage.

Meson runs what needs no root (suites unit, dbus, cli and lint); its log tells the results.
Host tests are programs in tests/host and tests/fault that print TAP, or just exit with
0 (passed), 77 (skipped) or anything else (failed); the last line of a skipped one is the reason.
LODGE_TEST_BUILD=DIRECTORY takes what is built there as it is (but for fuzzers, which clang builds),
LODGE_TEST_DIR=DIRECTORY is where testbeds are (/var/tmp/lodge-tests).
All of them share one testbed, and each has to leave it as it found it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import fuzzers

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TESTBED = os.path.join(ROOT, "tests/lib/testbed")
WORK = os.environ.get("LODGE_TEST_DIR", "/var/tmp/lodge-tests")
HOST_TEST_SECONDS = 300

# Build directories, in the source tree where git ignores them, and what is special in each.
BUILD_ROOT = os.environ.get("LODGE_TEST_BUILDS", ROOT)
BUILDS = {
    "build-test": ["-Dwerror=true"],
    # No -Werror: with sanitizers the compiler warns of what it no longer understands.
    "build-sanitize": ["-Db_sanitize=address,undefined", "-Db_lundef=false"],
    "build-failpoints": ["-Dfailpoints=true"],
}

SANITIZE_ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:"
                    "allocator_may_return_null=1",
    "LSAN_OPTIONS": "suppressions=%s/tests/lib/leaks.supp:print_suppressions=0" % ROOT,
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "G_DEBUG": "gc-friendly",
}


class Count:
    """The three numbers of the closing line, and what is worth repeating at the end."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []
        self.second_tries = []
        self.skips = {}

    def add(self, points, name):
        """points: (result, description, reason) of each test of the program `name`."""
        for result, description, reason in points:
            label = "%s: %s" % (name, description) if description else name
            if result == "passed":
                self.passed += 1
            elif result == "skipped":
                self.skipped += 1
                self.skips.setdefault((name, reason or "no reason given"), []).append(description)
            else:
                self.failed += 1
                self.failures.append("%s%s" % (label, " (%s)" % reason if reason else ""))

    def try_again(self, name, output):
        """A loaded machine is no excuse for a bug, nor a reason to lose a run: what fails is shown,
        tried once more, and listed at the end."""
        self.second_tries.append(name)
        print("again %s failed; once more" % name)
        for line in output.strip().split("\n")[-60:]:
            print("     | " + line)
        sys.stdout.flush()

    def close(self):
        for name in self.second_tries:
            print("second try: %s failed at first: look at it above" % name)
        for (name, reason), which in self.skips.items():
            print("skipped: %s: %s%s" % (name, reason, " (%d tests)" % len(which)
                                         if len(which) > 1 else ""))
        for failure in self.failures:
            print("FAILED: " + failure)
        print("%d passed, %d failed, %d skipped" % (self.passed, self.failed, self.skipped),
              flush=True)
        return 1 if self.failed or not self.passed else 0


POINT = re.compile(r"^\s*(not )?ok\b\s*(\d+)?\s*-?\s*([^#]*?)\s*(?:#\s*(\w+)\s*(.*))?$")
PLAN = re.compile(r"^\s*1\.\.(\d+)\s*(?:#\s*skip\w*\s*(.*))?$", re.I)


def parse_tap(output):
    """-> ([(result, description, reason)], problem or None); (None, None) when it is no TAP."""
    points, planned, problem = [], None, None
    for line in output.split("\n"):
        plan, point = PLAN.match(line), POINT.match(line)
        if line.startswith("Bail out!"):
            problem = line
        elif plan and planned is None:
            planned = int(plan.group(1))
            if planned == 0:
                points.append(("skipped", "", plan.group(2) or ""))
                planned = 1
        elif point:
            negative, _, description, directive, reason = point.groups()
            directive = (directive or "").upper()
            result = "failed" if negative else "passed"
            if directive.startswith("SKIP"):
                result = "skipped"
            points.append((result, description, reason or ""))
    if not points and planned is None:
        return None, problem
    if planned is not None and planned != len(points) and problem is None:
        problem = "%d tests were planned, %d ran" % (planned, len(points))
    return points, problem


def points_of(output, status, problem=None):
    """What a test program's output and exit status come to."""
    points, tap_problem = parse_tap(output)
    lines = [line for line in output.strip().split("\n") if line]
    if points is None:
        if status == 77:
            return [("skipped", "", lines[-1].lstrip("# ") if lines else "")]
        points = [] if status or problem else [("passed", "", "")]
    problem = problem or tap_problem
    if status not in (0, 77) and not any(p[0] == "failed" for p in points) and not problem:
        problem = "ended by signal %d" % -status if status < 0 else "exit status %d" % status
    if problem:
        points = points + [("failed", "", problem)]
    return points


def show(name, points, seconds, output):
    numbers = {r: sum(p[0] == r for p in points) for r in ("passed", "failed", "skipped")}
    word = "FAIL" if numbers["failed"] else "ok  " if numbers["passed"] else "skip"
    tail = ", ".join("%d %s" % (n, r) for r, n in numbers.items() if n)
    print("%s %-44s %6.1f s  %s" % (word, name, seconds, tail), flush=True)
    if numbers["failed"]:
        for line in output.strip().split("\n")[-60:]:
            print("     | " + line)
        sys.stdout.flush()


def run_quietly(argv, what, count, **keywords):
    """For builds: the output only when it fails, which then counts as one failed test."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
                          **keywords)
    if done.returncode == 0:
        return True
    lines = [line for line in done.stdout.strip().split("\n") if not re.match(r"\[\d+/\d+\]", line)]
    print("FAIL %s\n%s" % (what, "\n".join(lines[-60:])), flush=True)
    count.add([("failed", "", "exit status %d" % done.returncode)], what)
    return False


class Builder:
    """Builds each directory once a run."""

    def __init__(self, count):
        self.count = count
        self.done = {}
        self.fuzzers = None

    def build(self, name):
        given = os.environ.get("LODGE_TEST_BUILD")
        if given:
            return os.path.abspath(given)
        if name not in self.done:
            began = time.monotonic()
            self.done[name] = self.compile(name)
            print("%s %-44s %6.1f s" % ("ok  " if self.done[name] else "FAIL", "build " + name,
                                        time.monotonic() - began), flush=True)
        return os.path.join(BUILD_ROOT, name) if self.done[name] else None

    def compile(self, name):
        path = self.configure(name)
        return path is not None and run_quietly(["ninja", "-C", path], "build " + name, self.count)

    def configure(self, name):
        path = os.path.join(BUILD_ROOT, name)
        options = ["--prefix=/usr", *BUILDS[name]]
        if os.path.exists(os.path.join(path, "build.ninja")):
            again = run_quietly(["ninja", "-C", path, "build.ninja"], "setup " + name, self.count)
            return path if again else None
        shutil.rmtree(path, ignore_errors=True)
        done = run_quietly(["meson", "setup", path, ROOT, *options], "setup " + name, self.count)
        return path if done else None


def run_suite(count, build, suite, wanted, label, environment=None, multiplier=1):
    """Runs one of meson's suites and takes the results from its log."""
    log = os.path.join(build, "meson-logs/testlog.json")
    if os.path.exists(log):
        os.unlink(log)
    names = matching_tests(build, suite, wanted)
    if not names:
        print("skip %s: no test%s" % (label, " with '%s' in its name" % wanted if wanted else ""))
        return

    def run_tests(selected):
        subprocess.run(["meson", "test", "-C", build, "--no-rebuild", "--quiet", "--suite", suite,
                        "--timeout-multiplier", str(multiplier), *selected],
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, env={**os.environ, **(environment or {})},
                       check=False)
        if not os.path.exists(log):
            return []
        with open(log, encoding="utf-8", errors="replace") as stream:
            return [json.loads(line) for line in stream if line.strip()]

    results = run_tests(names if wanted else [])
    for result in sorted(results, key=lambda r: r["name"]):
        if has_failed(meson_points(result)):
            count.try_again("%s/%s" % (label, bare_name(result)), meson_output(result))
            result = (run_tests([bare_name(result)]) or [result])[0]
        report_meson(count, label, result)
    missing = len(names) - len(results)
    if missing > 0:
        count.add([("failed", "", "%d of %d tests have no result" % (missing, len(names)))], label)


def matching_tests(build, suite, wanted):
    listed = subprocess.run(["meson", "introspect", "--tests", build], capture_output=True,
                            text=True, check=True).stdout
    return [t["name"] for t in json.loads(listed)
            if any(s.split(":")[-1] == suite for s in t["suite"]) and (wanted or "") in t["name"]]


def bare_name(result):
    return re.sub(r"^.* / ", "", result["name"])


def meson_output(result):
    return result.get("stdout", "") + result.get("stderr", "")


def has_failed(points):
    return any(result == "failed" for result, _, _ in points)


def meson_points(result):
    problem = {"TIMEOUT": "took too long", "INTERRUPT": "interrupted"}.get(result["result"])
    status = result.get("returncode", 0)
    if result["result"] == "SKIP" and status == 0:
        status = 77
    if result["result"] in ("FAIL", "ERROR") and status == 0:
        status = 1
    return points_of(result.get("stdout", ""), status, problem)


def report_meson(count, label, result):
    name, points = "%s/%s" % (label, bare_name(result)), meson_points(result)
    count.add(points, name)
    show(name, points, result.get("duration", 0), meson_output(result))


class Host:
    """The testbed that host tests run in."""

    def __init__(self, count, build, name):
        self.count = count
        self.build = build
        self.dir = os.path.join(WORK, name)

    def testbed(self, *arguments):
        verb, *rest = arguments
        return subprocess.run([TESTBED, verb, self.dir, *rest], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", check=False)

    def start(self):
        os.makedirs(self.dir, exist_ok=True)
        self.testbed("stop")
        for attempt in (1, 2):
            done = self.testbed("start", "--build", self.build)
            if done.returncode == 0:
                # What a test gets is not to depend on whether there is an internet.
                self.testbed("exec", "lodge", "remote", "set-default", "build")
                return True
            # State of an older version may be what it does not start with.
            if attempt == 1:
                self.testbed("purge")
        print(done.stdout)
        self.count.add([("failed", "", "the testbed does not start")], "host")
        return False

    def count_machines(self):
        """What vmlib has written down since the last time, as text."""
        path = os.path.join(self.dir, "booted-vm/count")
        if not os.path.exists(path):
            return ""
        with open(path, encoding="ascii") as stream:
            words = stream.read().split()
        os.unlink(path)
        return ", ".join("%d %s" % (words.count(w), w) for w in sorted(set(words)))

    def run(self, folder, path):
        name = "%s/%s" % (folder, os.path.basename(path))
        environment = {
            **os.environ,
            "LODGE_TESTBED": self.dir,
            "LODGE_SOURCE": ROOT,
            "LODGE_BUILD": self.build,
            "LODGE_BUS_ADDRESS": "unix:path=%s/bus" % self.dir,
            "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=%s/bus" % self.dir,
            "PATH": "%s/root/usr/bin:%s" % (self.dir, os.environ["PATH"]),
            "PYTHONPATH": "%s/tests/lib:%s/tests/host" % (ROOT, ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        began = time.monotonic()
        points, output = self.run_once(path, environment)
        if has_failed(points):
            self.count.try_again(name, output)
            self.clean()
            points, output = self.run_once(path, environment)
        self.count.add(points, name)
        show(name, points, time.monotonic() - began, output)
        if has_failed(points):
            self.clean()

    def run_once(self, path, environment):
        """-> (points, output)"""
        output, status, problem = run_limited(path, environment, time_limit(path))
        points = points_of(output, status, problem)
        left = self.testbed("leftovers")
        if left.returncode != 0:
            points.append(("failed", "leaves nothing behind", ""))
            output += "\nleft behind:\n" + left.stdout
        return points, output

    def clean(self):
        """After a test that left something: a fresh testbed, with the images of the old one."""
        self.testbed("stop")
        for folder in ("etc/libvirt/lxc", "etc/libvirt/qemu", "state/instances", "state/networks"):
            shutil.rmtree(os.path.join(self.dir, folder), ignore_errors=True)
        for entry in os.listdir(os.path.join(self.dir, "state")):
            if entry.startswith("lodge.db"):
                os.unlink(os.path.join(self.dir, "state", entry))
        self.start()


def time_limit(path):
    with open(path, encoding="utf-8", errors="replace") as stream:
        found = re.search(r"^# time limit: (\d+)", stream.read(4096), re.M)
    return int(found.group(1)) if found else HOST_TEST_SECONDS


def run_limited(path, environment, seconds):
    """-> (output, exit status, problem); a test that takes too long is ended with its children."""
    with subprocess.Popen([path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", env=environment,
                          start_new_session=True) as child:
        try:
            output, _ = child.communicate(timeout=seconds)
            return output, child.returncode, None
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            output, _ = child.communicate()
            return output, child.returncode, "took more than %d s" % seconds
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise


def run_host(count, builder, wanted, folder="host", build_name="build-test"):
    path = os.path.join(ROOT, "tests", folder)
    tests = sorted(os.path.join(path, f) for f in os.listdir(path)
                   if f.startswith("test-") and f.endswith((".py", ".sh")) and (wanted or "") in f)
    if not tests:
        print("skip %s: no test" % folder)
        return
    if os.geteuid() != 0:
        count.add([("skipped", "", "only root can run containers")] * len(tests), folder)
        return
    build = builder.build(build_name)
    if build is None:
        return
    host = Host(count, build, folder)
    if not host.start():
        return
    host.count_machines()
    try:
        for test in tests:
            host.run(folder, test)
    finally:
        host.testbed("stop")
        machines = host.count_machines()
        if machines:
            print("     virtual machines that tests were given: " + machines)


def run_meson(suite):
    def run(count, builder, wanted):
        build = builder.build("build-test")
        if build:
            run_suite(count, build, suite, wanted, suite)
    return run


def run_lint(count, builder, wanted):
    # Most checks read sources only, and are wanted most when the build is broken.
    build = builder.build("build-test") or builder.configure("build-test")
    if build:
        run_suite(count, build, "lint", wanted, "lint")


def run_sanitize(count, builder, wanted):
    build = builder.build("build-sanitize")
    for suite in ("unit", "dbus"):
        if build:
            run_suite(count, build, suite, wanted, "sanitize-" + suite, SANITIZE_ENVIRONMENT, 4)


def run_v2(count, builder, wanted):
    """Tests in a virtual machine that has booted Debian, with cgroup2 alone."""
    if os.geteuid() != 0:
        count.add([("skipped", "", "only root can make the machine's disk")], "v2")
        return
    build = builder.build("build-test")
    if build is None:
        return
    cache = os.environ.get("LODGE_V2_CACHE", os.path.join(WORK, "v2"))
    output = os.path.join(cache, "output")
    os.makedirs(cache, exist_ok=True)
    began = time.monotonic()
    done = subprocess.run([os.path.join(ROOT, "tests/v2/vm"), cache, build, output,
                           *([wanted] if wanted else [])], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False)
    names = []
    if done.returncode != 77 and os.path.exists(output):
        with open(output, encoding="utf-8", errors="replace") as stream:
            names = report_machine(count, stream.read())
    if done.returncode or not names:
        points = points_of(done.stdout, done.returncode or 1)
        count.add(points, "v2")
        show("v2", points, time.monotonic() - began, done.stdout)


def report_machine(count, text):
    """Takes what tests/v2/guest/run printed; -> the names of the tests that ended."""
    ended = re.findall(r"^=== begin (\S+)\n(.*?)^=== end \1 (\d+) (\d+)$",
                       text.replace("\r", ""), re.M | re.S)
    booted = re.search(r"^=== booted (\S+)", text, re.M)
    if booted:
        print("ok   %-44s %6.1f s" % ("boot v2", float(booted.group(1))), flush=True)
    for path, output, status, seconds in ended:
        points = points_of(output, int(status))
        name = "v2/" + os.path.basename(path)
        count.add(points, name)
        show(name, points, float(seconds), output)
    return [path for path, *_ in ended]


def run_sweep(count, builder, wanted):
    run_host(count, builder, wanted, "fault", "build-failpoints")


def make_fuzzers(wanted):
    """None, and said, where there is no clang."""
    if shutil.which(fuzzers.COMPILER) is None:
        return None
    return fuzzers.Fuzzers(ROOT, os.path.join(BUILD_ROOT, "build-fuzz"), os.path.join(WORK, "fuzz"),
                           wanted)


def run_fuzz(count, builder, wanted):
    """The whole run has started them long ago; alone they start here."""
    running = builder.fuzzers or make_fuzzers(wanted)
    if running is None:
        count.add([("skipped", "", "there is no %s" % fuzzers.COMPILER)], "fuzz")
        return
    if running is not builder.fuzzers:
        builder.fuzzers = running
        running.start()
    began = time.monotonic()
    for name, points, seconds, output in running.collect():
        label = name if name.startswith("build ") else "fuzz/" + name
        count.add(points, label)
        if points:
            show(label, points, seconds, output)
        else:
            print("ok   %-44s %6.1f s" % (label, seconds), flush=True)
    print("     waited %.1f s for fuzzers" % (time.monotonic() - began), flush=True)


PARTS = {
    "lint": (run_lint, "sources: layers, sizes, words"),
    "unit": (run_meson("unit"), "each module by itself"),
    "dbus": (run_meson("dbus"), "lodged with the fake driver on a private bus"),
    "cli": (run_meson("cli"), "the command line and its output"),
    "sanitize": (run_sanitize, "unit and dbus with ASan, LSan and UBSan"),
    "host": (run_host, "real containers and virtual machines (root)"),
    "v2": (run_v2, "Debian 12 in a virtual machine: systemd, machined, polkit, cgroup2 (root)"),
    "sweep": (run_sweep, "lodged killed at every step of its jobs (root)"),
    "fuzz": (run_fuzz, "parsers of foreign bytes, a minute each, beside the others (clang)"),
}

# Takes longer than all the others together: only when it is asked for.
ON_REQUEST = ("v2",)


def main():
    arguments = sys.argv[1:]
    if arguments == ["--list"]:
        for part, (_, text) in PARTS.items():
            print("%-9s %s%s" % (part, text, "; on request" if part in ON_REQUEST else ""))
        return 0
    if len(arguments) > 2 or (arguments and arguments[0] not in PARTS):
        print("usage: tests/run [%s [NAME]]" % "|".join(PARTS), file=sys.stderr)
        return 2
    # So that whoever ends us ends the tests as well, and the testbed is taken down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    count = Count()
    builder = Builder(count)
    wanted = arguments[1] if len(arguments) > 1 else None
    parts = arguments[:1] or [part for part in PARTS if part not in ON_REQUEST]
    try:
        for part in parts:
            # What comes before is short, and should not have to share the compiler's cache.
            if part == "dbus" and len(parts) > 1:
                builder.fuzzers = make_fuzzers(wanted)
                if builder.fuzzers:
                    builder.fuzzers.start()
            began = time.monotonic()
            PARTS[part][0](count, builder, wanted)
            print("     %s took %.1f s" % (part, time.monotonic() - began), flush=True)
    finally:
        if builder.fuzzers:
            builder.fuzzers.stop()
    return count.close()


if __name__ == "__main__":
    sys.exit(main())
