#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A web server with TLS, ranges, and bad manners, for tests of downloads.

    webserver.py DIR [ADDRESS]     serve DIR/www until killed; DIR/port is written when it is ready

DIR/ca.pem is whom to trust; DIR/log has a line "METHOD PATH RANGE STATUS" for each request.
DIR/manners is a JSON object of path -> manners, read anew for each request:

    status=404          answer so, with nothing
    redirect=URL        send the client there
    stop=N              close the connection after N bytes of the body, once
    stop-always=N       the same, every time
    stall=N             send N bytes, then nothing any more
    rate=N              bytes a second
    no-ranges=true      always the whole file, with 200
    wrong-range=true    answer 206, with another part than was asked for
    header=[K, V]       one more header
    no-etag=true        neither ETag nor Last-Modified
    length=N            claim that many bytes
"""
import hashlib
import http.server
import json
import os
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time

BLOCK = 64 << 10
# Besides localhost, in tests that give themselves a network: an address that is not private.
PUBLIC = "11.0.0.1"
NAME = "server.test"


def make_certificates(folder):
    """An authority, and a certificate for this host signed by it."""
    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, cwd=folder, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *curve, "-days", "30", "-subj", "/CN=Lodge test authority",
            "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", *curve, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
    with open(os.path.join(folder, "names"), "w", encoding="ascii") as names:
        names.write(f"subjectAltName=DNS:localhost,DNS:{NAME},IP:{PUBLIC}\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "30",
            "-CAcreateserial", "-extfile", "names", "-out", "server.pem")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def note(self, status):
        with open(os.path.join(self.server.folder, "log"), "a", encoding="utf-8") as log:
            log.write(f"{self.command} {self.path} {self.headers.get('Range', '-')} {status}\n")

    def manners(self):
        try:
            with open(os.path.join(self.server.folder, "manners"), encoding="utf-8") as file:
                return json.load(file).get(self.path, {})
        except (OSError, ValueError):
            return {}

    def part(self, data, manners, tag):
        """(status, first byte) of what is asked for."""
        wanted = self.headers.get("Range", "")
        vouched = self.headers.get("If-Range", tag) == tag
        if not wanted.startswith("bytes=") or manners.get("no-ranges") or not vouched:
            return 200, 0
        start = int(wanted[6:].split("-")[0])
        return (206, start) if start < len(data) else (416, 0)

    def do_GET(self):
        manners = self.manners()
        path = os.path.join(self.server.folder, "www", self.path.lstrip("/"))
        if "redirect" in manners:
            return self.answer(302, {"Location": manners["redirect"]})
        if "status" in manners:
            return self.answer(manners["status"], {})
        if not os.path.isfile(path):
            return self.answer(404, {})
        with open(path, "rb") as file:
            data = file.read()
        tag = '"%s"' % hashlib.sha256(data).hexdigest()[:16]
        if self.headers.get("If-None-Match") == tag and not manners.get("no-etag"):
            return self.answer(304, {})
        status, start = self.part(data, manners, tag)
        headers = {} if manners.get("no-etag") else {"ETag": tag}
        if status == 416:
            return self.answer(416, headers)
        if status == 206 and manners.get("wrong-range"):
            start = max(0, start - 10)
        body = data[start:]
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        headers["Content-Length"] = manners.get("length", len(body))
        headers.update([manners["header"]] if "header" in manners else [])
        self.note(status)
        self.send(status, headers)
        return self.send_body(body, manners)

    def answer(self, status, headers):
        self.note(status)
        self.send(status, {"Content-Length": 0, **headers})

    def send(self, status, headers):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, str(value))
        self.end_headers()

    def stop_after(self, manners):
        if "stop" in manners:
            if self.path in self.server.stopped:
                return None
            self.server.stopped.add(self.path)
            return manners["stop"]
        return manners.get("stop-always")

    def send_body(self, body, manners):
        end = self.stop_after(manners)
        stall = manners.get("stall")
        limit = min(len(body), *(n for n in (end, stall) if n is not None), len(body))
        for offset in range(0, limit, BLOCK):
            block = body[offset:min(offset + BLOCK, limit)]
            try:
                self.wfile.write(block)
            except OSError:
                self.close_connection = True
                return
            if "rate" in manners:
                time.sleep(len(block) / manners["rate"])
        if stall is not None:
            time.sleep(60)
        if limit < len(body) or int(manners.get("length", len(body))) != len(body):
            self.close_connection = True


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, folder, address="127.0.0.1", tls=True):
        self.folder = folder
        self.stopped = set()
        os.makedirs(os.path.join(folder, "www"), exist_ok=True)
        super().__init__((address, 0), Handler)
        self.scheme = "https" if tls else "http"
        if tls:
            if not os.path.exists(os.path.join(folder, "server.pem")):
                make_certificates(folder)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(os.path.join(folder, "server.pem"),
                                    os.path.join(folder, "server.key"))
            # The handshake is the thread's business: a client that does not begin it is no stop.
            self.socket = context.wrap_socket(self.socket, server_side=True,
                                              do_handshake_on_connect=False)

    def handle_error(self, request, client_address):
        pass

    @property
    def url(self):
        return f"{self.scheme}://localhost:{self.server_port}"

    def set_manners(self, manners):
        path = os.path.join(self.folder, "manners")
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump(manners, file)
        os.rename(path + ".new", path)
        self.stopped.clear()

    def requests(self):
        """The lines of the log, which is then empty."""
        path = os.path.join(self.folder, "log")
        try:
            with open(path, encoding="utf-8") as log:
                lines = log.read().splitlines()
            os.truncate(path, 0)
        except FileNotFoundError:
            return []
        return lines

    def start(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self


class Tunnel(socketserver.StreamRequestHandler):
    def handle(self):
        method, target, _ = self.rfile.readline().decode().split()
        while self.rfile.readline().strip():
            pass
        self.server.asked.append(f"{method} {target}")
        host, port = target.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as there:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=self.copy, args=(there, self.request), daemon=True)
            back.start()
            self.copy(self.request, there)
            back.join()

    @staticmethod
    def copy(source, target):
        try:
            while data := source.recv(BLOCK):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Proxy(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Connects its clients with whom they ask for; `asked` has a line for each."""
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self):
        self.asked = []
        super().__init__(("127.0.0.1", 0), Tunnel)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.server_address[1]


def main():
    server = Server(sys.argv[1], *sys.argv[2:3])
    with open(os.path.join(sys.argv[1], "port.new"), "w", encoding="ascii") as file:
        file.write(str(server.server_port))
    os.rename(os.path.join(sys.argv[1], "port.new"), os.path.join(sys.argv[1], "port"))
    server.serve_forever()


if __name__ == "__main__":
    main()
