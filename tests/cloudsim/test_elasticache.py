"""ElastiCache: groups and members, what may be changed and what is refused, snapshots, metrics."""

import json
import os
import subprocess
import time
import unittest

import testing

CONTENT = testing.scenario(caches=[
    {"name": "portal", "node_type": "cache.t4g.micro", "replicas": 1, "data_mib": 640.0,
     "writes_rps": 50.0, "modify_seconds": 0.6, "snapshot_seconds": 0.6, "tags": {"app": "portal"}},
    {"name": "sharded", "node_type": "cache.r6g.large", "cluster_mode": True, "shards": 2,
     "replicas": 1, "data_mib": 2000.0, "modify_seconds": 0.6, "not_offered": ["cache.t4g.small"]},
])


class Caches(testing.SimTest):
    content = CONTENT

    def setUp(self):
        self.cache = self.sim.client("elasticache")

    def group(self, name="portal"):
        return self.cache.describe_replication_groups(
            ReplicationGroupId=name)["ReplicationGroups"][0]

    def free(self, name="portal"):
        self.assertTrue(self.sim.until(lambda: self.group(name)["Status"] == "available"))

    def modify(self, node_type, **more):
        return self.cache.modify_replication_group(
            ReplicationGroupId="portal", CacheNodeType=node_type, **{"ApplyImmediately": True, **more})

    def test_a_group_in_full(self):
        group = self.group("PORTAL")
        self.assertEqual(group["MemberClusters"], ["portal-001", "portal-002"])
        self.assertFalse(group["ClusterEnabled"])
        shard = group["NodeGroups"][0]
        self.assertEqual([m["CurrentRole"] for m in shard["NodeGroupMembers"]],
                         ["primary", "replica"])
        self.assertIn("portal.ng.0001", shard["PrimaryEndpoint"]["Address"])
        sharded = self.group("sharded")
        self.assertTrue(sharded["ClusterEnabled"])
        self.assertEqual(sharded["MemberClusters"], [
            "sharded-0001-001", "sharded-0001-002", "sharded-0002-001", "sharded-0002-002"])
        self.assertEqual([n["Slots"] for n in sharded["NodeGroups"]], ["0-8191", "8192-16383"])
        self.assertNotIn("PrimaryEndpoint", sharded["NodeGroups"][0])
        self.assertEqual(len(self.cache.describe_replication_groups()["ReplicationGroups"]), 2)
        _, status = self.refused("ReplicationGroupNotFoundFault",
                                 self.cache.describe_replication_groups, ReplicationGroupId="nope")
        self.assertEqual(status, 404)
        self.refused("InvalidParameterValue", self.cache.describe_replication_groups, MaxRecords=19)
        self.refused("InvalidParameterValue", self.cache.describe_replication_groups, Marker="x")

    def test_members(self):
        found = self.cache.describe_cache_clusters()["CacheClusters"]
        self.assertEqual(len(found), 6)
        self.assertNotIn("CacheNodes", found[0])
        one = self.cache.describe_cache_clusters(CacheClusterId="sharded-0002-001",
                                                 ShowCacheNodeInfo=True)["CacheClusters"][0]
        self.assertEqual(one["ReplicationGroupId"], "sharded")
        self.assertIn("sharded-0002-001.0001", one["CacheNodes"][0]["Endpoint"]["Address"])
        self.assertEqual(self.cache.describe_cache_clusters(
            ShowCacheClustersNotInReplicationGroups=True)["CacheClusters"], [])
        self.refused("CacheClusterNotFound", self.cache.describe_cache_clusters, CacheClusterId="x")

    def test_node_types(self):
        allowed = self.cache.list_allowed_node_type_modifications(ReplicationGroupId="portal")
        self.assertEqual(allowed["ScaleUpModifications"][0], "cache.t4g.small")
        self.assertEqual(allowed["ScaleDownModifications"], [])
        allowed = self.cache.list_allowed_node_type_modifications(CacheClusterId="sharded-0001-001")
        self.assertEqual(allowed["ScaleDownModifications"], ["cache.t4g.medium"])
        call = self.cache.list_allowed_node_type_modifications
        self.refused("InvalidParameterCombination", call)
        self.refused("ReplicationGroupNotFoundFault", call, ReplicationGroupId="nope")
        self.refused("CacheClusterNotFound", call, CacheClusterId="nope")

    def test_modification_takes_its_time(self):
        self.sim.control("DELETE", "requests")
        self.assertEqual(self.modify("cache.t4g.small")["ReplicationGroup"]["Status"], "modifying")
        self.assertEqual(self.group()["CacheNodeType"], "cache.t4g.micro")
        self.refused("InvalidReplicationGroupState", self.modify, "cache.t4g.medium")
        self.free()
        self.assertEqual(self.group()["CacheNodeType"], "cache.t4g.small")
        self.refused("InvalidParameterValue", self.modify, "cache.t4g.micro")  # its data fill more
        self.refused("InvalidParameterValue", self.modify, "cache.x9.huge")
        self.refused("InvalidParameterCombination", self.cache.modify_replication_group,
                     ReplicationGroupId="portal")
        self.refused("ReplicationGroupNotFoundFault", self.cache.modify_replication_group,
                     ReplicationGroupId="nope", CacheNodeType="cache.t4g.small")
        self.assertEqual(self.sim.control("GET", "counts")["effects"],
                         {"elasticache:ModifyReplicationGroup": 1})
        self.modify("cache.t4g.medium", ApplyImmediately=False)
        one = self.cache.describe_cache_clusters(CacheClusterId="portal-001")["CacheClusters"][0]
        self.assertEqual(one["PendingModifiedValues"], {"CacheNodeType": "cache.t4g.medium"})
        self.assertEqual((self.group()["Status"], self.group()["CacheNodeType"]),
                         ("available", "cache.t4g.small"))
        self.sim.control("POST", "cache", {"cache": "portal", "pending_type": None,
                                           "node_type": "cache.t4g.micro"})

    def test_replicas(self):
        call = self.cache.increase_replica_count
        self.refused("InvalidParameterValue", call, ReplicationGroupId="sharded",
                     NewReplicaCount=2, ApplyImmediately=False)
        self.refused("NoOperationFault", call, ReplicationGroupId="sharded", NewReplicaCount=1,
                     ApplyImmediately=True)
        self.refused("InvalidParameterValue", call, ReplicationGroupId="sharded",
                     NewReplicaCount=6, ApplyImmediately=True)
        self.refused("InvalidParameterCombination", call, ReplicationGroupId="sharded",
                     ApplyImmediately=True)
        call(ReplicationGroupId="sharded", NewReplicaCount=2, ApplyImmediately=True)
        self.refused("InvalidReplicationGroupState", call, ReplicationGroupId="sharded",
                     NewReplicaCount=3, ApplyImmediately=True)
        self.free("sharded")
        self.assertEqual(len(self.group("sharded")["MemberClusters"]), 6)

    def test_names_of_snapshots(self):
        for name in ("a--b", "1a", "a-", "a_b", "-a", "a" * 256):
            message, _ = self.refused("InvalidParameterValue", self.cache.create_snapshot,
                                      ReplicationGroupId="portal", SnapshotName=name)
            self.assertIn("SnapshotName is not a valid identifier", message)

    def test_snapshots(self):
        taken = self.cache.create_snapshot(ReplicationGroupId="portal", SnapshotName="s1")["Snapshot"]
        self.assertEqual((taken["SnapshotStatus"], taken["NodeSnapshots"][0]["CacheSize"]),
                         ("creating", "-"))
        self.assertEqual(self.group()["Status"], "snapshotting")
        self.refused("SnapshotAlreadyExistsFault", self.cache.create_snapshot,
                     ReplicationGroupId="portal", SnapshotName="s1")
        self.refused("InvalidReplicationGroupState", self.cache.create_snapshot,
                     ReplicationGroupId="portal", SnapshotName="s2")
        self.refused("InvalidSnapshotState", self.cache.delete_snapshot, SnapshotName="s1")
        self.free()
        shown = self.cache.describe_snapshots(SnapshotName="s1")["Snapshots"][0]
        self.assertEqual(shown["SnapshotStatus"], "available")
        self.assertTrue(shown["NodeSnapshots"][0]["CacheSize"].endswith(" MB"))
        self.assertEqual(len(self.cache.describe_snapshots(
            ReplicationGroupId="portal")["Snapshots"]), 1)
        self.assertEqual(self.cache.describe_snapshots(SnapshotSource="system")["Snapshots"], [])
        self.assertEqual(self.cache.describe_snapshots(
            CacheClusterId="portal-001")["Snapshots"][0]["SnapshotName"], "s1")
        self.cache.delete_snapshot(SnapshotName="s1")
        for call in (self.cache.delete_snapshot, self.cache.describe_snapshots):
            self.refused("SnapshotNotFoundFault", call, SnapshotName="s1")
        self.refused("InvalidParameterCombination", self.cache.create_snapshot, SnapshotName="s")
        self.sim.control("POST", "cache", {"cache": "portal", "snapshots_supported": False})
        self.refused("SnapshotFeatureNotSupportedFault", self.cache.create_snapshot,
                     ReplicationGroupId="portal", SnapshotName="s3")
        self.sim.control("POST", "cache", {"cache": "portal", "snapshots_supported": True})

    def points(self, name, stat="Sum", **dimensions):
        now = int(time.time())
        found = self.sim.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/ElastiCache", MetricName=name, StartTime=now - 6, EndTime=now, Period=1,
            Statistics=[stat], Dimensions=[{"Name": k, "Value": v} for k, v in dimensions.items()])
        return [p[stat] for p in sorted(found["Datapoints"], key=lambda p: p["Timestamp"])]

    def test_metrics(self):
        # 640 MiB into 512: a fifth of 50 keys a second is pushed out, by the primary only.
        for _ in range(100): # on a busy machine the newest second is a little late
            newest = self.points("Evictions", CacheClusterId="portal-001")[-1]
            if newest:
                break
            time.sleep(0.1)
        self.assertAlmostEqual(newest, 10, delta=2)
        self.assertEqual(set(self.points("Evictions", CacheClusterId="portal-002")), {0})
        self.assertEqual(self.points("Evictions", CacheClusterId="portal-001", CacheNodeId="0001"),
                         self.points("Evictions", CacheClusterId="portal-001"))
        self.assertEqual(self.points("Evictions", ReplicationGroupId="portal"), [])
        self.assertEqual(self.points("DatabaseMemoryUsagePercentage", "Average",
                                     CacheClusterId="portal-001")[-1], 100)
        self.assertTrue(self.sim.until(lambda: self.points(
            "DatabaseMemoryUsagePercentage", "Average", CacheClusterId="sharded-0001-001")[-1] < 10))

    def test_fed_silent_and_failed_over(self):
        self.sim.control("POST", "cache", {"cache": "sharded", "evictions": 3, "memory_percent": 97})
        self.assertTrue(self.sim.until(lambda: 3 in self.points(
            "Evictions", CacheClusterId="sharded-0001-001"), 4))
        self.sim.control("POST", "cache", {"cache": "sharded", "silent": ["sharded-0001-002"]})
        self.assertTrue(self.sim.until(lambda: len(self.points(
            "Evictions", CacheClusterId="sharded-0001-002")) < 5, 4))
        self.sim.control("POST", "cache", {"cache": "portal", "fail_over": 1})
        roles = [m["CurrentRole"] for m in self.group()["NodeGroups"][0]["NodeGroupMembers"]]
        self.assertEqual(roles, ["replica", "primary"])
        self.sim.control("POST", "cache", {"cache": "portal", "fail_over": 1})
        self.sim.control("POST", "cache", {"cache": "sharded", "evictions": 0, "silent": [],
                                           "memory_percent": None})
        with self.assertRaisesRegex(RuntimeError, "has no 'colour'"):
            self.sim.control("POST", "cache", {"cache": "portal", "colour": 1})

    def test_serverless_is_not_in_this_model(self):
        self.assertNotIn("DescribeServerlessCaches", self.cache.meta.service_model.operation_names)


