"""Alerts of other monitors, posted to the real agent: what is genuine moves a policy, a corpus of forgeries moves nothing and makes the agent ask nobody."""

import base64
import copy
import datetime
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import time
import unittest

from agent_case import LOOP_WORK_MS, AgentCase, eventually

TOKEN = "a-token-of-the-test-0123456789"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:alarms"
PEM = "SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
CERT_URL = "https://sns.eu-west-1.amazonaws.com/" + PEM
POLICY = '''policy "latency" {{
  owner = "team", severity = "sev3", doc = "https://example.com/doc", target = find.service {{}},
  when = sig.alert {{ source = "{source}", match = {{ {match} }} }}, actions = {{}}, run = function(r) r:sleep "1h" end,
}}
'''


def iso(seconds=0):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def am(status="firing", **more):
    one = {"status": status, "labels": {"alertname": "HighLatency", "job": "api"}, "annotations": {}, "startsAt": iso(-60), "endsAt": "0001-01-01T00:00:00Z",
           "generatorURL": "http://prometheus/graph", "fingerprint": "a1b2c3d4e5f60718", **more}
    return {"version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": status, "receiver": "runbookd", "groupLabels": {}, "commonLabels": {},
            "commonAnnotations": {}, "externalURL": "http://alertmanager", "alerts": [one]}


