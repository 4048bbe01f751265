"""Signatures: what is refused, and that a signed request cannot be changed by one bit."""

import hashlib
import random
import time
import unittest
from urllib.parse import quote, urlencode

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import testing

BODY = urlencode({"Action": "GetCallerIdentity", "Version": "2011-06-15"})
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


class Signatures(testing.SimTest):
    def signed(self, body=BODY, service="sts", region=testing.REGION, key=testing.KEY,
               secret=testing.SECRET, token=None, path="/", method="POST", headers=None):
        request = AWSRequest(method, self.sim.url + path, data=body.encode(),
                             headers={**FORM, **(headers or {})})
        SigV4Auth(Credentials(key, secret, token), service, region).add_auth(request)
        return request

    def send(self, request, body=None):
        return self.sim.http(request.method, request.url.removeprefix(self.sim.url),
                             request.data if body is None else body, dict(request.headers))

    def assertRefused(self, code, answer, status=403, words=""):
        self.assertEqual(answer[0], status, answer[2])
        self.assertIn(f"<Code>{code}</Code>", answer[2].decode())
        self.assertIn(words, answer[2].decode())

    def test_good_ones(self):
        self.assertEqual(self.send(self.signed())[0], 200)
        get = self.signed("", path="/?" + BODY, method="GET")
        self.assertEqual(self.send(get)[0], 200)
        digest = hashlib.sha256(BODY.encode()).hexdigest()
        self.assertEqual(self.send(self.signed(headers={"X-Amz-Content-SHA256": digest}))[0], 200)
        spaced = self.signed(headers={"X-Amz-Meta": "a   b  "})
        self.assertEqual(self.send(spaced)[0], 200)

    def test_odd_characters_survive(self):
        generator = random.Random(7)
        alphabet = "abc ~*'()!+&=%/\u00e9\u20ac\U0001f600\"<>;,:@$#?"
        for _ in range(60):
            name = "".join(generator.choices(alphabet, k=generator.randint(1, 12)))
            fields = [("Action", "DescribeAutoScalingGroups"), ("Version", "2011-01-01"),
                      ("AutoScalingGroupNames.member.1", name)]
            body = "&".join(f"{k}={quote(v, safe='-_.~')}" for k, v in fields)
            self.assertEqual(self.send(self.signed(body, "autoscaling"))[0], 200, name)
            get = self.signed("", "autoscaling", path="/?" + body, method="GET")
            self.assertEqual(self.send(get)[0], 200, name)

    def test_every_changed_part_is_noticed(self):
        wrong = "SignatureDoesNotMatch"
        answer = self.send(self.signed(secret="not the secret"))
        self.assertRefused(wrong, answer, words="The request signature we calculated does not")
        self.assertIn("The Canonical String for this request should have been", answer[2].decode())
        self.assertRefused(wrong, self.send(self.signed(), BODY.encode() + b"&"))
        request = self.signed()
        request.headers.replace_header("Content-Type", "application/x-www-form-urlencoded")
        self.assertRefused(wrong, self.send(request))
        request = self.signed()
        signature = request.headers["Authorization"]
        last = "0" if signature[-1] != "0" else "1"
        request.headers.replace_header("Authorization", signature[:-1] + last)
        self.assertRefused(wrong, self.send(request))
        request = self.signed()
        request.headers["X-Amz-Extra"] = "unsigned"
        self.assertRefused(wrong, self.send(request), words="must be a 'SignedHeader'")
        self.assertRefused(wrong, self.send(self.signed(headers={
            "X-Amz-Content-SHA256": "0" * 64})))

    def test_scope(self):
        wrong = "SignatureDoesNotMatch"
        self.assertRefused(wrong, self.send(self.signed(region="eu-west-1")),
                           words="Credential should be scoped to a valid region")
        self.assertRefused(wrong, self.send(self.signed(service="s3")),
                           words="Credential should be scoped to correct service")
        request = self.signed()
        day = request.headers["X-Amz-Date"][:8]
        header = request.headers["Authorization"].replace(f"/{day}/", "/20200229/")
        request.headers.replace_header("Authorization", header)
        self.assertRefused(wrong, self.send(request), words="Date in Credential scope does not")
        body = BODY.replace("GetCallerIdentity", "DescribeAutoScalingGroups")
        self.assertRefused("InvalidAction", self.send(self.signed(body)), 400)

    def test_missing_and_malformed(self):
        self.assertRefused("MissingAuthenticationToken", self.sim.http("POST", "/", BODY, FORM))
        for header in ("AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host",
                       "AWS4-HMAC-SHA256 Credential=a/b/aws4_request, SignedHeaders=host, "
                       "Signature=0", "Basic abc"):
            answer = self.sim.http("POST", "/", BODY, {**FORM, "Authorization": header})
            self.assertRefused("IncompleteSignature", answer)
        request = self.signed()
        del request.headers["X-Amz-Date"]
        self.assertRefused("IncompleteSignature", self.send(request))
        request = self.signed()
        header = request.headers["Authorization"].replace("host;", "")
        request.headers.replace_header("Authorization", header)
        self.assertRefused("SignatureDoesNotMatch", self.send(request), words="'Host'")

    def test_keys_and_tokens(self):
        self.assertRefused("InvalidClientTokenId", self.send(self.signed(key="AKIAUNKNOWN")))
        self.assertRefused("InvalidClientTokenId", self.send(self.signed(token="surplus")))
        sts = self.sim.client("sts")
        given = sts.assume_role(RoleArn="arn:aws:iam::123456789012:role/runbookd",
                                RoleSessionName="ops")["Credentials"]
        key, secret = given["AccessKeyId"], given["SecretAccessKey"]
        self.assertRefused("InvalidClientTokenId", self.send(self.signed(key=key, secret=secret)))
        good = self.signed(key=key, secret=secret, token=given["SessionToken"])
        self.assertEqual(self.send(good)[0], 200)
        self.assertEqual(self.sim.control("POST", "credentials/expire", {"access_key": key}),
                         {"expired": 1})
        self.assertRefused("ExpiredToken", self.send(good))

    def test_clock(self):
        for offset, words in ((400, "Signature expired: "), (-400, "Signature not yet current: ")):
            self.sim.control("POST", "clock", {"offset": offset})
            status, headers, body = self.send(self.signed())
            self.assertRefused("SignatureDoesNotMatch", (status, headers, body), words=words)
            claimed = time.mktime(time.strptime(headers["Date"], "%a, %d %b %Y %H:%M:%S GMT"))
            true = time.mktime(time.gmtime())
            self.assertAlmostEqual(claimed - true, offset, delta=3)
        for offset in (290, -290):
            self.sim.control("POST", "clock", {"offset": offset})
            self.assertEqual(self.send(self.signed())[0], 200)

    def test_protocol(self):
        def ask(body, service="autoscaling"):
            return self.send(self.signed(body, service))

        version = "&Version=2011-01-01"
        self.assertRefused("MissingAction", ask("Version=2011-01-01"), 400)
        self.assertRefused("InvalidAction", ask("Action=DescribeNothing" + version), 400)
        self.assertRefused("InvalidAction", ask("Action=DescribeAutoScalingGroups&Version=1"), 400)
        self.assertRefused("MalformedInput", ask(
            "Action=DescribeAutoScalingGroups&AutoScalingGroupName.member.1=x" + version), 400)
        self.assertRefused("MalformedInput", ask(
            "Action=DescribeAutoScalingGroups&AutoScalingGroupNames.1=x" + version), 400)
        self.assertRefused("MalformedInput", ask(
            "Action=DescribeAutoScalingGroups&AutoScalingGroupNames.member.2=x" + version), 400)
        set_capacity = "Action=SetDesiredCapacity&AutoScalingGroupName=web" + version
        self.assertRefused("ValidationError", ask(set_capacity), 400,
                           "Value null at 'desiredCapacity' failed to satisfy constraint: Member "
                           "must not be null")
        for value in ("4.0", "four", "0x4", ""):
            self.assertRefused("MalformedInput", ask(f"{set_capacity}&DesiredCapacity={value}"),
                               400)
        self.assertRefused("MalformedInput", ask(
            set_capacity + "&DesiredCapacity=4&HonorCooldown=True"), 400)
        self.assertRefused("ValidationError", ask(
            "Action=SetDesiredCapacity&DesiredCapacity=4&AutoScalingGroupName=" + "x" * 256
            + version), 400, "length less than or equal to 255")
        self.assertRefused("MalformedInput", self.send(self.signed(
            set_capacity, "autoscaling", headers={"Content-Type": "text/plain"})), 400)
        self.assertEqual(self.sim.state()["desired"], 3)

    def test_what_cloudsim_does_not_model_is_said_plainly(self):
        self.assertRefused("CloudsimUnknown", self.send(self.signed(
            "Action=DescribeTags&Version=2011-01-01", "autoscaling")), 501)

    def test_a_refusal_is_xml(self):
        status, headers, body = self.sim.http("POST", "/", BODY, FORM)
        self.assertEqual((status, headers["Content-Type"]), (403, "text/xml"))
        self.assertTrue(body.startswith(b"<ErrorResponse"))


if __name__ == "__main__":
    unittest.main()
