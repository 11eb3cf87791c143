#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes constant GDBusInterfaceInfo structures of introspection XML.

Other than gdbus-codegen it keeps the comments, as org.gtk.GDBus.DocString annotations, so that
whoever introspects the service reads its documentation; and nothing is allocated at run time.

    make-introspection.py OUT.c OUT.h XML...
"""
import re
import sys
import xml.etree.ElementTree as ET

DOC = "org.gtk.GDBus.DocString"


class Writer:
    """Collects C text; every structure gets a number, so names need no thought."""

    def __init__(self):
        self.out = []
        self.count = 0

    def define(self, ctype, body, name=None):
        self.count += 1
        symbol = name or f"node_{self.count}"
        linkage = "" if name else "static "
        self.out.append(f"{linkage}const {ctype} {symbol} = {{ {body} }};")
        return f"({ctype} *) &{symbol}"

    def array(self, ctype, items):
        if not items:
            return "NULL"
        self.count += 1
        symbol = f"list_{self.count}"
        body = ", ".join([*items, "NULL"])
        self.out.append(f"static {ctype} *const {symbol}[] = {{ {body} }};")
        return f"({ctype} **) {symbol}"


def quote(text):
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'(char *) "{escaped}"'


def read_comment(text):
    """Splits a comment into what it says of the whole and what of each @argument."""
    whole, args, target = [], {}, None
    for line in text.strip().splitlines():
        line = line.strip()
        found = re.match(r"@([A-Za-z0-9_]+): *(.*)", line)
        if found:
            target = found.group(1)
            args[target] = [found.group(2)]
        elif line == "":
            target = None
            whole.append("")
        elif target:
            args[target].append(line)
        else:
            whole.append(line)
    joined = re.sub(r"\n\n+", "\n\n", "\n".join(whole)).strip()
    joined = re.sub(r"^[A-Za-z0-9_.]+:\s*", "", joined)
    summary = args.pop("short_description", None)
    if summary:
        joined = " ".join(summary) + ("\n\n" + joined if joined else "")
    return joined, {name: " ".join(lines) for name, lines in args.items()}


def children(element):
    """Yields each child element with the comment right before it."""
    comment = ""
    for child in element:
        if child.tag is ET.Comment:
            comment = child.text
            continue
        yield child, comment
        comment = ""


def annotations(writer, element, doc):
    pairs = [(a.get("name"), a.get("value")) for a in element.findall("annotation")]
    if doc:
        pairs.append((DOC, doc))
    items = [writer.define("GDBusAnnotationInfo", f"-1, {quote(k)}, {quote(v)}, NULL")
             for k, v in pairs]
    return writer.array("GDBusAnnotationInfo", items)


def arguments(writer, element, docs, direction):
    items = []
    for arg in element.findall("arg"):
        if arg.get("direction", "out" if element.tag == "signal" else "in") != direction:
            continue
        name = arg.get("name")
        notes = annotations(writer, arg, docs.get(name, ""))
        items.append(writer.define(
            "GDBusArgInfo", f"-1, {quote(name)}, {quote(arg.get('type'))}, {notes}"))
    return writer.array("GDBusArgInfo", items)


def method(writer, element, comment):
    doc, args = read_comment(comment)
    body = ", ".join(["-1", quote(element.get("name")),
                      arguments(writer, element, args, "in"),
                      arguments(writer, element, args, "out"),
                      annotations(writer, element, doc)])
    return writer.define("GDBusMethodInfo", body)


def signal(writer, element, comment):
    doc, args = read_comment(comment)
    body = ", ".join(["-1", quote(element.get("name")),
                      arguments(writer, element, args, "out"),
                      annotations(writer, element, doc)])
    return writer.define("GDBusSignalInfo", body)


def prop(writer, element, comment):
    if element.get("access") != "read":
        sys.exit(f"property {element.get('name')} is not read-only: GDBus does not ask for "
                 "authorisation when it is set")
    doc, _ = read_comment(comment)
    body = ", ".join(["-1", quote(element.get("name")), quote(element.get("type")),
                      "G_DBUS_PROPERTY_INFO_FLAGS_READABLE", annotations(writer, element, doc)])
    return writer.define("GDBusPropertyInfo", body)


def interface(writer, element, comment):
    members = {"method": [], "signal": [], "property": []}
    make = {"method": method, "signal": signal, "property": prop}
    for child, doc in children(element):
        if child.tag in make:
            members[child.tag].append(make[child.tag](writer, child, doc))
    name = element.get("name")
    symbol = "lodge_bus_info_" + name.rsplit(".", 1)[1].lower()
    body = ", ".join(["-1", quote(name),
                      writer.array("GDBusMethodInfo", members["method"]),
                      writer.array("GDBusSignalInfo", members["signal"]),
                      writer.array("GDBusPropertyInfo", members["property"]),
                      annotations(writer, element, read_comment(comment)[0])])
    writer.define("GDBusInterfaceInfo", body, symbol)
    return symbol


def main(out_c, out_h, *paths):
    writer = Writer()
    symbols = []
    for path in paths:
        parser = ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))
        root = ET.parse(path, parser).getroot()
        symbols += [interface(writer, element, doc) for element, doc in children(root)
                    if element.tag == "interface"]
    head = "/* Made by make-introspection.py; do not edit. */\n"
    with open(out_h, "w", encoding="utf-8") as file:
        file.write(head + "#pragma once\n#include <gio/gio.h>\n")
        file.writelines(f"extern const GDBusInterfaceInfo {s};\n" for s in symbols)
    with open(out_c, "w", encoding="utf-8") as file:
        name = out_h.rsplit("/", 1)[-1]
        file.write(head + f'#include "{name}"\n' + "\n".join(writer.out) + "\n")


main(*sys.argv[1:])
