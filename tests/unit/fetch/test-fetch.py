#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Downloads from servers that fail, lie, or are hostile, by the real helper.

    test-fetch.py RUN-HELPER LIB-DIR LODGE-FETCH

Each case has the outcome that the list of hostile inputs asks for; TAP on stdout.  Needs root.
"""
import gzip
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

RUN_HELPER, LIB, FETCH = sys.argv[1:4]
sys.path.insert(0, LIB)
import webserver  # noqa: E402  pylint: disable=wrong-import-position,import-error

WORK = os.environ.get("LODGE_TEST_INSIDE") or tempfile.mkdtemp(prefix="lodge-fetch-", dir="/var/tmp")
OUTPUT = os.path.join(WORK, "output")
VALIDATOR = os.path.join(WORK, "validator")
INPUT = os.path.join(WORK, "input")
DATA = os.urandom(3 << 20)
SHA256 = hashlib.sha256(DATA).hexdigest()
CASES = []


def case(function):
    CASES.append(function)
    return function


class Result:
    def __init__(self, text):
        self.lines = [line[8:] for line in text.split("\n")]
        self.ok = "done" in self.lines

    def error(self):
        found = [line for line in self.lines if line.startswith("error ")]
        return found[-1].split(" ", 2)[1:] if found else [None, "\n".join(self.lines[-4:])]

    def value(self, key):
        prefix = f"result {key} "
        return next((l[len(prefix):] for l in self.lines if l.startswith(prefix)), None)


def run(operation, *arguments, seconds=60, env=None):
    done = subprocess.run([RUN_HELPER, FETCH, operation, *arguments], capture_output=True,
                          text=True, errors="replace", timeout=seconds, check=False,
                          env={**os.environ, **(env or {})})
    return Result(done.stdout)


def get(*urls, private=True, keep=False, env=None, ca=True, **fields):
    for path in (OUTPUT, VALIDATOR):
        if not keep or not os.path.exists(path):
            open(path, "wb").close()
            os.chmod(path, 0o600)
    words = [f"url={url if '://' in url else SERVER.url + url}" for url in urls]
    words += [f"fd.output={OUTPUT}:rw", f"fd.validator={VALIDATOR}:rw"]
    words += [f"fd.ca={WORK}/ca.pem:r"] if ca else []
    words += ["allow-private=1"] if private else []
    words += [f"{key.replace('_', '-')}={value}" for key, value in fields.items()]
    return run("get", *words, env=env)


def content():
    with open(OUTPUT, "rb") as file:
        return file.read()


def accepted(result):
    assert result.ok, result.error()
    return result


def refused(result, nick, why=None):
    code, text = result.error()
    assert not result.ok and code == nick, f"expected {nick}, got {code}: {text}"
    assert why is None or result.value("why") == why, result.value("why")
    return text


# ---- downloads ----

@case
def a_file_is_fetched_and_hashed():
    result = accepted(get("/file", sha256=SHA256, size=len(DATA)))
    assert content() == DATA and result.value("sha256") == SHA256
    assert result.value("etag")


@case
def n01_a_wrong_hash_leaves_nothing():
    refused(get("/file", sha256="0" * 64), "VerificationFailed", "hash")
    assert content() == b""


@case
def n02_a_short_body_is_resumed_at_once():
    SERVER.set_manners({"/file": {"stop": 1 << 20}})
    accepted(get("/file", sha256=SHA256, size=len(DATA)))
    assert content() == DATA
    assert SERVER.requests()[-1] == f"GET /file bytes={1 << 20}- 206"


@case
def a_partial_file_stays_and_is_resumed_later():
    SERVER.set_manners({"/file": {"stop-always": 0}})
    with open(OUTPUT, "wb") as file:
        file.write(DATA[:12345])
    refused(get("/file", keep=True, sha256=SHA256, size=len(DATA)), "Download", "broken")
    assert content() == DATA[:12345]
    SERVER.set_manners({})
    accepted(get("/file", keep=True, sha256=SHA256, size=len(DATA)))
    assert content() == DATA
    assert SERVER.requests()[-1] == "GET /file bytes=12345- 206"


@case
def without_hash_a_validator_vouches():
    SERVER.set_manners({"/file": {"stop-always": 5000}, "/other": {}})
    refused(get("/file", connect_ms=2000), "Download")
    partial = len(content())
    assert partial >= 5000 and open(VALIDATOR, encoding="ascii").read().startswith('"')
    SERVER.set_manners({})
    accepted(get("/file", keep=True))
    assert content() == DATA
    assert f"bytes={partial}- 206" in SERVER.requests()[-1]


@case
def n02_without_hash_and_validator_it_begins_anew():
    SERVER.set_manners({"/file": {"no-etag": True}})
    with open(OUTPUT, "wb") as file:
        file.write(b"x" * 100)
    open(VALIDATOR, "wb").close()
    accepted(get("/file", keep=True))
    assert content() == DATA and SERVER.requests()[-1] == "GET /file - 200"


@case
def n03_another_file_meanwhile_begins_anew():
    with open(OUTPUT, "wb") as file:
        file.write(b"x" * 100)
    with open(VALIDATOR, "w", encoding="ascii") as file:
        file.write('"of-another-version"')
    accepted(get("/file", keep=True))
    assert content() == DATA


@case
def n03_a_whole_answer_to_a_range_begins_anew():
    SERVER.set_manners({"/file": {"no-ranges": True}})
    with open(OUTPUT, "wb") as file:
        file.write(DATA[:777])
    accepted(get("/file", keep=True, sha256=SHA256, size=len(DATA)))
    assert content() == DATA


@case
def n03_a_wrong_range_begins_anew():
    SERVER.set_manners({"/file": {"wrong-range": True}})
    with open(OUTPUT, "wb") as file:
        file.write(DATA[:777])
    accepted(get("/file", keep=True, sha256=SHA256, size=len(DATA)))
    assert content() == DATA


@case
def a_wrong_beginning_is_found_out():
    with open(OUTPUT, "wb") as file:
        file.write(b"x" * 777)
    refused(get("/file", keep=True, sha256=SHA256, size=len(DATA)), "VerificationFailed", "hash")
    assert content() == b""
    accepted(get("/file", keep=True, sha256=SHA256, size=len(DATA)))


@case
def a_complete_file_needs_no_server():
    with open(OUTPUT, "wb") as file:
        file.write(DATA)
    accepted(get("https://localhost:1/file", keep=True, sha256=SHA256, size=len(DATA)))


@case
def what_the_caller_has_is_not_sent_again():
    etag = accepted(get("/file")).value("etag")
    result = accepted(get("/file", etag=etag))
    assert result.value("not-modified") == "1" and content() == b""


@case
def a_mirror_takes_over():
    SERVER.set_manners({"/bad": {"status": 503}})
    accepted(get("https://localhost:1/file", "/bad", "/absent", "/file", sha256=SHA256))
    assert content() == DATA


@case
def a_mirror_goes_on_where_another_stopped():
    SERVER.set_manners({"/file2": {"stop-always": 1 << 20, "no-ranges": True}})
    accepted(get("/file2", "/file", sha256=SHA256, size=len(DATA)))
    assert content() == DATA and " 206" in SERVER.requests()[-1]


@case
def a_stalling_server_is_given_up():
    SERVER.set_manners({"/file": {"stall": 1000}})
    start = time.monotonic()
    refused(get("/file", sha256=SHA256, size=len(DATA), stall_seconds=2), "TimedOut", "stall")
    assert time.monotonic() - start < 20 and content() == DATA[:1000]


@case
def too_large_is_refused_before_and_while():
    refused(get("/file", max_bytes=1 << 20), "LimitExceeded", "limit")
    refused(get("/file", size=1000), "VerificationFailed", "size")
    assert content() == b""
    SERVER.set_manners({"/file": {"header": ["Transfer-Encoding", "x"]}})
    assert not get("/file", max_bytes=1 << 20).ok and len(content()) <= 1 << 20


@case
def n21_an_unasked_encoding_is_refused():
    SERVER.set_manners({"/bomb": {"header": ["Content-Encoding", "gzip"]}})
    refused(get("/bomb"), "Download", "status")
    assert content() == b""


@case
def redirects_are_followed_a_little():
    SERVER.set_manners({"/a": {"redirect": "/b"}, "/b": {"redirect": SERVER.url + "/file"},
                        "/loop": {"redirect": "/loop"}})
    accepted(get("/a", sha256=SHA256))
    refused(get("/loop"), "Download", "redirect")
    assert len([line for line in SERVER.requests() if "/loop" in line]) == 6


@case
def n04_redirects_to_other_schemes_are_refused():
    for target in ("file:///etc/shadow", "gopher://localhost/", "http://localhost/file", "ftp://x/y"):
        SERVER.set_manners({"/a": {"redirect": target}})
        text = refused(get("/a"), "Download")
        assert "root:" not in text and content() == b""


@case
def n05_other_schemes_are_refused():
    for url in ("file:///etc/shadow", "dict://localhost/", "smb://localhost/x", "http://localhost/x",
                "scp://localhost/x", "ldap://localhost/"):
        refused(get(url), "Download")
        assert content() == b""


@case
def n05_http_only_when_allowed():
    plain = webserver.Server(WORK, tls=False).start()
    refused(get(plain.url + "/file"), "Download", "scheme")
    accepted(get(plain.url + "/file", allow_http=1))
    SERVER.set_manners({"/a": {"redirect": plain.url + "/file"}})
    refused(get("/a", allow_http=1), "Download", "redirect")
    plain.shutdown()


@case
def n06_private_addresses_are_refused():
    for host in ("127.0.0.1", "localhost", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254",
                 "100.64.0.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]",
                 "[fe80::1]", "[fd00::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::1]", "[::]",
                 "2130706433", "0x7f.1", "0177.0.0.1"):
        start = time.monotonic()
        refused(get(f"https://{host}:{SERVER.server_port}/file", private=False), "Download",
                "private")
        assert time.monotonic() - start < 5, host
    assert SERVER.requests() == []


def public(path, server=None, host=webserver.PUBLIC):
    return f"https://{host}:{(server or SERVER).server_port}{path}"


@case
def n06_redirects_to_private_addresses_are_refused():
    # From an address that is open to anybody to itself: that is how the others must fail.
    SERVER.set_manners({"/a": {"redirect": public("/file")}})
    accepted(get(public("/a"), private=False, sha256=SHA256))
    SERVER.requests()
    for host in ("127.0.0.1", "localhost", "10.0.0.1", "172.16.0.1", "192.168.1.1",
                 "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[fd00::1]",
                 "2130706433", "0x7f.1"):
        SERVER.set_manners({"/a": {"redirect": public("/file", host=host)}})
        refused(get(public("/a"), private=False), "Download", "private")
        assert SERVER.requests() == ["GET /a - 302"] and content() == b"", host
        SERVER.set_manners({"/a": {"redirect": f"http://{host}/"}})
        refused(get(public("/a"), private=False, allow_http=1), "Download", "redirect")
        SERVER.requests()


@case
def n07_a_name_that_moves_to_a_private_address_is_refused():
    answers = [webserver.PUBLIC, "127.0.0.1"]
    dns = serve_dns(lambda: answers.pop(0) if len(answers) > 1 else answers[0])
    # Another port is looked up anew, whatever curl remembers of the name.
    other = webserver.Server(WORK, "0.0.0.0").start()
    SERVER.set_manners({"/a": {"redirect": public("/file", other, webserver.NAME)}})
    refused(get(public("/a", host=webserver.NAME), private=False), "Download", "private")
    assert SERVER.requests() == ["GET /a - 302"] and answers == ["127.0.0.1"]
    # The same name, when it does not move.
    answers[:] = [webserver.PUBLIC]
    accepted(get(public("/a", host=webserver.NAME), private=False, sha256=SHA256))
    other.shutdown()
    dns.close()


@case
def n06_behind_a_proxy_written_addresses_are_refused():
    proxy = f"http://127.0.0.1:{SERVER.server_port}"
    refused(get("https://169.254.169.254/", private=False, proxy=proxy), "Download", "private")
    refused(get("https://[::1]/", private=False, proxy=proxy), "Download", "private")


@case
def unknown_authorities_are_refused():
    refused(get("/file", ca=False), "VerificationFailed", "tls")
    refused(get(f"https://127.0.0.1:{SERVER.server_port}/file"), "VerificationFailed", "tls")


@case
def n20_the_environment_decides_nothing():
    env = {"https_proxy": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1",
           "no_proxy": "", "SSL_CERT_FILE": "/dev/null", "CURL_CA_BUNDLE": "/dev/null",
           "OPENSSL_CONF": "/dev/null/x", "SSLKEYLOGFILE": WORK + "/keys"}
    accepted(get("/file", sha256=SHA256, env=env))
    refused(get("/file", ca=False, env={"SSL_CERT_FILE": WORK + "/ca.pem"}), "VerificationFailed")
    assert not os.path.exists(WORK + "/keys")


@case
def n10_headers_choose_no_names():
    SERVER.set_manners({"/file": {"header": ["Content-Disposition",
                                             'attachment; filename="../../etc/cron.d/x"']}})
    before = sorted(os.listdir(WORK))
    accepted(get("/file", sha256=SHA256))
    assert sorted(os.listdir(WORK)) == before


@case
def an_unreachable_server_is_noticed_quickly():
    start = time.monotonic()
    refused(get("https://localhost:1/file"), "Download", "connect")
    assert time.monotonic() - start < 3
    # Reserved for documentation: nobody answers, or there is no way there.
    refused(get("https://192.0.2.1/file", connect_ms=1000), "Download", "connect")
    assert time.monotonic() - start < 8


@case
def a_kill_leaves_the_partial_file():
    SERVER.set_manners({"/file": {"rate": 1 << 20}})
    for path in (OUTPUT, VALIDATOR):
        open(path, "wb").close()
    process = subprocess.Popen(
        [RUN_HELPER, FETCH, "get", f"url={SERVER.url}/file", f"fd.output={OUTPUT}:rw",
         f"fd.ca={WORK}/ca.pem:r", "allow-private=1", f"sha256={SHA256}"],
        stdout=subprocess.PIPE, start_new_session=True)
    while os.path.getsize(OUTPUT) < 200000:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    time.sleep(0.2)
    size = os.path.getsize(OUTPUT)
    time.sleep(0.3)
    assert os.path.getsize(OUTPUT) == size, "it goes on"
    SERVER.set_manners({})
    SERVER.requests()
    accepted(get("/file", keep=True, sha256=SHA256, size=len(DATA)))
    assert SERVER.requests()[-1] == f"GET /file bytes={size}- 206"


def serve_dns(answer):
    """A name server on loopback that knows one name, whose address @answer says."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 53))

    def run_server():
        while True:
            try:
                query, client = sock.recvfrom(512)
            except OSError:
                return
            end = query.index(b"\0", 12) + 5
            is_a = query[end - 4:end - 2] == b"\0\1"
            reply = query[:2] + b"\x85\x80\0\1" + bytes([0, is_a]) + b"\0\0\0\0" + query[12:end]
            if is_a:
                reply += b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(answer())
            try:
                sock.sendto(reply, client)
            except OSError:
                return

    threading.Thread(target=run_server, daemon=True).start()
    return sock


