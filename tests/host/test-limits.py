#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 300
"""Limits of containers hold, and what breaks them breaks only itself."""

from hostlib import Failure, contains, equal, inside, lodge, main, row, state, virsh, wait_for, LXC

NAME = "c-limits"
OTHER = "c-limits-other"
MIB = 1024 * 1024


def test_launch_with_limits():
    lodge("launch", "debian/12", NAME, "-c", "limits.memory=200MiB", "-c", "limits.cpu=1",
          "-c", "limits.processes=500", seconds=400)
    lodge("launch", "debian/12", OTHER)
    equal(state(NAME), "running")


def test_processors_are_what_was_asked_for():
    equal(lodge("exec", NAME, "--", "nproc").stdout, "1\n")


def test_memory_is_what_was_asked_for():
    total = lodge("exec", NAME, "--", "grep", "MemTotal", "/proc/meminfo").stdout.split()[1]
    equal(int(total) * 1024, 200 * MIB)


def test_a_fork_bomb_is_stopped():
    script = ("import os, time\n"
              "n = 0\n"
              "try:\n"
              "  while n < 2000:\n"
              "    if os.fork() == 0: time.sleep(30); os._exit(0)\n"
              "    n += 1\n"
              "except OSError: pass\n"
              "print(n)\n")
    bomb = "n=0; while [ $n -lt 900 ]; do sleep 20 & n=$((n+1)); done; echo $n"
    done = lodge("exec", NAME, "--", "sh", "-c", "command -v python3", check=False)
    if done.returncode == 0:
        count = int(lodge("exec", NAME, "--", "python3", "-c", script).stdout)
        if count >= 500:
            raise Failure("%d processes were made" % count)
    else:
        lodge("exec", NAME, "--", "sh", "-c", bomb + " >/dev/null 2>&1", check=False)
    pids = inside("sh", "-c", "cat /sys/fs/cgroup/pids/lodge/%s/pids.current 2>/dev/null || true"
                  % row(NAME)["uuid"]).stdout.strip()
    if pids and int(pids) > 500:
        raise Failure("%s processes in the container" % pids)


def test_the_neighbour_does_not_notice():
    lodge("exec", OTHER, "--", "true")
    equal(state(OTHER), "running")


def test_it_recovers():
    lodge("restart", "--force", NAME)
    wait_for(lambda: lodge("exec", NAME, "--", "true", check=False).returncode == 0, 10,
             "exec does not work after the fork bomb")


def test_too_much_memory_ends_the_program_only():
    done = lodge("exec", NAME, "--", "sh", "-c", "head -c 400m /dev/zero | tail | wc -c",
                 check=False)
    equal(state(NAME), "running", "state after running out of memory (exec: %d)" % done.returncode)
    lodge("exec", NAME, "--", "true")


def test_limits_are_in_the_domain():
    contains(virsh(LXC, "dumpxml", NAME).stdout, "hard_limit")


if __name__ == "__main__":
    main("c-limits")
