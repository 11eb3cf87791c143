#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What needs a terminal, signals, or a hostile peer on the bus."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import gi
gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib  # noqa: E402

import clilib  # noqa: E402


class Terminal:
    """lodge on a pseudo-terminal of its own."""

    def __init__(self, world, *words, **more):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.seen = ""

        def become():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.child = subprocess.Popen(
            [world.program, *words], stdin=self.slave, stdout=more.get("stdout", self.slave),
            stderr=self.slave, env=world.environment, cwd=world.folder, preexec_fn=become)

    def read(self, seconds):
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return False
        try:
            self.seen += os.read(self.master, 65536).decode("utf-8", "replace")
        except OSError:
            return False
        return True

    def expect(self, text, seconds=10, after=""):
        limit = time.monotonic() + seconds
        while text not in self.seen[self.seen.find(after) + len(after):]:
            if time.monotonic() > limit:
                raise AssertionError("%r has not come; what came is %r" % (text, self.seen))
            self.read(0.1)

    def send(self, text):
        os.write(self.master, text.encode())

    def end(self, seconds=10):
        """Waits for the end; -> the exit status.  The terminal must be as it was."""
        limit = time.monotonic() + seconds
        while self.child.poll() is None:
            if time.monotonic() > limit:
                self.child.kill()
                raise AssertionError("it does not end; what came is %r" % self.seen)
            self.read(0.05)
        while self.read(0.05):
            pass
        after = termios.tcgetattr(self.slave)
        os.close(self.slave)
        os.close(self.master)
        equal(after, self.before)
        return self.child.returncode


def equal(got, wanted):
    if got != wanted:
        raise AssertionError("got %r, wanted %r" % (got, wanted))


def exec_has_terminal():
    """exec on a terminal gives one of the same size, keeps the status and restores raw mode"""
    with clilib.World() as world:
        terminal = Terminal(world, "exec", "web", "--", "sh", "-c",
                            "tty >/dev/null && echo size $(stty size) term $TERM; exit 9")
        terminal.expect("size 30 100 term xterm")
        equal(terminal.end(), 9)


def exec_resizes():
    """the size of the window follows, also by Process.Resize"""
    with clilib.World() as world:
        terminal = Terminal(world, "shell", "web")
        terminal.send("PS1=; stty -echo; echo ready\n")
        terminal.expect("\nready")
        fcntl.ioctl(terminal.master, termios.TIOCSWINSZ, struct.pack("HHHH", 41, 123, 0, 0))
        time.sleep(0.2)
        terminal.send("echo now $(stty size)\n")
        terminal.expect("now 41 123")
        terminal.send("exit 3\n")
        equal(terminal.end(), 3)
        assert "Process.Resize (41, 123)" in world.calls(), world.calls()


def wait_for_call(world, call, seconds=10):
    limit = time.monotonic() + seconds
    while call not in world.calls():
        if time.monotonic() > limit:
            raise AssertionError("%r is not among %r" % (call, world.calls()))
        time.sleep(0.02)


def exec_resizes_early():
    """a window that changes before the program runs is not forgotten"""
    with clilib.World() as world:
        terminal = Terminal(world, "exec", "--user", "late", "web", "--", "sh", "-c",
                            "read x; echo now $(stty size)")
        wait_for_call(world, "Instance.Exec")
        fcntl.ioctl(terminal.master, termios.TIOCSWINSZ, struct.pack("HHHH", 41, 123, 0, 0))
        wait_for_call(world, "Process.Resize (41, 123)")
        terminal.send("\n")
        terminal.expect("now 41 123")
        equal(terminal.end(), 0)


def keys_go_to_guest():
    """Ctrl-C goes to the guest's program, not to lodge"""
    with clilib.World() as world:
        terminal = Terminal(world, "exec", "web", "--", "sh", "-c",
                            "trap 'echo caught; exit 7' INT; echo go; while :; do sleep 0.1; done")
        terminal.expect("go")
        terminal.send("\x03")
        terminal.expect("caught")
        equal(terminal.end(), 7)


def signals_restore():
    """SIGTERM, SIGHUP and SIGQUIT end it with the terminal as it was"""
    with clilib.World() as world:
        for signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            terminal = Terminal(world, "shell", "web")
            terminal.send("echo re''ady\n")
            terminal.expect("ready")
            terminal.child.send_signal(signum)
            equal(terminal.end(), 128 + signum)


