#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a test does as another user; prints JSON.

    as_user.py ADDRESS every PATH...    calls every method and reads every property of the objects
    as_user.py ADDRESS call PATH INTERFACE METHOD SIGNATURE ARGS [interactive]
                                        one call, ARGS is JSON
    as_user.py ADDRESS hold PATH INTERFACE METHOD SIGNATURE ARGS
                                        begins a call, prints a line, and leaves when stdin ends
"""
import json
import sys

from gi.repository import Gio, GLib
from lodgetest import Client, DBusError, variant

VALUES = {"s": "web", "o": "/", "b": False, "u": 0, "t": 0, "q": 24, "i": 1, "d": 0.0, "as": [],
          "a{sb}": {}, "a{ss}": {}, "a{sv}": {}, "a{sa{ss}}": {}}


def attempt(func):
    try:
        func()
        return "ok"
    except DBusError as error:
        return error.name


def make_args(method):
    if not method.in_args:
        return None
    values = []
    for arg in method.in_args:
        value = VALUES[arg.signature]
        if arg.name == "source":
            value = {"image": variant("s", "debian/12")}
        elif arg.name == "kind":
            value = "config"
        elif arg.name == "remote":
            value = "build"
        elif arg.name == "ref":
            value = "debian/12"
        values.append(value)
    return variant("(" + "".join(arg.signature for arg in method.in_args) + ")", values)


def every(client, paths):
    results = {"methods": [], "properties": []}
    for path in paths:
        xml = client.call(path, "org.freedesktop.DBus.Introspectable", "Introspect")
        for interface in Gio.DBusNodeInfo.new_for_xml(xml).interfaces:
            if not interface.name.startswith("org.lodge1."):
                continue
            for method in interface.methods:
                result = attempt(lambda: client.call(path, interface.name, method.name,
                                                     make_args(method), timeout=10))
                results["methods"].append([interface.name, method.name, result])
            for prop in interface.properties:
                result = attempt(lambda: client.call(
                    path, "org.freedesktop.DBus.Properties", "Set",
                    variant("(ssv)", (interface.name, prop.name, variant("s", "x")))))
                results["properties"].append([interface.name, prop.name, "set", result])
                result = attempt(lambda: client.call(
                    path, "org.freedesktop.DBus.Properties", "Get",
                    variant("(ss)", (interface.name, prop.name))))
                results["properties"].append([interface.name, prop.name, "get", result])
    return results


def typed(value):
    """What is in a vardict needs a type."""
    if isinstance(value, dict):
        return {key: variant("b" if isinstance(item, bool) else "s", item)
                for key, item in value.items()}
    return value


def main(address, what, *args):
    client = Client(address)
    if what == "every":
        print(json.dumps(every(client, args)))
        return
    path, interface, method, signature, text = args[:5]
    body = GLib.Variant(signature, [typed(v) for v in json.loads(text)]) if signature else None
    if what == "call":
        try:
            values = client.call(path, interface, method, body, interactive=len(args) > 5)
            print(json.dumps({"values": values}))
        except DBusError as error:
            print(json.dumps({"error": error.name, "message": error.message}))
    elif what == "hold":
        client.send(path, interface, method, body, timeout=600)
        client.bus.flush_sync(None)
        print(client.name, flush=True)
        sys.stdin.read()


main(*sys.argv[1:])