# ---- lists ----

def put(document):
    with open(INPUT, "wb") as file:
        file.write(document if isinstance(document, bytes) else json.dumps(document).encode())


def index(document, *words):
    put(document)
    return run("index", f"fd.input={INPUT}:r", *words)


def products(document, *words):
    put(document)
    open(OUTPUT, "wb").close()
    return run("products", f"fd.input={INPUT}:r", f"fd.output={OUTPUT}:rw", *words)


def lines():
    return [line.split("\t") for line in content().decode().splitlines()]


def item(ftype, path, **fields):
    return {"ftype": ftype, "path": path, "sha256": hashlib.sha256(path.encode()).hexdigest(),
            "size": 1000, **fields}


def product(**fields):
    serial = fields.pop("serial", "20260608_05:24")
    base = f"images/debian/bookworm/amd64/default/{serial}"
    items = {"lxd.tar.xz": item("lxd.tar.xz", base + "/lxd.tar.xz", **{
                 "combined_squashfs_sha256": "a" * 64, "combined_rootxz_sha256": "b" * 64,
                 "combined_disk-kvm-img_sha256": "c" * 64}),
             "root.squashfs": item("squashfs", base + "/rootfs.squashfs"),
             "root.tar.xz": item("root.tar.xz", base + "/rootfs.tar.xz"),
             "disk.qcow2": item("disk-kvm.img", base + "/disk.qcow2")}
    return {"aliases": "debian/12/default,debian/bookworm/default,debian/12,debian/bookworm",
            "arch": "amd64", "os": "Debian", "release": "bookworm", "release_title": "bookworm",
            "variant": "default", "versions": {serial: {"items": items}}, **fields}


