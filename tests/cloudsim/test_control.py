"""The control API: IAM enforcement, credentials, the journal of requests, odd requests."""

import http.client
import json
import unittest

import testing

READ = {"Effect": "Allow", "Resource": "*",
        "Action": ["autoscaling:Describe*", "cloudwatch:GetMetricData"]}


def policy(*statements):
    return {"Version": "2012-10-17", "Statement": list(statements)}


class Iam(testing.SimTest):
    def setUp(self):
        self.asg = self.sim.client("autoscaling")
        self.arn = self.sim.state()["arn"]

    def set(self):
        self.asg.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=3)

    def allow(self, *statements, principal=None):
        self.sim.control("POST", "iam", {"policy": policy(*statements), "principal": principal})

    def write(self, **more):
        return {"Effect": "Allow", "Action": "autoscaling:SetDesiredCapacity", "Resource": self.arn,
                **more}

    def test_what_is_not_allowed_is_denied(self):
        self.set()
        self.allow(READ)
        self.asg.describe_auto_scaling_groups()
        message, status = self.refused("AccessDenied", self.set)
        self.assertEqual(status, 403)
        self.assertEqual(message, (
            "User: arn:aws:iam::123456789012:user/runbookd is not authorized to perform: "
            f"autoscaling:SetDesiredCapacity on resource: {self.arn} because no identity-based "
            "policy allows the autoscaling:SetDesiredCapacity action"))
        self.refused("AccessDenied", self.sim.client("cloudwatch").list_metrics)
        self.sim.client("sts").get_caller_identity()  # cannot be denied
        self.sim.control("DELETE", "iam")
        self.set()

    def test_resources(self):
        prefix = "arn:aws:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/"
        for resource, allowed in ((self.arn, True), (prefix + "web", True), (prefix + "w?b", True),
                                  (prefix + "other", False), (["x", prefix + "*"], True)):
            self.allow(READ, self.write(Resource=resource))
            if allowed:
                self.set()
            else:
                self.refused("AccessDenied", self.set)

    def test_deny_wins(self):
        self.allow(self.write(Action="*", Resource="*"),
                   {"Effect": "Deny", "Action": "autoscaling:Set*", "Resource": "*"})
        self.asg.describe_auto_scaling_groups()
        message, _ = self.refused("AccessDenied", self.set)
        self.assertIn("with an explicit deny", message)

    def test_conditions(self):
        for tag, allowed in (("web", True), ("db", False)):
            self.allow(self.write(Condition={"StringEquals": {
                "autoscaling:ResourceTag/team": tag}}))
            if allowed:
                self.set()
            else:
                self.refused("AccessDenied", self.set)
        self.allow(self.write(Condition={"StringLike": {"aws:ResourceTag/owner": "*"}}))
        self.refused("AccessDenied", self.set)

    def test_principals(self):
        self.allow(READ, principal="arn:aws:iam::123456789012:role/runbookd")
        self.set()  # the user has no policy of its own
        given = self.sim.client("sts").assume_role(
            RoleArn="arn:aws:iam::123456789012:role/runbookd", RoleSessionName="ops")["Credentials"]
        session = self.sim.client("autoscaling", given["AccessKeyId"], given["SecretAccessKey"],
                                  given["SessionToken"])
        session.describe_auto_scaling_groups()
        self.refused("AccessDenied", session.set_desired_capacity, AutoScalingGroupName="web",
                     DesiredCapacity=3)

    def test_policies_that_are_not_understood_are_refused(self):
        for bad in ({}, policy({"Effect": "Maybe", "Action": "*", "Resource": "*"}),
                    policy({"Effect": "Allow", "Action": "*"}),
                    policy(self.write(Principal="*")),
                    policy(self.write(Condition={"DateLessThan": {"aws:CurrentTime": "x"}}))):
            with self.assertRaises(RuntimeError):
                self.sim.control("POST", "iam", {"policy": bad})


