#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images of servers, from the index to the instance: the real helpers, a real web server with TLS."""
import os
import signal
import subprocess
import time

import lodgetest
from lodgetest import DBusError, ROOT, options, variant, wait_until
from servertest import ServerTest, streams, webserver


@lodgetest.needs_root
class Remotes(ServerTest):

    def test_what_is_shipped(self):
        remotes = self.remotes()
        self.assertEqual(remotes["images"]["url"], "https://images.linuxcontainers.org")
        self.assertEqual(remotes["ubuntu"]["protocol"], "simplestreams")
        self.assertEqual(remotes["build"]["protocol"], "build")
        self.assertTrue(remotes["build"]["default"])

    def test_names_and_addresses(self):
        def add(name, url, **opts):
            self.client.call(ROOT, "Remotes", "Add",
                             variant("(ssa{sv})", (name, url, options(**opts))))
        for name in ("", "A", "a b", "../x", "a/b", "a:b", "-a", "x" * 33, "ä", "a\n"):
            self.assertFails("InvalidName", add, name, "https://x.example")
        for url in ("", "x", "file:///etc/shadow", "http://x.example", "https://", "https:///x",
                    "https://u:p@x.example", "https://u@x.example", "https://x.example/#y",
                    "https://x.example/?a=b", "https://x example", "https://x\n", "ftp://x.example",
                    "https://" + "x" * 2000, "HTTPS//x", "https://x.example/\x7f", "https://ä.example"):
            self.assertFails("InvalidArgument", add, "bad", url)
        self.assertFails("InvalidArgument", add, "bad", "https://x.example", protocol="ftp")
        self.assertFails("NotSupported", add, "bad", "https://x.example", protocol="build")
        self.assertFails("InvalidArgument", add, "bad", "https://x.example", proxy="x\r\ny")
        self.assertFails("InvalidArgument", add, "bad", "https://x.example",
                         mirrors=variant("as", ["http://y"]))
        self.assertFails("LimitExceeded", add, "bad", "https://x.example",
                         mirrors=variant("as", ["https://y.example"] * 20))
        self.assertFails("InvalidArgument", add, "bad", "https://x.example",
                         authority=variant("ay", b""))
        self.assertFails("AlreadyExists", add, "images", "https://x.example")
        self.assertNotIn("bad", self.remotes())

    def test_removal_and_default(self):
        def change(method, name):
            self.client.call(ROOT, "Remotes", method, variant("(sa{sv})", (name, {})))
        self.add_remote(self.client, "gone")
        self.browse("gone")
        change("Remove", "gone")
        self.assertFails("NotFound", change, "Remove", "gone")
        self.assertFails("NotFound", self.browse, "gone")
        self.assertFalse(os.path.exists(self.host.dir + "/state/remotes/gone.ca"))
        self.assertFails("InvalidArgument", change, "Remove", "build")
        self.assertFails("NotFound", change, "SetDefault", "gone", says="no remote")
        change("Remove", "ubuntu")
        self.assertNotIn("ubuntu", self.remotes())
        self.host.stop_lodged()
        self.start()
        self.client = self.host.client()
        self.assertNotIn("ubuntu", self.remotes())
        self.assertIn("lab", self.remotes())
        self.assertTrue(self.remotes()["build"]["default"])
        change("SetDefault", "lab")
        self.assertFails("InvalidArgument", change, "Remove", "lab", says="default")
        change("SetDefault", "build")
        self.client.call(ROOT, "Remotes", "Add", variant("(ssa{sv})", (
            "ubuntu", "https://cloud-images.ubuntu.com/releases", {})))

    def test_browsing(self):
        names = [(row["name"], row["kind"], row["architecture"]) for row in self.browse("lab")]
        self.assertEqual(names, [("lab:large/1", "container", "amd64"),
                                 ("lab:testix/1", "container", "amd64"),
                                 ("lab:testix/1", "vm", "amd64")])
        self.assertEqual(len(self.browse("lab", architecture="all")), 4)
        self.assertEqual(len(self.browse("lab", architecture="arm64")), 1)
        self.assertEqual(len(self.browse("lab", kind="vm")), 1)
        for words, n in (("testix", 2), ("one", 2), ("nothing", 0), ("release=one", 3),
                         ("kind=vm", 1), ("os=TESTIX", 3)):
            self.assertEqual(len(self.browse("lab", filter=variant("as", [words]))), n, words)
        vm = self.browse("lab", kind="vm")[0]
        self.assertEqual(vm["fingerprint"], self.fingerprints["vm"])
        self.assertEqual(vm["serial"], streams.SERIAL)
        # Fresh: the server is not asked again, nor is a file sent again that has not changed.
        self.assertLessEqual(len(self.server.requests()), 2)
        self.refresh("lab")
        self.assertEqual([line.split()[-1] for line in self.server.requests()], ["304", "304"])
        recipes = {(row["name"], row["kind"]): row for row in self.browse("build")}
        self.assertIn(("build:debian/12", "vm"), recipes)
        self.assertIn(("build:debian/12/minimal", "vm"), recipes)

    def test_builds_for_other_architectures(self):
        """They are named like those of other servers; a disk is only made for this host's."""
        foreign = "arm64" if os.uname().machine == "x86_64" else "amd64"
        rows = self.browse("build", architecture=foreign)
        self.assertIn("build:debian/12/" + foreign, [row["name"] for row in rows])
        self.assertEqual({row["kind"] for row in rows}, {"container"})
        self.assertFails("NotSupported", self.fetch, "build:debian/12/" + foreign, kind="vm",
                         says="not for " + foreign)

    def test_what_both_kinds_share_is_an_alias(self):
        container = self.fetch("lab:testix/1")
        disk = self.fetch("lab:testix/1", kind="vm")
        self.assertEqual(container["fingerprint"], self.fingerprints["container"])
        self.assertEqual(disk["fingerprint"], self.fingerprints["vm"])
        rows = {row["kind"]: row for row in self.images() if "lab:testix/1" in row["aliases"]}
        self.assertEqual(sorted(rows), ["container", "vm"])
        self.assertEqual(self.downloads(), [])
        self.assertEqual(self.staging(), [])
        # Here already: nobody is asked, whatever happens to the server.
        self.server.requests()
        self.assertEqual(self.fetch("lab:testix/1"), container)
        path = self.client.launch("one", image="lab:testix/1")
        self.assertEqual(self.client.get(path, "Instance", "Image"), "lab:testix/1")
        self.client.launch("two", image="lab:testix/1", kind="vm")
        self.assertEqual(self.server.requests(), [])
        # Another name of the same image is no other image.
        self.assertEqual(self.fetch("lab:testix/one"), container)
        self.assertEqual(self.server.requests(), [])
        for name in ("one", "two"):
            self.client.verb(self.client.find(name), "Delete", force=True)

    def test_what_is_not_there(self):
        self.assertFails("NotFound", self.fetch, "lab:testix/2", says="testix/1")
        self.assertFails("NotFound", self.pull, "labb:testix/1")
        self.assertFails("NotFound", self.client.create, "x", image="labb:testix/1")
        self.assertFails("NotFound", self.pull, "nothing/1")
        self.assertEqual(self.staging(), [])

    def test_two_callers_share_a_download(self):
        large = "images/large/1/amd64/" + streams.SERIAL + "/rootfs.tar.xz"
        self.server.set_manners({"/" + large: {"rate": 8 << 20}})
        other = self.host.client()
        jobs = [self.pull("lab:large/1"), self.pull("lab:large/1", client=other),
                self.client.create("shared", image="lab:large/1", start=False)]
        results = [self.client.job_wait(job, timeout=60) for job in jobs]
        self.assertEqual(results[0]["fingerprint"], results[1]["fingerprint"])
        self.assertEqual(len([l for l in self.server.requests() if large in l]), 1)
        self.client.verb(self.client.find("shared"), "Delete", force=True)

    def begin_slow(self):
        """A pull of the large image of which some has come; returns (job, path)."""
        path = "/images/large/1/amd64/" + streams.SERIAL + "/rootfs.tar.xz"
        self.server.set_manners({path: {"rate": 2 << 20}})
        job = self.pull("lab:large/1")

        def some_has_come():
            return [n for n in self.downloads()
                    if os.path.getsize(f"{self.host.dir}/state/downloads/{n}") > 500000]
        wait_until(some_has_come, what="a part of the download")
        return job, path

    def resumed(self, path):
        self.server.set_manners({})
        self.server.requests()
        self.fetch("lab:large/1")
        ours = [line for line in self.server.requests() if path in line]
        self.assertEqual(len(ours), 1)
        self.assertRegex(ours[0], r" bytes=[0-9]{6,}- 206$")
        self.assertEqual(self.downloads(), [])

    def test_cancel_keeps_what_has_come(self):
        job, path = self.begin_slow()
        self.client.call(job, "Job", "Cancel", variant("(a{sv})", ({},)))
        self.assertFails("Cancelled", self.client.job_wait, job)
        self.assertEqual(self.staging(), [])
        self.assertTrue(self.downloads())
        self.resumed(path)

    def test_kill_keeps_what_has_come(self):
        _, path = self.begin_slow()
        self.host.stop_lodged(signal.SIGKILL)
        before = self.downloads()
        time.sleep(0.5)
        sizes = [os.path.getsize(f"{self.host.dir}/state/downloads/{n}") for n in before]
        time.sleep(0.5)
        self.assertEqual(sizes, [os.path.getsize(f"{self.host.dir}/state/downloads/{n}")
                                 for n in before], "the helper goes on")
        self.start()
        self.client = self.host.client()
        wait_until(lambda: self.staging() == [], what="clean staging")
        self.resumed(path)

    def test_n01_a_lying_server(self):
        base = "/images/testix/1/amd64/" + streams.SERIAL
        with open(self.web + "/www" + base + "/rootfs.tar.xz", "r+b") as file:
            good = file.read()
            file.seek(100)
            file.write(b"x" * 10)
        try:
            message = self.assertFails("VerificationFailed", self.fetch, "lab:testix/1")
            self.assertIn("not the one", message)
            self.assertEqual([row for row in self.images() if "lab:" in str(row["aliases"])], [])
            for name in self.downloads():
                size = os.path.getsize(f"{self.host.dir}/state/downloads/{name}")
                self.assertLess(size, len(good))
        finally:
            with open(self.web + "/www" + base + "/rootfs.tar.xz", "wb") as file:
                file.write(good)
        self.fetch("lab:testix/1")
        self.assertEqual(self.downloads(), [])

    def test_a_mirror(self):
        self.add_remote(self.client, "mirrored", "https://localhost:1",
                        mirrors=variant("as", [self.server.url]))
        self.fetch("mirrored:testix/1")
        self.client.call(ROOT, "Remotes", "Remove", variant("(sa{sv})", ("mirrored", {})))

    def test_n16_an_older_list_is_refused(self):
        self.refresh("lab")
        self.tree.fields["updated"] = "Thu, 09 Jan 2025 07:50:31 +0000"
        self.tree.publish()
        try:
            self.assertFails("VerificationFailed", self.refresh, "lab", says="--accept-older")
            # Those who only look get what was known before.
            self.assertEqual(len(self.browse("lab")), 3)
            self.assertFails("VerificationFailed", self.refresh, "lab")
            self.assertEqual(self.refresh("lab", accept_older=True), 4)
        finally:
            self.tree.fields.clear()
            self.tree.publish()
        self.refresh("lab")

    def test_n06_a_private_server_must_be_meant(self):
        self.add_remote(self.client, "closed", private=False)
        message = self.assertFails("Download", self.browse, "closed", says="private network")
        self.assertIn("--private", message)
        self.assertEqual(self.server.requests(), [])
        self.client.call(ROOT, "Remotes", "Remove", variant("(sa{sv})", ("closed", {})))

    def test_an_unknown_authority(self):
        self.add_remote(self.client, "untrusted", authority=None)
        self.assertFails("VerificationFailed", self.browse, "untrusted", says="--ca")
        self.client.call(ROOT, "Remotes", "Remove", variant("(sa{sv})", ("untrusted", {})))

    def test_files_and_addresses(self):
        base = "/images/testix/1/amd64/" + streams.SERIAL
        self.add_remote(self.client, "files", self.server.url + base, protocol="url")
        result = self.fetch("files:rootfs.tar.xz")
        self.server.requests()
        self.assertEqual(self.fetch("files:rootfs.tar.xz"), result)
        self.assertEqual(self.server.requests(), [])
        self.assertFails("NotSupported", self.browse, "files")
        for name in ("../lxd.tar.xz", "/rootfs.tar.xz", "a?b", "a#b", "%2e%2e/x", "a b", ""):
            with self.assertRaises(DBusError):
                self.fetch("files:" + name)
        self.assertEqual(self.server.requests(), [])
        # Of an address nobody has said whom to trust.
        self.assertFails("VerificationFailed", self.fetch, self.server.url + base + "/rootfs.tar.xz")
        for url in ("http://localhost/x", "https://u:p@localhost/x", "https://", "https://x y"):
            self.assertFails("InvalidArgument", self.pull, url)
        self.client.call(ROOT, "Remotes", "Remove", variant("(sa{sv})", ("files", {})))

    def test_n05_addresses_are_https_unless_root_says_otherwise(self):
        plain = webserver.Server(self.web, tls=False).start()
        base = f"/images/testix/1/amd64/{streams.SERIAL}/"
        url = plain.url + base + "rootfs.tar.xz"
        with open(self.web + "/www" + base + "rootfs.tar.xz", "rb") as file:
            good = streams.sha256(file.read())
        try:
            for other in ("file:///etc/shadow", "dict://localhost/x", "smb://localhost/x", url):
                self.assertFails("InvalidArgument", self.pull, other, says="address")
            self.assertFails("VerificationFailed", self.fetch, url, allow_http=True,
                             sha256="0" * 64)
            self.assertEqual(self.downloads(), [])
            self.assertEqual(self.images_called("mine/http"), [])
            self.fetch(url, allow_http=True, sha256=good, description="Mine",
                       aliases=variant("as", ["mine/http", "mine/again"]))
            rows = self.images_called("mine/http")
            self.assertEqual([(row["description"], row["source"]) for row in rows],
                             [("Mine", url)])
            self.assertEqual(self.images_called("mine/again"), rows)
        finally:
            plain.shutdown()

    def test_what_is_imported_from_an_address_stays(self):
        plain = webserver.Server(self.web, tls=False).start()
        url = f"{plain.url}/images/testix/1/amd64/{streams.SERIAL}/rootfs.tar.xz"
        try:
            result = self.fetch(url, allow_http=True)
            image = [row for row in self.images() if row["source"] == url][0]
            self.assertEqual(image["fingerprint"], result["fingerprint"])
            self.assertEqual((image["aliases"], image["expires"]), ([], 0))
            self.assertFalse(self.client.get(image["path"], "Image", "Cached"))
            rows, _, _ = self.client.call(ROOT, "Images", "Prune",
                                          variant("(a{sv})", (options(dry_run=True),)))
            self.assertNotIn(image["fingerprint"], [row["fingerprint"] for row in rows])
        finally:
            plain.shutdown()

    def images_called(self, alias):
        return [row for row in self.images() if alias in row["aliases"]]

    def test_n11_what_a_checksum_is(self):
        url = "https://localhost:1/x"
        for value in ("", "../x", "a" * 63, "A" * 64, "%" * 64, "a" * 10240):
            self.assertFails("InvalidArgument", self.pull, url, sha256=value)
        self.assertFails("InvalidArgument", self.pull, "lab:testix/1", sha256="a" * 64)
        self.assertFails("InvalidArgument", self.pull, "lab:testix/1", allow_http=True)
        self.assertFails("InvalidName", self.pull, url, aliases=variant("as", ["../x"]))

    def test_n15_a_signed_index(self):
        home = self.web + "/gnupg"
        os.mkdir(home, 0o700)

        def gpg(*words, **kwargs):
            return subprocess.run(["gpg", "--homedir", home, "--batch", "--yes", "--quiet", *words],
                                  capture_output=True, check=True, **kwargs).stdout
        gpg("--passphrase", "", "--quick-generate-key", "images", "ed25519", "sign", "never")
        key = gpg("--export", "images")
        self.add_remote(self.client, "signed", keyring=variant("ay", key))
        self.assertFails("Download", self.browse, "signed")
        folder = self.web + "/www/streams/v1/"
        for name in ("index", "images"):
            with open(f"{folder}{name}.json", "rb") as file:
                self.tree.write(f"streams/v1/{name}.sjson", gpg("--clearsign", input=file.read()))
        self.refresh("signed")
        self.assertEqual(len(self.browse("signed")), 3)
        with open(folder + "images.sjson", "r+b") as file:
            text = file.read().replace(b"testix/one", b"testix/eno")
            file.seek(0)
            file.write(text)
        self.assertFails("VerificationFailed", self.refresh, "signed", says="signed")
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
        self.client.call(ROOT, "Remotes", "Remove", variant("(sa{sv})", ("signed", {})))


