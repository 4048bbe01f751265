"""An Auto Scaling group: how its instances come and go, and the activities that tell of it."""

import copy
import hashlib
import secrets
import uuid

from wire import iso8601

LIVE = ("Pending", "InService")


class Instance:
    def __init__(self, group, zone, now, state="Pending"):
        self.id = "i-0" + secrets.token_hex(8)
        self.zone = zone
        self.state = state  # LifecycleState
        self.health = "Healthy"
        self.target = "unused"  # TargetHealth: unused, initial, healthy, unhealthy, draining
        self.since = now  # when it entered `state`
        self.launched = now
        self.protected = False
        self.template = dict(group.spec["template"])
        digest = hashlib.sha256(self.id.encode()).digest()
        self.bias = (digest[0] / 255.0 - 0.5) * 2.0  # -1..1: how it differs from its siblings
        self.termination = None  # the activity that ends it

    def serving(self):
        return self.state == "InService" and self.target == "healthy"


class Activity:
    """One scaling activity, times in the estate's clock."""

    def __init__(self, description, cause, now):
        self.id = str(uuid.uuid4())
        self.description, self.cause = description, cause
        self.start, self.end = now, None
        self.status = "InProgress"
        self.message = None

    def finish(self, now, status="Successful", message=None):
        self.end, self.status, self.message = now, status, message


