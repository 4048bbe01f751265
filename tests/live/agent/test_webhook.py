"""The signed webhook against a receiver that verifies it on its own: the Standard Webhooks, from their specification, with Python's hmac and openssl."""

import base64
import hashlib
import hmac
import http.server
import json
import os
import re
import ssl
import subprocess
import threading
import time
import unittest

from agent_case import KEY, AgentCase, eventually

SECRET, OLD = b"0123456789abcdef0123456789abcdef", b"an old secret of 32 bytes ......"
SCHEMA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "docs", "webhook.schema.json")


def written(secret):
    return "whsec_" + base64.b64encode(secret).decode()


def verify(headers, body, secret, now=None):
    """As a receiver does; raises ValueError."""
    ident, at = headers["webhook-id"], headers["webhook-timestamp"]
    if not re.fullmatch(r"[A-Za-z0-9_-]+", ident):
        raise ValueError("id")
    if not re.fullmatch(r"[0-9]+", at) or abs((now or time.time()) - int(at)) > 300:
        raise ValueError("timestamp")
    want = base64.b64encode(hmac.new(secret, f"{ident}.{at}.".encode() + body, hashlib.sha256).digest()).decode()
    for one in headers["webhook-signature"].split(" "):
        version, _, signature = one.partition(",")
        if version == "v1" and hmac.compare_digest(signature, want):
            return
    raise ValueError("signature")


def openssl_signature(headers, body, secret):
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = subprocess.run(["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", "hexkey:" + secret.hex(), "-binary"], input=content,
                            capture_output=True, check=True).stdout
    return "v1," + base64.b64encode(digest).decode()


def conforms(value, schema, at="$"):
    """What of JSON Schema docs/webhook.schema.json uses; the breaches."""
    names = {dict: "object", list: "array", str: "string", type(None): "null", bool: "boolean", int: "number", float: "number"}
    wrong = []
    if "enum" in schema and value not in schema["enum"]:
        wrong.append(f"{at}: {value!r} is none of {schema['enum']}")
    kinds = schema.get("type", names[type(value)])
    if names[type(value)] not in ([kinds] if isinstance(kinds, str) else kinds):
        return wrong + [f"{at}: {names[type(value)]}, wanted {kinds}"]
    if isinstance(value, dict):
        wrong += [f"{at}: {name} is missing" for name in schema.get("required", []) if name not in value]
        for name, inner in value.items():
            rest = schema.get("additionalProperties", True)
            part = schema.get("properties", {}).get(name, rest)
            if part is False:
                wrong.append(f"{at}: {name} is not in the schema")
            elif isinstance(part, dict):
                wrong += conforms(inner, part, f"{at}.{name}")
    if isinstance(value, list):
        for n, inner in enumerate(value):
            wrong += conforms(inner, schema.get("items", {}), f"{at}[{n}]")
    return wrong


class Receiver:
    """An HTTP(S) server that keeps what comes, and answers as it is told, then 204."""

    def __init__(self, cert=None):
        self.got, self.answers, self.always = [], [], (204, {})
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, headers = outer.answers.pop(0) if outer.answers else outer.always
                outer.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body, status))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if cert:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*cert)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.server.handle_error = lambda *_: None
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def taken(self):
        return [g for g in self.got if 200 <= g[3] < 300]


