#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What must not grow, and what must come back: cycles, floods, no descriptors left.

LODGE_TEST_CYCLES: how many launch and delete cycles (default 1000).
"""
import gc
import os
import resource
import signal
import time

import lodgetest
from lodgetest import ROOT, DBusError, Host, HostTest, variant, wait_until

CYCLES = int(os.environ.get("LODGE_TEST_CYCLES", "1000"))
EMPTY = variant("(a{sv})", ({},))
REMEMBERED = 2048  # ended jobs at most
# Sanitizers keep what was freed.
SANITIZED = "asan" in os.environ.get("LODGE_TEST_BUILD", "")


class Cycles(HostTest):
    # What was freed must not count: GLib's own allocator keeps as much as was ever in use at one
    # time (which is a question of how many jobs the machine does in the minute for which they are
    # remembered), and malloc keeps some of every size for each thread.
    env = {"G_SLICE": "always-malloc", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}

    def cycle(self, number):
        path = self.client.launch(f"cycle{number % 7}")
        streams, process = self.client.exec_begin(path, ["true"])
        self.client.process_wait(process)
        for fd in streams.values():
            os.close(fd)
        self.client.verb(path, "Delete", force=True)

    def heap(self):
        """Bytes in use once all jobs are forgotten: all but SQLite's, and SQLite's."""
        everything = variant("(a{sv})", ({"all": variant("b", True)},))
        wait_until(lambda: time.sleep(0.5) or not self.client.call(
            ROOT, "Manager", "ListJobs", everything), timeout=120, what="the end of all jobs")
        # Messages that tell of it may still be under way.
        samples = []
        for _ in range(5):
            total, database = (int(line) for line in self.host.control("heap"))
            samples.append((total - database, database))
            time.sleep(0.2)
        return min(samples)

    def test_launch_and_delete(self):
        # The first rounds fill what is filled once: statements, types, each thread's cache.
        for number in range(max(100, CYCLES // 10)):
            self.cycle(number)
        fds, (heap, _) = self.host.n_fds(), self.heap()
        start = time.monotonic()
        for number in range(CYCLES):
            self.cycle(number)
        took = time.monotonic() - start
        after, database = self.heap()
        print(f"# {took / CYCLES * 1000:.1f} ms a cycle; heap {heap // 1024} KiB, then "
              f"{after // 1024} KiB, and the database's {database // 1024} KiB; private memory "
              f"{self.host.memory()} KiB")
        self.assertNoMoreFds(fds, 2)
        if not SANITIZED:
            # The smallest leak there can be is 32 bytes a cycle.
            self.assertLess(after - heap, (16 << 10) + CYCLES * 16)
            # A page cache of 2 MiB and what else SQLite keeps.
            self.assertLess(database, 4 << 20)
        self.assertEqual(self.client.list(), {})
        self.assertEqual(self.host.domains(), {})
        for folder in ("instances", "staging", "trash"):
            wait_until(lambda: not os.listdir(f"{self.host.dir}/state/{folder}"), what=folder)

    def test_connections_come_and_go(self):
        before = self.host.memory()
        for _ in range(300):
            client = self.host.client()
            client.list()
            client.get(ROOT, "Manager", "Version")
            client.close()
            self.host.clients.remove(client)
        gc.collect()
        if not SANITIZED:
            self.assertLess(self.host.memory() - before, 1024)


    def test_callers_that_do_not_wait(self):
        """They leave between their first call and the bus's word on who they are."""
        def leave(times):
            for _ in range(times):
                client = self.host.client()
                client.send(ROOT, "Manager", "CreateInstance",
                            variant("(sa{sv}a{sv}a{sv})", ("", {}, {}, {})))
                client.bus.flush_sync(None)
                client.close()
                self.host.clients.remove(client)
            self.client.list()

        leave(50)
        heap, _ = self.heap()
        leave(500)
        after, _ = self.heap()
        if not SANITIZED:
            self.assertLess(after - heap, 64 << 10)


