"""RDS: instances, snapshots, and proxies with their target groups and targets."""

import re

from databases import STORAGE_PAUSE_SECONDS, resource_id
from errors import ApiError
from service import Service

# "Must contain from 1 to 255 letters, numbers, or hyphens. First character must be a letter. Can't
# end with a hyphen or contain two consecutive hyphens": the model's text on DBSnapshotIdentifier.
_IDENTIFIER = re.compile(r"(?=.{1,255}\Z)[A-Za-z](-?[A-Za-z0-9])*\Z")


def _bad(message, code="InvalidParameterValue"):
    return ApiError(code, message)


class Rds(Service):
    model = "rds"
    mutating = frozenset({"ModifyDBInstance", "CreateDBSnapshot", "DeleteDBSnapshot",
                          "ModifyDBProxyTargetGroup"})

    def bad_token(self, token):
        return _bad(f"Invalid or expired pagination token: '{token}'")

    def _page(self, call, items):
        size = call.params.get("MaxRecords", 100)
        if not 20 <= size <= 100:
            raise _bad(f"Invalid value {size} for MaxRecords. Must be between 20 and 100")
        return self.page(call, items, 100, 100, token_key="Marker")

    def _no_filters(self, params):
        if params.get("Filters"):
            raise _bad(f"Unrecognized filter name: {params['Filters'][0]['Name']}")

    def _filtered(self, call, databases):
        """The names of the databases that the filters leave; a name that is nobody's leaves none."""
        names = {d.name for d in databases}
        for one in call.params.get("Filters", []):
            if one["Name"] != "db-instance-id":
                raise _bad(f"Unrecognized filter name: {one['Name']}")
            names &= {value.lower().rpartition(":")[2] for value in one["Values"]}
        return names

    def resources(self, operation, params):
        region, account = self.scenario["region"], self.scenario["account"]

        def arn(kind, key):
            return f"arn:aws:rds:{region}:{account}:{kind}:{params.get(key, '*')}"

        if operation.name in ("DescribeDBInstances", "ModifyDBInstance"):
            return [arn("db", "DBInstanceIdentifier")]
        if operation.name == "CreateDBSnapshot":
            return [arn("db", "DBInstanceIdentifier"), arn("snapshot", "DBSnapshotIdentifier")]
        if operation.name == "DeleteDBSnapshot":
            return [arn("snapshot", "DBSnapshotIdentifier")]
        proxy = self.estate.proxies.get(params.get("DBProxyName"))
        if proxy is not None:
            return [proxy.group_arn if operation.name == "ModifyDBProxyTargetGroup" else proxy.arn]
        return ["*"]

    # --- instances -------------------------------------------------------------------------------

    def _database(self, name):
        if name.lower() not in self.estate.databases:
            raise ApiError("DBInstanceNotFound", f"DBInstance {name} not found.", 404)
        return self.estate.databases[name.lower()]

    def DescribeDBInstances(self, call):
        name = call.params.get("DBInstanceIdentifier")
        found = ([self._database(name)] if name else
                 [d for _, d in sorted(self.estate.databases.items())])
        names = self._filtered(call, found)
        found = [d for d in found if d.name in names]
        found, marker = self._page(call, found)
        return {"DBInstances": [self._show(d) for d in found], "Marker": marker}

    def _show(self, database):
        spec = database.spec
        replicas = [d.name for d in self.estate.databases.values()
                    if d.spec["source"] == database.name]
        return {
            "DBInstanceIdentifier": database.name,
            "DBInstanceClass": database.node_class,
            "Engine": "postgres",
            "EngineVersion": spec["engine_version"],
            "DBInstanceStatus": database.status,
            "MasterUsername": "postgres",
            "Endpoint": {"Address": f"{database.name}.abcdefghijkl.{database.region}."
                                    "rds.amazonaws.com", "Port": spec["port"]},
            "AllocatedStorage": database.storage_gib,
            "InstanceCreateTime": self.estate.claimed(database.created),
            "BackupRetentionPeriod": 7,
            "DBParameterGroups": [{"DBParameterGroupName": p["name"],
                                   "ParameterApplyStatus": p["status"]}
                                  for p in database.parameters],
            "PendingModifiedValues": dict(database.pending),
            "MultiAZ": database.multi_az,
            "ReadReplicaSourceDBInstanceIdentifier": spec["source"],
            "ReadReplicaDBInstanceIdentifiers": replicas,
            "StorageType": "gp3",
            "DbiResourceId": resource_id("db-", database.name).upper(),
            "DBInstanceArn": database.arn,
        }

    def ModifyDBInstance(self, call):
        params = dict(call.params)
        database = self._database(params.pop("DBInstanceIdentifier"))
        at_once = params.pop("ApplyImmediately", False)
        unknown = set(params) - {"DBInstanceClass", "AllocatedStorage", "MultiAZ"}
        if unknown:
            raise ApiError("CloudsimUnknown", f"cloudsim does not modify {sorted(unknown)[0]}", 501)
        if database.status != "available":
            raise ApiError("InvalidDBInstanceState",
                           f"Database instance is not in available state: {database.status}.")
        if "AllocatedStorage" in params:
            params["AllocatedStorage"] = self._storage(database, params["AllocatedStorage"])
        if not str(params.get("DBInstanceClass", "db.")).startswith("db."):
            raise _bad(f"Invalid DB Instance class: {params['DBInstanceClass']}")
        before = {"DBInstanceClass": database.node_class, "MultiAZ": database.multi_az,
                  "AllocatedStorage": database.storage_gib}
        changes = {k: v for k, v in params.items() if v != before[k]}
        call.changed.update({k: [before[k], v] for k, v in changes.items()})
        database.modify(changes, at_once, self.estate.now)
        return {"DBInstance": self._show(database)}

    def _storage(self, database, wanted):
        now, size = self.estate.now, database.storage_gib
        if wanted < size:
            raise _bad("Requested storage size is smaller than the current size")
        if wanted > size and now - database.storage_changed < STORAGE_PAUSE_SECONDS:
            raise _bad("You can't currently modify the storage of this DB instance because the "
                       "previous storage change is being optimized.", "InvalidParameterCombination")
        # The model: less than 10 % more is rounded up to it.
        return wanted if wanted == size else max(wanted, -(-size * 11 // 10))

    # --- snapshots -------------------------------------------------------------------------------

    def _snapshots(self):
        return {s.name: s for d in self.estate.databases.values() for s in d.snapshots.values()}

    def _snapshot(self, name):
        found = self._snapshots().get(name.lower())
        if found is None:
            raise ApiError("DBSnapshotNotFound", f"DBSnapshot {name} not found.", 404)
        return found

    def CreateDBSnapshot(self, call):
        name = call.params["DBSnapshotIdentifier"]
        if not _IDENTIFIER.match(name):
            raise _bad(f"Invalid snapshot identifier:  {name}")
        database = self._database(call.params["DBInstanceIdentifier"])
        if name.lower() in self._snapshots():
            raise ApiError("DBSnapshotAlreadyExists",
                           "Cannot create the snapshot because a snapshot with the identifier "
                           f"{name} already exists.")
        if database.status != "available":
            raise ApiError("InvalidDBInstanceState",
                           "Cannot create a snapshot because the database instance "
                           f"{database.name} is not currently in the available state.")
        call.changed["snapshot"] = [None, name.lower()]
        snapshot = database.snapshot(name.lower(), call.params.get("Tags", []), self.estate.now)
        return {"DBSnapshot": self._show_snapshot(snapshot)}

    def DescribeDBSnapshots(self, call):
        params = call.params
        names = self._filtered(call, self.estate.databases.values())
        if params.get("DBSnapshotIdentifier"):
            found = [self._snapshot(params["DBSnapshotIdentifier"])]
        else:
            found = [s for _, s in sorted(self._snapshots().items())]
        # An instance that does not exist has none: its snapshots outlive it.
        if params.get("DBInstanceIdentifier"):
            found = [s for s in found if s.database == params["DBInstanceIdentifier"].lower()]
        found = [s for s in found if s.database in names]
        kind = params.get("SnapshotType")
        if kind not in (None, "manual", "automated"):
            raise _bad(f"Invalid snapshot type: {kind}")
        found = [s for s in found if kind is None or s.automated == (kind == "automated")]
        found, marker = self._page(call, found)
        return {"DBSnapshots": [self._show_snapshot(s) for s in found], "Marker": marker}

    def DeleteDBSnapshot(self, call):
        snapshot = self._snapshot(call.params["DBSnapshotIdentifier"])
        if snapshot.status != "available" or snapshot.automated:
            raise ApiError("InvalidDBSnapshotState",
                           f"Snapshot {snapshot.name} is not in a state that can be deleted: "
                           f"{'automated' if snapshot.automated else snapshot.status}.")
        shown = self._show_snapshot(snapshot)
        del self.estate.databases[snapshot.database].snapshots[snapshot.name]
        call.changed["snapshot"] = [snapshot.name, None]
        return {"DBSnapshot": {**shown, "Status": "deleted"}}

    def _show_snapshot(self, snapshot):
        database = self.estate.databases[snapshot.database]
        return {
            "DBSnapshotIdentifier": snapshot.name,
            "DBInstanceIdentifier": snapshot.database,
            "SnapshotCreateTime": self.estate.claimed(snapshot.created),
            "Engine": "postgres",
            "EngineVersion": database.spec["engine_version"],
            "AllocatedStorage": snapshot.storage_gib,
            "Status": snapshot.status,
            "SnapshotType": "automated" if snapshot.automated else "manual",
            "PercentProgress": snapshot.progress,
            "DBSnapshotArn": database.arn_of("snapshot", snapshot.name),
            "TagList": snapshot.tags,
        }

    # --- proxies ---------------------------------------------------------------------------------

    def _proxy(self, name):
        if name not in self.estate.proxies:
            raise ApiError("DBProxyNotFoundFault", f"DB Proxy {name} not found.", 404)
        return self.estate.proxies[name]

    def _proxy_with_group(self, params):
        proxy = self._proxy(params["DBProxyName"])
        group = params.get("TargetGroupName")
        if group not in (None, proxy.spec["target_group"]):
            raise ApiError("DBProxyTargetGroupNotFoundFault",
                           f"DB Proxy Target Group {group} not found for proxy {proxy.name}.", 404)
        return proxy

    def DescribeDBProxies(self, call):
        self._no_filters(call.params)
        name = call.params.get("DBProxyName")
        found = [self._proxy(name)] if name else [p for _, p in sorted(self.estate.proxies.items())]
        found, marker = self._page(call, found)
        return {"Marker": marker, "DBProxies": [{
            "DBProxyName": p.name, "DBProxyArn": p.arn, "Status": p.status,
            "EngineFamily": "POSTGRESQL", "Endpoint": p.endpoint, "RequireTLS": True,
            "IdleClientTimeout": 1800, "DebugLogging": False,
            "CreatedDate": self.estate.claimed(p.created),
            "UpdatedDate": self.estate.claimed(p.updated)} for p in found]}

    def DescribeDBProxyTargetGroups(self, call):
        self._no_filters(call.params)
        proxy = self._proxy_with_group(call.params)
        found, marker = self._page(call, [proxy])
        return {"TargetGroups": [self._show_group(p) for p in found], "Marker": marker}

    def _show_group(self, proxy):
        return {"DBProxyName": proxy.name, "TargetGroupName": proxy.spec["target_group"],
                "TargetGroupArn": proxy.group_arn, "IsDefault": True, "Status": proxy.group_status,
                "ConnectionPoolConfig": {
                    "MaxConnectionsPercent": proxy.max_percent,
                    "MaxIdleConnectionsPercent": proxy.idle_percent,
                    "ConnectionBorrowTimeout": proxy.borrow_timeout,
                    "SessionPinningFilters": proxy.pinning_filters,
                    "InitQuery": proxy.init_query},
                "CreatedDate": self.estate.claimed(proxy.created),
                "UpdatedDate": self.estate.claimed(proxy.updated)}

    def DescribeDBProxyTargets(self, call):
        self._no_filters(call.params)
        proxy = self._proxy_with_group(call.params)
        found, marker = self._page(call, [proxy])
        return {"Marker": marker, "Targets": [{
            "Endpoint": f"{p.database.name}.abcdefghijkl.{p.region}.rds.amazonaws.com",
            "RdsResourceId": p.database.name, "Port": p.database.spec["port"],
            "Type": "RDS_INSTANCE", "Role": "READ_WRITE",
            "TargetHealth": {"State": p.target_state, "Reason": p.target_reason},
        } for p in found]}

    def ModifyDBProxyTargetGroup(self, call):
        proxy = self._proxy_with_group(call.params)
        if call.params.get("NewName"):
            raise _bad("You can't rename the default target group.")
        if proxy.status != "available":
            raise ApiError("InvalidDBProxyStateFault",
                           f"DB Proxy {proxy.name} is in state {proxy.status}: it must be available.")
        config = call.params.get("ConnectionPoolConfig", {})
        most, idle = config.get("MaxConnectionsPercent"), config.get("MaxIdleConnectionsPercent")
        timeout = config.get("ConnectionBorrowTimeout", proxy.borrow_timeout)
        # The ranges are those of the model's text on ConnectionPoolConfiguration.
        if idle is not None and most is None:
            raise _bad("MaxIdleConnectionsPercent needs MaxConnectionsPercent beside it.",
                       "InvalidParameterCombination")
        if most is not None and not 1 <= most <= 100:
            raise _bad(f"MaxConnectionsPercent must be between 1 and 100: {most}")
        if most is not None and idle is None:
            idle = most // 2
        if most is not None and not 0 <= idle <= most:
            raise _bad("MaxIdleConnectionsPercent must be between 0 and MaxConnectionsPercent "
                       f"({most}): {idle}")
        # The model of 2022 said 3600; AWS's API reference says 300 since.
        if not 0 <= timeout <= 300:
            raise _bad(f"ConnectionBorrowTimeout must be between 0 and 300: {timeout}")
        if most is not None:
            call.changed["max_percent"] = [proxy.max_percent, most]
            call.changed["idle_percent"] = [proxy.idle_percent, idle]
            proxy.max_percent, proxy.idle_percent = most, idle
        proxy.borrow_timeout = timeout
        proxy.pinning_filters = config.get("SessionPinningFilters", proxy.pinning_filters)
        proxy.init_query = config.get("InitQuery", proxy.init_query)
        proxy.updated = self.estate.now
        return {"DBProxyTargetGroup": self._show_group(proxy)}
