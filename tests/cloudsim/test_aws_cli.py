"""Debian's own aws command drives cloudsim: one call of each service, and one refusal."""

import json
import os
import subprocess
import time
import unittest

import testing

AWS = "/usr/bin/aws" if os.path.exists("/usr/bin/aws") else None


class AwsCommand:
    """For a SimTest: Debian's aws command against its cloudsim."""

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


@unittest.skipUnless(AWS, "needs Debian's awscli")
class AwsCli(testing.SimTest, AwsCommand):
    content = testing.scenario(
        databases=[{"name": "db-1", "snapshot_seconds": 0, "modify_seconds": 0}],
        proxies=[{"name": "px", "database": "db-1", "clients": 60}])

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

    def test_rds(self):
        self.answer("rds", "modify-db-instance", "--db-instance-identifier", "db-1",
                    "--db-instance-class", "db.m6i.xlarge", "--apply-immediately")

        def changed():
            found = self.answer("rds", "describe-db-instances", "--db-instance-identifier", "db-1")
            return found["DBInstances"][0]["DBInstanceClass"] == "db.m6i.xlarge"

        self.assertTrue(self.sim.until(changed))
        self.answer("rds", "create-db-snapshot", "--db-snapshot-identifier", "s-1",
                    "--db-instance-identifier", "db-1", "--tags", "Key=keep,Value=7d")
        self.answer("rds", "wait", "db-snapshot-available", "--db-snapshot-identifier", "s-1")
        found = self.answer("rds", "describe-db-snapshots", "--db-instance-identifier", "db-1")
        self.assertEqual(found["DBSnapshots"][0]["TagList"], [{"Key": "keep", "Value": "7d"}])
        self.answer("rds", "delete-db-snapshot", "--db-snapshot-identifier", "s-1")
        code, _, errors = self.aws("rds", "describe-db-snapshots", "--db-snapshot-identifier", "s-1")
        self.assertEqual(code, 254)
        self.assertIn("(DBSnapshotNotFound)", errors)

    def test_rds_proxy(self):
        proxy = ("--db-proxy-name", "px")
        self.answer("rds", "modify-db-proxy-target-group", *proxy, "--target-group-name", "default",
                    "--connection-pool-config", "MaxConnectionsPercent=60,"
                    "MaxIdleConnectionsPercent=30,SessionPinningFilters=EXCLUDE_VARIABLE_SETS")
        group = self.answer("rds", "describe-db-proxy-target-groups", *proxy)["TargetGroups"][0]
        self.assertEqual(group["ConnectionPoolConfig"]["MaxConnectionsPercent"], 60)
        self.assertEqual(group["ConnectionPoolConfig"]["SessionPinningFilters"],
                         ["EXCLUDE_VARIABLE_SETS"])
        found = self.answer("rds", "describe-db-proxies", *proxy)["DBProxies"][0]
        self.assertEqual(found["Status"], "available")
        target = self.answer("rds", "describe-db-proxy-targets", *proxy)["Targets"][0]
        self.assertEqual(target["TargetHealth"]["State"], "AVAILABLE")
        code, _, errors = self.aws("rds", "modify-db-proxy-target-group", *proxy, "--target-group-name",
                                   "default", "--connection-pool-config", "ConnectionBorrowTimeout=301")
        self.assertEqual(code, 254)
        self.assertIn("(InvalidParameterValue)", errors)
        code, _, errors = self.aws("rds", "describe-db-proxies", "--db-proxy-name", "nope")
        self.assertEqual(code, 254)
        self.assertIn("(DBProxyNotFoundFault)", errors)

    def test_secretsmanager(self):
        self.answer("secretsmanager", "create-secret", "--name", "portal/db", "--secret-string", "a")
        token = "0123456789abcdef0123456789abcdef"
        put = ("secretsmanager", "put-secret-value", "--secret-id", "portal/db",
               "--client-request-token", token, "--secret-string")
        self.answer(*put, "b")
        self.assertEqual(self.answer(*put, "b")["VersionId"], token)
        code, _, errors = self.aws(*put, "c")
        self.assertEqual(code, 254)
        self.assertIn("(ResourceExistsException)", errors)
        found = self.answer("secretsmanager", "get-secret-value", "--secret-id", "portal/db")
        self.assertEqual((found["SecretString"], found["VersionId"]), ("b", token))
        shown = self.answer("secretsmanager", "describe-secret", "--secret-id", "portal/db")
        self.assertEqual(shown["VersionIdsToStages"][token], ["AWSCURRENT"])


if __name__ == "__main__":
    unittest.main()