def wrap(*entries, **fields):
    return {"content_id": "images", "datatype": "image-downloads", "format": "products:1.0",
            "products": {f"p{number}": entry for number, entry in enumerate(entries)}, **fields}


GOOD_INDEX = {"index": {"images": {"datatype": "image-downloads", "path": "streams/v1/images.json",
                                   "format": "products:1.0", "products": []}},
              "format": "index:1.0"}


@case
def an_index_of_linuxcontainers():
    result = accepted(index(GOOD_INDEX))
    assert result.value("path.0") == "streams/v1/images.json" and result.value("updated") == "0"


@case
def an_index_of_ubuntu():
    document = {"index": {
        "com.ubuntu.cloud:released:aws": {"datatype": "image-ids", "path": "streams/v1/aws.json"},
        "com.ubuntu.cloud:released:download": {
            "datatype": "image-downloads", "updated": "Thu, 09 Jan 2025 07:50:31 +0000",
            "path": "streams/v1/com.ubuntu.cloud:released:download.json"}},
        "format": "index:1.0", "updated": "Wed, 08 Jan 2025 07:50:31 +0000"}
    result = accepted(index(document))
    assert result.value("path.0") == "streams/v1/com.ubuntu.cloud:released:download.json"
    assert result.value("path.1") is None and result.value("updated") == "1736409031"


