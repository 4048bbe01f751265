"""Elastic Load Balancing v2: load balancers, target groups and the health of targets."""

from errors import ApiError, validation
from service import Service


class Elbv2(Service):
    model = "elbv2"

    def bad_token(self, token):
        return validation(f"'{token}' is not a valid marker")

    def _page(self, call, items):
        return self.page(call, items, 400, 400, size_key="PageSize", token_key="Marker")

    def _groups_with(self, key, arn):
        return [g for g in self.estate.groups.values() if g.arn_of(key) == arn]

    def _select(self, params, arns_key, shown, missing):
        """The resources that a describe call names, or all; refuses the unknown and mixtures."""
        arns, names = params.get(arns_key), params.get("Names")
        if arns and names:
            raise validation(f"{arns_key} and Names cannot be specified together")
        selected = shown
        for key, wanted in ((arns_key, arns), ("Names", names)):
            if wanted:
                field = missing[1] if key == arns_key else missing[2]
                selected = [s for s in shown if s[field] in wanted]
                unknown = set(wanted) - {s[field] for s in selected}
                if unknown:
                    listed = ", ".join(f"'{u}'" for u in sorted(unknown))
                    raise ApiError(missing[0], f"{missing[3]} {listed} not found")
        return selected

    def DescribeLoadBalancers(self, call):
        balancers = {}
        for group in self.estate.groups.values():
            arn = group.arn_of("load_balancer")
            if arn is not None:
                balancers.setdefault(arn, group)
        shown = [
            {
                "LoadBalancerArn": arn,
                "DNSName": f"{arn.split('/')[2]}-1234567890.{group.region}.elb.amazonaws.com",
                "CanonicalHostedZoneId": "Z35SXDOTRQ7X7K",
                "CreatedTime": self.estate.claimed(group.created),
                "LoadBalancerName": arn.split("/")[2],
                "Scheme": "internet-facing",
                "VpcId": "vpc-0c1oud51m",
                "State": {"Code": "active"},
                "Type": "application",
                "AvailabilityZones": [{"ZoneName": z} for z in group.spec["zones"]],
                "IpAddressType": "ipv4",
            }
            for arn, group in sorted(balancers.items())
        ]
        found = self._select(call.params, "LoadBalancerArns", shown, (
            "LoadBalancerNotFound", "LoadBalancerArn", "LoadBalancerName", "Load balancers"))
        found, marker = self._page(call, found)
        return {"LoadBalancers": found, "NextMarker": marker}

    def DescribeTargetGroups(self, call):
        params = call.params
        shown = []
        for group in self.estate.groups.values():
            arn = group.arn_of("target_group")
            if arn is None:
                continue
            balancer = group.arn_of("load_balancer")
            shown.append({
                "TargetGroupArn": arn,
                "TargetGroupName": arn.split("/")[1],
                "Protocol": "HTTP",
                "Port": 8080,
                "VpcId": "vpc-0c1oud51m",
                "HealthCheckProtocol": "HTTP",
                "HealthCheckPort": "traffic-port",
                "HealthCheckEnabled": True,
                "HealthCheckIntervalSeconds": 10,
                "HealthCheckTimeoutSeconds": 5,
                "HealthyThresholdCount": 2,
                "UnhealthyThresholdCount": 2,
                "HealthCheckPath": "/health",
                "Matcher": {"HttpCode": "200"},
                "LoadBalancerArns": [balancer] if balancer else [],
                "TargetType": "instance",
                "ProtocolVersion": "HTTP1",
                "IpAddressType": "ipv4",
            })
        balancer = params.get("LoadBalancerArn")
        if balancer:
            if params.get("TargetGroupArns") or params.get("Names"):
                raise validation("LoadBalancerArn cannot be specified with TargetGroupArns or "
                                 "Names")
            if not self._groups_with("load_balancer", balancer):
                raise ApiError("LoadBalancerNotFound", f"Load balancers '{balancer}' not found")
            shown = [s for s in shown if balancer in s["LoadBalancerArns"]]
        found = self._select(params, "TargetGroupArns", shown, (
            "TargetGroupNotFound", "TargetGroupArn", "TargetGroupName", "Target groups"))
        found, marker = self._page(call, found)
        return {"TargetGroups": found, "NextMarker": marker}

    def DescribeTargetHealth(self, call):
        arn = call.params["TargetGroupArn"]
        if ":targetgroup/" not in arn:
            raise validation(f"'{arn}' is not a valid target group ARN")
        groups = self._groups_with("target_group", arn)
        if not groups:
            raise ApiError("TargetGroupNotFound", f"Target groups '{arn}' not found")
        instances = {
            i.id: i for g in groups for i in g.instances
            if i.state != "Pending" and i.target != "unused"
        }
        wanted = call.params.get("Targets") or [{"Id": i} for i in instances]
        return {"TargetHealthDescriptions": [
            _show_target(t["Id"], t.get("Port", 8080), instances.get(t["Id"])) for t in wanted]}


def _show_target(target_id, port, instance):
    state = instance.target if instance else "unused"
    reason, text = {
        "healthy": (None, None),
        "initial": ("Elb.InitialHealthChecking", "Initial health checks in progress"),
        "unhealthy": ("Target.FailedHealthChecks", "Health checks failed"),
        "draining": ("Target.DeregistrationInProgress", "Target deregistration is in progress"),
        "unused": ("Target.NotRegistered", "Target is not registered to the target group"),
    }[state]
    target = {"Id": target_id, "Port": port}
    if instance:
        target["AvailabilityZone"] = instance.zone
    return {"Target": target, "HealthCheckPort": str(port),
            "TargetHealth": {"State": state, "Reason": reason, "Description": text}}