class Floods(HostTest):
    def test_calls_without_reading(self):
        """P05: more open calls than a connection may have; lodged stays quick for others."""
        self.host.control("delay", "define", "3000")
        job = self.client.create("flooded")
        flood = self.host.client()
        answers = [flood.send(job, "Job", "Wait", EMPTY) for _ in range(600)]
        wait_until(lambda: sum(bool(a) for a in answers) >= 80, what="refusals")
        refused = [a[0].nick for a in answers if a]
        self.assertEqual(set(refused), {"LimitExceeded"})
        start = time.monotonic()
        self.client.list()
        self.assertLess(time.monotonic() - start, 0.2)
        wait_until(lambda: all(answers), what="all answers")
        self.host.control("clear")

    def test_ended_jobs_are_bounded(self):
        """However many jobs end within a minute, so many are remembered, the latest ones."""
        path = self.client.launch("restless")
        last = None
        for _ in range(REMEMBERED // 2 + 10):
            for verb in ("Pause", "Resume"):
                last = self.client.verb(path, verb, wait=False)
                self.client.job_wait(last)
        jobs = [row["path"] for row in self.client.call(
            ROOT, "Manager", "ListJobs", variant("(a{sv})", ({"all": variant("b", True)},)))]
        self.assertLessEqual(len(jobs), REMEMBERED)
        self.assertEqual(jobs[-1], last)
        self.client.verb(path, "Delete", force=True)

    def test_list_of_a_hundred(self):
        for number in range(100):
            self.client.create(f"many{number}")
        wait_until(lambda: all(row["state"] == "stopped" and "job" not in row
                               for row in self.client.list().values()), timeout=60, what="all")
        times = []
        for _ in range(30):
            start = time.monotonic()
            rows = self.client.call_fds(ROOT, "Manager", "ListInstances", EMPTY)
            times.append(time.monotonic() - start)
        self.assertGreaterEqual(len(rows[0][0]), 100)
        print(f"# a list of 100, with what Python does: {sorted(times)[15] * 1000:.1f} ms; "
              f"private memory {self.host.memory()} KiB")


class NoDescriptors(lodgetest.unittest.TestCase):
    """R04: with a limit of 64 descriptors requests fail, and lodged recovers."""

    def test_recovers(self):
        host = Host(lodged=False)
        self.addCleanup(host.stop)
        host.start_lodged(wrapper=("prlimit", "--nofile=64:64"))
        client = host.client()
        path = client.launch("web")
        held, refused = [], []
        for _ in range(80):
            try:
                held.append(client.exec_begin(path, ["cat"]))
            except DBusError as error:
                refused.append(error)
        consoles = []
        for _ in range(80):
            try:
                consoles += client.call_fds(path, "Instance", "OpenConsole", EMPTY)[1]
            except DBusError as error:
                refused.append(error)
        self.assertTrue(refused)
        self.assertEqual({error.nick for error in refused} - {"LimitExceeded", "Failed"}, set(),
                         refused)
        self.assertIn("web", client.list())
        # Descriptors that come in when there is no room for them.
        with open("/dev/null", "r+b") as null:
            opts = {name: variant("h", 0) for name in ("stdin", "stdout", "stderr")}
            try:
                client.exec_begin(path, ["true"], opts=opts, fds=[null.fileno()])
            except DBusError:
                pass
        for fd in consoles:
            os.close(fd)
        for streams, process in held:
            for fd in streams.values():
                os.close(fd)
            client.process_wait(process)
        self.assertIsNone(host.lodged.poll())
        other = host.client()
        wait_until(lambda: self.works(other, path), what="recovery")

    @staticmethod
    def works(client, path):
        try:
            return client.run(path, ["echo", "x"])[1] == b"x\n"
        except DBusError:
            return False


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE,
                       (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    lodgetest.main()
