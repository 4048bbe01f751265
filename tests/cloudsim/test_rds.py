"""RDS and Secrets Manager: what they answer, what they refuse, and the pool that clients starve at."""

import time
import unittest
import uuid

import testing
from databases import Proxy

SCENARIO = testing.scenario(groups=[], databases=[
    {"name": "db-1", "max_connections": 100, "snapshot_seconds": 2, "modify_seconds": 0.5,
     "parameters": [{"name": "own", "status": "pending-reboot"}]},
    {"name": "db-2", "source": "db-1", "replica_lag": 7.5, "modify_seconds": 0.5},
], proxies=[{"name": "px", "database": "db-1", "clients": 60}],
    secrets=[{"name": "portal/db", "value": '{"password": "first"}'}])


class Rds(testing.SimTest):
    content = SCENARIO

    def setUp(self):
        self.rds = self.sim.client("rds")

    def pool(self):
        group = self.rds.describe_db_proxy_target_groups(DBProxyName="px")["TargetGroups"][0]
        return group["ConnectionPoolConfig"]

    def widen(self, **config):
        return self.rds.modify_db_proxy_target_group(
            DBProxyName="px", TargetGroupName="default", ConnectionPoolConfig=config)

    def test_instances(self):
        found = self.rds.describe_db_instances()["DBInstances"]
        self.assertEqual([d["DBInstanceIdentifier"] for d in found], ["db-1", "db-2"])
        self.assertEqual(found[0]["ReadReplicaDBInstanceIdentifiers"], ["db-2"])
        self.assertEqual(found[0]["DBParameterGroups"], [
            {"DBParameterGroupName": "own", "ParameterApplyStatus": "pending-reboot"}])
        some = [{"Name": "db-instance-id", "Values": ["DB-2", "nope"]}]
        self.assertEqual(self.rds.describe_db_instances(Filters=some)["DBInstances"], found[1:])
        self.assertEqual(self.rds.describe_db_snapshots(Filters=some)["DBSnapshots"], [])
        self.refused("InvalidParameterValue", self.rds.describe_db_instances,
                     Filters=[{"Name": "colour", "Values": ["x"]}])
        _, status = self.refused("DBInstanceNotFound", self.rds.describe_db_instances,
                                 DBInstanceIdentifier="nope")
        self.assertEqual(status, 404)
        self.refused("InvalidParameterValue", self.rds.describe_db_instances, MaxRecords=19)
        self.refused("InvalidParameterValue", self.rds.describe_db_instances, Marker="x")

    def test_modify(self):
        change = self.rds.modify_db_instance
        shown = change(DBInstanceIdentifier="db-2", DBInstanceClass="db.m6i.xlarge")["DBInstance"]
        self.assertEqual((shown["DBInstanceStatus"], shown["PendingModifiedValues"]),
                         ("available", {"DBInstanceClass": "db.m6i.xlarge"}))
        change(DBInstanceIdentifier="db-2", AllocatedStorage=105, ApplyImmediately=True)
        self.refused("InvalidDBInstanceState", change, DBInstanceIdentifier="db-2", MultiAZ=True)
        self.assertTrue(self.sim.until(lambda: self.state("db-2")["status"] == "available"))
        state = self.state("db-2")
        self.assertEqual((state["class"], state["storage_gib"], state["pending"]),
                         ("db.m6i.xlarge", 110, {}))  # at least a tenth more
        message, _ = self.refused("InvalidParameterCombination", change,
                                  DBInstanceIdentifier="db-2", AllocatedStorage=200)
        self.assertIn("being optimized", message)
        self.refused("InvalidParameterValue", change, DBInstanceIdentifier="db-2",
                     AllocatedStorage=50)
        self.refused("InvalidParameterValue", change, DBInstanceIdentifier="db-2",
                     DBInstanceClass="large")

    def state(self, name):
        return self.sim.control("GET", "state")["databases"][name]

    def test_snapshots(self):
        make = self.rds.create_db_snapshot
        tags = [{"Key": "keep", "Value": "7d"}]
        made = make(DBSnapshotIdentifier="Snap-1", DBInstanceIdentifier="db-1", Tags=tags)
        self.assertEqual(made["DBSnapshot"]["Status"], "creating")
        self.refused("DBSnapshotAlreadyExists", make, DBSnapshotIdentifier="snap-1",
                     DBInstanceIdentifier="db-1")
        self.refused("InvalidDBInstanceState", make, DBSnapshotIdentifier="snap-2",
                     DBInstanceIdentifier="db-1")
        self.refused("InvalidDBSnapshotState", self.rds.delete_db_snapshot,
                     DBSnapshotIdentifier="snap-1")
        for name in ("1st", "two--hyphens", "last-", "under_score", "a" * 256):
            self.refused("InvalidParameterValue", make, DBSnapshotIdentifier=name,
                         DBInstanceIdentifier="db-1")
        seen = set()

        def ready():
            found = self.rds.describe_db_snapshots(DBSnapshotIdentifier="snap-1")["DBSnapshots"][0]
            seen.add(found["PercentProgress"])
            return found if found["Status"] == "available" else None

        found = self.sim.until(ready)
        self.assertEqual((found["PercentProgress"], found["TagList"]), (100, tags))
        self.assertGreater(len(seen), 3)
        self.assertEqual(self.state("db-1")["status"], "available")
        self.assertEqual(self.rds.describe_db_snapshots(
            DBInstanceIdentifier="db-1", SnapshotType="automated")["DBSnapshots"], [])
        self.assertEqual(self.rds.describe_db_snapshots(
            DBInstanceIdentifier="gone")["DBSnapshots"], [])
        self.rds.delete_db_snapshot(DBSnapshotIdentifier="snap-1")
        self.refused("DBSnapshotNotFound", self.rds.describe_db_snapshots,
                     DBSnapshotIdentifier="snap-1")
        self.refused("DBInstanceNotFound", make, DBSnapshotIdentifier="snap-9",
                     DBInstanceIdentifier="nope")

    def test_proxy(self):
        proxy = self.rds.describe_db_proxies(DBProxyName="px")["DBProxies"][0]
        self.assertEqual((proxy["Status"], proxy["EngineFamily"]), ("available", "POSTGRESQL"))
        target = self.rds.describe_db_proxy_targets(
            DBProxyName="px", TargetGroupName="default")["Targets"][0]
        self.assertEqual((target["Type"], target["RdsResourceId"], target["TargetHealth"]["State"]),
                         ("RDS_INSTANCE", "db-1", "AVAILABLE"))
        for call in (self.rds.describe_db_proxies, self.rds.describe_db_proxy_targets,
                     self.rds.describe_db_proxy_target_groups):
            self.refused("DBProxyNotFoundFault", call, DBProxyName="nope")
        self.refused("DBProxyTargetGroupNotFoundFault", self.rds.describe_db_proxy_targets,
                     DBProxyName="px", TargetGroupName="other")

    def test_modify_pool(self):
        before = self.pool()
        shown = self.widen(MaxConnectionsPercent=60, MaxIdleConnectionsPercent=25)
        self.assertEqual(shown["DBProxyTargetGroup"]["ConnectionPoolConfig"], self.pool())
        self.assertEqual(self.pool(), {**before, "MaxConnectionsPercent": 60,
                                       "MaxIdleConnectionsPercent": 25})
        self.widen(MaxConnectionsPercent=50)  # the model: without it, idle is half of it
        self.assertEqual(self.pool()["MaxIdleConnectionsPercent"], 25)
        effects = [e["changed"] for e in self.sim.control("GET", "effects")["list"]
                   if e["action"] == "ModifyDBProxyTargetGroup"]
        self.assertEqual(effects[-1]["max_percent"], [60, 50])

    def test_pool_refusals(self):
        for config in ({"MaxConnectionsPercent": 101}, {"MaxConnectionsPercent": 0},
                       {"MaxConnectionsPercent": 50, "MaxIdleConnectionsPercent": 51},
                       {"ConnectionBorrowTimeout": 301}, {"ConnectionBorrowTimeout": -1},
                       {"MaxConnectionsPercent": 50, "MaxIdleConnectionsPercent": -1}):
            self.refused("InvalidParameterValue", self.widen, **config)
        self.refused("InvalidParameterCombination", self.widen, MaxIdleConnectionsPercent=5)
        modify = self.rds.modify_db_proxy_target_group
        self.refused("DBProxyNotFoundFault", modify, DBProxyName="nope", TargetGroupName="default")
        self.refused("DBProxyTargetGroupNotFoundFault", modify, DBProxyName="px",
                     TargetGroupName="nope")
        self.sim.control("POST", "proxy", {"proxy": "px", "status": "modifying"})
        self.refused("InvalidDBProxyStateFault", self.widen, MaxConnectionsPercent=60)
        self.sim.control("POST", "proxy", {"proxy": "px", "status": "available"})

    def test_iam(self):
        arn = "arn:aws:rds:us-east-1:123456789012:"
        self.sim.control("POST", "iam", {"policy": {"Statement": [
            {"Effect": "Allow", "Action": "rds:CreateDBSnapshot", "Resource": arn + "db:db-1"},
            {"Effect": "Allow", "Action": "rds:ModifyDBProxyTargetGroup",
             "Resource": arn + "target-group:*"}]}})
        message, _ = self.refused("AccessDenied", self.rds.create_db_snapshot,
                                  DBSnapshotIdentifier="s", DBInstanceIdentifier="db-1")
        self.assertIn("snapshot:s", message)
        self.widen(MaxConnectionsPercent=50, MaxIdleConnectionsPercent=25)

    def value(self, name, dimensions, stat="Sum"):
        now = int(time.time())
        found = self.sim.client("cloudwatch").get_metric_data(
            StartTime=now - 5, EndTime=now, MetricDataQueries=[{"Id": "m", "MetricStat": {
                "Period": 1, "Stat": stat, "Metric": {
                    "Namespace": "AWS/RDS", "MetricName": name, "Dimensions": [
                        {"Name": k, "Value": v} for k, v in dimensions.items()]}}}])
        values = found["MetricDataResults"][0]["Values"]
        return values[0] if values else None

    def test_metrics(self):
        px, db = {"ProxyName": "px"}, {"DBInstanceIdentifier": "db-1"}
        self.assertEqual(self.value("ClientConnections", px), 60)
        self.assertEqual(self.value("DatabaseConnections", px), 30)
        self.assertEqual(self.value("MaxDatabaseConnectionsAllowed", px), 50)
        self.assertEqual(self.value("MaxDatabaseConnectionsAllowed", {
            **px, "TargetGroup": "default", "TargetRole": "READ_WRITE"}), 50)
        self.assertEqual(self.value("DatabaseConnections", {**px, "TargetGroup": "default"}), None)
        self.assertEqual(self.value("ClientConnections", px, "Average"), 30)  # two machines
        self.assertEqual(self.value("CPUUtilization", db), 20)
        self.assertEqual(self.value("FreeStorageSpace", db), 60 * 1024 ** 3)
        self.assertEqual(self.value("ReplicaLag", db), None)
        self.assertEqual(self.value("ReplicaLag", {"DBInstanceIdentifier": "db-2"}), 7.5)
        # Microseconds; clients that starve wait for others.
        calm = self.value("DatabaseConnectionsBorrowLatency", px, "Average")
        self.assertTrue(500 < calm < 2000, calm)
        self.sim.control("POST", "proxy", {"proxy": "px", "clients": 400})
        self.assertTrue(self.sim.until(lambda: self.value(
            "DatabaseConnectionsBorrowLatency", px, "Average") > 100000))
        self.widen(MaxConnectionsPercent=90, MaxIdleConnectionsPercent=25)
        self.assertTrue(self.sim.until(lambda: self.value("DatabaseConnections", px) == 90))
        self.widen(MaxConnectionsPercent=50, MaxIdleConnectionsPercent=25)
        self.sim.control("POST", "proxy", {"proxy": "px", "clients": 60})
        self.assertTrue(self.sim.until(lambda: self.value("DatabaseConnections", px) == 30))


