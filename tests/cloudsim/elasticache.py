"""ElastiCache for Redis: replication groups, their members, node types and snapshots.

Serverless caches (CreateServerlessCache ...) came after Debian 12's botocore (1.29.27): its model has
none of their operations, so they are refused as AWS refuses an unknown name.
"""

import re

import caches
from errors import ApiError
from service import Service


# As of all of its names: "must begin with a letter; must contain only ASCII letters, digits, and
# hyphens; and must not end with a hyphen or contain two consecutive hyphens".
_IDENTIFIER = re.compile(r"(?=.{1,255}\Z)[A-Za-z](-?[A-Za-z0-9])*\Z")


def _value(message):
    return ApiError("InvalidParameterValue", message)


def _combination(message):
    return ApiError("InvalidParameterCombination", message)


class ElastiCache(Service):
    model = "elasticache"
    mutating = frozenset({"ModifyReplicationGroup", "IncreaseReplicaCount", "CreateSnapshot",
                          "DeleteSnapshot"})

    def resources(self, operation, params):
        found = []
        name = params.get("ReplicationGroupId")
        if name is not None:
            group = self.estate.caches.get(name.lower())
            found.append(group.arn if group else self._arn("replicationgroup", name))
        if params.get("CacheClusterId") is not None:
            found.append(self._arn("cluster", params["CacheClusterId"]))
        if params.get("SnapshotName") is not None:
            found.append(self._arn("snapshot", params["SnapshotName"]))
        return found or ["*"]

    def _arn(self, kind, name):
        return (f"arn:aws:elasticache:{self.scenario['region']}:{self.scenario['account']}:"
                f"{kind}:{name}")

    def context(self, operation, params):
        context = super().context(operation, params)
        group = self.estate.caches.get(params.get("ReplicationGroupId", "").lower())
        for key, value in (group.spec["tags"] if group else {}).items():
            context[f"aws:ResourceTag/{key}"] = value
        return context

    def bad_token(self, token):
        return _value(f"Invalid marker: '{token}'")

    def _page(self, call, items, most=100):
        size = call.params.get("MaxRecords", most)
        if not 20 <= size <= most:
            raise _value(f"Invalid value for MaxRecords: must be between 20 and {most}")
        return self.page(call, items, most, most, token_key="Marker")

    def _group(self, name):
        group = self.estate.caches.get(name.lower())  # "This parameter is not case sensitive."
        if group is None:
            raise ApiError("ReplicationGroupNotFoundFault",
                           f"ReplicationGroup {name} not found.", 404)
        return group

    def _cluster(self, cluster_id):
        for group in self.estate.caches.values():
            member = group.member(cluster_id.lower())
            if member is not None:
                return group, member
        raise ApiError("CacheClusterNotFound", f"CacheCluster not found: {cluster_id}", 404)

    def _free(self, group):
        if group.status != "available":
            raise ApiError("InvalidReplicationGroupState",
                           f"Replication group {group.name} must be in available state.")

    # --- reading ---------------------------------------------------------------------------------

    def DescribeReplicationGroups(self, call):
        name = call.params.get("ReplicationGroupId")
        groups = [self._group(name)] if name else [
            g for _, g in sorted(self.estate.caches.items())]
        found, marker = self._page(call, groups)
        return {"ReplicationGroups": [self._show(g) for g in found], "Marker": marker}

    def _show(self, group):
        several = any(not m.primary for m in group.members)
        shown = {
            "ReplicationGroupId": group.name,
            "Description": group.spec["description"],
            "Status": group.status,
            # A node type that waits for the maintenance window is shown by the members only: the
            # model's ReplicationGroupPendingModifiedValues has no CacheNodeType.
            "PendingModifiedValues": {},
            "MemberClusters": [m.id for m in group.members],
            "NodeGroups": [self._show_shard(group, s) for s in group.shard_ids()],
            "AutomaticFailover": "enabled" if several else "disabled",
            "MultiAZ": "enabled" if several else "disabled",
            "SnapshotRetentionLimit": 0,
            "SnapshotWindow": "03:00-04:00",
            "ClusterEnabled": group.cluster_mode,
            "CacheNodeType": group.node_type,
            "AuthTokenEnabled": False,
            "TransitEncryptionEnabled": False,
            "AtRestEncryptionEnabled": False,
            "ARN": group.arn,
            "ReplicationGroupCreateTime": self.estate.claimed(group.created),
            "AutoMinorVersionUpgrade": True,
        }
        if group.cluster_mode:
            shown["ConfigurationEndpoint"] = group.endpoint(f"{group.name}.clustercfg")
        return shown

    @staticmethod
    def _show_shard(group, shard):
        members = [m for m in group.members if m.shard == shard]
        shown = {"NodeGroupId": f"{shard:04d}", "Status": group.status, "NodeGroupMembers": []}
        if group.cluster_mode:
            slots, shards = 16384, len(group.shard_ids())
            shown["Slots"] = f"{(shard - 1) * slots // shards}-{shard * slots // shards - 1}"
        else:
            shown["PrimaryEndpoint"] = group.endpoint(f"{group.name}.ng.{shard:04d}")
            shown["ReaderEndpoint"] = group.endpoint(f"{group.name}-ro.ng.{shard:04d}")
        for member in members:
            node = {"CacheClusterId": member.id, "CacheNodeId": "0001",
                    "PreferredAvailabilityZone": member.zone}
            if not group.cluster_mode:  # with shards AWS shows neither
                node["ReadEndpoint"] = group.endpoint(f"{member.id}.0001")
                node["CurrentRole"] = "primary" if member.primary else "replica"
            shown["NodeGroupMembers"].append(node)
        return shown

    def DescribeCacheClusters(self, call):
        params = call.params
        if params.get("CacheClusterId"):
            pairs = [self._cluster(params["CacheClusterId"])]
        else:
            pairs = [(g, m) for _, g in sorted(self.estate.caches.items()) for m in g.members]
        if params.get("ShowCacheClustersNotInReplicationGroups"):
            pairs = []
        found, marker = self._page(call, pairs)
        nodes = params.get("ShowCacheNodeInfo", False)
        return {"CacheClusters": [self._show_cluster(g, m, nodes) for g, m in found],
                "Marker": marker}

    def _show_cluster(self, group, member, nodes):
        pending = {"CacheNodeType": group.pending_type} if group.pending_type else {}
        shown = {
            "CacheClusterId": member.id,
            "CacheNodeType": group.node_type,
            "Engine": "redis", "EngineVersion": "7.0.7",
            "CacheClusterStatus": group.status,
            "NumCacheNodes": 1,
            "PreferredAvailabilityZone": member.zone,
            "CacheClusterCreateTime": self.estate.claimed(member.created),
            "PendingModifiedValues": pending,
            "ReplicationGroupId": group.name,
            "SnapshotRetentionLimit": 0,
            "AuthTokenEnabled": False, "TransitEncryptionEnabled": False,
            "AtRestEncryptionEnabled": False, "AutoMinorVersionUpgrade": True,
            "ReplicationGroupLogDeliveryEnabled": False,
            "ARN": group.arn_of("cluster", member.id),
        }
        if nodes:
            shown["CacheNodes"] = [{
                "CacheNodeId": "0001", "CacheNodeStatus": "available",
                "CacheNodeCreateTime": self.estate.claimed(member.created),
                "Endpoint": group.endpoint(f"{member.id}.0001"),
                "ParameterGroupStatus": "in-sync", "CustomerAvailabilityZone": member.zone}]
        return shown

    def ListAllowedNodeTypeModifications(self, call):
        name, cluster = (call.params.get(k) for k in ("ReplicationGroupId", "CacheClusterId"))
        if bool(name) == bool(cluster):
            raise _combination("Exactly one of CacheClusterId and ReplicationGroupId is needed")
        group = self._group(name) if name else self._cluster(cluster)[0]
        up, down = group.allowed()
        return {"ScaleUpModifications": up, "ScaleDownModifications": down}

    # --- changing --------------------------------------------------------------------------------

    def ModifyReplicationGroup(self, call):
        """Node types only. Without ApplyImmediately the type waits for the maintenance window."""
        params = call.params
        group = self._group(params["ReplicationGroupId"])
        unknown = set(params) - {"ReplicationGroupId", "CacheNodeType", "ApplyImmediately"}
        if unknown:
            raise ApiError("CloudsimUnknown", f"cloudsim cannot modify {', '.join(sorted(unknown))}",
                           501)
        node_type = params.get("CacheNodeType")
        if not node_type:
            raise _combination("No modifications were requested")
        self._free(group)
        if node_type not in caches.NODE_TYPES:
            raise _value(f"Invalid Cache Node Type: {node_type}.")
        up, down = group.allowed()
        if node_type != group.node_type and node_type not in up + down:
            raise _value(f"The cache node type {node_type} is not in the list of allowed node type "
                         f"modifications of replication group {group.name}.")
        call.changed["node_type"] = [group.node_type, node_type]
        if not params.get("ApplyImmediately", False):
            group.pending_type = node_type
        elif node_type != group.node_type:
            group.modify_type(node_type, self.estate.now)
        return {"ReplicationGroup": self._show(group)}

    def IncreaseReplicaCount(self, call):
        params = call.params
        group = self._group(params["ReplicationGroupId"])
        if not params["ApplyImmediately"]:  # the model: False "is not currently supported"
            raise _value("ApplyImmediately must be true")
        count = params.get("NewReplicaCount")
        if (count is None) == ("ReplicaConfiguration" not in params):
            raise _combination("Exactly one of NewReplicaCount and ReplicaConfiguration is needed")
        if count is None:
            raise ApiError("CloudsimUnknown", "cloudsim has no ReplicaConfiguration", 501)
        self._free(group)
        before = len(group.members) // len(group.shard_ids()) - 1
        if count == before:
            raise ApiError("NoOperationFault", f"The number of replicas is {count} already.")
        if not before < count <= 5:  # the guide: at most five replicas of a primary
            raise _value(f"NewReplicaCount must be above {before} and at most 5: {count}")
        call.changed["replicas"] = [before, count]
        group.add_replicas(count, self.estate.now)
        return {"ReplicationGroup": self._show(group)}

    # --- snapshots -------------------------------------------------------------------------------

    def _snapshot(self, name):
        for group in self.estate.caches.values():
            if name in group.snapshots:
                return group, group.snapshots[name]
        raise ApiError("SnapshotNotFoundFault", f"{name} not found", 404)

    def CreateSnapshot(self, call):
        name, cluster, snapshot = (call.params.get(k) for k in (
            "ReplicationGroupId", "CacheClusterId", "SnapshotName"))
        if bool(name) == bool(cluster):
            raise _combination("Exactly one of CacheClusterId and ReplicationGroupId is needed")
        if not _IDENTIFIER.match(snapshot):
            raise _value("The parameter SnapshotName is not a valid identifier. Identifiers must "
                         "begin with a letter; must contain only ASCII letters, digits, and "
                         "hyphens; and must not end with a hyphen or contain two consecutive "
                         "hyphens.")
        if name:
            group = self._group(name)
            members = [m for m in group.members if m.primary]
        else:
            group, member = self._cluster(cluster)
            members = [member]
        if any(snapshot in g.snapshots for g in self.estate.caches.values()):
            raise ApiError("SnapshotAlreadyExistsFault",
                           f"Snapshot with specified name already exists: {snapshot}")
        if not group.spec["snapshots_supported"]:
            raise ApiError("SnapshotFeatureNotSupportedFault", "Snapshots are not supported on "
                           f"cache node type {group.node_type}.")
        self._free(group)
        call.changed["snapshot"] = [None, snapshot]
        return {"Snapshot": self._show_snapshot(
            group.snapshot(snapshot, members, self.estate.now), bool(name))}

    def _show_snapshot(self, snapshot, of_group=True):
        group = snapshot.group
        # The size comes with the end: until then there is a dash.
        used = group.memory_percent() / 100 * caches.NODE_TYPES[snapshot.node_type]
        size = f"{int(used / caches.MIB)} MB" if snapshot.status == "available" else "-"
        shown = {
            "SnapshotName": snapshot.name, "SnapshotStatus": snapshot.status,
            "SnapshotSource": "manual", "CacheNodeType": snapshot.node_type,
            "Engine": "redis", "EngineVersion": "7.0.7", "Port": group.spec["port"],
            "NumNodeGroups": len(snapshot.members), "AutoMinorVersionUpgrade": True,
            "NodeSnapshots": [
                {"CacheClusterId": m.id, "NodeGroupId": f"{m.shard:04d}", "CacheNodeId": "0001",
                 "CacheSize": size, "CacheNodeCreateTime": self.estate.claimed(m.created),
                 "SnapshotCreateTime": self.estate.claimed(snapshot.started)}
                for m in snapshot.members],
            "ARN": group.arn_of("snapshot", snapshot.name),
        }
        if of_group:
            shown["ReplicationGroupId"] = group.name
        else:
            shown["CacheClusterId"] = snapshot.members[0].id
        return shown

    def DescribeSnapshots(self, call):
        params = call.params
        if params.get("SnapshotName"):
            found = [self._snapshot(params["SnapshotName"])[1]]
        elif params.get("ReplicationGroupId"):
            found = list(self._group(params["ReplicationGroupId"]).snapshots.values())
        elif params.get("CacheClusterId"):
            group, member = self._cluster(params["CacheClusterId"])
            found = [s for s in group.snapshots.values() if member in s.members]
        else:
            found = [s for g in self.estate.caches.values() for s in g.snapshots.values()]
        if params.get("SnapshotSource") == "system":
            found = []
        found, marker = self._page(call, sorted(found, key=lambda s: s.name), 50)
        return {"Snapshots": [self._show_snapshot(s) for s in found], "Marker": marker}

    def DeleteSnapshot(self, call):
        group, snapshot = self._snapshot(call.params["SnapshotName"])
        if snapshot.status != "available":
            raise ApiError("InvalidSnapshotState",
                           f"Snapshot {snapshot.name} must be in available state.")
        call.changed["snapshot"] = [snapshot.name, None]
        del group.snapshots[snapshot.name]
        snapshot.status = "deleting"
        return {"Snapshot": self._show_snapshot(snapshot)}