@lodgetest.needs_root
class Default(ServerTest):
    """Names without a colon."""

    def set_default(self, name):
        self.client.call(ROOT, "Remotes", "SetDefault", variant("(sa{sv})", (name, {})))

    def test_1_the_default_remote_is_asked(self):
        self.set_default("lab")
        self.fetch("testix/1")
        self.server.requests()
        self.client.launch("one", image="testix/1")
        self.assertEqual(self.server.requests(), [])
        self.client.verb(self.client.find("one"), "Delete", force=True)
        self.assertFails("NotFound", self.fetch, "testix/7", says="testix/1")

    def test_2_without_the_default_remote(self):
        self.add_remote(self.client, "away", "https://localhost:1")
        self.set_default("away")
        start = time.monotonic()
        self.assertFails("NotFound", self.fetch, "testix/7")
        self.assertLess(time.monotonic() - start, 5)
        # Known to be away: no job, no wait.
        start = time.monotonic()
        self.assertFails("NotFound", self.pull, "testix/7")
        self.assertFails("NotFound", self.client.create, "x", image="testix/7")
        # One that was named may well have it.
        self.assertFails("Download", self.pull, "away:testix/7", says="cannot be reached")
        self.assertFails("Download", self.client.create, "x", image="away:testix/7")
        self.assertFails("NotFound", self.pull, "away:not good")
        self.assertLess(time.monotonic() - start, 1)
        # What is here is used all the same.
        self.client.launch("two", image="debian/12")
        self.client.verb(self.client.find("two"), "Delete", force=True)
        # What can be built is built, and the job says why; here the build itself is cut short.
        job = self.pull("debian/13")
        wait_until(lambda: self.client.get(job, "Job", "Notices"), what="a notice")
        self.assertRegex(self.client.get(job, "Job", "Notices")[0],
                         "^The server localhost.* cannot be reached.*, so debian/13 is built from "
                         "the distribution's packages$")
        self.client.call(job, "Job", "Cancel", variant("(a{sv})", ({},)))
        with self.assertRaises(DBusError):
            self.client.job_wait(job)
        self.assertEqual(self.staging(), [])


if __name__ == "__main__":
    lodgetest.main()