@case
def n12_hostile_indexes():
    for path in ("/etc/passwd", "../x", "streams/../../x", "https://evil/x", "x?y", "x\ny", "x y",
                 "a" * 600, "", None, 7, [], "%2e%2e/x", "a//b", ".hidden", "x#y", "x\\y"):
        document = json.loads(json.dumps(GOOD_INDEX))
        document["index"]["images"]["path"] = path
        refused(index(document), "Download")
    for document in (b"", b"[]", b"{", b"null", b"[" * 200000, b"{\"index\":" * 100000, b"\xff\xfe",
                     b'{"index": NaN}', b'{"a": 1e400}', b'{"a":1,"a":2}', b'{"index": []}',
                     b'{"index": {"x": null}}', b"\0" * 100, gzip.compress(b"{}" * 100)):
        refused(index(document), "Download")
    refused(index(b" " * (2 << 20)), "LimitExceeded")


@case
def products_of_linuxcontainers():
    accepted(products(wrap(product())))
    container, vm = lines()
    assert container[:6] == ["container", "amd64", "debian/12/default,debian/bookworm/default,"
                             "debian/12,debian/bookworm", "20260608_05:24", "a" * 64, "squashfs"]
    assert container[9].endswith("/rootfs.squashfs") and container[11] == "1000"
    assert container[12:] == ["Debian", "bookworm", "bookworm", "default"]
    assert vm[0] == "vm" and vm[4] == "c" * 64 and vm[9].endswith("/disk.qcow2")


