#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A stand-in for lodged: the part of schemas/dbus/org.lodge1.xml that the CLI uses, with two
instances, an image and jobs that take as long as a test wants.  Programs that are "executed in an
instance" run on this host, and files are those of a directory; nothing else is pretended.

mock-lodged.py XML DIRECTORY     (the bus is $LODGE_BUS_ADDRESS)

Names that do something: an instance "slow" starts for 60 s with progress, "broken" fails to start,
"notice" has something to say.  DIRECTORY/root is the root of every instance's files, and
DIRECTORY/calls gets one line a call, so that tests can see the options that were sent."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import gi
gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib  # noqa: E402

import mockfiles  # noqa: E402

EVIL = "evil\x1b[31m\u202etext"
FINGERPRINT = "0123456789abcdef" * 4
XML, WORK = sys.argv[1], sys.argv[2]
NODE = Gio.DBusNodeInfo.new_for_xml(open(XML, encoding="utf-8").read())


def variant(value):
    """Python to GVariant by the kinds of value that the service sends."""
    if isinstance(value, GLib.Variant):
        return value
    if isinstance(value, bool):
        return GLib.Variant("b", value)
    if isinstance(value, int):
        return GLib.Variant("t", value)
    if isinstance(value, float):
        return GLib.Variant("d", value)
    if isinstance(value, list):
        return GLib.Variant("as", value)
    return GLib.Variant("s", value)


def row(**items):
    return {key.replace("_", "-"): variant(value) for key, value in items.items()}


class Failure(Exception):
    def __init__(self, nick, message):
        super().__init__(message)
        self.name = "org.lodge1.Error." + nick


class Instance:
    def __init__(self, number, name, kind, state, **more):
        self.uuid = "00000000-0000-4000-8000-%012d" % number
        self.path = "/org/lodge1/instance/_" + self.uuid.replace("-", "_")
        self.name, self.kind, self.state = name, kind, state
        self.address = more.get("address", "")
        self.image = more.get("image", "debian/12")
        self.origin = more.get("origin", "lodge")
        self.config = more.get("config", {})

    def row(self, usage):
        items = row(name=self.name, uuid=self.uuid, kind=self.kind, state=self.state,
                    path=GLib.Variant("o", self.path), origin=self.origin, address=self.address,
                    addresses=[self.address] if self.address else [], image=self.image,
                    created=1700000000, memory_limit=209715200 if self.name == "web" else 0,
                    cpu_limit=self.config.get("limits.cpu", ""))
        if usage and self.state == "running":
            items.update(row(memory=12582912, cpu_ns=90000000000, processes=7))
        return items

    def properties(self):
        addresses = [row(device="eth0", family="inet", address=self.address,
                         prefix=GLib.Variant("u", 24), source="lease")] if self.address else []
        return {
            "Name": variant(self.name), "Uuid": variant(self.uuid), "Kind": variant(self.kind),
            "Uri": variant("lxc:///" if self.kind == "container" else "qemu:///system"),
            "State": variant(self.state), "Booted": variant(self.state == "running"),
            "Origin": variant(self.origin), "Capabilities": variant(["exec", "shell"]),
            "Image": variant(self.image), "Medium": variant(""),
            "Config": GLib.Variant("a{ss}", self.config),
            "Drift": variant([]), "Addresses": GLib.Variant("aa{sv}", addresses),
            "Job": GLib.Variant("o", "/"), "CreatedAt": variant(1700000000),
            "StartedAt": variant(1700000100 if self.state == "running" else 0),
        }


def path_of_name(name):
    return "/org/lodge1/instance/" + name.replace("-", "_")


