"""Debian's own aws command drives cloudsim: one call of each service, and one refusal."""

import json
import os
import subprocess
import time
import unittest

import testing

AWS = "/usr/bin/aws"


@unittest.skipUnless(os.path.exists(AWS), "needs Debian's awscli")
class AwsCli(testing.SimTest):
    def aws(self, *arguments):
        environment = {
            "PATH": "/usr/bin:/bin", "HOME": self.sim.folder.name, "LC_ALL": "C.UTF-8",
            "AWS_ACCESS_KEY_ID": testing.KEY, "AWS_SECRET_ACCESS_KEY": testing.SECRET,
            "AWS_DEFAULT_REGION": testing.REGION, "AWS_PAGER": "", "AWS_MAX_ATTEMPTS": "1",
            "AWS_EC2_METADATA_DISABLED": "true"}
        done = subprocess.run(
            [AWS, "--endpoint-url", self.sim.url, "--output", "json", *arguments],
            env=environment, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def answer(self, *arguments):
        code, output, errors = self.aws(*arguments)
        self.assertEqual(code, 0, errors)
        return json.loads(output) if output.strip() else None

    def test_autoscaling(self):
        self.answer("autoscaling", "set-desired-capacity", "--auto-scaling-group-name", "web",
                    "--desired-capacity", "4", "--no-honor-cooldown")
        group = self.answer("autoscaling", "describe-auto-scaling-groups", "--filters",
                            "Name=tag:team,Values=web")["AutoScalingGroups"][0]
        self.assertEqual(group["DesiredCapacity"], 4)
        code, _, errors = self.aws("autoscaling", "set-desired-capacity",
                                   "--auto-scaling-group-name", "web", "--desired-capacity", "7")
        self.assertEqual(code, 254)
        self.assertIn("(ValidationError)", errors)

    def test_cloudwatch(self):
        now = int(time.time())
        queries = [
            {"Id": "m1", "ReturnData": False, "MetricStat": {"Period": 1, "Stat": "Sum", "Metric": {
                "Namespace": "AWS/ApplicationELB", "MetricName": "RequestCount", "Dimensions": [
                    {"Name": "LoadBalancer", "Value": "app/web/456789abcdef"}]}}},
            {"Id": "e1", "Expression": "m1 / 60"}]
        found = self.answer("cloudwatch", "get-metric-data", "--start-time", str(now - 20),
                            "--end-time", str(now), "--metric-data-queries", json.dumps(queries))
        self.assertEqual(found["MetricDataResults"][0]["Id"], "e1")
        self.assertAlmostEqual(found["MetricDataResults"][0]["Values"][0], 2.0, delta=0.1)

    def test_elbv2_and_sts(self):
        arn = self.sim.state()["target_group_arn"]
        found = self.answer("elbv2", "describe-target-health", "--target-group-arn", arn)
        self.assertEqual(found["TargetHealthDescriptions"][0]["TargetHealth"]["State"], "healthy")
        who = self.answer("sts", "get-caller-identity")
        self.assertEqual(who["Account"], "123456789012")


if __name__ == "__main__":
    unittest.main()