@case
def products_of_ubuntu():
    base = "server/releases/noble/release-20240423/ubuntu-24.04-server-cloudimg-amd64"
    items = {"disk1.img": item("disk1.img", base + ".img"),
             "lxd.tar.xz": item("lxd.tar.xz", base + "-lxd.tar.xz", **{
                 "combined_disk1-img_sha256": "d" * 64, "combined_squashfs_sha256": "e" * 64}),
             "squashfs": item("squashfs", base + ".squashfs"),
             "squashfs.vcdiff": item("squashfs.vcdiff", base + ".vcdiff")}
    accepted(products(wrap({"aliases": "24.04,n,noble,default,lts", "arch": "amd64", "os": "ubuntu",
                            "release": "noble", "release_title": "24.04 LTS", "version": "24.04",
                            "versions": {"20240423": {"items": items, "label": "release"}}},
                           updated="Thu, 09 Jan 2025 07:50:31 +0000")))
    container, vm = lines()
    assert container[2] == "24.04,n,noble,default,lts" and container[4] == "e" * 64
    assert vm[5] == "disk1.img" and vm[4] == "d" * 64 and vm[15] == "-"


@case
def the_newest_complete_version_counts():
    entry = product()
    for serial in ("20260607_05:24", "20250101_05:24", "garbage", "2026", "99999999"):
        entry["versions"][serial] = product(serial=serial)["versions"][serial]
    entry["versions"]["20260609_05:24"] = {"items": {}}
    result = accepted(products(wrap(entry)))
    assert lines()[0][3] == "20260608_05:24", lines()[0]
    assert result.value("updated") == "1780982640"