class Journal(testing.SimTest):
    def test_requests_tell_who_did_what_on_which_connection(self):
        asg = self.sim.client("autoscaling")
        for _ in range(2):
            asg.describe_auto_scaling_groups(AutoScalingGroupNames=["web"])
        first, second = self.sim.control("GET", "requests?action=DescribeAutoScalingGroups")
        self.assertEqual((first["service"], first["verdict"], first["status"], first["params"],
                          first["signer"], first["access_key"]),
                         ("autoscaling", "ok", 200, {"AutoScalingGroupNames": ["web"]},
                          "arn:aws:iam::123456789012:user/runbookd", testing.KEY))
        self.assertEqual((second["connection"], second["reuse"]),
                         (first["connection"], first["reuse"] + 1))
        self.assertEqual(self.sim.control("GET", f"requests?since={first['seq']}"), [second])
        self.sim.control("DELETE", "requests")
        self.assertEqual(self.sim.control("GET", "requests"), [])

    def test_credentials_come_and_go(self):
        self.sim.control("POST", "credentials", {"access_key": "AKIANEW", "secret_key": "s",
                                                 "name": "eve"})
        client = self.sim.client("sts", "AKIANEW", "s")
        self.assertTrue(client.get_caller_identity()["Arn"].endswith("user/eve"))
        self.assertIn("AKIANEW", [c["access_key"] for c in self.sim.control("GET", "credentials")])
        self.sim.control("DELETE", "credentials?access_key=AKIANEW")
        self.refused("InvalidClientTokenId", client.get_caller_identity)

    def test_traffic_moves_the_estate(self):
        cold = self.sim.state()["cpu"]
        self.sim.control("POST", "traffic", {"group": "web", "rps": 240, "ramp": 0.4})
        hot = self.sim.until(lambda: self.sim.state()["rps"] == 240 and self.sim.state()["cpu"])
        self.assertGreater(hot, cold + 30)
        self.sim.control("POST", "traffic", {"steps": [{"at": 0, "rps": 10},
                                                       {"at": 0.3, "rps": 120}]})
        self.assertTrue(self.sim.until(lambda: self.sim.state()["rps"] == 120))

    def test_instances_break(self):
        victim = next(i["id"] for i in self.sim.state()["instances"] if i["state"] == "InService")
        self.sim.control("POST", "instance", {"id": victim, "gone": True})
        self.assertNotIn(victim, [i["id"] for i in self.sim.state()["instances"]])
        self.assertTrue(self.sim.until(lambda: self.sim.state()["serving"] == 3))

    def test_another_controller_scales(self):
        self.sim.control("POST", "group", {"group": "web", "desired": 4, "who": "a schedule"})
        newest = self.sim.client("autoscaling").describe_scaling_activities()["Activities"][0]
        self.assertIn("a schedule explicitly set group desired capacity changing the desired "
                      "capacity from 3 to 4", newest["Cause"])
        self.assertEqual(self.sim.control("GET", "counts")["effects"], {})
        self.sim.control("POST", "group", {"group": "web", "desired": 3})
        self.assertTrue(self.sim.until(lambda: self.sim.state()["serving"] == 3))

    def test_mistakes_are_told(self):
        for method, path, body, status in (
            ("GET", "nothing", None, 404), ("POST", "traffic", {}, 400),
            ("POST", "traffic", {"group": "nope", "rps": 1}, 400),
            ("POST", "group", {"group": "web", "desired": 99}, 400),
            ("POST", "group", {"group": "web", "colour": 1}, 400),
            ("POST", "instance", {"id": "i-none"}, 400),
            ("POST", "settings", {"colour": 1}, 400),
            ("POST", "metrics", {"namespace": "x", "name": "y", "points": [{"value": 1}]}, 400),
            ("POST", "metrics", {"namespace": "x", "name": "y",
                                 "points": [{"ago": 1, "value": float("nan")}]}, 400),
        ):
            got, _, answer = self.sim.http(method, "/_sim/" + path,
                                           json.dumps(body) if body is not None else None)
            self.assertEqual(got, status, answer)
        self.assertIn("POST /_sim/traffic", json.loads(self.sim.http("GET", "/_sim/")[2]))

    def test_odd_http(self):
        self.assertEqual(self.sim.http("GET", "/elsewhere")[0], 404)
        self.assertEqual(self.sim.http("PUT", "/")[0], 403)
        connection = http.client.HTTPConnection("127.0.0.1", self.sim.port, timeout=5)
        connection.putrequest("POST", "/")
        connection.putheader("Content-Length", str(1 << 30))
        connection.endheaders()
        self.assertEqual(connection.getresponse().status, 413)
        connection.close()
        connection.request("POST", "/_sim/clock", body=b'{"offset": 0}',
                           headers={"Expect": "100-continue"})
        self.assertEqual(connection.getresponse().status, 200)
        connection.close()


if __name__ == "__main__":
    unittest.main()
