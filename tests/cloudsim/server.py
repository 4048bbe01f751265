"""HTTP on loopback: one thread a connection, keep-alive, and the delivery of mishandled answers."""

import contextlib
import itertools
import socket
import ssl
import struct
import sys
import time
import traceback
from email.utils import formatdate
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from http_types import Request, text

MAX_BODY_BYTES = 16 * 1024 * 1024
IDLE_SECONDS = 120


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self, port, app, tls=None, verbose=False):
        super().__init__(("127.0.0.1", port), Handler)
        self.app = app
        self.tls = tls
        self.verbose = verbose
        self.connections = itertools.count(1)

    def handle_error(self, request, client_address):
        kind, problem, _ = sys.exc_info()
        if not issubclass(kind, (OSError, ssl.SSLError)):
            super().handle_error(request, client_address)
        elif self.verbose:
            print(f"connection ended: {problem}", file=sys.stderr, flush=True)


def tls_context(certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "cloudsim"
    sys_version = ""
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS

    def setup(self):
        if self.server.tls is not None:
            self.request.settimeout(10)
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()
        self._connection = next(self.server.connections)
        self._reuse = 0

    def _serve(self):
        body = self._body()
        if body is None:
            return
        request = Request(self.command, self.path, self.headers, body, self._connection,
                          self._reuse)
        self._reuse += 1
        try:
            answer = self.server.app.handle(request)
        except Exception:  # a bug of cloudsim's own: say so at both ends
            traceback.print_exc()
            answer = text(500, "cloudsim broke: see its standard error\n", verdict="bug")
        if self.server.verbose and not request.route.startswith("/_sim"):
            print(f"{self._connection}.{request.reuse} {self.command} {self.path} "
                  f"{answer.status} {answer.verdict}", file=sys.stderr, flush=True)
        self._deliver(answer)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve

    def _body(self):
        """The request's body, or None when it was refused."""
        if "Transfer-Encoding" in self.headers:
            return self._refuse(411, "send a Content-Length")
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit():
            return self._refuse(400, "Content-Length is not a number")
        if int(length) > MAX_BODY_BYTES:
            return self._refuse(413, "the body is too large")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return None
        return body

    def _refuse(self, status, message):
        self.close_connection = True
        self._send(text(status, message + "\n"))

    # --- delivery --------------------------------------------------------------------------------

    def _head(self, answer, length):
        lines = [f"HTTP/1.1 {answer.status} {responses.get(answer.status, 'Unknown')}"]
        headers = {"Date": formatdate(self.server.app.clock.now(), usegmt=True),
                   "Content-Type": answer.content_type, "Content-Length": str(length)}
        headers.update({name: str(value) for name, value in answer.headers.items()})
        if self.close_connection:
            headers["Connection"] = "close"
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")

    def _send(self, answer):
        self.wfile.write(self._head(answer, len(answer.body)) + answer.body)

    def _deliver(self, answer):
        delivery = answer.delivery or {"kind": "whole"}
        getattr(self, "_deliver_" + delivery["kind"])(answer, delivery)

    def _deliver_whole(self, answer, delivery):
        self._send(answer)

    def _deliver_reset(self, answer, delivery):
        # Lingering for 0 seconds makes close() send RST.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._abandon()

    def _deliver_drop(self, answer, delivery):
        self._abandon()

    def _deliver_hang(self, answer, delivery):
        time.sleep(delivery["seconds"])
        self._abandon()

    def _deliver_delay(self, answer, delivery):
        time.sleep(delivery["seconds"])
        self._send(answer)

    def _deliver_drip(self, answer, delivery):
        data = self._head(answer, len(answer.body)) + answer.body
        steps = max(1, int(delivery["seconds"] / 0.05))
        size = max(1, len(data) // steps)
        for begin in range(0, len(data), size):
            self.wfile.write(data[begin:begin + size])
            time.sleep(delivery["seconds"] / (len(data) / size))

    def _deliver_cut_off(self, answer, delivery):
        half = answer.body[: len(answer.body) // 2]
        self.wfile.write(self._head(answer, len(answer.body)) + half)
        self._abandon()

    def _deliver_oversized(self, answer, delivery):
        """The answer, blown up with white space that an XML or JSON parser would skip."""
        size = max(delivery["size"], len(answer.body))
        self.wfile.write(self._head(answer, size))
        padding, chunk = size - len(answer.body), b" " * 65536
        while padding > 0:
            self.wfile.write(chunk[:padding])
            padding -= len(chunk)
        self.wfile.write(answer.body)

    def _abandon(self):
        """Closes the connection as it is, without a TLS goodbye."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR) if not self._lingers() else None
            self.connection.close()

    def _lingers(self):
        option = self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
        return struct.unpack("ii", option)[0] == 1

    def log_message(self, format, *args):
        if self.server.verbose:
            print(format % args, file=sys.stderr, flush=True)