@case
def n11_n13_bad_products_are_left_out():
    good = product()
    bad = [None, [], "x", {}, product(aliases=""), product(aliases="../x,-y,a b"), product(arch="a/../b"),
           product(arch=None), product(versions=[]), product(versions={"20260608": None}),
           product(versions={"20260608": {"items": []}})]
    for path in ("../../x", "/x", "https://evil/x", "a\tb", "a\nb", "x" * 600, None, 1):
        entry = product(serial="20260608")
        for value in entry["versions"]["20260608"]["items"].values():
            value["path"] = path
        bad.append(entry)
    for key, values in {"size": (-1, 0, None, "1", 1.5, 1 << 60), "sha256": (
            None, "", "a" * 63, "A" * 64, "../" * 21 + "a", "a" * 10240, "%" * 64)}.items():
        for value in values:
            entry = product(serial="20260608")
            for one in entry["versions"]["20260608"]["items"].values():
                one[key] = value
            bad.append(entry)
    result = accepted(products(wrap(good, *bad)))
    assert result.value("images") == "2", (result.value("images"), lines())
    assert len(lines()) == 2


@case
def texts_cannot_break_a_line():
    accepted(products(wrap(product(os="De\tb\nian\x1b[31m\u202e", release_title="x" * 10000,
                                   release=None, variant="\u0001\t" * 5))))
    for fields in lines():
        assert len(fields) == 16, fields
        assert "\x1b" not in "".join(fields) and "\u202e" not in "".join(fields)
        assert len(fields[14]) <= 130


@case
def n12_n13_hostile_products():
    for document in (b"", b"[]", b'{"products": []}', b'{"products": null}', b"{}", b"[" * 200000,
                     b'{"products":' * 50000, b'{"products": {"a": NaN}}'):
        refused(products(document), "Download")
    many = b'{"products":{' + b",".join(b'"%d":{}' % n for n in range(1000000)) + b"}}"
    refused(products(many), "Download")
    with open(INPUT, "wb") as file:
        file.truncate(1 << 30)
    refused(run("products", f"fd.input={INPUT}:r", f"fd.output={OUTPUT}:rw"), "LimitExceeded")


