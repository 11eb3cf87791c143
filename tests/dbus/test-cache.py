#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The cache of images: what is updated and expires by itself, what stays, and what a kill, a cancel
and a full disk leave of it."""
import os
import signal
import subprocess
import time

import lodgetest
from lodgetest import DBusError, ROOT, options, variant, wait_until
from servertest import ServerTest, streams, webserver

LARGE = "/images/large/1/amd64/" + streams.SERIAL + "/rootfs.tar.xz"


class CacheTest(ServerTest):
    serial = 20260700

    @classmethod
    def configure(cls, *lines, **kwargs):
        """Starts lodged anew, with this configuration."""
        path = cls.host.dir + "/lodged.conf"
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(["[images]", *lines, ""]))
        if cls.host.lodged is not None and cls.host.lodged.poll() is None:
            cls.host.stop_lodged()
        cls.host.start_lodged("--libexec-dir", cls.host.dir + "/libexec", "--config", path, **kwargs)

    @classmethod
    def start(cls):
        cls.configure()

    def setUp(self):
        super().setUp()
        self.drop_downloads()
        self.refresh("lab")
        self.addCleanup(self.delete_instances)

    def delete_instances(self):
        for name in self.client.list():
            self.client.verb(self.client.find(name), "Delete", force=True)

    def new_version(self, alias="testix/1"):
        """Returns the fingerprint."""
        CacheTest.serial += 1
        found = self.tree.add([alias] if alias != "testix/1" else ["testix/1", "testix/one"],
                              streams.make_rootfs(f"Version {self.serial}"),
                              serial=f"{self.serial}_05:24")
        self.tree.publish()
        return found["container"]

    def by_alias(self, alias):
        for image in self.images():
            if alias in image["aliases"]:
                return image
        return None

    def fingerprint_of(self, alias):
        image = self.by_alias(alias)
        return image and image["fingerprint"]

    def present(self):
        return {image["fingerprint"] for image in self.images()}

    def set_flags(self, image, **flags):
        self.client.call(image["path"], "Image", "SetFlags", variant("(a{sb}a{sv})", (
            {name.replace("_", "-"): value for name, value in flags.items()}, {})))

    def set_aliases(self, image, *aliases):
        self.client.call(image["path"], "Image", "SetAliases",
                         variant("(asa{sv})", (list(aliases), {})))

    def refresh_images(self, *refs, **opts):
        return self.client.call(ROOT, "Images", "Refresh",
                                variant("(asa{sv})", (list(refs), options(**opts))))

    def prune(self, **opts):
        rows, summary, job = self.client.call(ROOT, "Images", "Prune",
                                              variant("(a{sv})", (options(**opts),)))
        if job != "/":
            self.client.job_wait(job)
        return {row["fingerprint"]: row["why"] for row in rows}, summary

    def clean(self):
        """Nothing but a partial download may be left."""
        wait_until(lambda: self.staging() == [], what="nothing staged")
        wait_until(lambda: os.listdir(self.host.dir + "/state/trash") == [], what="no trash")
        wait_until(lambda: set(os.listdir(self.host.dir + "/state/images")) == self.present(),
                   what="the files of the images and no others")


@lodgetest.needs_root
class Cache(CacheTest):
    """One host for all: it is the images and the server that take time to make."""

    # ---- image refresh

    def test_a_newer_version_takes_the_name(self):
        self.fetch("lab:testix/1")
        old = self.fingerprint_of("lab:testix/1")
        job = self.refresh_images("lab:testix/1")
        self.client.job_wait(job)
        self.assertIn("up to date", self.client.get(job, "Job", "Notices")[0])
        self.assertEqual(self.fingerprint_of("lab:testix/1"), old)
        self.client.launch("one", image="lab:testix/1")
        new = self.new_version()
        job = self.refresh_images()
        self.client.job_wait(job, timeout=60)
        self.assertIn(new[:12], self.client.get(job, "Job", "Notices")[0])
        self.assertEqual(self.fingerprint_of("lab:testix/1"), new)
        # The old one is in use: it stays, nameless, until its last instance goes.
        self.assertIn(old, self.present())
        kept = [image for image in self.images() if image["fingerprint"] == old][0]
        self.assertEqual((kept["aliases"], kept["used-by"], kept["expires"]), ([], ["one"], 0))
        self.assertEqual(self.prune(dry_run=True)[0][new], "unused")
        self.assertNotIn(old, self.prune()[0])
        self.assertIn(old, self.present())
        self.client.verb(self.client.find("one"), "Delete", force=True)
        wait_until(lambda: old not in self.present(), what="the old image to go")
        self.clean()

    def test_no_name_and_no_remote(self):
        self.fetch("lab:testix/1")
        path = self.web + "/own.tar.xz"
        with open(path, "wb") as file:
            file.write(streams.make_rootfs("Own"))
        with open(path, "rb") as file:
            _, job = self.client.call_fds(ROOT, "Images", "Import", variant("(a{sv})", ({
                "file": variant("h", 0), "aliases": variant("as", ["own"])},)), fds=(file.fileno(),))[0]
        self.client.job_wait(job, timeout=60)
        self.assertFails("InvalidState", self.refresh_images, "own", says="no name under which")
        self.assertFails("NotFound", self.refresh_images, "nothing")
        self.assertFails("InvalidArgument", self.refresh_images, "own", x=True)
        self.assertFails("InvalidState", self.set_flags, self.by_alias("own"), auto_update=True)
        self.assertFails("InvalidArgument", self.set_flags, self.by_alias("own"), hook=True)

    def test_a_failure(self):
        self.fetch("lab:testix/1")
        self.new_version()
        self.server.set_manners({"/streams/v1/index.json": {"status": 500}})
        with self.assertRaises(DBusError) as caught:
            self.client.job_wait(self.refresh_images("lab:testix/1"))
        self.assertEqual(caught.exception.nick, "Download")
        self.assertIsNotNone(self.fingerprint_of("lab:testix/1"))
        self.clean()

    def test_one_content_of_two_remotes(self):
        self.add_remote(self.client, "other")
        self.drop_downloads()
        self.fetch("lab:large/1")
        self.server.requests()
        self.fetch("other:large/1")
        image = self.by_alias("other:large/1")
        self.assertEqual(image["aliases"], ["lab:large/1", "other:large/1"])
        self.assertFalse([line for line in self.server.requests() if LARGE in line])
        # Two that pull at once, by two names.
        self.client.job_wait(self.client.call(image["path"], "Image", "Delete",
                                              variant("(a{sv})", ({},))))
        self.server.set_manners({LARGE: {"rate": 20 << 20}})
        jobs = [self.pull("lab:large/1"), self.pull("other:large/1")]
        for job in jobs:
            self.client.job_wait(job, timeout=60)
        self.assertEqual(len([line for line in self.server.requests() if LARGE in line]), 1)
        self.assertEqual(self.by_alias("lab:large/1")["aliases"], ["lab:large/1", "other:large/1"])
        self.client.call(ROOT, "Remotes", "Remove", variant("(sa{sv})", ("other", {})))

    # ---- image prune

    def test_what_stays(self):
        kinds = ("used", "pinned", "named", "loose")
        for number, _ in enumerate(kinds):
            self.tree.add([f"p/{number}"], streams.make_rootfs(f"Prune {number}"))
        self.tree.publish()
        self.refresh("lab")
        found = {}
        for number, kind in enumerate(kinds):
            self.fetch(f"lab:p/{number}")
            found[kind] = self.by_alias(f"lab:p/{number}")
        self.client.launch("one", image="lab:p/0")
        self.set_flags(found["pinned"], pinned=True)
        self.set_aliases(found["named"], "lab:p/2", "mine")
        self.server.set_manners({LARGE: {"stop-always": 1 << 20}})
        with self.assertRaises(DBusError):
            self.fetch("lab:large/1")
        # The metadata, which is whole, and a part of the root.
        sizes = [os.path.getsize(f"{self.host.dir}/state/downloads/{name}")
                 for name in self.downloads()]
        self.assertEqual(len(sizes), 2)

        rows, summary = self.prune(dry_run=True)
        loose = found["loose"]["fingerprint"]
        fake = {row for row in rows if set(row) <= set("ab")}
        self.assertEqual(set(rows) - fake, {loose})
        self.assertEqual((summary["downloads"], summary["download-bytes"]), (2, sum(sizes)))
        self.assertEqual(summary["bytes"], sum(image["size"] for image in self.images()
                                               if image["fingerprint"] in rows))
        self.assertIn(loose, self.present())
        self.assertEqual(len(self.downloads()), 2)
        before = self.present()
        self.assertEqual(self.prune()[0], rows)
        self.assertEqual(self.present(), before - set(rows))
        self.assertEqual(self.downloads(), [])
        self.assertEqual(self.prune(), ({}, {"bytes": 0, "downloads": 0, "download-bytes": 0}))
        # What was in use goes with its last instance only when no name leads to it.
        used = self.by_alias("lab:p/0")
        self.set_aliases(used)
        self.assertIn(used["fingerprint"], self.present())
        self.client.verb(self.client.find("one"), "Delete", force=True)
        wait_until(lambda: used["fingerprint"] not in self.present(), what="the image to go")
        self.clean()

    def test_what_is_being_downloaded_stays(self):
        self.server.set_manners({LARGE: {"rate": 4 << 20}})
        job = self.pull("lab:large/1")
        wait_until(lambda: self.client.get(job, "Job", "BytesDone") > 0, what="progress")
        self.assertEqual(self.prune()[1]["downloads"], 0)
        self.client.job_wait(job, timeout=60)
        self.assertEqual(self.prune()[1]["downloads"], 0)

    # ---- by itself, with intervals of a second

    def test_update(self):
        self.addCleanup(self.start)
        self.configure("auto_update_interval=1s")
        self.client = self.host.client()
        self.new_version("pin/2")
        self.refresh("lab")
        for ref in ("lab:testix/1", "lab:testix/one", "lab:pin/2"):
            self.fetch(ref)
        old = self.fingerprint_of("lab:testix/1")
        large = self.by_alias("lab:pin/2")
        self.set_flags(large, pinned=True)
        self.new_version("pin/2")
        new = self.new_version()
        wait_until(lambda: self.fingerprint_of("lab:testix/1") == new, 60, what="the update")
        wait_until(lambda: self.fingerprint_of("lab:testix/one") == new, 60, what="the other name")
        wait_until(lambda: old not in self.present(), what="the old one to go")
        self.assertEqual(self.fingerprint_of("lab:pin/2"), large["fingerprint"])
        self.set_flags(large, pinned=False, auto_update=False)
        self.new_version()
        wait_until(lambda: self.fingerprint_of("lab:testix/1") != new, 60, what="the next update")
        self.assertEqual(self.fingerprint_of("lab:pin/2"), large["fingerprint"])
        self.clean()

    def test_a_launch_does_not_wait(self):
        self.addCleanup(self.start)
        self.configure("auto_update_interval=1s")
        self.client = self.host.client()
        self.fetch("lab:testix/1")
        old = self.fingerprint_of("lab:testix/1")
        new = self.new_version()
        self.server.requests()
        path = f"/images/testix/1/amd64/{self.serial}_05:24/rootfs.tar.xz"
        self.server.set_manners({path: {"stall": 100}})
        wait_until(lambda: any(path in line for line in self.server.requests()), 60, what="a request")
        start = time.monotonic()
        self.client.launch("one", image="lab:testix/1")
        self.assertLess(time.monotonic() - start, 10)
        self.assertEqual([image["used-by"] for image in self.images()
                          if image["fingerprint"] == old], [["one"]])
        # Killed in the middle, it leaves what can be resumed, and the next one goes on from it.
        self.host.stop_lodged(signal.SIGKILL)
        self.server.set_manners({})
        self.configure("auto_update_interval=1s")
        self.client = self.host.client()
        wait_until(lambda: self.fingerprint_of("lab:testix/1") == new, 60, what="the update")
        self.delete_instances()
        wait_until(lambda: old not in self.present(), what="the old one to go")
        self.clean()

    def test_failures_are_quiet(self):
        self.addCleanup(self.start)
        self.fetch("lab:testix/1")
        old = self.fingerprint_of("lab:testix/1")
        self.server.set_manners({"/streams/v1/index.json": {"status": 500}})
        self.configure("auto_update_interval=1s")
        self.client = self.host.client()
        begin = len(self.host.log().splitlines())

        def tries():
            return len([line for line in self.server.requests() if "index.json" in line])
        wait_until(tries, 30, what="a try")
        time.sleep(4)
        # After 1, 2, 4 … seconds.
        self.assertLessEqual(tries(), 3)
        lines = [line for line in self.host.log().splitlines()[begin:] if line.strip()]
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("lab", lines[0])
        self.assertEqual(self.fingerprint_of("lab:testix/1"), old)

    def test_expiry(self):
        self.addCleanup(self.start)
        self.tree.add(["pin/1"], streams.make_rootfs("To be pinned"))
        self.tree.publish()
        self.configure("auto_update_interval=0")
        self.client = self.host.client()
        self.refresh("lab")
        self.fetch("lab:testix/1")
        self.fetch("lab:large/1")
        self.fetch("lab:pin/1")
        self.client.launch("one", image="lab:testix/1")
        used, loose = self.by_alias("lab:testix/1"), self.by_alias("lab:large/1")
        pinned = self.by_alias("lab:pin/1")
        self.set_flags(pinned, pinned=True)
        self.assertEqual(used["expires"], 0)
        ten_days = loose["expires"] - int(time.time())
        self.assertTrue(10 * 86400 - 120 < ten_days <= 10 * 86400, ten_days)
        self.assertEqual(self.client.get(loose["path"], "Image", "Cached"), True)
        self.configure("auto_update_interval=0", "remote_cache_expiry=1s")
        self.client = self.host.client()
        wait_until(lambda: self.by_alias("lab:large/1") is None, 60, what="the image to expire")
        self.assertIsNotNone(self.by_alias("lab:testix/1"))
        self.assertIsNotNone(self.by_alias("lab:pin/1"))
        self.delete_instances()
        wait_until(lambda: self.by_alias("lab:testix/1") is None, 60, what="the other one, too")
        self.clean()

    # ---- the way to the servers

    def test_the_proxy_of_the_configuration(self):
        """Whatever the environment says; a remote's own goes before it."""
        self.addCleanup(self.start)
        proxy, own = webserver.Proxy(), webserver.Proxy()
        self.addCleanup(lambda: (proxy.shutdown(), own.shutdown()))
        self.configure("proxy=" + proxy.url, env={
            name: "http://127.0.0.1:1" for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY")})
        self.client = self.host.client()
        wanted = "CONNECT localhost:%d" % self.server.server_port
        self.refresh("lab")
        self.assertEqual(set(proxy.asked), {wanted})
        del proxy.asked[:]
        self.fetch("lab:testix/1")
        self.assertEqual(set(proxy.asked), {wanted})
        del proxy.asked[:]
        self.add_remote(self.client, "other", proxy=own.url)
        self.refresh("other")
        self.client.call(ROOT, "Remotes", "Remove", variant("(sa{sv})", ("other", {})))
        self.assertEqual((proxy.asked, set(own.asked)), ([], {wanted}))

    # ---- what is stopped in the middle leaves a partial download, or nothing

    def begin_update(self):
        """Returns the job, which has come to the middle of a download, and its path."""
        self.tree.add(["cut/1"], streams.make_rootfs("Small"), serial=f"{self.serial + 1}_05:24")
        self.tree.publish()
        self.refresh("lab")
        self.fetch("lab:cut/1")
        CacheTest.serial += 2
        self.tree.add(["cut/1"], streams.make_rootfs("Larger", 3 << 20),
                      serial=f"{self.serial}_05:24")
        self.tree.publish()
        path = f"/images/cut/1/amd64/{self.serial}_05:24/rootfs.tar.xz"
        self.server.set_manners({path: {"rate": 2 << 20}})
        job = self.refresh_images("lab:cut/1")
        wait_until(lambda: self.client.get(job, "Job", "BytesDone") > 256 << 10, 30, what="progress")
        return job, path

    def resume(self, path):
        self.assertEqual(len(self.downloads()), 2)
        self.server.set_manners({})
        self.server.requests()
        old = self.fingerprint_of("lab:cut/1")
        self.client.job_wait(self.refresh_images("lab:cut/1"), timeout=60)
        asked = [line for line in self.server.requests() if path in line]
        self.assertEqual([line.split()[-1] for line in asked], ["206"], asked)
        self.assertNotEqual(self.fingerprint_of("lab:cut/1"), old)
        self.assertEqual(self.downloads(), [])
        self.clean()

    def test_cancel(self):
        job, path = self.begin_update()
        self.client.call(job, "Job", "Cancel", variant("(a{sv})", ({},)))
        with self.assertRaises(DBusError) as caught:
            self.client.job_wait(job)
        self.assertEqual(caught.exception.nick, "Cancelled")
        self.clean()
        self.resume(path)

    def test_kill(self):
        _, path = self.begin_update()
        self.host.stop_lodged(signal.SIGKILL)
        self.start()
        self.client = self.host.client()
        wait_until(lambda: self.staging() == [], what="nothing staged")
        self.clean()
        self.resume(path)

    def test_full_disk(self):
        state = self.host.dir + "/state"
        self.host.stop_lodged()
        saved = state + ".saved"
        os.rename(state, saved)
        os.mkdir(state)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=290m,mode=711", "lodge-test", state],
                          check=False).returncode != 0:
            os.rmdir(state)
            os.rename(saved, state)
            self.start()
            self.skipTest("no file system can be mounted here")
        try:
            self.host.start_lodged("--libexec-dir", self.host.dir + "/libexec")
            self.client = self.host.client()
            self.add_remote(self.client, "lab")
            images = self.present()
            free = os.statvfs(state)
            with open(state + "/filling", "wb") as file:
                os.posix_fallocate(file.fileno(), 0,
                                   free.f_bavail * free.f_frsize - (260 << 20))
            with self.assertRaises(DBusError) as caught:
                self.fetch("lab:large/1")
            self.assertEqual(caught.exception.nick, "NoSpace", caught.exception.message)
            self.assertEqual(self.present(), images)
            self.clean()
            # What is left can be used again, or was nothing.
            os.unlink(state + "/filling")
            self.fetch("lab:large/1")
            self.assertEqual(self.downloads(), [])
        finally:
            self.host.stop_lodged()
            subprocess.run(["umount", state], check=True)
            os.rmdir(state)
            os.rename(saved, state)
            self.start()


@lodgetest.needs_root
class Configuration(lodgetest.HostTest):

    def start(self):
        self.host.start_lodged()

    def starts_with(self, path):
        """What lodged says instead of starting; None when it starts."""
        if self.host.lodged.poll() is None:
            self.host.stop_lodged()
        log = self.host.dir + "/log"
        begin = os.path.getsize(log)
        lodged = self.host.spawn_lodged("--config", path)
        try:
            lodged.wait(timeout=30)
        except subprocess.TimeoutExpired:
            lodged.terminate()
            lodged.wait()
            return None
        self.assertEqual(lodged.returncode, 1)
        with open(log, encoding="utf-8", errors="replace") as file:
            file.seek(begin)
            said = file.read()
        # What is expected here is a complaint at the end.
        os.truncate(log, begin)
        return said

    def write(self, text, mode=0o644):
        path = self.host.dir + "/own.conf"
        if os.path.lexists(path):
            os.unlink(path)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def test_C08_who_can_write_it(self):
        self.addCleanup(self.start)
        good = "[images]\nremote_cache_expiry=3\n"
        self.assertIn("written by others", self.starts_with(self.write(good, 0o666)))
        self.assertIn("written by others", self.starts_with(self.write(good, 0o664)))
        path = self.write(good)
        os.chown(path, 65534, 65534)
        self.assertIn("another user", self.starts_with(path))
        real = self.write(good)
        link = self.host.dir + "/link.conf"
        os.symlink(real, link)
        self.assertIn("symbolic link", self.starts_with(link))
        self.assertIn("not a regular file", self.starts_with("/dev/null"))
        self.assertIn("cannot be read", self.starts_with(self.host.dir + "/none.conf"))

    def test_C08_what_it_says(self):
        self.addCleanup(self.start)
        for text, says in (("[images]\nremote_cache_expire=3\n", "remote_cache_expiry"),
                           ("[images]\nremote_cache_expiry=-1\n", "remote_cache_expiry"),
                           ("[images]\nremote_cache_expiry=many\n", "remote_cache_expiry"),
                           ("[images]\nauto_update_interval=1e9\n", "auto_update_interval"),
                           ("[images]\nremote_cache_expiry=99999999999999999999\n", "expiry"),
                           ("[images]\nproxy=file:///etc/shadow\n", "proxy"),
                           ("[hooks]\nstart=/bin/sh\n", "no key"),
                           ("remote_cache_expiry\n", "own.conf"),
                           ("\0" * 100, "own.conf"),
                           ("#" * (65 << 10), "")):
            said = self.starts_with(self.write(text))
            self.assertIsNotNone(said, text)
            self.assertIn(says, said)


if __name__ == "__main__":
    lodgetest.main()