def signals_are_forwarded():
    """without a terminal signals go to the program"""
    with clilib.World() as world:
        child = subprocess.Popen(
            [world.program, "exec", "web", "--", "sh", "-c",
             "trap 'echo caught; exit 6' TERM; echo go; while :; do sleep 0.1; done"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=world.environment)
        equal(child.stdout.readline(), b"go\n")
        # The program may print before lodge has the answer that it runs.
        time.sleep(0.3)
        child.send_signal(signal.SIGTERM)
        equal(child.communicate(timeout=10)[0], b"caught\n")
        equal(child.returncode, 6)


def terminals_are_not_passed():
    """the files of the user's terminal never reach the guest"""
    with clilib.World() as world:
        reader, writer = os.pipe()
        terminal = Terminal(world, "exec", "web", "--", "sh", "-c",
                            "readlink /proc/self/fd/0 /proc/self/fd/2; cat; echo error >&2",
                            stdout=writer)
        os.close(writer)
        terminal.send("typed\n")
        time.sleep(0.3)
        terminal.send("\x04")
        equal(terminal.end(), 0)
        with os.fdopen(reader) as stream:
            lines = stream.read().split("\n")
        assert all(re.match(r"pipe:", line) for line in lines[:2]), lines
        equal(lines[2], "typed")
        assert "error" in terminal.seen, terminal.seen


def progress_and_cancel():
    """a long job has a progress line; Ctrl-C cancels it and ends with 130"""
    with clilib.World() as world:
        terminal = Terminal(world, "start", "slow")
        terminal.expect("Start of slow: waiting, 50 %")
        terminal.send("\x03")
        terminal.expect("was cancelled")
        equal(terminal.end(), 130)
        equal(world.run("start", "slow", "--no-wait", timeout=5).returncode, 0)
        quiet = world.run("list")
        assert "\r" not in quiet.stderr + quiet.stdout


def interrupt_twice():
    """a second Ctrl-C leaves the job running and tells its number"""
    with clilib.World() as world:
        child = subprocess.Popen([world.program, "start", "slow"], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 env=world.environment, encoding="utf-8")
        time.sleep(0.4)
        # The mock ends with the first Cancel; SIGTERM takes the same way as a second Ctrl-C.
        child.send_signal(signal.SIGTERM)
        output, _ = child.communicate(timeout=10)
        equal(child.returncode, 143)
        assert "Job 1 goes on" in output, output
        assert "instance-start" in world.run("job", "list").stdout


def colours():
    """colours are for terminals, and not for those who have said NO_COLOR"""
    with clilib.World() as world:
        for variables, wanted in (({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False),
                                  ({"TERM": "dumb"}, False)):
            world.environment.update({"NO_COLOR": "", "TERM": "xterm"}, **variables)
            for words in (("list",), ("frobnicate",)):
                terminal = Terminal(world, *words)
                terminal.end()
                equal((words, variables, "\x1b[" in terminal.seen), (words, variables, wanted))


def delete_asks():
    """delete asks on a terminal, and says what it would do to a running one"""
    with clilib.World() as world:
        terminal = Terminal(world, "delete", "db")
        terminal.expect("Delete db? [y/N]")
        terminal.send("n\n")
        equal(terminal.end(), 130)
        terminal = Terminal(world, "delete", "web")
        terminal.expect("web is running. Stop and delete web? [y/N]")
        terminal.send("y\n")
        equal(terminal.end(), 0)
        assert "Instance.Delete ({'force': <true>},)" in world.calls()
        equal(world.run("list", "-q", "web", "db").stdout, "db\n")


def console_escape():
    """the console passes keys on, and Ctrl-] leaves it"""
    with clilib.World() as world:
        terminal = Terminal(world, "console", "web")
        terminal.expect("login: ")
        assert "^] leaves it" in terminal.seen, terminal.seen
        terminal.send("a\x03b")
        terminal.expect("A\x03B")
        terminal.send("\x1d")
        equal(terminal.end(), 0)
        terminal = Terminal(world, "console", "--escape=~", "web")
        terminal.expect("login: ")
        terminal.send("\x1d")
        terminal.expect("<\x1d>")
        terminal.send("~")
        equal(terminal.end(), 0)


def forged_signals():
    """signals of a peer that is not the service are not believed (P04, CVE-2024-34397)"""
    with clilib.World() as world:
        child = subprocess.Popen([world.program, "monitor", "-f", "json"],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 env=world.environment, encoding="utf-8")
        time.sleep(0.5)
        liar = Gio.DBusConnection.new_for_address_sync(
            "unix:path=" + world.bus, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT
            | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
        names = liar.call_sync("org.freedesktop.DBus", "/", "org.freedesktop.DBus", "ListNames",
                               None, None, 0, -1, None).unpack()[0]
        forged = GLib.Variant("(tsoa{sv})", (1, "forged", "/", {}))
        for name in [None] + [n for n in names if n.startswith(":")]:
            liar.emit_signal(name, "/org/lodge1", "org.lodge1.Manager", "Event", forged)
            liar.emit_signal(name, "/org/freedesktop/DBus", "org.freedesktop.DBus",
                             "NameOwnerChanged",
                             GLib.Variant("(sss)", ("org.lodge1", ":1.1", liar.get_unique_name())))
            liar.emit_signal(name, "/org/lodge1", "org.lodge1.Manager", "Event", forged)
        liar.flush_sync(None)
        equal(world.run("start", "db").returncode, 0)
        line = child.stdout.readline()
        child.send_signal(signal.SIGINT)
        rest, _ = child.communicate(timeout=10)
        assert '"instance-state"' in line and '"db"' in line, line
        assert "forged" not in line + rest, line + rest
        equal(child.returncode, 0)


def locales():
    """locales change neither numbers nor keys"""
    with clilib.World() as world:
        plain = world.run("list", "-f", "json").stdout
        table = world.run("info", "web").stdout
        for name in ("tr_TR.UTF-8", "de_DE.UTF-8", "C", "POSIX"):
            equal(world.run("list", "-f", "json", env={"LC_ALL": name}).stdout, plain)
            equal(world.run("info", "web", env={"LC_ALL": name}).stdout, table)


def pipes_end_quietly():
    """a reader that leaves early is no error message"""
    with clilib.World(many=2000) as world:
        done = subprocess.run(["bash", "-c", "lodge list | head -1; lodge exec web yes | head -1"],
                              env=world.environment, capture_output=True, timeout=30,
                              stdin=subprocess.DEVNULL)
        equal(done.stderr, b"")
        equal(done.stdout.split(b"\n")[1], b"y")


def interactive_shell():
    """lodge alone on a terminal: banner, completion, history, status"""
    with clilib.World() as world:
        terminal = Terminal(world)
        terminal.expect("lodge # ")
        assert "This is lodge" in terminal.seen, terminal.seen
        terminal.send("list -q we\t")
        terminal.expect("list -q web ")
        terminal.send("\n")
        terminal.expect("\rweb")
        terminal.send("exec web -- echo 'a  b'\n")
        terminal.expect("\ra  b")
        terminal.expect("lodge # ", after="\ra  b")
        terminal.send("nonsense\n")
        terminal.expect("There is no command")
        terminal.send("quit\n")
        terminal.end()
        with open(os.path.join(world.folder, "state/lodge/history"), encoding="utf-8") as stream:
            assert "list -q web" in stream.read()


def bash_completion():
    """the completion for bash asks lodge"""
    script = os.path.join(clilib.ROOT, "data/completions/lodge.bash")
    probe = (". %s; COMP_LINE='%s'; COMP_POINT=${#COMP_LINE}; COMP_WORDS=(%s); "
             "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _lodge; echo ${COMPREPLY[@]}")
    with clilib.World() as world:
        for line, words, wanted in (
                ("lodge inf", "lodge inf", "info"),
                ("lodge stop ", "lodge stop ''", "web"),
                ("lodge launch deb", "lodge launch deb", "debian/12"),
                ("lodge list --format=j", "lodge list --format = j", "json"),
                ("lodge image ", "lodge image ''", "list show pull import export serve-tree customize convert alias refresh prune set delete")):
            done = subprocess.run(["bash", "-c", probe % (script, line, words)],
                                  env=world.environment, capture_output=True, encoding="utf-8",
                                  timeout=30, stdin=subprocess.DEVNULL)
            equal((line, done.stdout.strip()), (line, wanted))


if __name__ == "__main__":
    clilib.main([exec_has_terminal, exec_resizes, exec_resizes_early, keys_go_to_guest, signals_restore,
                 signals_are_forwarded, terminals_are_not_passed, progress_and_cancel,
                 interrupt_twice, colours, delete_asks, console_escape, forged_signals, locales,
                 pipes_end_quietly, interactive_shell, bash_completion])
