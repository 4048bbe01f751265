"""Random and mutilated requests: each is answered, none breaks or changes anything."""

import http.client
import json
import random
import unittest
from urllib.parse import quote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import testing

ROUNDS = 400
PIECES = [
    "Action", "Version", "DescribeAutoScalingGroups", "GetMetricData", "AssumeRole",
    "GetMetricStatistics", "DescribeTargetHealth", "DescribeLoadBalancers", "ListMetrics",
    "2011-01-01", "2010-08-01", "2015-12-01", "2011-06-15", "MetricDataQueries", "member", "entry",
    "1", "2", "-1", "99999999999999999999", "Id", "Expression", "MetricStat", "Period", "Stat",
    "StartTime", "EndTime", "NextToken", "MaxRecords", "m1 + (", "FILL(m1, 0", "FILL()", "[[", "",
    "2026-01-01T00:00:00Z", "1e400", "1.5", "true", "null", "\u0000", "\ud7ff", "\U0001f600",
    "Filters", "Values", "Names", "TargetGroupArn", "PageSize", "Marker", "W10=", "WyJhIl0=",
    "RoleArn", "RoleSessionName", "Statistics", "ExtendedStatistics", "p99", "Dimensions",
]
TARGETS = ["GraniteServiceVersion20100801." + name for name in ("GetMetricData", "ListMetrics", "")]
TARGETS += ["x", "."]
ACTIONS = [piece for piece in PIECES if piece[:3] in ("Des", "Get", "Lis", "Ass")]


class Garbage(testing.SimTest):
    def setUp(self):
        self.random = random.Random(21)
        self.before = self.sim.state()["desired"]

    def tearDown(self):
        self.assertEqual(self.sim.state()["desired"], self.before)
        self.assertEqual(self.sim.control("GET", "counts")["effects"], {})
        super().tearDown()

    def connect(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.sim.port, timeout=10)
        self.addCleanup(connection.close)
        return connection

    def signed(self, body, service, headers):
        request = AWSRequest("POST", self.sim.url + "/", data=body, headers=headers)
        SigV4Auth(Credentials(testing.KEY, testing.SECRET), service,
                  testing.REGION).add_auth(request)
        return dict(request.headers)

    def send(self, connection, method, path, body, headers):
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        answer = response.read()
        self.assertNotIn(b"cloudsim broke", answer, (method, path, body, headers))
        self.assertNotEqual(response.status, 500, (method, path, body, headers, answer))
        return response.status

    def some(self, most=4):
        return self.random.choices(PIECES, k=self.random.randint(1, most))

    def test_queries(self):
        connection = self.connect()
        services = {"autoscaling": "2011-01-01", "monitoring": "2010-08-01",
                    "elasticloadbalancing": "2015-12-01", "sts": "2011-06-15"}
        statuses = set()
        for _ in range(ROUNDS):
            service, version = self.random.choice(list(services.items()))
            fields = [("Action", self.random.choice(ACTIONS)), ("Version", version)]
            fields += [(".".join(self.some()), "".join(self.some(2)))
                       for _ in range(self.random.randint(0, 4))]
            body = "&".join(f"{quote(k)}={quote(v)}" for k, v in fields).encode()
            headers = self.signed(body, service, {
                "Content-Type": "application/x-www-form-urlencoded"})
            statuses.add(self.send(connection, "POST", "/", body, headers))
        self.assertIn(400, statuses)

    def test_json(self):
        def value(depth=0):
            kind = self.random.randrange(7 if depth < 4 else 4)
            if kind < 4:
                return self.random.choice([1, -1.5, None, True, "", *PIECES])
            if kind == 4:
                return [value(depth + 1) for _ in range(self.random.randrange(3))]
            return {self.random.choice(PIECES): value(depth + 1) for _ in range(3)}

        connection = self.connect()
        for _ in range(ROUNDS):
            body = json.dumps(value()).encode()
            if self.random.random() < 0.2:
                body = body[: len(body) // 2]
            headers = self.signed(body, "monitoring", {
                "Content-Type": "application/x-amz-json-1.0",
                "X-Amz-Target": self.random.choice(TARGETS)})
            self.send(connection, "POST", "/", body, headers)

    def test_bytes_and_headers(self):
        connection = self.connect()
        paths = ["/", "/latest/api/token", "/latest/meta-data/iam/security-credentials/",
                 "/v2/enqueue", "/v2/change/enqueue", "/v2/credentials/cloudsim", "/?Action=x",
                 "/_sim/traffic", "/_sim/metrics", "/_sim/faults", "/_sim/iam", "//", "/%00"]
        for _ in range(ROUNDS):
            body = bytes(self.random.randrange(256) for _ in range(self.random.randrange(40)))
            if self.random.random() < 0.3:
                body = self.random.choice([b"[]", b"{}", b"null", b"1", b'"x"', b"[1]"])
            headers = {}
            for name in ("Authorization", "X-Amz-Target", "X-Amz-Date", "Content-Type",
                         "X-Amz-Security-Token", "X-aws-ec2-metadata-token-ttl-seconds"):
                if self.random.random() < 0.4:
                    headers[name] = self.random.choice([
                        "", "x", "AWS4-HMAC-SHA256 Credential=a/b/us-east-1/sts/aws4_request, "
                        "SignedHeaders=, Signature=", "application/json", "; =", "20269999T999999Z",
                        "GraniteServiceVersion20100801.GetMetricData"])
            method = self.random.choice(["GET", "POST", "PUT", "DELETE"])
            self.send(connection, method, self.random.choice(paths), body, headers)


if __name__ == "__main__":
    unittest.main()