# ---- signatures ----

def gpg(*words, data=None):
    return subprocess.run(["gpg", "--homedir", WORK + "/gnupg", "--batch", "--yes", "--quiet", *words],
                          input=data, capture_output=True, check=True).stdout


@case
def n15_signatures():
    os.mkdir(WORK + "/gnupg", 0o700)
    for name in ("good", "other"):
        gpg("--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", "never")
        for suffix, words in (("gpg", []), ("asc", ["--armor"])):
            with open(f"{WORK}/{name}.{suffix}", "wb") as file:
                file.write(gpg("--export", *words, name))
    text = json.dumps(GOOD_INDEX, indent=1).encode()
    signed = gpg("-u", "good", "--clearsign", data=text)
    ring = f"fd.keyring={WORK}/good.gpg:r"
    accepted(index(signed, ring))
    accepted(index(signed, f"fd.keyring={WORK}/good.asc:r"))
    refused(index(signed, f"fd.keyring={WORK}/other.gpg:r"), "VerificationFailed")
    refused(index(text, ring), "VerificationFailed")
    refused(index(signed.replace(b"images.json", b"imagez.json"), ring), "VerificationFailed")
    evil = json.dumps(GOOD_INDEX).replace("images.json", "evil.json").encode()
    for document in (signed + evil, evil + b"\n" + signed, signed + signed.replace(b"v1", b"v2")):
        result = index(document, ring)
        assert not result.ok or result.value("path.0") == "streams/v1/images.json"
    expired = gpg("-u", "good", "--default-sig-expire", "seconds=1", "--clearsign", data=text)
    time.sleep(2.1)
    refused(index(expired, ring), "VerificationFailed")
    refused(index(signed, f"fd.keyring={INPUT}:r"), "VerificationFailed")
    subprocess.run(["gpgconf", "--homedir", WORK + "/gnupg", "--kill", "all"], check=False)


def make_network():
    """In namespaces of its own: loopback, an address that is none of a private network, and a name
    server on loopback."""
    def call(*words):
        subprocess.run(words, check=True)

    call("ip", "link", "set", "lo", "up")
    call("ip", "address", "add", webserver.PUBLIC + "/32", "dev", "lo")
    # The helper's sandbox takes /etc as one mount, without what is mounted on its files.
    etc = os.path.join(WORK, "etc")
    call("cp", "-a", "/etc", etc)
    for name, text in (("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:2\n"),
                       ("nsswitch.conf", "hosts: files dns\n")):
        path = os.path.join(etc, name)
        if os.path.lexists(path):
            os.unlink(path)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    call("mount", "--bind", etc, "/etc")


def main():
    print(f"1..{len(CASES)}", flush=True)
    failed = 0
    try:
        for number, function in enumerate(CASES, 1):
            SERVER.set_manners({})
            SERVER.requests()
            name = function.__name__.replace("_", " ")
            try:
                function()
                print(f"ok {number} - {name}", flush=True)
            except Exception as error:  # pylint: disable=broad-except
                failed += 1
                line = sys.exc_info()[2].tb_next.tb_lineno
                print(f"not ok {number} - {name}\n# line {line}: {type(error).__name__}: {error}",
                      flush=True)
    finally:
        subprocess.run(["umount", "/etc"], check=False)
        shutil.rmtree(WORK, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root, for namespaces with id maps")
        sys.exit(0)
    if "LODGE_TEST_INSIDE" not in os.environ:
        os.environ["LODGE_TEST_INSIDE"] = WORK
        os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, "-B", *sys.argv])
    make_network()
    SERVER = webserver.Server(WORK, "0.0.0.0").start()
    for file_name, file_data in (("file", DATA), ("file2", DATA), ("bomb", gzip.compress(b"\0" * (64 << 20)))):
        with open(os.path.join(WORK, "www", file_name), "wb") as www_file:
            www_file.write(file_data)
    sys.exit(main())
