# SPDX-License-Identifier: LGPL-2.1-or-later
"""Builds the fuzzers (tests/fuzz) and runs each for a while, beside the other tests.

LODGE_FUZZ_SECONDS is how long each runs (60).  They get what the other tests leave of the
processors (SCHED_IDLE), so that these take no longer for it: much of what host tests do is to wait.
What a fuzzer finds is left in <LODGE_TEST_DIR>/fuzz/<name>-crash-…; it belongs into
tests/fuzz/<name>/ when the parser has been mended."""

import base64
import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import threading
import time

COMPILER = "clang-14"
TARGETS = "tests/fuzz"
SECONDS = int(os.environ.get("LODGE_FUZZ_SECONDS", "60"))
UNIT_SECONDS = 10
# By the clock, and what runs only when nobody else wants to may be kept waiting for long.
PATIENCE = 600
JOBS = os.cpu_count() or 1
ENVIRONMENT = {
    "CC": COMPILER,
    "CFLAGS": "-O1",
    "G_DEBUG": "fatal-criticals",
    "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}
OPTIONS = ["--prefix=/usr", "-Dfuzz=true", "-Db_sanitize=address,undefined", "-Db_lundef=false"]


def be_idle():
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


class Fuzzers:
    """start() returns at once; collect() waits, and hands over what came out."""

    def __init__(self, root, build, work, wanted=None):
        self.root = root
        self.build = build
        self.work = work
        self.wanted = wanted or ""
        self.idle = True
        self.processes = {}
        self.lock = threading.Lock()
        self.stopped = False
        self.pool = concurrent.futures.ThreadPoolExecutor(max_workers=JOBS)
        self.outcome = []

    def names(self):
        folder = os.path.join(self.root, TARGETS)
        return sorted(f[5:-2] for f in os.listdir(folder)
                      if f.startswith("fuzz-") and f.endswith(".c") and self.wanted in f[5:-2])

    def start(self):
        self.outcome = [self.pool.submit(self.compile)]
        self.outcome += [self.pool.submit(self.fuzz, name) for name in self.names()]

    def run(self, argv):
        """-> (exit status, output)"""
        with self.lock:
            if self.stopped:
                return -signal.SIGTERM, "stopped"
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, text=True, errors="replace",
                                       env={**os.environ, **ENVIRONMENT}, start_new_session=True,
                                       preexec_fn=be_idle if self.idle else None)
            self.processes[process.pid] = process
        output, _ = process.communicate()
        with self.lock:
            del self.processes[process.pid]
        return process.returncode, output

    def compile(self):
        """-> (name, points, seconds, output)"""
        began = time.monotonic()
        status, output = 0, ""
        if not os.path.exists(os.path.join(self.build, "build.ninja")):
            shutil.rmtree(self.build, ignore_errors=True)
            status, output = self.run(["meson", "setup", self.build, self.root, *OPTIONS])
        if status == 0:
            status, output = self.run(["ninja", "-C", self.build, "fuzzers"])
        points = [("failed", "", "exit status %d" % status)] if status else []
        return "build build-fuzz", points, time.monotonic() - began, output

    def fuzz(self, name):
        _, failed, _, _ = self.outcome[0].result()
        began = time.monotonic()
        if failed:
            return name, [("failed", "", "it cannot be built")], 0, ""
        found = os.path.join(self.work, name)
        shutil.rmtree(found, ignore_errors=True)
        os.makedirs(found)
        program = os.path.join(self.build, TARGETS, "fuzz-" + name)
        status, output = self.run([
            program, "-max_total_time=%d" % SECONDS, "-timeout=%d" % PATIENCE,
            "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=0",
            "-artifact_prefix=%s-" % found, found, os.path.join(self.root, TARGETS, name)])
        slow = re.search(r"Test unit written to (\S+-(?:timeout|slow-unit)-\S+)", output)
        if slow:
            status, again = self.run([program, "-timeout=%d" % UNIT_SECONDS, slow.group(1)])
            output += again
        return name, self.judge(status, output), time.monotonic() - began, output

    @staticmethod
    def judge(status, output):
        runs = re.search(r"number_of_executed_units: *(\d+)", output)
        if status == 0:
            return [("passed", "%s inputs" % (runs.group(1) if runs else "?"), "")]
        written = re.search(r"Test unit written to (\S+)", output)
        reason = "exit status %d" % status
        if written and os.path.exists(written.group(1)):
            with open(written.group(1), "rb") as stream:
                data = stream.read(512)
            reason = "%s; base64 of it: %s" % (written.group(1), base64.b64encode(data).decode())
        return [("failed", "", reason)]

    def hurry(self):
        """Nobody else is there any more."""
        self.idle = False
        with self.lock:
            for pid in self.processes:
                try:
                    for thread in os.listdir("/proc/%d/task" % pid):
                        os.sched_setscheduler(int(thread), os.SCHED_OTHER, os.sched_param(0))
                except (OSError, FileNotFoundError):
                    pass

    def collect(self):
        """Yields (name, points, seconds, output) in the order of the names."""
        self.hurry()
        for future in self.outcome:
            yield future.result()

    def stop(self):
        with self.lock:
            self.stopped = True
            for process in self.processes.values():
                try:
                    os.killpg(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.pool.shutdown(wait=True)
