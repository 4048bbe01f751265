"""The estate: groups under traffic, moved forward in small steps, publishing their metrics."""

import math

import physics
from caches import ReplicationGroup
from databases import Database, Proxy
from fleet import Group
from metrics import MetricStore, Point

EC2, ALB, ASG = "AWS/EC2", "AWS/ApplicationELB", "AWS/AutoScaling"


class _Period:
    """What one group has gathered since the last point."""

    def __init__(self):
        self.seconds = 0.0
        self.requests = self.served = self.target_5xx = self.elb_5xx = 0.0
        self.latency_sum = 0.0  # seconds x requests
        self.cpu = {}  # instance id -> [sum of percent x seconds, seconds]


class Estate:
    """All state that time moves. Callers hold the server's lock."""

    def __init__(self, scenario, clock):
        self.scenario = scenario
        self.clock = clock
        self.period = scenario["metric_period"]
        self.metric_delay = scenario["metric_delay"]
        self.metrics = MetricStore()
        self.now = clock.estate() - scenario["history_seconds"]
        origin = clock.estate()
        self.groups = {}
        self.traffic = {}
        self._gathered = {}
        self._ec2_gathered = {}
        self._remainders = {}
        for spec in scenario["groups"]:
            group = Group(spec, scenario["account"], scenario["region"], self.now - 86400.0)
            self.groups[group.name] = group
            self.traffic[group.name] = physics.Traffic(spec["traffic"], origin)
            self._gathered[group.name] = _Period()
            self._ec2_gathered[group.name] = _Period()
        where = (scenario["account"], scenario["region"], self.now - 86400.0)
        self.databases = {s["name"]: Database(s, *where) for s in scenario["databases"]}
        self.proxies = {s["name"]: Proxy(s, self.databases[s["database"]], *where)
                        for s in scenario["proxies"]}
        self.caches = {s["name"]: ReplicationGroup(s, *where) for s in scenario["caches"]}
        self.certificates = {}  # Certificate Manager's, which end by the claimed clock
        self.secrets = {}  # Secrets Manager's, which time does not move
        self._slot = self._slot_of(self.now)
        self._advance(origin, max(scenario["tick_seconds"], self.period / 12.0))

    def claimed(self, estate_time):
        """An estate time as the server shows it."""
        return estate_time + (self.clock.now() - self.clock.estate())

    def advance(self):
        """Brings the estate to the present. Called by the ticker and before every request."""
        self._advance(self.clock.estate(), self.scenario["tick_seconds"])

    def _advance(self, until, tick):
        while self.now + tick <= until:
            self._step(tick)

    def _slot_of(self, estate_time):
        return math.floor(self.claimed(estate_time) / self.period)

    def _step(self, seconds):
        self.now += seconds
        for group in self.groups.values():
            group.step(self.now)
            self._gather(group, seconds)
        for part in (*self.databases.values(), *self.proxies.values(), *self.caches.values()):
            part.step(self.now, seconds)
        slot = self._slot_of(self.now)
        if slot != self._slot:
            for group in self.groups.values():
                self._publish(group, self._slot * self.period)
            for part in (*self.databases.values(), *self.proxies.values(), *self.caches.values()):
                part.publish(self.metrics, self._slot * self.period, self.now + self.metric_delay)
            self._slot = slot

    def load(self, group):
        """The load that a group is under at this moment."""
        rps = self.traffic[group.name].rps(self.now)
        return physics.load_of(rps, len(group.serving()), group.spec)

    def _gather(self, group, seconds):
        load = self.load(group)
        gathered = self._gathered[group.name]
        gathered.seconds += seconds
        gathered.requests += (load.served + load.elb_5xx) * seconds
        gathered.served += load.served * seconds
        gathered.target_5xx += load.target_5xx * seconds
        gathered.elb_5xx += load.elb_5xx * seconds
        gathered.latency_sum += load.latency * load.served * seconds
        noise = group.spec["noise"]
        for instance in group.instances:
            if instance.state != "InService":
                continue
            utilisation = load.utilisation if instance.serving() else 0.0
            percent = physics.cpu_of(utilisation * (1.0 + noise * instance.bias), group.spec)
            for period in (gathered, self._ec2_gathered[group.name]):
                total = period.cpu.setdefault(instance.id, [0.0, 0.0])
                total[0] += percent * seconds
                total[1] += seconds

    # --- publishing ------------------------------------------------------------------------------

    def _publish(self, group, start):
        gathered, self._gathered[group.name] = self._gathered[group.name], _Period()
        visible = self.now + self.metric_delay
        self._publish_cpu(group, start, visible)
        if group.spec["load_balancer"] and group.spec["target_group"]:
            self._publish_alb(group, gathered, start, visible)
        if group.spec["group_metrics"]:
            self._publish_group(group, start, visible)

    def _publish_cpu(self, group, start, visible):
        if not group.spec["detailed_monitoring"]:
            # Basic monitoring: a point each 5 periods, stamped with the start of the five.
            if (start // self.period) % 5 != 4:
                return
            start -= 4 * self.period
        gathered = self._ec2_gathered[group.name]
        self._ec2_gathered[group.name] = _Period()
        values = {i: total / seconds for i, (total, seconds) in gathered.cpu.items() if seconds}
        if not values:
            return
        self.metrics.publish(EC2, "CPUUtilization", {"AutoScalingGroupName": group.name}, "Percent",
                             Point(start, values=list(values.values()), visible_at=visible))
        for instance_id, value in values.items():
            self.metrics.publish(EC2, "CPUUtilization", {"InstanceId": instance_id}, "Percent",
                                 Point(start, values=[value], visible_at=visible))

    def _publish_alb(self, group, gathered, start, visible):
        balancer = {"LoadBalancer": group.spec["load_balancer"]}
        both = dict(balancer, TargetGroup=group.spec["target_group"])

        def count(name, value, *dimension_sets):
            # Requests are whole; what a period leaves over counts in the next one.
            key = (group.name, name)
            value += self._remainders.get(key, 0.0)
            whole = math.floor(value)
            self._remainders[key] = value - whole
            for dimensions in dimension_sets if whole else ():
                point = Point(start, count=whole, total=whole, visible_at=visible)
                self.metrics.publish(ALB, name, dimensions, "Count", point)

        count("RequestCount", gathered.served, balancer, both)
        count("HTTPCode_Target_2XX_Count", gathered.served - gathered.target_5xx, balancer, both)
        count("HTTPCode_Target_5XX_Count", gathered.target_5xx, balancer, both)
        # The load balancer's own errors reached no target: AWS publishes them without TargetGroup.
        count("HTTPCode_ELB_5XX_Count", gathered.elb_5xx, balancer)
        count("HTTPCode_ELB_503_Count", gathered.elb_5xx, balancer)
        if gathered.served >= 1.0:
            mean = gathered.latency_sum / gathered.served
            for dimensions in (balancer, both):
                point = Point(start, count=gathered.served, mean=mean, visible_at=visible)
                self.metrics.publish(ALB, "TargetResponseTime", dimensions, "Seconds", point)
        healthy = len(group.serving())
        unhealthy = sum(i.target == "unhealthy" for i in group.instances)
        for name, value in (("HealthyHostCount", healthy), ("UnHealthyHostCount", unhealthy)):
            self.metrics.publish(ALB, name, both, "Count",
                                 Point(start, values=[value], visible_at=visible))

    def _publish_group(self, group, start, visible):
        def states(*names):
            return sum(i.state in names for i in group.instances)

        for name, value in (
            ("GroupMinSize", group.min), ("GroupMaxSize", group.max),
            ("GroupDesiredCapacity", group.desired),
            ("GroupInServiceInstances", states("InService")),
            ("GroupPendingInstances", states("Pending")),
            ("GroupTerminatingInstances", states("Terminating")),
            ("GroupTotalInstances", len(group.instances)),
        ):
            self.metrics.publish(ASG, name, {"AutoScalingGroupName": group.name}, "None",
                                 Point(start, values=[value], visible_at=visible))

    # --- finding ---------------------------------------------------------------------------------

    def instance(self, instance_id):
        """(group, instance) or (None, None)."""
        for group in self.groups.values():
            found = group.find(instance_id)
            if found:
                return group, found
        return None, None
