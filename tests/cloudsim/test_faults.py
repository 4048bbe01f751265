"""Every fault on demand: what reaches the client, and whether the call was carried out."""

import http.client
import json
import socket
import time
import unittest
import xml.etree.ElementTree as ElementTree

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

import faults
import testing

LOST = (http.client.RemoteDisconnected, ConnectionError)


class Faults(testing.SimTest):
    def setUp(self):
        self.asg = self.sim.client("autoscaling")
        self.sim.control("DELETE", "requests")
        self.desired = 3

    def tearDown(self):
        super().tearDown()
        self.sim.control("POST", "group", {"group": "web", "desired": 3})

    def fault(self, kind, **options):
        options = {"service": "autoscaling", "action": "SetDesiredCapacity", "count": 1, **options}
        return self.sim.control("POST", "faults", {"kind": kind, **options})["id"]

    def set(self, desired=4):
        return self.asg.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=desired)

    def raw(self, desired=4, timeout=10):
        """The same call without a client that understands: (status, headers, body)."""
        body = ("Action=SetDesiredCapacity&Version=2011-01-01&AutoScalingGroupName=web"
                f"&DesiredCapacity={desired}")
        request = AWSRequest("POST", self.sim.url + "/", data=body.encode(), headers={
            "Content-Type": "application/x-www-form-urlencoded"})
        SigV4Auth(Credentials(testing.KEY, testing.SECRET), "autoscaling",
                  testing.REGION).add_auth(request)
        return self.sim.http("POST", "/", request.data, dict(request.headers), timeout)

    def effects(self):
        counts = self.sim.control("GET", "counts")["effects"]
        return counts.get("autoscaling:SetDesiredCapacity", 0)

    def last(self):
        return self.sim.control("GET", "requests")[-1]

    # --- error answers ---------------------------------------------------------------------------

    def test_throttles(self):
        self.fault("throttle")
        message, status = self.refused("Throttling", self.set)
        self.assertEqual((message, status), ("Rate exceeded", 400))
        for code, status in (("RequestLimitExceeded", 503), ("ThrottlingException", 400)):
            self.fault("throttle", code=code, status=status)
            self.assertEqual(self.refused(code, self.set)[1], status)
        self.assertEqual(self.effects(), 0)
        self.set()
        self.assertEqual(self.effects(), 1)

    def test_json_throttle(self):
        self.sim.control("POST", "faults", {"kind": "throttle", "service": "monitoring"})
        status, headers, body = self.sim.http("POST", "/", "{}", {
            "X-Amz-Target": "GraniteServiceVersion20100801.ListMetrics"})
        self.assertEqual((status, headers["x-amzn-ErrorType"]), (400, "ThrottlingException:"))
        self.assertTrue(json.loads(body)["__type"].endswith("#ThrottlingException"))

    def test_proper_server_errors(self):
        self.fault("internal_error")
        self.assertEqual(self.refused("InternalFailure", self.set)[1], 500)
        self.fault("unavailable")
        self.assertEqual(self.refused("ServiceUnavailable", self.set)[1], 503)
        self.fault("error", code="ResourceContention", status=500,
                   message="You already have a pending update.")
        self.assertEqual(self.refused("ResourceContention", self.set),
                         ("You already have a pending update.", 500))
        self.assertEqual(self.effects(), 0)

    def test_effect_done_and_error_answered(self):
        self.fault("internal_error", when="after")
        self.refused("InternalFailure", self.set)
        self.assertEqual((self.effects(), self.sim.state()["desired"]), (1, 4))
        self.assertEqual((self.last()["fault"], self.last()["when"], self.last()["verdict"]),
                         ("internal_error", "after", "ok"))

    # --- bodies ----------------------------------------------------------------------------------

    def test_html(self):
        for status in (500, 200):
            self.fault("html", status=status)
            got, headers, body = self.raw()
            self.assertEqual((got, headers["Content-Type"]), (status, "text/html"))
            self.assertIn(b"<html>", body)
        self.assertEqual(self.effects(), 0)

    def test_answer_of_ones_own(self):
        self.fault("answer", status=418, body="tea", value="text/tea", headers={"X-Pot": "1"})
        status, headers, body = self.raw()
        self.assertEqual((status, headers["Content-Type"], headers["X-Pot"], body),
                         (418, "text/tea", "1", b"tea"))

    def broken_xml(self, kind, **options):
        """The body of an answer that a parser must refuse; the call was carried out."""
        before = self.effects()
        self.fault(kind, **options)
        status, headers, body = self.raw()
        self.assertEqual(status, 200)
        with self.assertRaises((ElementTree.ParseError, RecursionError)):
            if b"<!DOCTYPE" in body:
                raise ElementTree.ParseError("a document type, which a client refuses unseen")
            ElementTree.fromstring(body)
        self.assertEqual(self.effects(), before + 1)
        return body

    def test_truncated(self):
        self.assertTrue(self.broken_xml("truncated").startswith(b"<SetDesiredCapacityResponse"))
        self.assertEqual(self.broken_xml("truncated", size=0), b"")

    def test_invalid_utf8(self):
        self.assertIn(b"\xff\xfe", self.broken_xml("invalid_utf8"))

    def test_documents_that_explode(self):
        self.assertIn(b"file:///etc/passwd", self.broken_xml("dtd"))
        self.assertIn(b'<!ENTITY e9 "&e8;&e8;', self.broken_xml("entity_bomb"))

    def test_deep(self):
        self.fault("deep", size=5000)
        self.assertEqual(self.raw()[2].count(b"<a>"), 5000)

    def test_wrong_content_type(self):
        self.fault("content_type", value="image/png")
        self.assertEqual(self.raw()[1]["Content-Type"], "image/png")

    def test_oversized(self):
        self.fault("oversized", size=3_000_000)
        status, headers, body = self.raw()
        self.assertEqual((status, len(body), headers["Content-Length"]),
                         (200, 3_000_000, "3000000"))
        self.assertEqual(self.effects(), 1)

    # --- connections -----------------------------------------------------------------------------

    def test_cut_off(self):
        self.fault("cut_off")
        with self.assertRaises(http.client.IncompleteRead):
            self.raw()
        self.assertEqual(self.effects(), 1)

    def test_reset_before_and_after(self):
        for when, effects in (("before", 0), ("after", 1)):
            self.fault("reset", when=when)
            with self.assertRaises(ConnectionResetError):
                self.raw()
            self.assertEqual(self.effects(), effects)
            self.assertEqual(self.last()["verdict"], "ok" if effects else "reset")

    def test_accepted_but_no_answer(self):
        self.fault("drop")
        with self.assertRaises(ConnectionClosedError):
            self.set()
        self.assertEqual((self.effects(), self.sim.state()["desired"]), (1, 4))
        self.fault("drop", when="before")
        with self.assertRaises(LOST):
            self.raw(5)
        self.assertEqual((self.effects(), self.sim.state()["desired"]), (1, 4))

    def test_hang(self):
        self.fault("hang", seconds=1.0)
        begin = time.monotonic()
        with self.assertRaises(LOST):
            self.raw()
        self.assertAlmostEqual(time.monotonic() - begin, 1.0, delta=0.5)
        self.assertEqual(self.effects(), 0)

    def test_the_effect_that_comes_after_the_client_gave_up(self):
        self.fault("delay", seconds=1.0)
        client = self.sim.client("autoscaling", read_timeout=0.3)
        with self.assertRaises(ReadTimeoutError):
            client.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=5)
        self.assertEqual(self.effects(), 0)
        self.assertTrue(self.sim.until(lambda: self.effects() == 1, 3))

    def test_only_the_answer_is_late(self):
        self.fault("delay", seconds=0.5, when="after")
        client = self.sim.client("autoscaling", read_timeout=0.2)
        with self.assertRaises(ReadTimeoutError):
            client.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=5)
        self.assertEqual(self.effects(), 1)

    def test_slow_drip(self):
        self.fault("drip", seconds=0.8)
        begin = time.monotonic()
        self.assertEqual(self.raw()[0], 200)
        self.assertGreater(time.monotonic() - begin, 0.6)

    def test_a_fault_delays_nobody_else(self):
        self.fault("hang", seconds=3)
        with socket.create_connection(("127.0.0.1", self.sim.port)):
            try:
                self.raw(timeout=0.1)
            except TimeoutError:
                pass
            begin = time.monotonic()
            self.asg.describe_auto_scaling_groups()
            self.assertLess(time.monotonic() - begin, 1.0)

    # --- which requests --------------------------------------------------------------------------

    def test_count_skip_and_scope(self):
        self.fault("throttle", count=2, skip=1)
        self.set()
        self.asg.describe_auto_scaling_groups()
        for _ in range(2):
            self.refused("Throttling", self.set)
        self.set()
        self.assertEqual(self.sim.control("GET", "faults")[0]["fired"], 2)

    def test_probability(self):
        self.fault("throttle", action="DescribeAutoScalingGroups", count=None, probability=0.5)
        refused = 0
        for _ in range(60):
            try:
                self.asg.describe_auto_scaling_groups()
            except self.asg.exceptions.ClientError:
                refused += 1
        self.assertTrue(15 <= refused <= 45, refused)

    def test_every_service_and_clearing_one(self):
        one = self.fault("throttle", service="*", action="*", count=None)
        self.refused("Throttling", self.set)
        self.refused("Throttling", self.sim.client("sts").get_caller_identity)
        self.assertEqual(self.sim.http("GET", "/latest/meta-data/")[0], 429)
        self.assertEqual(self.sim.http("POST", "/v2/enqueue", "{}")[0], 429)
        self.sim.control("DELETE", f"faults?id={one}")
        self.set()

    def test_mistaken_faults_are_refused(self):
        for bad in ({"kind": "plague"}, {"kind": "hang", "when": "during"}, {"knid": "hang"}, {},
                    {"kind": "hang", "fired": 1}):
            with self.assertRaises(RuntimeError):
                self.sim.control("POST", "faults", bad)

    def test_none_of_the_kinds_is_untested(self):
        with open(__file__, encoding="utf-8") as stream:
            source = stream.read()
        for kind in faults.KINDS:
            self.assertIn(f'("{kind}"', source, f"no test sets the fault {kind}")


if __name__ == "__main__":
    unittest.main()
