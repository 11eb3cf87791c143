# SPDX-License-Identifier: LGPL-2.1-or-later
"""`lodge` on a terminal of its own, for host tests."""

import os
import pty
import select
import subprocess
import time

from hostlib import PATIENCE, Failure


class Terminal:
    """`lodge WORDS` in a window of so many rows and columns."""

    def __init__(self, rows, columns, *words):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "dumb"
            os.execvp("lodge", ["lodge", *words])
        self.resize(rows, columns)
        self.seen = ""

    def resize(self, rows, columns):
        subprocess.run(["stty", "rows", str(rows), "cols", str(columns)], stdin=self.fd, check=True)

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, text, seconds=30, of=0):
        """Waits until `text` has been said; what was said before position `of` does not count."""
        end = time.monotonic() + seconds * PATIENCE
        while text not in self.seen[of:]:
            if time.monotonic() > end:
                raise Failure("the terminal does not say %r: %r" % (text, self.seen))
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.fd, 4096).decode(errors="replace")
                except OSError:
                    raise Failure("lodge ended: %r" % self.seen) from None

    def sees(self, text, seconds):
        try:
            self.expect(text, seconds)
            return True
        except Failure:
            return False

    def end(self):
        """-> the exit status"""
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)
