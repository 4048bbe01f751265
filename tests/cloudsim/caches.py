"""ElastiCache replication groups: memory that fills up and evicts, node types that change, snapshots."""

from metrics import Point

NAMESPACE = "AWS/ElastiCache"
MIB = 1024 * 1024
GIB = 1024 * MIB
# Memory of a node, in bytes: AWS's table "Supported node types" of ElastiCache.
NODE_TYPES = {name: int(gib * GIB) for name, gib in {
    "cache.t4g.micro": 0.5, "cache.t4g.small": 1.37, "cache.t4g.medium": 3.09,
    "cache.r6g.large": 13.07, "cache.r6g.xlarge": 26.32, "cache.r6g.2xlarge": 52.82,
    "cache.r6g.4xlarge": 105.81, "cache.r6g.8xlarge": 209.55, "cache.r6g.12xlarge": 317.77,
    "cache.r6g.16xlarge": 419.09}.items()}


class Member:
    """One node: a cache cluster with the single cache node 0001, as every Redis member is."""

    def __init__(self, cluster_id, shard, zone, now):
        self.id, self.shard, self.zone, self.created = cluster_id, shard, zone, now
        self.primary = False
        self.silent = False  # its metrics do not come: a member that is missing


class Snapshot:
    def __init__(self, name, group, node_type, members, now):
        self.name, self.group, self.node_type = name, group, node_type
        self.members, self.started = members, now
        self.status = "creating"


class ReplicationGroup:
    def __init__(self, spec, account, region, now):
        self.spec = spec
        self.name = spec["name"]
        self.account, self.region, self.created = account, region, now
        self.node_type = spec["node_type"]
        self.status = "available"
        self.pending_type = None  # being applied, or waits for the maintenance window
        self.members, self.snapshots = [], {}
        self._until, self._then = None, None
        self._fed = None  # {"memory_percent"}: from outside
        self.evicted = 0.0  # by each primary since the last point
        self._next = {}  # shard: the number of its newest member
        self._now = now
        for shard in range(1, spec["shards"] + 1):
            for _ in range(spec["replicas"] + 1):
                self._add_member(shard, now)

    @property
    def cluster_mode(self):
        return self.spec["cluster_mode"]

    @property
    def arn(self):
        return f"arn:aws:elasticache:{self.region}:{self.account}:replicationgroup:{self.name}"

    def arn_of(self, kind, name):
        return f"arn:aws:elasticache:{self.region}:{self.account}:{kind}:{name}"

    def _add_member(self, shard, now):
        number = self._next[shard] = self._next.get(shard, 0) + 1
        middle = f"-{shard:04d}" if self.cluster_mode else ""
        zones = self.spec["zones"]
        member = Member(f"{self.name}{middle}-{number:03d}", shard,
                        zones[(number - 1) % len(zones)], now)
        member.primary = not any(m.shard == shard for m in self.members)
        self.members.append(member)
        return member

    def shard_ids(self):
        return sorted({m.shard for m in self.members})

    def member(self, cluster_id):
        return next((m for m in self.members if m.id == cluster_id), None)

    def endpoint(self, name):
        address = f"{name}.{self.spec['suffix']}"
        return {"Address": address, "Port": self.spec["port"]}

    # --- what callers ask for -------------------------------------------------------------------

    def allowed(self):
        """(types to scale up to, types to scale down to): what holds the data that is there."""
        memory = NODE_TYPES[self.node_type]
        used = min(self.data(), memory)
        offered = [t for t in NODE_TYPES if t not in self.spec["not_offered"]]
        up = [t for t in offered if NODE_TYPES[t] > memory]
        down = [t for t in offered if used <= NODE_TYPES[t] < memory]
        return up, down

    def modify_type(self, node_type, now):
        self._busy("modifying", self.spec["modify_seconds"], now,
                   lambda: self._set_type(node_type))
        # The model: PendingModifiedValues are also those "currently being applied".
        self.pending_type = node_type

    def _set_type(self, node_type):
        self.node_type, self.pending_type = node_type, None

    def add_replicas(self, replicas, now):
        def add():
            for shard in self.shard_ids():
                while sum(m.shard == shard for m in self.members) < replicas + 1:
                    self._add_member(shard, self._now)
        self._busy("modifying", self.spec["modify_seconds"], now, add)

    def snapshot(self, name, members, now):
        taken = Snapshot(name, self, self.node_type, members, now)
        self.snapshots[name] = taken
        self._busy("snapshotting", self.spec["snapshot_seconds"], now,
                   lambda: setattr(taken, "status", "available"))
        return taken

    def fail_over(self, shard):
        """The next replica of the shard becomes its primary."""
        members = [m for m in self.members if m.shard == shard]
        old = next(m for m in members if m.primary)
        if len(members) > 1:
            old.primary = False
            members[(members.index(old) + 1) % len(members)].primary = True

    def silence(self, ids):
        """The members without metrics from now on."""
        for member in self.members:
            member.silent = member.id in ids

    def feed(self, evictions, memory_percent):
        """Readings from outside in place of the model's: each primary's evictions since the last
        call; the model's again when memory_percent is None."""
        self._fed = None if memory_percent is None else {"memory_percent": memory_percent}
        self.evicted += evictions

    def _busy(self, status, seconds, now, then):
        self.status, self._until, self._then = status, now + seconds, then

    # --- time -----------------------------------------------------------------------------------

    def data(self):
        """Bytes that a shard would hold if nothing were evicted."""
        return self.spec["data_mib"] * MIB / len(self.shard_ids())

    def memory_percent(self):
        if self._fed is not None:
            return self._fed["memory_percent"]
        return min(100.0, 100.0 * self.data() / NODE_TYPES[self.node_type])

    def evictions_a_second(self):
        """What is written beyond the memory pushes out as much: of a shard's primary."""
        if self._fed is not None:
            return 0.0
        data, memory = self.data(), NODE_TYPES[self.node_type]
        return self.spec["writes_rps"] / len(self.shard_ids()) * max(0.0, 1.0 - memory / data) \
            if data > 0 else 0.0

    def step(self, now, seconds):
        self._now = now
        self.evicted += self.evictions_a_second() * seconds
        if self._until is not None and now >= self._until:
            then, self._until = self._then, None
            self.status = "available"
            then()

    def publish(self, store, start, visible):
        """A point of each member. Replicas evict nothing: they follow their primary's deletions.
        By CacheClusterId, and with CacheNodeId; never by ReplicationGroupId (AWS's page "Metrics
        for Redis", "Dimensions for ElastiCache metrics")."""
        whole = int(self.evicted)
        self.evicted -= whole
        for member in self.members:
            if member.silent:
                continue
            values = {
                "Evictions": (whole if member.primary else 0, "Count"),
                "DatabaseMemoryUsagePercentage": (self.memory_percent(), "Percent"),
                "BytesUsedForCache": (
                    self.memory_percent() / 100.0 * NODE_TYPES[self.node_type], "Bytes"),
            }
            if not member.primary:
                values["ReplicationLag"] = (0.0, "Seconds")
            by_cluster = {"CacheClusterId": member.id}
            for name, (value, unit) in values.items():
                for dimensions in (by_cluster, dict(by_cluster, CacheNodeId="0001")):
                    store.publish(NAMESPACE, name, dimensions, unit,
                                  Point(start, values=[float(value)], visible_at=visible))
