"""Our AWS client against cloudsim: signatures, faults, doubt, clock and credentials.

usage: test_aws.py DRIVER
"""
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../cloudsim"))
from testing import GROUP, KEY, REGION, SECRET, Sim, scenario  # noqa: E402

DRIVER = sys.argv.pop(1)
ROLE = "arn:aws:iam::{account}:role/"
CONTENT = scenario(
    roles=[{"name": "runbookd"}, {"name": "locked", "external_id": "ext-1"},
           {"name": "pod", "web_identity_tokens": ["a-web-token"]}],
    container={"role": "runbookd", "path": "/v2/credentials/x", "token": "container-secret"})

IDENTITY = {"service": "sts", "action": "GetCallerIdentity",
            "path": "GetCallerIdentityResult/Arn"}
DESCRIBE = {"service": "autoscaling", "action": "DescribeAutoScalingGroups",
            "params": {"AutoScalingGroupNames.member.1": GROUP},
            "path": "DescribeAutoScalingGroupsResult/AutoScalingGroups/member/DesiredCapacity"}


def set_desired(n, **more):
    return {"service": "autoscaling", "action": "SetDesiredCapacity", "mutating": True,
            "params": {"AutoScalingGroupName": GROUP, "DesiredCapacity": str(n)}, **more}


class AwsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sim = Sim(CONTENT)
        cls.account = cls.sim.control("GET", "state")["account"]
        cls.folder = tempfile.TemporaryDirectory()

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()
        assert cls.sim.stop() == 0

    def setUp(self):
        for path in ("faults", "iam", "requests"):
            self.sim.control("DELETE", path)
        self.sim.control("POST", "clock", {"offset": 0})

    def drive(self, *calls, env=None, **options):
        """The answers to the calls, in the order in which they ended."""
        variables = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET} if env is None else env
        with subprocess.Popen([DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE,
                              env={"HOME": "/nonexistent", "PATH": "/usr/bin:/bin", **variables}) as p:
            document = {"region": REGION, "endpoint": self.sim.url, "calls": list(calls), **options}
            out, self.log = (s.decode() for s in p.communicate(json.dumps(document).encode(), 60))
        self.assertEqual(p.returncode, 0, self.log)
        answers = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(len(answers), len(calls), self.log)
        return answers

    def fault(self, kind, service="autoscaling", action="*", count=1, **more):
        self.sim.control("POST", "faults", {"kind": kind, "service": service, "action": action,
                                            "count": count, **more})

    def requests(self, action):
        return [r for r in self.sim.control("GET", "requests") if r["action"] == action]

    def effects(self):
        return self.sim.control("GET", "counts")["effects"].get("autoscaling:SetDesiredCapacity", 0)

    def ok(self, answer):
        self.assertEqual(answer["outcome"], "ok", answer)
        return answer

    # ---- calls ----

    def test_reads_and_acts(self):
        before = self.effects()
        answers = self.drive(IDENTITY, DESCRIBE, set_desired(3), set_desired(100), DESCRIBE)
        self.assertIn("user/", self.ok(answers[0])["value"])
        self.assertEqual(self.ok(answers[1])["value"], "3")
        self.ok(answers[2])
        self.assertEqual((answers[3]["outcome"], answers[3]["code"]), ("refused", "ValidationError"))
        self.assertTrue(answers[3]["request_id"])
        self.assertEqual(self.ok(answers[4])["value"], "3")
        self.assertEqual(self.effects(), before + 1)

    def test_odd_characters_are_signed_and_arrive(self):
        name = "né w & %2F=+~*'\"<x>日本"
        answer, = self.drive({**DESCRIBE, "params": {"AutoScalingGroupNames.member.1": name}})
        self.ok(answer)
        self.assertIsNone(answer["value"])

    def test_other_services(self):
        for answer in self.drive(
                {"service": "monitoring", "action": "ListMetrics"},
                {"service": "elasticloadbalancing", "action": "DescribeTargetGroups"}, IDENTITY,
                parallel=True):
            self.ok(answer)

    def test_wrong_secret(self):
        answer, = self.drive(set_desired(3), env={"AWS_ACCESS_KEY_ID": KEY,
                                                  "AWS_SECRET_ACCESS_KEY": "wrong"})
        self.assertEqual((answer["outcome"], answer["code"]), ("refused", "SignatureDoesNotMatch"))
        self.assertEqual(answer["attempts"], 1)
        self.assertIn("the environment", answer["error"])

    # ---- faults ----

    def test_throttles(self):
        self.fault("throttle", count=2)
        before = self.effects()
        answer, = self.drive(set_desired(3))
        self.assertEqual(self.ok(answer)["attempts"], 3)
        self.assertEqual(self.effects(), before + 1)

    def test_throttled_for_ever(self):
        self.fault("throttle", count=100)
        answer, = self.drive(set_desired(3))
        self.assertEqual((answer["outcome"], answer["attempts"]), ("refused", 3))

    def test_reads_are_tried_again(self):
        for kind in ("internal_error", "unavailable", "html", "truncated", "cut_off", "reset"):
            with self.subTest(kind):
                self.fault(kind)
                answer, = self.drive(DESCRIBE)
                self.assertEqual(self.ok(answer)["attempts"], 2, kind)

    def test_acts_in_doubt_are_not_sent_again(self):
        for kind, when in (("internal_error", "before"), ("html", "after"), ("truncated", "after"),
                           ("cut_off", "after"), ("reset", "after"), ("reset", "before"),
                           ("unavailable", "after")):
            with self.subTest(kind=kind, when=when):
                self.sim.control("DELETE", "requests")  # and with them the effects
                before = self.effects()
                self.fault(kind, action="SetDesiredCapacity", when=when)
                answer, = self.drive(set_desired(3))
                self.assertEqual((answer["outcome"], answer["attempts"]), ("in doubt", 1), answer)
                self.assertIn("may have been carried out", answer["error"])
                self.assertEqual(len(self.requests("SetDesiredCapacity")), 1)
                self.assertEqual(self.effects() - before, 1 if when == "after" else 0)
                self.sim.control("DELETE", "faults")

    def test_accepted_but_no_answer(self):
        before = self.effects()
        self.fault("hang", action="SetDesiredCapacity", when="after", seconds=5)
        answer, after = self.drive(set_desired(3, attempt_ms=700), DESCRIBE)
        self.assertEqual((answer["outcome"], answer["attempts"]), ("in doubt", 1))
        self.ok(after)
        self.assertEqual(len(self.requests("SetDesiredCapacity")), 1)
        self.assertEqual(self.effects(), before + 1)

    def test_monstrous_answers(self):
        for kind in ("oversized", "deep", "dtd", "entity_bomb", "invalid_utf8"):
            with self.subTest(kind):
                self.fault(kind, count=3)
                answer, = self.drive(DESCRIBE, )
                self.assertIn(answer["outcome"], ("in doubt", "ok"))
                if kind != "invalid_utf8":
                    self.assertEqual(answer["outcome"], "in doubt", answer)
                self.sim.control("DELETE", "faults")

    # ---- clock ----

    def test_clock_ten_minutes_off(self):
        for offset in (600, -600):
            with self.subTest(offset):
                self.sim.control("DELETE", "requests")
                self.sim.control("POST", "clock", {"offset": offset})
                before = self.effects()
                answers = self.drive(set_desired(3), set_desired(3))
                self.assertEqual([self.ok(a)["attempts"] for a in answers], [2, 1])
                self.assertEqual(self.effects(), before + 2)
                self.assertEqual(self.log.count("clock"), 1, self.log)

    def test_clock_off_with_a_role(self):
        for offset in (3 * 3600, -3 * 3600):  # keys of an hour: their end is by STS's clock
            with self.subTest(offset):
                self.sim.control("POST", "clock", {"offset": offset})
                answers = self.drive(IDENTITY, IDENTITY,
                                     role=ROLE.format(account=self.account) + "runbookd")
                self.assertEqual([self.ok(a)["attempts"] for a in answers], [2, 1])
                self.assertEqual(self.log.count("clock"), 2, self.log)  # STS's client and ours

    # ---- credentials ----

    def test_role_on_top(self):
        answer, = self.drive(IDENTITY, role=ROLE.format(account=self.account) + "runbookd")
        self.assertIn("assumed-role/runbookd/runbookd", self.ok(answer)["value"])

    def test_external_id(self):
        arn = ROLE.format(account=self.account) + "locked"
        answer, = self.drive(IDENTITY, role=arn)
        self.assertEqual((answer["outcome"], answer["attempts"]), ("not sent", 0))
        self.assertIn("AccessDenied", answer["error"])
        answer, = self.drive(IDENTITY, role=arn, external_id="ext-1")
        self.assertIn("assumed-role/locked", self.ok(answer)["value"])

    def write(self, name, text):
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, 0o600)
        return path

    def test_profile_chain(self):
        arn = ROLE.format(account=self.account) + "runbookd"
        config = self.write("config", f"[profile a]\nrole_arn={arn}\nsource_profile=b\n"
                                      f"role_session_name=first\n[profile b]\nrole_arn={arn}\n"
                                      "source_profile=base\n")
        keys = self.write("credentials", f"[base]\naws_access_key_id={KEY}\n"
                                         f"aws_secret_access_key={SECRET}\n")
        files = {"AWS_CONFIG_FILE": config, "AWS_SHARED_CREDENTIALS_FILE": keys}
        for env, options in ((dict(files, AWS_PROFILE="a"), {}), (files, {"profile": "a"})):
            answer, = self.drive(IDENTITY, env=env, **options)
            self.assertIn("assumed-role/runbookd/first", self.ok(answer)["value"])

    def test_credential_process(self):
        document = json.dumps({"Version": 1, "AccessKeyId": KEY, "SecretAccessKey": SECRET})
        path = self.write("process.json", document)
        config = self.write("config", f"[default]\ncredential_process = cat '{path}'\n")
        answer, = self.drive(IDENTITY, env={"AWS_CONFIG_FILE": config})
        self.ok(answer)
        self.assertIn("default", answer["source"])

    def test_web_identity(self):
        token = self.write("token", "a-web-token\n")
        env = {"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_SESSION_NAME": "pod-1",
               "AWS_ROLE_ARN": ROLE.format(account=self.account) + "pod"}
        answer, = self.drive(IDENTITY, env=env)
        self.assertIn("assumed-role/pod/pod-1", self.ok(answer)["value"])

    def test_container(self):
        token = self.write("token", "container-secret")
        env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": self.sim.url + "/v2/credentials/x",
               "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token}
        answer, = self.drive(IDENTITY, env=env)
        self.assertIn("assumed-role/runbookd/container", self.ok(answer)["value"])
        self.write("token", "wrong")
        answer, = self.drive(IDENTITY, env=env)
        self.assertEqual(answer["outcome"], "not sent")

    def test_instance(self):
        env = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.sim.url}
        answers = self.drive(IDENTITY, IDENTITY, IDENTITY, env=env, parallel=True)
        for answer in answers:
            self.assertIn("assumed-role/runbookd/i-", self.ok(answer)["value"])
        self.assertEqual(answers[0]["source"], "the instance's role runbookd")
        asked = [r for r in self.sim.control("GET", "requests") if r["service"] == "imds"]
        self.assertEqual(len(asked), 3)

    def test_expired_keys_are_renewed(self):
        env = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.sim.url}
        self.fault("error", service="sts", action="GetCallerIdentity", code="ExpiredToken", status=403)
        answer, = self.drive(IDENTITY, env=env)
        self.assertEqual(self.ok(answer)["attempts"], 2)
        asked = [r for r in self.sim.control("GET", "requests") if r["service"] == "imds"]
        self.assertEqual(len(asked), 6)

    def test_no_credentials(self):
        answer, = self.drive(set_desired(3), env={"AWS_EC2_METADATA_DISABLED": "true"})
        self.assertEqual((answer["outcome"], answer["attempts"]), ("not sent", 0))
        self.assertIn("no AWS credentials", answer["error"])

    def test_secrets_stay_out_of_logs_and_errors(self):
        env = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.sim.url}
        self.fault("error", service="sts", code="AccessDenied", status=403, count=100)
        answer, = self.drive(IDENTITY, env=env)
        text = json.dumps(answer) + self.log
        self.assertNotIn(SECRET, text)
        self.assertNotIn("FwoGZXIvYXdzE", text)


if __name__ == "__main__":
    started = time.monotonic()
    unittest.main(verbosity=1)
