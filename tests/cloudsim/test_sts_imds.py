"""Temporary credentials: STS, IMDSv2 and the container endpoint; that they work, and end."""

import json
import time
import unittest
from urllib.parse import urlencode

import testing

ROLE = "arn:aws:iam::123456789012:role/runbookd"
TOKEN, ROLES = "/latest/api/token", "/latest/meta-data/iam/security-credentials/"
TTL = "X-aws-ec2-metadata-token-ttl-seconds"


class Temporary(testing.SimTest):
    content = testing.scenario(
        roles=[{"name": "runbookd", "web_identity_tokens": ["a.web.token"]},
               {"name": "guarded", "external_id": "e-1", "max_session_seconds": 7200},
               {"name": "other", "trust": ["arn:aws:iam::123456789012:user/nobody"]}],
        container={"role": "runbookd", "seconds": 3600, "path": "/v2/credentials/cloudsim",
                   "token": "Bearer 1"})

    def tearDown(self):
        super().tearDown()
        self.sim.control("POST", "settings", {"token_seconds": None})

    def identity(self, given):
        client = self.sim.client("sts", given["AccessKeyId"], given["SecretAccessKey"],
                                 given["SessionToken"])
        return client.get_caller_identity()["Arn"]

    def test_who_am_i(self):
        who = self.sim.client("sts").get_caller_identity()
        self.assertEqual((who["Account"], who["Arn"]),
                         ("123456789012", "arn:aws:iam::123456789012:user/runbookd"))

    def test_assume_role(self):
        sts = self.sim.client("sts")
        given = sts.assume_role(RoleArn=ROLE, RoleSessionName="ops")
        self.assertEqual(given["AssumedRoleUser"]["Arn"],
                         "arn:aws:sts::123456789012:assumed-role/runbookd/ops")
        self.assertEqual(self.identity(given["Credentials"]), given["AssumedRoleUser"]["Arn"])
        self.assertAlmostEqual(given["Credentials"]["Expiration"].timestamp(), time.time() + 3600,
                               delta=5)
        guarded = dict(RoleArn=ROLE.replace("runbookd", "guarded"), RoleSessionName="ops")
        self.refused("AccessDenied", sts.assume_role, **guarded)
        sts.assume_role(**guarded, ExternalId="e-1", DurationSeconds=7200)
        for role in ("other", "unknown"):
            self.refused("AccessDenied", sts.assume_role, RoleSessionName="ops",
                         RoleArn=ROLE.replace("runbookd", role))
        self.refused("ValidationError", sts.assume_role, RoleArn=ROLE, RoleSessionName="ops",
                     DurationSeconds=7200)
        lenient = self.sim.client("sts", parameter_validation=False)
        self.refused("ValidationError", lenient.assume_role, RoleArn=ROLE, RoleSessionName="ops",
                     DurationSeconds=60)
        self.refused("ValidationError", sts.assume_role, RoleArn=ROLE, RoleSessionName="no spaces")

    def test_they_expire(self):
        self.sim.control("POST", "settings", {"token_seconds": 1})
        given = self.sim.client("sts").assume_role(RoleArn=ROLE, RoleSessionName="ops")
        given = given["Credentials"]
        self.identity(given)
        time.sleep(1.1)
        client = self.sim.client("autoscaling", given["AccessKeyId"], given["SecretAccessKey"],
                                 given["SessionToken"])
        message, status = self.refused("ExpiredToken", client.describe_auto_scaling_groups)
        self.assertEqual((message, status), (
            "The security token included in the request is expired", 403))

    def test_web_identity_is_unsigned(self):
        def ask(token):
            return self.sim.http("POST", "/", urlencode({
                "Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleArn": ROLE,
                "RoleSessionName": "web", "WebIdentityToken": token}),
                {"Content-Type": "application/x-www-form-urlencoded"})

        self.assertEqual(ask("a.web.token")[0], 200)
        status, _, body = ask("a.forged.token")
        self.assertEqual(status, 400)
        self.assertIn(b"<Code>InvalidIdentityToken</Code>", body)
        given = self.sim.client("sts").assume_role_with_web_identity(
            RoleArn=ROLE, RoleSessionName="web", WebIdentityToken="a.web.token")
        self.assertTrue(self.identity(given["Credentials"]).endswith("assumed-role/runbookd/web"))

    def imds(self, path, token):
        status, _, body = self.sim.http("GET", path, headers={"X-aws-ec2-metadata-token": token})
        return status, body.decode()

    def test_imds(self):
        status, headers, token = self.sim.http("PUT", TOKEN, headers={TTL: "60"})
        token = token.decode()
        self.assertEqual((status, headers[TTL]), (200, "60"))
        self.assertEqual(self.imds(ROLES, token), (200, "runbookd"))
        status, body = self.imds(ROLES + "runbookd", token)
        given = json.loads(body)
        self.assertEqual((status, given["Code"], given["Type"]), (200, "Success", "AWS-HMAC"))
        who = self.identity({**given, "SessionToken": given["Token"]})
        self.assertIn("assumed-role/runbookd/i-", who)
        self.assertEqual(self.imds("/latest/meta-data/placement/region", token)[1], "us-east-1")
        self.assertEqual(self.imds(ROLES + "nobody", token)[0], 404)

    def test_imds_refusals(self):
        self.assertEqual(self.sim.http("GET", ROLES)[0], 401)  # version 1 is off
        self.assertEqual(self.imds(ROLES, "made-up")[0], 401)
        for ttl in ("0", "21601", "x", ""):
            self.assertEqual(self.sim.http("PUT", TOKEN, headers={TTL: ttl})[0], 400)
        self.assertEqual(self.sim.http("PUT", TOKEN)[0], 400)
        self.assertEqual(self.sim.http("GET", TOKEN, headers={TTL: "60"})[0], 405)
        self.assertEqual(self.sim.http("PUT", TOKEN, headers={
            TTL: "60", "X-Forwarded-For": "1.2.3.4"})[0], 403)
        token = self.sim.http("PUT", TOKEN, headers={TTL: "1"})[2].decode()
        self.assertEqual(self.imds(ROLES, token)[0], 200)
        time.sleep(1.1)
        self.assertEqual(self.imds(ROLES, token)[0], 401)

    def test_container(self):
        path = "/v2/credentials/cloudsim"
        self.assertEqual(self.sim.http("GET", path)[0], 401)
        status, _, body = self.sim.http("GET", path, headers={"Authorization": "Bearer 1"})
        given = json.loads(body)
        self.assertEqual((status, given["RoleArn"]), (200, ROLE))
        self.identity({**given, "SessionToken": given["Token"]})
        self.sim.control("POST", "settings", {"container_token": "Bearer 2"})
        self.assertEqual(self.sim.http("GET", path, headers={"Authorization": "Bearer 1"})[0], 401)
        self.sim.control("POST", "settings", {"container_token": "Bearer 1"})


if __name__ == "__main__":
    unittest.main()