@unittest.skipUnless(os.path.exists("/usr/bin/aws"), "needs Debian's awscli")
class ByDebiansAws(testing.SimTest):
    content = CONTENT

    def aws(self, *arguments, refused=None):
        environment = {
            "PATH": "/usr/bin:/bin", "HOME": self.sim.folder.name, "LC_ALL": "C.UTF-8",
            "AWS_ACCESS_KEY_ID": testing.KEY, "AWS_SECRET_ACCESS_KEY": testing.SECRET,
            "AWS_DEFAULT_REGION": testing.REGION, "AWS_PAGER": "", "AWS_MAX_ATTEMPTS": "1",
            "AWS_EC2_METADATA_DISABLED": "true"}
        done = subprocess.run(["/usr/bin/aws", "--endpoint-url", self.sim.url, "--output", "json",
                               "elasticache", *arguments],
                              env=environment, capture_output=True, text=True, timeout=60)
        if refused:
            self.assertIn(f"({refused})", done.stderr)
            return None
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_each_call(self):
        groups = self.aws("describe-replication-groups")["ReplicationGroups"]
        self.assertEqual([g["ReplicationGroupId"] for g in groups], ["portal", "sharded"])
        nodes = self.aws("describe-cache-clusters", "--show-cache-node-info")["CacheClusters"]
        self.assertEqual(nodes[0]["CacheNodes"][0]["CacheNodeId"], "0001")
        up = self.aws("list-allowed-node-type-modifications", "--replication-group-id", "portal")
        self.assertIn("cache.t4g.small", up["ScaleUpModifications"])
        portal = ("--replication-group-id", "portal")
        taken = self.aws("create-snapshot", *portal, "--snapshot-name", "s9")["Snapshot"]
        self.assertEqual(taken["SnapshotStatus"], "creating")
        time.sleep(0.8)
        found = self.aws("describe-snapshots", *portal)["Snapshots"]
        self.assertEqual([s["SnapshotStatus"] for s in found], ["available"])
        self.aws("delete-snapshot", "--snapshot-name", "s9")
        changed = self.aws("modify-replication-group", *portal, "--cache-node-type",
                           "cache.t4g.small", "--apply-immediately")
        self.assertEqual(changed["ReplicationGroup"]["Status"], "modifying")
        time.sleep(0.8)
        self.aws("modify-replication-group", *portal, "--cache-node-type", "cache.t4g.micro",
                 "--apply-immediately", refused="InvalidParameterValue")
        grown = self.aws("increase-replica-count", *portal, "--new-replica-count", "2",
                         "--apply-immediately")
        self.assertEqual(grown["ReplicationGroup"]["ReplicationGroupId"], "portal")


if __name__ == "__main__":
    unittest.main()
