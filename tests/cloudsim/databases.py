"""RDS instances, their snapshots, and the proxies in front: a pool that clients share or starve at."""

import hashlib
import math

from metrics import Point

NAMESPACE = "AWS/RDS"
GIB = 1024 ** 3
STORAGE_PAUSE_SECONDS = 6 * 3600  # AWS: after a change of storage the next one is refused so long


def resource_id(prefix, name):
    """An id as AWS makes them up; the same for the same name."""
    return prefix + hashlib.sha256(f"{prefix}{name}".encode()).hexdigest()[:20]


class Snapshot:
    def __init__(self, name, database, tags, now, automated=False):
        self.name, self.tags, self.created = name, tags, now
        self.database = database.name
        self.storage_gib, self.seconds = database.storage_gib, database.spec["snapshot_seconds"]
        self.automated = automated
        self.progress = 0
        self.status = "creating"

    def step(self, now):
        if self.status != "creating":
            return
        age = now - self.created
        self.progress = min(100, int(100 * age / self.seconds) if self.seconds else 100)
        if self.progress == 100:
            self.status = "available"


class Database:
    """One DB instance."""

    def __init__(self, spec, account, region, now):
        self.spec = spec
        self.name = spec["name"]
        self.account, self.region, self.created = account, region, now
        self.node_class, self.storage_gib = spec["class"], spec["storage_gib"]
        self.multi_az = spec["multi_az"]
        self.status = "available"
        self.pending = {}  # PendingModifiedValues
        self.parameters = spec["parameters"]
        self.snapshots = {}
        self.storage_changed = -math.inf
        self._applying, self._until = {}, None

    @property
    def arn(self):
        return self.arn_of("db", self.name)

    def arn_of(self, kind, name):
        return f"arn:aws:rds:{self.region}:{self.account}:{kind}:{name}"

    @property
    def max_connections(self):
        return self.spec["max_connections"]

    def step(self, now, seconds):
        for snapshot in self.snapshots.values():
            snapshot.step(now)
        if self.status == "backing-up" and not any(
                s.status == "creating" for s in self.snapshots.values()):
            self.status = "available"
        if self._until is not None and now >= self._until:
            self._apply(now)

    def snapshot(self, name, tags, now):
        self.snapshots[name] = Snapshot(name, self, tags, now)
        self.status = "backing-up"
        return self.snapshots[name]

    def modify(self, changes, at_once, now):
        """changes: members of PendingModifiedValues. They take `modify_seconds`, or wait for the
        maintenance window, which does not come."""
        self.pending.update(changes)
        if at_once and self.pending:
            self._applying, self._until = dict(self.pending), now + self.spec["modify_seconds"]
            self.status = "modifying"

    def _apply(self, now):
        self.node_class = self._applying.get("DBInstanceClass", self.node_class)
        self.multi_az = self._applying.get("MultiAZ", self.multi_az)
        if "AllocatedStorage" in self._applying:
            self.storage_gib = self._applying["AllocatedStorage"]
            self.storage_changed = now
        for key in self._applying:
            self.pending.pop(key, None)
        self._applying, self._until = {}, None
        self.status = "available"

    def publish(self, metrics, start, visible):
        values = {
            "CPUUtilization": (self.spec["cpu"], "Percent"),
            "FreeableMemory": (self.spec["memory_free_gib"] * GIB, "Bytes"),
            "FreeStorageSpace": ((self.storage_gib - self.spec["storage_used_gib"]) * GIB, "Bytes"),
        }
        if self.spec["source"] is not None:
            values["ReplicaLag"] = (self.spec["replica_lag"], "Seconds")
        for name, (value, unit) in values.items():
            metrics.publish(NAMESPACE, name, {"DBInstanceIdentifier": self.name}, unit,
                            Point(start, values=[float(value)], visible_at=visible))


