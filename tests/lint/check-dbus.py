#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The D-Bus interface against what has to follow it: the table of authorisations, the polkit
actions, the bus policy, and the rules that the head of the interface file promises."""

import os
import re
import xml.etree.ElementTree as ET

import sources

INTERFACE = "schemas/dbus/org.lodge1.xml"
POLICY = "data/org.lodge1.policy"
PREFIX = "org.lodge1."

# Asked for by what a request contains, not by its method.
RESERVED = {PREFIX + "host-access"}

# Methods that end in no dictionary of options: they look, or are fixed for good.
NO_OPTIONS = {"Manager.GetInstance", "Manager.GetSchema", "Process.Resize", "Process.Signal",
              "Process.Wait"}


def interfaces():
    return ET.parse(os.path.join(sources.ROOT, INTERFACE)).getroot().iter("interface")


def methods():
    for interface in interfaces():
        for method in interface.iter("method"):
            yield interface.get("name")[len(PREFIX):] + "." + method.get("name"), method


def writable_properties():
    for interface in interfaces():
        for item in interface.iter("property"):
            if item.get("access") != "read":
                yield "%s.%s is not read-only" % (interface.get("name"), item.get("name"))


def missing_options():
    for name, method in methods():
        types = [a.get("type") for a in method.iter("arg") if a.get("direction") == "in"]
        if name not in NO_OPTIONS and types[-1:] != ["a{sv}"]:
            yield "%s does not end in a{sv}" % name


TABLE = "src/daemon/lodge-bus-policy.c"
ROW = re.compile(r'\{\s*(\w+),\s*"(\w+)",\s*(NULL|ACT \("([a-z-]+)"\)),')


def table():
    """-> {"Interface.Method": action or None}.  The table names interfaces by macros."""
    text = sources.read(TABLE)
    names = dict(re.findall(r'#define (\w+)\s+"org\.lodge1\.(\w+)"', text))
    return {names[interface] + "." + method: action or None
            for interface, method, _, action in ROW.findall(text) if interface in names}


def actions():
    root = ET.parse(os.path.join(sources.ROOT, POLICY)).getroot()
    return {a.get("id") for a in root.iter("action")}


def action_complaints(rows):
    known, asked = actions(), {PREFIX + a for a in rows.values() if a}
    for action in sorted(asked - known):
        yield "%s is asked for, but %s does not have it" % (action, POLICY)
    for action in sorted(known - asked - RESERVED):
        yield "%s of %s is asked for by no method" % (action, POLICY)


def main():
    report = sources.Report()
    names = [name for name, _ in methods()]
    rows = table()
    report.rule("properties are read-only", writable_properties())
    report.rule("methods end in options", missing_options())
    report.rule("every method has a row in the table of authorisations",
                ("%s has no row" % n for n in names if n not in rows))
    report.rule("the table has no row too many",
                ("%s is no method" % n for n in rows if n not in names))
    report.rule("every action that is asked for exists", action_complaints(rows))
    report.finish()


if __name__ == "__main__":
    main()
