#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may include whom.  The linker enforces most of it; this says it in one place and also
catches what only passes because some other layer happens to bring the headers along."""

import os
import re

import sources

# A layer, and the layers whose headers it may include besides its own, base and include/.
LAYERS = {
    "base": (),
    "model": (),
    "store": ("model",),
    "virt": ("model",),
    "xml": ("model",),
    "storage": ("model", "virt", "xml"),
    "network": ("model", "virt", "xml"),
    "image": ("model",),
    "driver": ("model", "virt", "xml"),
    "driver/kvm": ("model", "virt", "xml", "driver"),
    "driver/lxc": ("model", "virt", "xml", "driver"),
    "driver/fake": ("model", "driver"),
    "core": ("model", "store", "storage", "network", "image"),
    "dbus": (),
    "daemon": ("model", "store", "virt", "xml", "storage", "network", "image", "driver",
               "driver/kvm", "driver/lxc", "driver/fake", "core", "dbus"),
    "client": ("model", "dbus"),
    "cli": ("model", "client"),
    "helper": ("model",),
}

# A foreign library, and the only layers that may know it.
FOREIGN = [
    (r"libvirt/", ("virt", "driver", "driver/kvm", "driver/lxc")),
    (r"libxml/", ("xml", "helper")),
    (r"sqlite3\.h", ("store",)),
    (r"curl/", ("helper",)),
    (r"jansson\.h", ("helper",)),
    (r"guestfs\.h", ("helper",)),
    (r"archive(_entry)?\.h", ("helper",)),
    (r"(yaml\.h|nettle/)", ("helper",)),
    (r"readline/", ("cli",)),
    (r"json-glib/", ("base",)),
]

GENERATED = {"lodge-config.h": "include", "lodge-dbus.h": "dbus"}


def layer_of(path):
    """src/driver/lxc/x.c -> driver/lxc; src/helper/enter/x.c -> helper; include/... -> include"""
    parts = os.path.dirname(path).split("/")
    if parts[0] == "include":
        return "include"
    if parts[0] != "src" or len(parts) < 2:
        return None
    deep = "/".join(parts[1:3])
    return deep if deep in LAYERS else parts[1]


def includes(path):
    for number, line in enumerate(sources.read(path).split("\n"), 1):
        found = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
        if found:
            yield number, found.group(1)


def foreign_complaints(path, layer):
    for number, header in includes(path):
        for pattern, homes in FOREIGN:
            if re.match(pattern, header) and layer not in homes:
                yield "%s:%d: <%s> belongs to %s" % (path, number, header, ", ".join(homes))


def layer_complaints(path, layer, homes):
    allowed = {layer, "base", "include", *LAYERS.get(layer, ())}
    if layer == "include":
        allowed = {"include"}
    for number, header in includes(path):
        home = homes.get(os.path.basename(header))
        if home is not None and home not in allowed:
            yield "%s:%d: %s may not include %s of %s" % (path, number, layer, header, home)


def main():
    report = sources.Report()
    paths = sources.files(".c", ".h", under=("src", "include"))
    homes = dict(GENERATED)
    for path in paths:
        if path.endswith(".h"):
            homes[os.path.basename(path)] = layer_of(path)
    unknown = sorted({p for p in paths if layer_of(p) not in LAYERS and layer_of(p) != "include"})
    report.rule("every source file belongs to a layer", ("%s: no such layer" % p for p in unknown))
    for layer in [*LAYERS, "include"]:
        own = [p for p in paths if layer_of(p) == layer]
        report.rule("%s includes only what it may" % layer,
                    [c for p in own for c in layer_complaints(p, layer, homes)])
    report.rule("foreign libraries stay in their homes",
                [c for p in paths for c in foreign_complaints(p, layer_of(p))])
    report.finish()


if __name__ == "__main__":
    main()