class Pool(unittest.TestCase):
    """The model by itself."""

    def latency(self, clients, percent, direct=0):
        import scenario
        spec = scenario.from_dict({"databases": [{"name": "d"}], "proxies": [
            {"name": "p", "database": "d", "clients": clients, "max_percent": percent,
             "direct": direct}]})
        from databases import Database
        proxy = Proxy(spec["proxies"][0], Database(spec["databases"][0], "1", "r", 0), "1", "r", 0)
        return proxy.latency()

    def test_latency(self):
        self.assertLess(self.latency(20, 50), 0.002)
        self.assertGreater(self.latency(200, 50), 0.05)
        self.assertLess(self.latency(150, 90), self.latency(150, 50) / 10)
        # What comes past the proxy takes the room: a wider pool does not help.
        self.assertEqual(self.latency(200, 90, 70), self.latency(200, 50, 70))
        self.assertEqual(self.latency(10 ** 6, 50), 120)  # the borrow time-out


class Secrets(testing.SimTest):
    content = SCENARIO

    def setUp(self):
        self.sm = self.sim.client("secretsmanager")

    def test_versions(self):
        first = self.sm.get_secret_value(SecretId="portal/db")
        self.assertEqual(first["SecretString"], '{"password": "first"}')
        token = str(uuid.uuid4())
        put = dict(SecretId=first["ARN"], SecretString="second", ClientRequestToken=token)
        self.assertEqual(self.sm.put_secret_value(**put)["VersionStages"], ["AWSCURRENT"])
        # The same request again is the same version; the token with other content is refused.
        self.assertEqual(self.sm.put_secret_value(**put)["VersionId"], token)
        self.refused("ResourceExistsException", self.sm.put_secret_value,
                     **{**put, "SecretString": "third"})
        self.assertEqual(self.sm.get_secret_value(SecretId="portal/db")["SecretString"], "second")
        old = self.sm.get_secret_value(SecretId="portal/db", VersionStage="AWSPREVIOUS")
        self.assertEqual(old["VersionId"], first["VersionId"])
        stages = self.sm.describe_secret(SecretId="portal/db")["VersionIdsToStages"]
        self.assertEqual(stages, {token: ["AWSCURRENT"], first["VersionId"]: ["AWSPREVIOUS"]})
        effects = self.sim.control("GET", "effects")["counts"]
        self.assertEqual(effects["secretsmanager:PutSecretValue"], 1)

    def test_create(self):
        token = str(uuid.uuid4())
        make = dict(Name="new", SecretString="x", ClientRequestToken=token)
        self.assertEqual(self.sm.create_secret(**make)["VersionId"], token)
        self.assertEqual(self.sm.create_secret(**make)["VersionId"], token)
        self.refused("ResourceExistsException", self.sm.create_secret, Name="new",
                     SecretString="x")

    def test_refusals(self):
        for call in (self.sm.get_secret_value, self.sm.describe_secret):
            self.refused("ResourceNotFoundException", call, SecretId="nope")
        self.refused("ResourceNotFoundException", self.sm.get_secret_value, SecretId="portal/db",
                     VersionStage="NOPE")
        self.refused("InvalidParameterException", self.sm.put_secret_value, SecretId="portal/db",
                     SecretString="x", SecretBinary=b"x")
        self.refused("InvalidRequestException", self.sm.put_secret_value, SecretId="portal/db")


if __name__ == "__main__":
    unittest.main()