class Group:
    def __init__(self, spec, account, region, now):
        self.spec = spec
        self.name = spec["name"]
        self.account, self.region = account, region
        self.uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, self.name))
        self.created = now
        self.min, self.max, self.desired = spec["min"], spec["max"], spec["desired"]
        self.suspended = set(spec["suspended"])
        self.policies = copy.deepcopy(spec["policies"])
        self.refreshes = copy.deepcopy(spec["refreshes"])
        self.launches = "ok"  # or "fail" (no capacity), "hang" (stays Pending)
        self.instances = []
        self.activities = []
        self._cause = ""
        self._retry_launch_at = 0.0
        for _ in range(self.desired):
            instance = Instance(self, self._emptiest_zone(), now, "InService")
            instance.target = "healthy"
            self.instances.append(instance)

    @property
    def arn(self):
        return (f"arn:aws:autoscaling:{self.region}:{self.account}:autoScalingGroup:{self.uuid}:"
                f"autoScalingGroupName/{self.name}")

    def arn_of(self, key):
        """The ARN of the group's target group ("targetgroup/...") or load balancer ("app/...")."""
        path = self.spec[key]
        if path is None:
            return None
        if key == "load_balancer":
            path = "loadbalancer/" + path
        return f"arn:aws:elasticloadbalancing:{self.region}:{self.account}:{path}"

    def live(self):
        return [i for i in self.instances if i.state in LIVE]

    def serving(self):
        return [i for i in self.instances if i.serving()]

    def find(self, instance_id):
        return next((i for i in self.instances if i.id == instance_id), None)

    def in_cooldown(self, now):
        """The activity that blocks a caller who honours the cooldown, or None."""
        for activity in self.activities[:1]:
            if activity.end is None or now < activity.end + self.spec["cooldown"]:
                return activity
        return None

    # --- what callers ask for -------------------------------------------------------------------

    def set_desired(self, desired, now, stamp, who="a user request"):
        if desired != self.desired:
            self._cause = (f"At {iso8601(stamp)} {who} explicitly set group desired capacity "
                           f"changing the desired capacity from {self.desired} to {desired}.")
        self.desired = desired
        self._retry_launch_at = 0.0
        self._reconcile(now)

    def terminate(self, instance, decrement, now, stamp):
        """Ends one instance; returns the activity."""
        if decrement:
            self.desired -= 1
        activity = self._end(instance, now, (
            f"At {iso8601(stamp)} instance {instance.id} was taken out of service in response to a "
            f"user request{', shrinking the capacity' if decrement else ''}."
        ))
        self._reconcile(now)
        return activity

    # --- time -----------------------------------------------------------------------------------

    def step(self, now):
        """Carries out what is due at `now`."""
        for instance in list(self.instances):
            if instance.state == "Pending":
                self._boot(instance, now)
            elif instance.state == "InService":
                self._check_health(instance, now)
            elif instance.state == "Terminating":
                self._drain(instance, now)
        self._reconcile(now)

    def _boot(self, instance, now):
        if self.launches != "hang" and now >= instance.launched + self.spec["boot_seconds"]:
            instance.state, instance.since = "InService", now
            instance.target = "initial"
            self._finish_launch(instance, now)
            self._check_health(instance, now)

    def _check_health(self, instance, now):
        if instance.target == "initial" and now >= instance.since + self.spec["health_seconds"]:
            instance.target = "healthy"
        bad = instance.health != "Healthy" or (
            instance.target == "unhealthy" and self.spec["health_check_type"] == "ELB"
            and now >= instance.since + self.spec["health_check_grace"])
        if bad and "ReplaceUnhealthy" not in self.suspended:
            instance.health = "Unhealthy"
            self._end(instance, now, f"At {iso8601(now)} an instance was taken out of service in "
                                     "response to an EC2 or ELB health check failure.")

    def _drain(self, instance, now):
        drained = now >= instance.since + self.spec["drain_seconds"]
        if drained:
            instance.target = "unused"
        if now >= instance.since + self.spec["drain_seconds"] + self.spec["terminate_seconds"]:
            instance.termination.finish(now)
            self.instances.remove(instance)

    def _reconcile(self, now):
        live = self.live()
        if len(live) < self.desired and "Launch" not in self.suspended:
            if now >= self._retry_launch_at:
                for _ in range(self.desired - len(live)):
                    self._launch(now)
        elif len(live) > self.desired and "Terminate" not in self.suspended:
            for instance in self._victims(len(live) - self.desired):
                self._end(instance, now, f"{self._cause} At {iso8601(now)} an instance was "
                          "selected for termination in response to a difference between desired "
                          "and actual capacity, shrinking the capacity.")

    def _launch(self, now):
        cause = (f"{self._cause} At {iso8601(now)} an instance was started in response to a "
                 "difference between desired and actual capacity, increasing the capacity.")
        if self.launches == "fail":
            activity = self._record(Activity("Launching a new EC2 instance", cause, now))
            activity.finish(now, "Failed", "We currently do not have sufficient "
                            f"{self.spec['instance_type']} capacity in the Availability Zone you "
                            "requested. Launching EC2 instance failed.")
            self._retry_launch_at = now + 10.0
            return
        instance = Instance(self, self._emptiest_zone(), now)
        self.instances.append(instance)
        self._record(Activity(f"Launching a new EC2 instance: {instance.id}", cause, now))

    def _finish_launch(self, instance, now):
        for activity in self.activities:
            if activity.end is None and activity.description.endswith(instance.id):
                activity.finish(now)

    def _end(self, instance, now, cause):
        if instance.state == "Pending":
            self._finish_launch(instance, now)
        instance.state, instance.since = "Terminating", now
        instance.target = "draining" if instance.target != "unused" else "unused"
        instance.termination = self._record(
            Activity(f"Terminating EC2 instance: {instance.id}", cause, now))
        return instance.termination

    def _record(self, activity):
        self.activities.insert(0, activity)
        del self.activities[2000:]
        return activity

    def _emptiest_zone(self):
        used = [i.zone for i in self.instances if i.state in LIVE]
        return min(self.spec["zones"], key=used.count)

    def _victims(self, count):
        """The default policy in short: from the fullest zone, the oldest first; none protected."""
        chosen = []
        while len(chosen) < count:
            left = [i for i in self.live() if i not in chosen and not i.protected]
            if not left:
                break
            zones = [i.zone for i in left]
            fullest = max(sorted(set(zones)), key=zones.count)
            chosen.append(min((i for i in left if i.zone == fullest), key=lambda i: i.launched))
        return chosen