class Webhook(AgentCase):
    with_sim = True

    def setUp(self):
        super().setUp()
        self.receiver = Receiver()
        self.addCleanup(self.receiver.stop)
        self.write("hook", written(SECRET), 0o400)

    def hook(self, more="", url=None, extra=""):
        url = url or f"http://127.0.0.1:{self.receiver.port}/in?x=1"
        self.configure(f'webhook = {{ url = "{url}", secret = secret.file "hook", {more} }}, {extra}')

    def test_what_is_sent_verifies_and_conforms(self):
        with open(SCHEMA, encoding="utf-8") as f:
            schema = json.load(f)
        self.hook()
        self.start()
        self.ctl("freeze", "a \"reason\" with \u20ac and \\")
        self.ctl("unfreeze", "--yes")
        eventually(lambda: len(self.receiver.taken()) >= 2)
        eventually(lambda: len(self.sim.inbox()) >= 2)  # the pager has them, too
        kinds = set()
        for path, headers, body, _ in self.receiver.got:
            self.assertEqual(path, "/in?x=1")
            self.assertEqual(headers["content-type"], "application/json")
            verify(headers, body, SECRET)
            self.assertEqual(headers["webhook-signature"], openssl_signature(headers, body, SECRET))
            event = json.loads(body)
            self.assertEqual(conforms(event, schema), [])
            kinds.add(event["type"])
            # a receiver that checks has no use for what was changed, replayed or signed by others
            for bad in ((headers, body + b" ", SECRET), (headers, body, OLD), ({**headers, "webhook-id": "msg_0"}, body, SECRET)):
                self.assertRaises(ValueError, verify, *bad)
            self.assertRaises(ValueError, verify, headers, body, SECRET, time.time() + 3600)
        self.assertEqual(kinds, {"runbookd.human.called", "runbookd.episode.resolved"})
        ids = [h["webhook-id"] for _, h, _, _ in self.receiver.got]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual(self.leaks(KEY, written(SECRET), SECRET.decode()), [])
        for _, _, body, _ in self.receiver.got:
            for secret in (KEY, written(SECRET), SECRET.decode()):
                self.assertNotIn(secret.encode(), body)

    def test_retries_keep_the_id_and_sign_anew(self):
        self.receiver.answers = [(500, {}), (302, {"Location": f"http://127.0.0.1:{self.receiver.port}/elsewhere"}), (429, {"Retry-After": "2"})]
        self.hook()
        self.start()
        self.ctl("report-test")
        eventually(self.receiver.taken, 30)
        got = self.receiver.got
        self.assertEqual([g[3] for g in got], [500, 302, 429, 204])
        self.assertEqual({g[0] for g in got}, {"/in?x=1"}, "redirects are not followed")
        self.assertEqual(len({g[1]["webhook-id"] for g in got}), 1)
        self.assertGreaterEqual(int(got[3][1]["webhook-timestamp"]) - int(got[2][1]["webhook-timestamp"]), 2, "Retry-After")
        for _, headers, body, _ in got:
            verify(headers, body, SECRET)

    def test_two_secrets_sign_while_one_is_replaced(self):
        self.write("old", written(OLD), 0o400)
        self.hook('old_secret = secret.file "old"')
        self.start()
        self.ctl("report-test")
        _, headers, body, _ = eventually(self.receiver.taken)[0]
        self.assertEqual(len(headers["webhook-signature"].split(" ")), 2)
        verify(headers, body, SECRET)
        verify(headers, body, OLD)
        # the file is replaced under a running agent: a receiver that knows only the new one is obeyed
        self.receiver.answers = [(401, {})]
        self.write("hook", written(OLD[::-1]), 0o400)
        self.ctl("report-test")
        _, headers, body, _ = eventually(lambda: self.receiver.taken()[1:])[0]
        verify(headers, body, OLD[::-1])

    def test_gone_is_told_at_the_pager_and_ends_it(self):
        self.receiver.always = (410, {})
        self.hook()
        self.start()
        self.ctl("report-test")
        eventually(lambda: [e for e in self.sim.inbox() if "wants no more reports" in e["event"].get("payload", {}).get("summary", "")])
        seen = len(self.receiver.got)
        self.ctl("report-test")
        eventually(lambda: len([e for e in self.sim.inbox() if "This is a test" in e["event"]["payload"]["summary"]]) == 2)
        self.assertEqual(len(self.receiver.got), seen)
        self.assertIn("wants no more reports", self.log())

    def test_tls_is_checked(self):
        cert, key = self.path("cert.pem"), self.path("key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert,
                        "-days", "2", "-subj", "/CN=hook", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        safe = Receiver((cert, key))
        self.addCleanup(safe.stop)
        self.hook(url=f"https://127.0.0.1:{safe.port}/in")
        p = self.start()
        self.ctl("report-test")
        eventually(lambda: re.search(r"webhook: .*certificate", self.log()))
        self.assertEqual(safe.got, [], "not a byte to one that cannot prove who it is")
        self.stop(p)
        self.hook(url=f"https://127.0.0.1:{safe.port}/in", extra='ca_file = "cert.pem",')
        self.start()
        _, headers, body, _ = eventually(safe.taken)[0]  # what waited
        verify(headers, body, SECRET)

    def test_what_cannot_be_safe_is_refused_at_the_start(self):
        for url, secret, word in (("http://hooks.example.com/in", written(SECRET), "needs https"), ("http://localhost:1@example.com/", written(SECRET), "needs https"),
                                  (None, "whsec_" + base64.b64encode(b"short").decode(), "24 to 64"), (None, base64.b64encode(SECRET).decode(), "whsec_")):
            self.write("hook", secret, 0o400)
            self.hook(url=url)
            code, said = self.run_once()
            self.assertEqual(code, 14, said)
            self.assertIn("webhook", said)
            self.assertIn(word, said)
            self.assertNotIn(secret, said)


if __name__ == "__main__":
    unittest.main()
