#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A polkitd that says what it is told to say, and remembers what it was asked.

    mock_polkit.py ADDRESS
"""
import json
import sys

import gi
gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib  # noqa: E402

XML = """<node>
  <interface name="org.freedesktop.PolicyKit1.Authority">
    <method name="CheckAuthorization">
      <arg type="(sa{sv})" direction="in"/><arg type="s" direction="in"/>
      <arg type="a{ss}" direction="in"/><arg type="u" direction="in"/>
      <arg type="s" direction="in"/><arg type="(bba{ss})" direction="out"/>
    </method>
    <method name="CancelCheckAuthorization"><arg type="s" direction="in"/></method>
  </interface>
  <interface name="org.lodge1.MockPolkit">
    <method name="SetAnswer"><arg type="s" direction="in"/></method>
    <method name="GetLog"><arg type="s" direction="out"/></method>
  </interface>
</node>"""

ANSWERS = {
    "yes": (True, False, {}),
    "no": (False, False, {}),
    "challenge": (False, True, {}),
    "dismissed": (False, True, {"polkit.dismissed": "true"}),
}


class Mock:
    def __init__(self):
        self.answer = "no"
        self.checks = []
        self.cancelled = []
        self.open = []

    def check(self, invocation, subject, action, details, flags, cancellation_id):
        self.checks.append({"subject": subject[0], "name": subject[1].get("name"),
                            "action": action, "details": details, "flags": flags,
                            "id": cancellation_id})
        if self.answer == "hang":
            self.open.append(invocation)
        elif self.answer == "garbage":
            invocation.return_dbus_error("org.freedesktop.PolicyKit1.Error.Failed", "garbage")
        elif self.answer.startswith("+"):
            self.reply(invocation, ANSWERS["yes" if action == self.answer[1:] else "no"])
        else:
            self.reply(invocation, ANSWERS[self.answer])

    @staticmethod
    def reply(invocation, answer):
        invocation.return_value(GLib.Variant("((bba{ss}))", (answer,)))

    def handle(self, bus, sender, path, interface, method, parameters, invocation):
        args = parameters.unpack()
        if method == "CheckAuthorization":
            self.check(invocation, *args)
            return
        if method == "CancelCheckAuthorization":
            self.cancelled.append(args[0])
        elif method == "SetAnswer":
            self.answer = args[0]
            # Whoever hangs gets the new answer.
            for waiting in self.open if self.answer in ANSWERS else []:
                self.reply(waiting, ANSWERS[self.answer])
            self.open = [] if self.answer in ANSWERS else self.open
        elif method == "GetLog":
            log = json.dumps({"checks": self.checks, "cancelled": self.cancelled})
            invocation.return_value(GLib.Variant("(s)", (log,)))
            return
        invocation.return_value(None)


def main(address):
    bus = Gio.DBusConnection.new_for_address_sync(
        address, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT
        | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
    mock = Mock()
    infos = Gio.DBusNodeInfo.new_for_xml(XML).interfaces
    for path, info in zip(("/org/freedesktop/PolicyKit1/Authority", "/org/lodge1/mock"), infos):
        bus.register_object(path, info, mock.handle, None, None)
    loop = GLib.MainLoop()
    Gio.bus_own_name_on_connection(bus, "org.freedesktop.PolicyKit1", Gio.BusNameOwnerFlags.NONE,
                                   lambda *args: print("ready", flush=True),
                                   lambda *args: loop.quit())
    loop.run()


main(sys.argv[1])