class Job:
    def __init__(self, number, operation, description):
        self.path = "/org/lodge1/job/%d" % number
        self.number, self.operation, self.description = number, operation, description
        self.state, self.stage, self.progress = "running", "", -1.0
        self.error = ("", "")
        self.result, self.notices, self.waiters = {}, [], []
        self.on_end = None

    def properties(self):
        return {
            "Operation": variant(self.operation), "Description": variant(self.description),
            "State": variant(self.state), "Stage": variant(self.stage),
            "Progress": variant(self.progress), "BytesDone": variant(12582912),
            "BytesTotal": variant(25165824), "Rate": variant(0), "StartedAt": variant(1700000000),
            "EndedAt": variant(0 if self.state == "running" else 1700000001),
            "Cancellable": variant(True), "Objects": GLib.Variant("ao", []),
            "Uid": GLib.Variant("u", 0), "Result": GLib.Variant("a{sv}", self.result),
            "Error": GLib.Variant("(ss)", self.error), "Notices": variant(self.notices),
        }

    def end(self, state, result=None, error=None):
        self.state, self.result = state, result or {}
        self.error = error or ("", "")
        if self.on_end and state == "succeeded":
            self.on_end()
        for invocation in self.waiters:
            self.answer(invocation)
        self.waiters = []
        return False

    def answer(self, invocation):
        if self.error[0]:
            invocation.return_dbus_error(*self.error)
        else:
            invocation.return_value(GLib.Variant("(a{sv})", (self.result,)))


class Process:
    def __init__(self, number, popen):
        self.path = "/org/lodge1/process/%d" % number
        self.popen, self.waiters, self.status = popen, [], None

    def hang_up(self):
        """Its caller has left the bus."""
        try:
            os.killpg(self.popen.pid, signal.SIGHUP)
        except ProcessLookupError:
            pass

    def ended(self):
        code = self.popen.returncode
        self.status = (code, 0) if code >= 0 else (0, -code)
        for invocation in self.waiters:
            invocation.return_value(GLib.Variant("(ii)", self.status))
        return False