class Alerts(AgentCase):
    @classmethod
    def setUpClass(cls):
        cls.keys = os.path.join("/tmp", f"rb-alerts-{os.getpid()}")
        os.makedirs(os.path.join(cls.keys, "certs"))
        for name, out in (("good", os.path.join("certs", PEM)), ("other", "other.pem")):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", os.path.join(cls.keys, name + ".key"), "-out",
                            os.path.join(cls.keys, out), "-days", "2", "-subj", "/CN=sns.amazonaws.com"], check=True, capture_output=True)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.keys)

    def setUp(self):
        super().setUp()
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.write("token", TOKEN, 0o400)
        self.write("estate.lua", 'service "api" { url = "http://127.0.0.1:1/" }\n')

    def listen(self, source="alertmanager", match='alertname = "HighLatency"'):
        self.write("policies/p.lua", POLICY.format(source=source, match=match))
        self.configure(f'http = {{ listen = "127.0.0.1:{self.port}", alertmanager = secret.file "token", sns_topics = {{ "{TOPIC}" }}, '
                       f'sns_certs = "{self.keys}/certs" }},')
        return self.start()

    def send(self, path, body, method="POST", **headers):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        c.request(method, path, body if isinstance(body, (bytes, str, type(None))) else json.dumps(body), headers)
        answer = c.getresponse()
        text = answer.read().decode()
        c.close()
        return answer.status, text

    def alertmanager(self, body, token=TOKEN):
        return self.send("/alerts/alertmanager", body, Authorization="Bearer " + token)[0]

    def state(self):
        return [e["state"] for e in self.ask("status")["policies"] if e["policy"] == "latency"][0]

    def known(self):
        return self.raw({"command": "metrics"})[0]["alerts"]

    # Alertmanager

    def test_alertmanager_fires_and_resolves(self):
        p = self.listen()
        self.assertEqual(self.alertmanager(am()), 200)
        eventually(lambda: self.state() == "firing", 30)
        # an agent that was away knows that one fired, not whether it still does: neither over nor true
        p.kill()
        p.wait()
        self.start()
        eventually(lambda: "before the start" in self.ctl("explain", "latency", "service/api").stdout, 20)
        self.assertEqual(self.state(), "firing")
        basic = "Basic " + base64.b64encode(f"runbookd:{TOKEN}".encode()).decode()
        self.assertEqual(self.send("/alerts/alertmanager", am("resolved", endsAt=iso()), Authorization=basic)[0], 200)
        eventually(lambda: self.state() in ("recovering", "quiet"), 30)

    def test_one_that_is_not_renewed_becomes_unknown(self):
        self.listen()
        self.assertEqual(self.alertmanager(am(endsAt=iso(2))), 200)
        eventually(lambda: "has not said that it ended" in self.ctl("explain", "latency", "service/api").stdout, 30)

    def test_forgeries_of_alertmanager(self):
        self.listen()
        bad = am()
        self.assertEqual(self.send("/alerts/alertmanager", bad)[0], 401)
        for token in ("", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "x" * 5000):
            self.assertEqual(self.alertmanager(bad, token), 401, token)
        for header in ("Basic !!!", "Basic " + base64.b64encode(TOKEN.encode()).decode(), "Digest " + TOKEN, TOKEN):
            self.assertEqual(self.send("/alerts/alertmanager", bad, Authorization=header)[0], 401, header)
        for body in (b"", b"{", b"[]", b"{}", b'{"a":1,"a":2}', b"\xff", b"[" * 5000, json.dumps({**am(), "version": "3"}), json.dumps({**am(), "alerts": {}}),
                     json.dumps({**am(), "alerts": [am()["alerts"][0], "x"]}), json.dumps(am(status="maybe")), json.dumps(am(labels={"a": 1})),
                     json.dumps(am(labels={})), json.dumps(am(fingerprint="../../x")), json.dumps(am(fingerprint="")), json.dumps(am(startsAt="yesterday")),
                     json.dumps(am(startsAt=iso(3600))), json.dumps(am(endsAt="never"))):
            self.assertEqual(self.alertmanager(body), 400, body[:60])
        self.assertEqual(self.known()["known"], 0)
        self.assertEqual(self.known()["accepted"], 0)
        self.assertEqual(self.leaks(TOKEN), [])
        self.assertLess(self.log().count("refused"), 5, "one a minute is told")

    # SNS

    def signed(self, alarm="ALARM", key="good", version="2", **more):
        message = json.dumps({"AlarmName": "p99", "AlarmArn": "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:p99", "AWSAccountId": "123456789012",
                              "Region": "EU (Ireland)", "NewStateValue": alarm, "StateChangeTime": iso().replace("Z", "+0000"),
                              "Trigger": {"MetricName": "TargetResponseTime", "Namespace": "AWS/ApplicationELB",
                                          "Dimensions": [{"name": "LoadBalancer", "value": "app/api/1"}]}})
        m = {"Type": "Notification", "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "TopicArn": TOPIC, "Subject": "ALARM", "Message": message,
             "Timestamp": iso(), "SignatureVersion": version, "SigningCertURL": CERT_URL, "UnsubscribeURL": "https://sns.eu-west-1.amazonaws.com/", **more}
        m = {k: v for k, v in m.items() if v is not None}
        names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"] if m["Type"] == "Notification" else \
                ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
        text = "".join(f"{n}\n{m[n]}\n" for n in names if n in m)
        raw = subprocess.run(["openssl", "dgst", "-sha1" if version == "1" else "-sha256", "-sign", os.path.join(self.keys, key + ".key")], input=text.encode(),
                             capture_output=True, check=True).stdout
        return {**m, "Signature": base64.b64encode(raw).decode()}

    def sns(self, m):
        return self.send("/alerts/sns", m, **{"Content-Type": "text/plain; charset=UTF-8"})[0]

    def test_an_alarm_over_sns(self):
        self.listen("cloudwatch_alarm", 'AlarmName = "p99", LoadBalancer = "app/api/1"')
        self.assertEqual(self.sns(self.signed()), 200)
        eventually(lambda: self.state() == "firing", 30)
        self.assertEqual(self.sns(self.signed("INSUFFICIENT_DATA")), 200)
        eventually(lambda: "has not said that it ended" in self.ctl("explain", "latency", "service/api").stdout, 20)
        self.assertEqual(self.sns(self.signed("OK", Subject=None)), 200)
        eventually(lambda: self.state() in ("recovering", "quiet"), 30)

    def test_forgeries_of_sns(self):
        p = self.listen("cloudwatch_alarm", 'AlarmName = "p99"')
        trace = self.path("connects")
        good = self.signed()

        def forged(**more):
            m = copy.deepcopy(good)
            m.update(more)
            return {k: v for k, v in m.items() if v is not None}

        with socket.socket() as trap:  # who is asked for a certificate would come here
            trap.bind(("127.0.0.1", 0))
            trap.listen(8)
            trap.settimeout(0.2)
            here = f"http://127.0.0.1:{trap.getsockname()[1]}"
            urls = [here + "/" + PEM, "http://sns.eu-west-1.amazonaws.com/" + PEM, "https://sns.eu-west-1.amazonaws.com.evil.example/" + PEM,
                    "https://sns.eu-west-1.amazonaws.com@127.0.0.1/" + PEM, "https://sns.us-east-1.amazonaws.com/" + PEM, CERT_URL + "?x", CERT_URL + "/../x",
                    "https://sns.eu-west-1.amazonaws.com/../../etc/passwd", "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-" + "../" * 10 + ".pem",
                    "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-" + "f" * 32 + ".pem", "", None]
            corpus = [forged(SigningCertURL=u) for u in urls]
            corpus += [forged(Signature=s) for s in ("", "AAAA", "!!!", good["Signature"][:-4], base64.b64encode(b"\0" * 256).decode(), "A" * 4000, None)]
            corpus += [forged(Message=good["Message"].replace("ALARM", "OK")), forged(Timestamp=iso(1)), forged(MessageId="x"), forged(Subject=None),
                       forged(TopicArn=TOPIC + "x"), forged(TopicArn=None), forged(Type="Notificatio"), forged(Type=None), forged(SignatureVersion="1"),
                       self.signed(version="1"), self.signed(key="other"), self.signed(Timestamp=iso(-4000)), self.signed(Timestamp=iso(4000)),
                       self.signed(TopicArn=TOPIC.replace("alarms", "others")), self.signed(Type="SubscriptionConfirmation", Token="t", SubscribeURL=here + "/", key="other")]
            corpus += [b"", b"{", b"[]", b"null", b'{"Type":"Notification","Type":"x"}', b"{" * 9000]
            for m in corpus:
                status, text = self.send("/alerts/sns", m)
                self.assertEqual(status, 403, str(m)[:300] + text)
            self.assertEqual(self.sns(self.signed(Message='{"AlarmName": "p99"}')), 400)
            # genuine, and still nothing is confirmed by the agent
            self.assertEqual(self.sns(self.signed(Type="SubscriptionConfirmation", Token="t0ken", SubscribeURL=here + "/confirm", Subject=None)), 200)
            self.assertIn("aws sns confirm-subscription --topic-arn " + TOPIC + " --token t0ken", self.log())
            self.assertRaises(TimeoutError, trap.accept)
        self.assertEqual(self.known()["known"], 0)
        self.assertFalse(os.path.exists(trace))
        self.assertIsNone(p.poll())
        # the same genuine message once more, after a later one, changes nothing
        self.assertEqual(self.sns(self.signed("OK")), 200)
        self.assertEqual(self.sns(good), 200)
        self.assertEqual(self.state(), "quiet")

    # The listener itself

    def test_health_metrics_and_limits(self):
        self.listen()
        self.assertEqual(self.send("/healthz", None, "GET"), (200, "ok\n"))
        status, text = self.send("/metrics", None, "GET")
        self.assertEqual(status, 200)
        seen = set()
        for line in text.splitlines():
            if not line.startswith("#"):
                self.assertRegex(line, r'^runbookd_[a-z_]+(\{[a-z]+="[^"\n]*"\})? -?[0-9.e+-]+$')
                self.assertNotIn(line.split(" ")[0], seen)
                seen.add(line.split(" ")[0])
        self.assertIn("runbookd_reports_pending", seen)
        check = subprocess.run(["/usr/bin/promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        self.assertEqual((check.returncode, check.stdout, check.stderr), (0, "", ""))
        self.assertEqual(self.send("/alerts/alertmanager", None, "GET")[0], 405)
        self.assertEqual(self.send("/", None, "GET")[0], 404)
        self.assertGreaterEqual(self.send("/healthz", None, "DELETE")[0], 400)
        # too much: a head, a body
        self.assertGreaterEqual(self.send("/healthz", None, "GET", X="y" * 20000)[0], 400)
        with socket.create_connection(("127.0.0.1", self.port), 5) as s:
            s.sendall(b"POST /alerts/sns HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
            self.assertRegex(s.recv(100), rb" 4\d\d |^$")
        self.assertLess(self.raw({"command": "metrics"})[0]["loop_lag_minute_ms"], 250)
        # a storm in one message, nearly all that is taken: told, told again, over; and the loop goes on
        many = am()
        many["alerts"] = [{"status": "firing", "labels": {"alertname": f"a{k}"}, "startsAt": "2026-01-01T00:00:00Z", "fingerprint": f"{k:x}"} for k in range(9000)]
        for status in ("firing", "firing", "resolved"):
            self.assertEqual(self.alertmanager(json.dumps(many, separators=(",", ":")).replace('"firing"', f'"{status}"')), 200)
        time.sleep(1.1)  # the figures are taken once a second
        m = self.raw({"command": "metrics"})[0]
        self.assertEqual(m["alerts"]["known"], 9000)
        self.assertLess(m["loop_work_minute_ms"], LOOP_WORK_MS)
        self.assertEqual(len(re.findall("info alerts: .* fires$", self.log(), re.M)), 10)
        self.assertIn("8990 more of the same message", self.log())
        self.assertEqual(self.stop(), 0)

    def test_an_address_that_is_taken(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            self.configure(f'http = {{ listen = "127.0.0.1:{s.getsockname()[1]}" }},')
            code, said = self.run_once()
        self.assertEqual(code, 25)
        self.assertIn("cannot listen on 127.0.0.1", said)
        self.configure('http = { listen = "localhost" },')
        code, said = self.run_once()
        self.assertEqual(code, 14)
        self.assertIn("write e.g.", said)


if __name__ == "__main__":
    unittest.main()