class Proxy:
    """One proxy with its target group and one target. Clients come and go by the control API;
    `busy` of them want a connection at a time and keep it for `hold_ms`."""

    def __init__(self, spec, database, account, region, now):
        self.spec = spec
        self.name = spec["name"]
        self.database = database
        self.account, self.region, self.created = account, region, now
        self.status, self.group_status = "available", "available"
        self.target_state, self.target_reason = "AVAILABLE", None
        self.max_percent, self.idle_percent = spec["max_percent"], spec["idle_percent"]
        self.borrow_timeout = spec["borrow_timeout"]
        self.pinning_filters, self.init_query = [], None
        self.updated = now
        self.opened = 0  # connections that the pool holds
        self._gathered = []  # (borrowed, opened, latency in seconds) of each step

    @property
    def arn(self):
        return f"arn:aws:rds:{self.region}:{self.account}:db-proxy:{resource_id('prx-', self.name)}"

    @property
    def group_arn(self):
        group = resource_id("prx-tg-", self.name)
        return f"arn:aws:rds:{self.region}:{self.account}:target-group:{group}"

    @property
    def endpoint(self):
        return f"{self.name}.proxy-abcdefghijkl.{self.region}.rds.amazonaws.com"

    def allowed(self):
        """The pool's size: MaxConnectionsPercent of the database's max_connections."""
        return max(1, self.max_percent * self.database.max_connections // 100)

    def capacity(self):
        """What the database really lets it have: connections past it take theirs."""
        return max(1, min(self.allowed(), self.database.max_connections - self.spec["direct"]))

    def demand(self):
        return self.spec["clients"] * self.spec["busy"]

    def latency(self):
        """Seconds that a client waits for a connection. While there are enough: `borrow_us`, and more
        the fuller the pool; when they starve, so many times `hold_ms` as clients are in line for
        each connection; never longer than the borrow time-out."""
        used = self.demand() / self.capacity()
        wait = self.spec["borrow_us"] / 1e6 / (1.0 - min(used, 0.95))
        if used > 1.0:
            wait += (used - 1.0) * self.spec["hold_ms"] / 1e3
        return min(wait, self.borrow_timeout or math.inf)

    def step(self, now, seconds):
        borrowed = min(self.demand(), self.capacity())
        idle = self.idle_percent * self.database.max_connections // 100
        if self.target_state != "AVAILABLE":
            borrowed = self.opened = 0
        self.opened = min(self.capacity(), max(math.ceil(borrowed), min(self.opened, idle)))
        self._gathered.append((borrowed, self.opened, self.latency()))

    def publish(self, metrics, start, visible):
        """Each of the machines behind a proxy publishes its own share."""
        gathered, self._gathered = self._gathered or [(0, 0, self.latency())], []
        nodes = self.spec["nodes"]
        count = len(gathered)
        own = {"ProxyName": self.name}
        client = [own, {**own, "EndpointName": "default"}]
        group = {**own, "TargetGroup": self.spec["target_group"]}
        server = [own, {**group, "TargetRole": "READ_WRITE"},
                  {**group, "Target": f"db:{self.database.name}"}]

        def put(name, value, unit, sets):
            for dimensions in sets:
                metrics.publish(NAMESPACE, name, dimensions, unit,
                                Point(start, values=[value] * nodes, visible_at=visible))

        put("ClientConnections", self.spec["clients"] / nodes, "Count", client)
        put("DatabaseConnectionsBorrowLatency", 1e6 * sum(g[2] for g in gathered) / count,
            "Microseconds", client)
        put("DatabaseConnections", sum(g[1] for g in gathered) / count / nodes, "Count", server)
        put("DatabaseConnectionsCurrentlyBorrowed", sum(g[0] for g in gathered) / count / nodes,
            "Count", server)
        put("DatabaseConnectionsCurrentlySessionPinned", self.spec["pinned"] / nodes, "Count",
            server)
        put("MaxDatabaseConnectionsAllowed", self.allowed() / nodes, "Count", server)
