# SPDX-License-Identifier: LGPL-2.1-or-later
"""For tests with images of servers: the real helpers, and a real web server with TLS."""
import os
import subprocess
import sys
import tempfile

import lodgetest
from lodgetest import DBusError, Host, ROOT, options, variant

sys.path.insert(0, os.path.join(lodgetest.HERE, "../lib"))
import streams  # noqa: E402  pylint: disable=wrong-import-position,import-error
import webserver  # noqa: E402  pylint: disable=wrong-import-position,import-error

HELPERS = os.environ.get("LODGE_HELPERS", "").split(":")


def link_helpers(folder):
    os.makedirs(folder)
    for program in HELPERS:
        os.symlink(program, os.path.join(folder, os.path.basename(program)))


class ServerTest(lodgetest.HostTest):
    """A host with the remote "lab", which serves one image of each kind."""

    @classmethod
    def setUpClass(cls):
        cls.web = tempfile.mkdtemp(prefix="lodge-web-", dir="/var/tmp")
        cls.server = webserver.Server(cls.web).start()
        cls.tree = streams.Tree(os.path.join(cls.web, "www"))
        cls.fingerprints = cls.tree.add(["testix/1", "testix/one"], streams.make_rootfs("Testix 1"),
                                        streams.make_disk(cls.web))
        cls.tree.add(["testix/1"], streams.make_rootfs("Other"), arch="arm64")
        cls.tree.add(["large/1"], streams.make_rootfs("Large", 8 << 20))
        cls.tree.publish()
        cls.host = Host(polkit=False, lodged=False)
        link_helpers(cls.host.dir + "/libexec")
        cls.start()
        client = cls.host.client()
        with open(cls.web + "/ca.pem", "rb") as file:
            cls.authority = file.read()
        cls.add_remote(client, "lab")
        client.call(ROOT, "Remotes", "SetDefault", variant("(sa{sv})", ("build", {})))
        client.close()

    @classmethod
    def start(cls):
        cls.host.start_lodged("--libexec-dir", cls.host.dir + "/libexec")

    @classmethod
    def add_remote(cls, client, name, url=None, **more):
        pairs = {"private": True, "authority": variant("ay", cls.authority), **more}
        client.call(ROOT, "Remotes", "Add", variant("(ssa{sv})", (
            name, url or cls.server.url, options(**{k: v for k, v in pairs.items() if v}))))

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.server.shutdown()
        subprocess.run(["rm", "-rf", cls.web], check=True)

    def setUp(self):
        super().setUp()
        self.server.set_manners({})
        self.server.requests()
        for image in self.images():
            if not image["used-by"] and "fake" not in image["description"]:
                self.client.job_wait(self.client.call(image["path"], "Image", "Delete",
                                                      variant("(a{sv})", ({},))))

    def remotes(self):
        rows = self.client.call(ROOT, "Remotes", "List", variant("(a{sv})", ({},)))
        return {row["name"]: row for row in rows}

    def browse(self, remote, **opts):
        return self.client.call(ROOT, "Remotes", "ListImages",
                                variant("(sa{sv})", (remote, options(**opts))), timeout=60)

    def refresh(self, remote, **opts):
        return self.client.call(ROOT, "Remotes", "Refresh",
                                variant("(sa{sv})", (remote, options(**opts))), timeout=60)

    def images(self):
        return self.client.call(ROOT, "Images", "ListImages", variant("(a{sv})", ({},)))

    def pull(self, ref, client=None, **opts):
        return (client or self.client).call(ROOT, "Images", "Pull",
                                            variant("(sa{sv})", (ref, options(**opts))))

    def fetch(self, ref, **opts):
        return self.client.job_wait(self.pull(ref, **opts), timeout=60)

    def assertFails(self, nick, func, *args, says=None, **kwargs):
        with self.assertRaises(DBusError) as caught:
            func(*args, **kwargs)
        self.assertEqual(caught.exception.nick, nick, caught.exception.message)
        if says:
            self.assertIn(says, caught.exception.message)
        return caught.exception.message

    def downloads(self):
        try:
            return sorted(os.listdir(self.host.dir + "/state/downloads"))
        except FileNotFoundError:
            return []

    def staging(self):
        return os.listdir(self.host.dir + "/state/staging")

    def drop_downloads(self):
        for name in self.downloads():
            os.unlink(f"{self.host.dir}/state/downloads/{name}")
