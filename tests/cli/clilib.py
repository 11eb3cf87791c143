# SPDX-License-Identifier: LGPL-2.1-or-later
"""A private bus with the mock service on it, and a way to run lodge against them."""

import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>custom</type>
  <listen>unix:path=%s</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


class World:
    """with World() as world: world.run("list")"""

    def __init__(self, service=True, many=0):
        self.service, self.many = service, many
        self.program = os.environ["LODGE"]
        self.children = []

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="lodge-cli-")
        self.bus = os.path.join(self.folder, "bus")
        self.environment = {
            "PATH": os.path.dirname(self.program) + ":/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": self.folder, "LC_ALL": "C.UTF-8", "TZ": "UTC", "TERM": "xterm",
            "XDG_STATE_HOME": os.path.join(self.folder, "state"),
            "LODGE_BUS_ADDRESS": "unix:path=" + self.bus,
            "MOCK_MANY": str(self.many),
            # Of a build with sanitizers.
            **{key: value for key, value in os.environ.items()
               if key.endswith("SAN_OPTIONS") or key == "G_SLICE"},
        }
        config = os.path.join(self.folder, "bus.conf")
        with open(config, "w", encoding="utf-8") as stream:
            stream.write(BUS_CONFIG % self.bus)
        self.start(["dbus-daemon", "--config-file=" + config, "--nofork", "--nopidfile"])
        for _ in range(500):
            if os.path.exists(self.bus):
                break
            time.sleep(0.01)
        if self.service:
            mock = self.start([sys.executable, os.path.join(HERE, "mock-lodged.py"),
                               os.path.join(ROOT, "schemas/dbus/org.lodge1.xml"), self.folder],
                              stdout=subprocess.PIPE)
            if mock.stdout.readline() != b"ready\n":
                raise RuntimeError("the mock service does not start")
        return self

    def start(self, argv, **more):
        child = subprocess.Popen(argv, env=self.environment, stdin=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL if "dbus" in argv[0] else None, **more)
        self.children.append(child)
        return child

    def __exit__(self, *_):
        for child in reversed(self.children):
            child.terminate()
            child.wait()
            if child.stdout:
                child.stdout.close()
        shutil.rmtree(self.folder)

    def run(self, *words, **more):
        """-> CompletedProcess with text."""
        environment = {**self.environment, **more.pop("env", {})}
        return subprocess.run([self.program, *words], env=environment, cwd=self.folder,
                              capture_output=True, timeout=more.pop("timeout", 30),
                              encoding="utf-8", errors="surrogateescape",
                              **{"stdin": subprocess.DEVNULL if "input" not in more else None,
                                 **more} if "input" not in more else more)

    def calls(self):
        """What the service was asked so far: "" before the first call."""
        try:
            with open(os.path.join(self.folder, "calls"), encoding="utf-8") as stream:
                return stream.read()
        except FileNotFoundError:
            return ""


def main(tests):
    """Runs functions and prints TAP; a function that returns a string was skipped."""
    print("1..%d" % len(tests), flush=True)
    failed = False
    for number, test in enumerate(tests, 1):
        name = (test.__doc__ or test.__name__).split("\n")[0]
        try:
            skip = test()
            print("ok %d - %s%s" % (number, name, " # SKIP " + skip if skip else ""), flush=True)
        except Exception as failure:  # pylint: disable=broad-except
            failed = True
            for line in str(failure).split("\n") or [repr(failure)]:
                print("# " + line)
            print("# %s" % type(failure).__name__)
            print("not ok %d - %s" % (number, name), flush=True)
    sys.exit(failed)