class Mock:
    def __init__(self, connection):
        self.connection = connection
        self.jobs, self.processes, self.sequence = {}, {}, 0
        self.instances = {}
        self.aliases = ["debian/12"]
        for number, (name, kind, state, more) in enumerate([
                ("web", "container", "running",
                 {"address": "10.91.0.2",
                  "config": {"limits.memory": "200MiB", "limits.cpu": "1"}}),
                ("db", "vm", "stopped", {}),
                ("slow", "container", "stopped", {}),
                ("broken", "container", "stopped", {}),
                ("notice", "container", "stopped", {}),
                (EVIL, "vm", "running", {"origin": "foreign", "image": ""})], 1):
            self.instances[name] = Instance(number, name, kind, state, **more)
        self.root = os.path.join(WORK, "root")
        os.makedirs(self.root, exist_ok=True)
        self.register("/org/lodge1", ["Manager", "Images", "Remotes"])
        self.names = set()
        for instance in self.instances.values():
            self.register(instance.path, ["Instance"])
        for name in [*self.instances, "data", "nope", "wbe"]:
            self.register_name(name)
        self.image_path = "/org/lodge1/image/_" + FINGERPRINT
        self.register(self.image_path, ["Image"])

    def register(self, path, interfaces):
        for name in interfaces:
            self.connection.register_object(path, NODE.lookup_interface("org.lodge1." + name),
                                            self.on_call, self.on_get, None)

    # Dispatch

    def on_call(self, connection, sender, path, interface, method, parameters, invocation):
        with open(os.path.join(WORK, "calls"), "a", encoding="utf-8") as log:
            log.write("%s.%s %s\n" % (interface.split(".")[-1], method,
                                      parameters.print_(False)))
        try:
            name = "%s_%s" % (interface.split(".")[-1].lower(), method)
            getattr(self, name)(path, parameters, invocation)
        except Failure as failure:
            invocation.return_dbus_error(failure.name, str(failure))

    def on_get(self, connection, sender, path, interface, name):
        kind = interface.split(".")[-1]
        if kind == "Instance":
            return self.instance_at(path).properties()[name]
        if kind == "Job":
            return self.jobs[path].properties()[name]
        if kind == "Image":
            return self.image_properties()[name]
        if kind == "Manager":
            return {
                "Version": variant("0.0-mock"), "ApiLevel": GLib.Variant("u", 1),
                "Features": variant(["tcg"]),
                "Drivers": GLib.Variant("a{sa{sv}}", {
                    "lxc": row(uri="lxc:///", connected=True, version="9.0.0", error=""),
                    "kvm": row(uri="qemu:///system", connected=False, version="",
                               error="libvirtd does not answer", accel="tcg")}),
            }[name]
        return None

    def instance_at(self, path):
        for instance in self.instances.values():
            if path in (instance.path, path_of_name(instance.name)):
                return instance
        raise self.no_instance(path.rpartition("/")[2].replace("_", "-"))

    @staticmethod
    def no_instance(name):
        hint = "\ndid you mean “web”?" if name == "wbe" else ""
        return Failure("NotFound", "There is no instance “%s”.%s" % (name, hint))

    def register_name(self, name):
        """Calls find instances by a path with the name as well."""
        if path_of_name(name) not in self.names and re.fullmatch("[a-z][a-z0-9-]*", name):
            self.names.add(path_of_name(name))
            self.register(path_of_name(name), ["Instance"])

    def new_job(self, operation, description, delay=0, on_end=None, result=None):
        job = Job(len(self.jobs) + 1, operation, description)
        job.on_end = on_end
        self.jobs[job.path] = job
        self.register(job.path, ["Job"])
        if delay is not None:
            GLib.timeout_add(delay, job.end, "succeeded", result)
        return job

    def emit(self, kind, path, **details):
        self.sequence += 1
        self.connection.emit_signal(
            None, "/org/lodge1", "org.lodge1.Manager", "Event",
            GLib.Variant("(tsoa{sv})", (self.sequence, kind, path, row(**details))))

    # org.lodge1.Manager

    def manager_GetInstance(self, path, parameters, invocation):
        name = parameters[0]
        for instance in self.instances.values():
            if name in (instance.name, instance.uuid):
                invocation.return_value(GLib.Variant("(o)", (instance.path,)))
                return
        raise self.no_instance(name)

    def manager_ListInstances(self, path, parameters, invocation):
        options = parameters[0]
        rows = [i.row(options.get("usage", False)) for i in self.instances.values()
                if not (options.get("managed") and i.origin != "lodge")
                and options.get("kind", i.kind) == i.kind]
        many = int(os.environ.get("MOCK_MANY", "0"))
        rows += [Instance(100 + n, "many-%03d" % n, "container", "running",
                          address="10.91.1.%d" % n).row(False) for n in range(many)]
        invocation.return_value(GLib.Variant("(aa{sv})", (rows,)))

    def manager_CreateInstance(self, path, parameters, invocation):
        name, source, settings, options = parameters.unpack()
        name = name or "calm-otter-123"
        for key in settings["config"]:
            if key not in ("limits.memory", "limits.cpu"):
                raise Failure("InvalidConfig", "There is no configuration key “%s”.\n"
                              "did you mean “limits.memory”?" % key)
        if name in self.instances:
            raise Failure("AlreadyExists", "There is an instance “%s” already." % name)
        if source["image"] == "nothing/1":
            raise Failure("NotFound", "There is no image “nothing/1”.")
        instance = Instance(50 + len(self.instances), name, settings["kind"],
                            "running" if options.get("start") else "stopped",
                            config=settings["config"])

        def made():
            self.instances[name] = instance
            self.register(instance.path, ["Instance"])
            self.emit("instance-created", instance.path, name=name)

        job = self.new_job("instance-create", "Creating " + name, 10, made,
                           row(instance=GLib.Variant("o", instance.path), name=name))
        if settings["kind"] == "vm":
            job.notices = ["KVM does not work here, so the machine is emulated"]
        invocation.return_value(GLib.Variant("(o)", (job.path,)))

    def manager_ListJobs(self, path, parameters, invocation):
        rows = [row(id=j.number, path=GLib.Variant("o", j.path), operation=j.operation,
                    description=j.description, state=j.state, stage=j.stage, progress=j.progress,
                    uid=GLib.Variant("u", 0), started=1700000000, ended=0, error=j.error[1])
                for j in self.jobs.values()
                if j.state == "running" or parameters[0].get("all")]
        invocation.return_value(GLib.Variant("(aa{sv})", (rows,)))

    def manager_GetSchema(self, path, parameters, invocation):
        invocation.return_value(GLib.Variant("(s)", (
            '[{"key":"limits.cpu","type":"integer","default":"","kinds":["container","vm"],'
            '"live":true,"help":"how many processors it may use"},\n'
            '{"key":"limits.memory","type":"size","default":null,"kinds":["container","vm"],'
            '"live":true,"help":"the most memory, such as \\"1GiB\\" \\u2014 or none"}]',)))

    def manager_Reconcile(self, path, parameters, invocation):
        invocation.return_value(None)

    # org.lodge1.Images, org.lodge1.Image

    def image_properties(self):
        return {
            "Fingerprint": variant(FINGERPRINT), "Aliases": variant(self.aliases),
            "Kind": variant("container"), "Architecture": variant("x86_64"),
            "Description": variant("Debian 12"), "Properties": GLib.Variant("a{ss}", {"os": EVIL}),
            "Size": variant(123456789), "Source": variant("build:debian/12"),
            "CreatedAt": variant(1700000000), "LastUsedAt": variant(0), "UsedBy": variant(["web"]),
            "Cached": variant(True), "Pinned": variant(False), "AutoUpdate": variant(False),
            "ExpiresAt": GLib.Variant("t", 1700864000),
        }

    def images_ListImages(self, path, parameters, invocation):
        invocation.return_value(GLib.Variant("(aa{sv})", ([
            row(fingerprint=FINGERPRINT, aliases=self.aliases, kind="container",
                architecture="x86_64", description="Debian 12", size=123456789,
                created=1700000000, last_used=0, source="build:debian/12", used_by=["web"],
                expires=1700864000, cached=True, pinned=False, auto_update=False,
                path=GLib.Variant("o", self.image_path))],)))

    def images_GetImage(self, path, parameters, invocation):
        if parameters[0] not in self.aliases and not FINGERPRINT.startswith(parameters[0]):
            raise Failure("NotFound", "There is no image “%s”." % parameters[0])
        invocation.return_value(GLib.Variant("(o)", (self.image_path,)))

    def images_Pull(self, path, parameters, invocation):
        job = self.new_job("image-build", "Building", 10,
                           result=row(image=GLib.Variant("o", self.image_path),
                                      fingerprint=FINGERPRINT))
        invocation.return_value(GLib.Variant("(o)", (job.path,)))

    def images_Import(self, path, parameters, invocation):
        fds = invocation.get_message().get_unix_fd_list().steal_fds()
        with os.fdopen(fds[parameters.unpack()[0]["file"]], "rb") as stream:
            size = len(stream.read())
        job = self.new_job("image-import", "Importing", 10,
                           result=row(image=GLib.Variant("o", self.image_path),
                                      fingerprint="%064x" % size))
        invocation.return_value(GLib.Variant("(a{sh}o)", ({}, job.path)))

    def image_Customize(self, path, parameters, invocation):
        """Leaves what the files have in the log of calls."""
        fds = invocation.get_message().get_unix_fd_list()
        for fd in fds.steal_fds() if fds else ():
            with os.fdopen(fd, encoding="utf-8") as stream, \
                 open(os.path.join(WORK, "calls"), "a", encoding="utf-8") as calls:
                calls.write("file: " + stream.read())
        invocation.return_value(GLib.Variant("(o)", (self.new_job(
            "image-customize", "Customizing", 10, result=row(fingerprint=FINGERPRINT)).path,)))

    def image_Export(self, path, parameters, invocation):
        """Writes to each file what it is for, and the format."""
        fds = invocation.get_message().get_unix_fd_list().steal_fds()
        options = parameters.unpack()[0]
        for key in ("file", "root"):
            if key in options:
                with os.fdopen(fds[options[key]], "wb") as stream:
                    stream.write(("%s %s %s\n" % (key, options["format"],
                                                  options["compression"])).encode())
        invocation.return_value(GLib.Variant("(o)", (self.new_job(
            "image-export", "Exporting", 10, result=row(fingerprint=FINGERPRINT)).path,)))

    def image_SetAliases(self, path, parameters, invocation):
        self.aliases = parameters.unpack()[0]
        invocation.return_value(None)

    def image_SetFlags(self, path, parameters, invocation):
        invocation.return_value(None)

    def images_Refresh(self, path, parameters, invocation):
        if not parameters.unpack()[0]:
            invocation.return_value(GLib.Variant("(o)", ("/",)))
            return
        job = self.new_job("image-update", "Looking", 10)
        job.notices.append("debian/12 is up to date")
        invocation.return_value(GLib.Variant("(o)", (job.path,)))

    def images_Prune(self, path, parameters, invocation):
        path = "/"
        if not parameters.unpack()[0]["dry-run"]:
            path = self.new_job("image-prune", "Pruning", 10).path
        invocation.return_value(GLib.Variant("(aa{sv}a{sv}o)", ([
            row(fingerprint=FINGERPRINT, aliases=self.aliases, kind="container", size=123456789,
                last_used=1700000000, why="unused")],
            row(bytes=GLib.Variant("t", 123456789), downloads=GLib.Variant("u", 1),
                download_bytes=GLib.Variant("t", 1)), path)))

    def image_Delete(self, path, parameters, invocation):
        raise Failure("InUse", "The image debian/12 is in use by web.\ndelete web first")

    # org.lodge1.Remotes

    def remotes_List(self, path, parameters, invocation):
        invocation.return_value(GLib.Variant("(aa{sv})", ([
            row(name="build", protocol="build", url="", default=False),
            row(name="images", protocol="simplestreams", url="https://images.example.com",
                default=True)],)))

    def remotes_Add(self, path, parameters, invocation):
        if parameters[0] == "images":
            raise Failure("AlreadyExists", "There is a remote “images” already")
        invocation.return_value(None)

    def remotes_Remove(self, path, parameters, invocation):
        invocation.return_value(None)

    def remotes_SetDefault(self, path, parameters, invocation):
        invocation.return_value(None)

    def remotes_Refresh(self, path, parameters, invocation):
        invocation.return_value(GLib.Variant("(u)", (7,)))

    def remotes_ListImages(self, path, parameters, invocation):
        if parameters[0] == "nobody":
            raise Failure("NotFound", "There is no remote “nobody”")
        invocation.return_value(GLib.Variant("(aa{sv})", ([
            row(name="images:debian/12", aliases=["debian/12", EVIL], fingerprint=FINGERPRINT,
                kind="vm", architecture="amd64", serial="20260608_05:24", size=123456789,
                description="Debian " + EVIL, os="Debian", release="bookworm",
                variant="default")],)))

    # org.lodge1.Job

    def job_Wait(self, path, parameters, invocation):
        job = self.jobs[path]
        if job.state == "running":
            job.waiters.append(invocation)
        else:
            job.answer(invocation)

    def job_Cancel(self, path, parameters, invocation):
        job = self.jobs[path]
        if job.state == "running" and job.description != "Stubborn":
            job.end("cancelled", None, ("org.lodge1.Error.Cancelled",
                                        "%s was cancelled." % job.description))
        invocation.return_value(None)

    # org.lodge1.Instance

    def lifecycle(self, path, verb, state, invocation):
        instance = self.instance_at(path)
        if instance.state == state and verb != "Restart":
            raise Failure("InvalidState", "%s is %s already." % (instance.name, state))

        def done():
            instance.state = state
            self.emit("instance-state", path, name=instance.name, state=state)

        slow = instance.name == "slow" and verb == "Start"
        job = self.new_job("instance-" + verb.lower(), "%s of %s" % (verb, instance.name),
                           None if slow or instance.name == "broken" else 10, done)
        if instance.name == "broken":
            GLib.timeout_add(10, job.end, "failed", None,
                             ("org.lodge1.Error.NoSpace",
                              "There is no space left for %s." % instance.name))
        if instance.name == "notice":
            job.notices = ["this is " + EVIL]
        if slow:
            GLib.timeout_add(100, self.progress, job)
        invocation.return_value(GLib.Variant("(o)", (job.path,)))

    def progress(self, job):
        job.stage, job.progress = "waiting", min(1.0, max(job.progress, 0.0) + 0.25)
        self.connection.emit_signal(
            None, job.path, "org.freedesktop.DBus.Properties", "PropertiesChanged",
            GLib.Variant("(sa{sv}as)", ("org.lodge1.Job", {
                "Stage": variant(job.stage), "Progress": variant(job.progress)}, [])))
        return job.state == "running"

    def instance_Start(self, path, parameters, invocation):
        self.lifecycle(path, "Start", "running", invocation)

    def instance_Stop(self, path, parameters, invocation):
        self.lifecycle(path, "Stop", "stopped", invocation)

    def instance_Restart(self, path, parameters, invocation):
        self.lifecycle(path, "Restart", "running", invocation)

    def instance_Eject(self, path, parameters, invocation):
        job = self.new_job("instance-eject", "Ejecting", 10)
        invocation.return_value(GLib.Variant("(o)", (job.path,)))

    def instance_Pause(self, path, parameters, invocation):
        self.lifecycle(path, "Pause", "paused", invocation)

    def instance_Resume(self, path, parameters, invocation):
        self.lifecycle(path, "Resume", "running", invocation)

    def instance_Rename(self, path, parameters, invocation):
        instance, name = self.instance_at(path), parameters[0]

        def done():
            del self.instances[instance.name]
            instance.name = name
            self.instances[name] = instance

        job = self.new_job("instance-rename", "Renaming", 10, done)
        invocation.return_value(GLib.Variant("(o)", (job.path,)))

    def instance_Delete(self, path, parameters, invocation):
        instance = self.instance_at(path)
        if instance.state != "stopped" and not parameters.unpack()[0].get("force"):
            raise Failure("InvalidState", "%s is running.\nstop it, or delete it with --force"
                          % instance.name)
        job = self.new_job("instance-delete", "Deleting", 10,
                           lambda: self.instances.pop(instance.name, None))
        invocation.return_value(GLib.Variant("(o)", (job.path,)))

    def instance_GetUsage(self, path, parameters, invocation):
        if self.instance_at(path).state != "running":
            raise Failure("InvalidState", "It is not running.")
        invocation.return_value(GLib.Variant("(a{sv})", (row(
            cpu_ns=1500000000, memory=12582912, memory_limit=209715200, processes=7, uptime=3723,
            networks=GLib.Variant("a{sa{sv}}", {
                "eth0": row(rx_bytes=2048, tx_bytes=1024)})),)))

    def instance_GetXml(self, path, parameters, invocation):
        invocation.return_value(GLib.Variant("(s)", (
            "<domain>\n  <name>%s</name>\n</domain>\n" % self.instance_at(path).name,)))

    def instance_Exec(self, path, parameters, invocation):
        user, argv, environment, options = parameters.unpack()
        given = invocation.get_message().get_unix_fd_list()
        # The list would keep the caller's pipes open for as long as Python keeps the message.
        given = given.steal_fds() if given else []
        try:
            running = self.instance_at(path).state == "running"
        except Failure:
            running = None
        if not running:
            for fd in given:
                os.close(fd)
        self.instance_at(path)
        if not running:
            raise Failure("InvalidState", "%s is not running.\nstart it with “lodge start %s”"
                          % (self.instance_at(path).name, self.instance_at(path).name))
        if user == "late":
            time.sleep(1)
        out, streams, files = Gio.UnixFDList.new(), {}, []
        if options.get("tty"):
            master, slave = os.openpty()
            files, streams["pty"] = [slave] * 3, out.append(master)
            mockfiles.set_size(master, options["rows"], options["columns"])
            os.close(master)
        for index, name in enumerate(("stdin", "stdout", "stderr") if not files else ()):
            if name in options:
                files.append(given[options[name]])
                continue
            ends = os.pipe()
            mine, theirs = ends if index == 0 else (ends[1], ends[0])
            files.append(mine)
            streams[name] = out.append(theirs)
            os.close(theirs)
        process = self.spawn(argv or ["sh"], environment, options, files)
        Gio.bus_watch_name_on_connection(self.connection, invocation.get_sender(),
                                         Gio.BusNameWatcherFlags.NONE, None,
                                         lambda *_: process.hang_up())
        for fd in set(files):
            os.close(fd)
        invocation.return_value_with_unix_fd_list(
            GLib.Variant("(a{sh}o)", (streams, process.path)), out)

    def spawn(self, argv, environment, options, files):
        def become():
            os.setsid()
            if options.get("tty"):
                mockfiles.take_terminal(0)

        try:
            popen = subprocess.Popen(
                argv, stdin=files[0], stdout=files[1], stderr=files[2], preexec_fn=become,
                cwd=options.get("cwd"), env={"PATH": os.environ["PATH"], **environment})
        except FileNotFoundError:
            popen = subprocess.Popen(["sh", "-c", "exit 127"])
        process = Process(len(self.processes) + 1, popen)
        self.processes[process.path] = process
        self.register(process.path, ["Process"])

        def watch():
            popen.wait()
            GLib.idle_add(process.ended)

        threading.Thread(target=watch, daemon=True).start()
        return process

    def instance_OpenConsole(self, path, parameters, invocation):
        ours, theirs = socket.socketpair()
        threading.Thread(target=mockfiles.serve_console, args=(ours,), daemon=True).start()
        self.return_fd(invocation, theirs.detach())

    def instance_GetConsoleLog(self, path, parameters, invocation):
        fd = os.memfd_create("log")
        os.write(fd, b"booting\r\nred \x1b[31m text \x1b]52;c;aGk=\x07\n\xff\x00end\n\tlast")
        os.lseek(fd, 0, os.SEEK_SET)
        self.return_fd(invocation, fd)

    def instance_OpenFiles(self, path, parameters, invocation):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        threading.Thread(target=mockfiles.serve_files, args=(ours, self.root),
                         daemon=True).start()
        self.return_fd(invocation, theirs.detach())

    @staticmethod
    def return_fd(invocation, fd):
        out = Gio.UnixFDList.new()
        handle = out.append(fd)
        os.close(fd)
        invocation.return_value_with_unix_fd_list(GLib.Variant("(h)", (handle,)), out)

    # org.lodge1.Process

    def process_Wait(self, path, parameters, invocation):
        process = self.processes[path]
        if process.status is None:
            process.waiters.append(invocation)
        else:
            invocation.return_value(GLib.Variant("(ii)", process.status))

    def process_Signal(self, path, parameters, invocation):
        os.killpg(self.processes[path].popen.pid, parameters[0])
        invocation.return_value(None)

    def process_Resize(self, path, parameters, invocation):
        invocation.return_value(None)


def main():
    connection = Gio.DBusConnection.new_for_address_sync(
        os.environ["LODGE_BUS_ADDRESS"],
        Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT
        | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
    mock = Mock(connection)
    Gio.bus_own_name_on_connection(connection, "org.lodge1", Gio.BusNameOwnerFlags.NONE,
                                   lambda *_: print("ready", flush=True), None)
    assert mock
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
