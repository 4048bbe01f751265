"""Auto Scaling: groups as they are, SetDesiredCapacity, and ending single instances."""

from errors import ApiError, validation
from service import Service


class AutoScaling(Service):
    model = "autoscaling"
    mutating = frozenset({"SetDesiredCapacity", "TerminateInstanceInAutoScalingGroup"})

    def resources(self, operation, params):
        if operation.name == "SetDesiredCapacity":
            group = self.estate.groups.get(params["AutoScalingGroupName"])
        elif operation.name == "TerminateInstanceInAutoScalingGroup":
            group = self.estate.instance(params["InstanceId"])[0]
        else:
            return ["*"]
        if group is None:
            region, account = self.scenario["region"], self.scenario["account"]
            return [f"arn:aws:autoscaling:{region}:{account}:autoScalingGroup:*:"
                    f"autoScalingGroupName/{params.get('AutoScalingGroupName', '')}"]
        return [group.arn]

    def context(self, operation, params):
        context = super().context(operation, params)
        group = self.estate.groups.get(params.get("AutoScalingGroupName"))
        if "InstanceId" in params:
            group = self.estate.instance(params["InstanceId"])[0]
        if group is not None:
            for key, value in group.spec["tags"].items():
                context[f"aws:ResourceTag/{key}"] = value
                context[f"autoscaling:ResourceTag/{key}"] = value
        return context

    def _group(self, name):
        group = self.estate.groups.get(name)
        if group is None:
            raise validation(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not "
                             "found")
        return group

    # --- reading ---------------------------------------------------------------------------------

    def DescribeAutoScalingGroups(self, call):
        names = call.params.get("AutoScalingGroupNames") or None
        groups = [
            g for name, g in sorted(self.estate.groups.items())
            if (names is None or name in names) and self._passes(g, call.params.get("Filters", []))
        ]
        found, token = self.page(call, groups, 50, 100)
        return {"AutoScalingGroups": [self._show(g) for g in found], "NextToken": token}

    @staticmethod
    def _passes(group, filters):
        for wanted in filters:
            name, values = wanted.get("Name", ""), wanted.get("Values", [])
            tags = group.spec["tags"]
            if name == "tag-key":
                have = set(tags)
            elif name == "tag-value":
                have = set(tags.values())
            elif name.startswith("tag:"):
                have = {tags[name[4:]]} if name[4:] in tags else set()
            else:
                raise validation(f"Filter type {name} is not correct. Allowed Filter types are: "
                                 "[tag-key, tag-value, tag:<key>]")
            if not have & set(values):
                return False
        return True

    def _show(self, group):
        spec = group.spec
        tags = [
            {"ResourceId": group.name, "ResourceType": "auto-scaling-group", "Key": key,
             "Value": value, "PropagateAtLaunch": True}
            for key, value in spec["tags"].items()
        ]
        target_group = group.arn_of("target_group")
        metrics = ("GroupMinSize", "GroupMaxSize", "GroupDesiredCapacity",
                   "GroupInServiceInstances", "GroupPendingInstances",
                   "GroupTerminatingInstances", "GroupTotalInstances")
        enabled = [{"Metric": m, "Granularity": "1Minute"} for m in metrics]
        return {
            "AutoScalingGroupName": group.name,
            "AutoScalingGroupARN": group.arn,
            "LaunchTemplate": _template(spec["template"]),
            "MinSize": group.min, "MaxSize": group.max, "DesiredCapacity": group.desired,
            "DefaultCooldown": spec["cooldown"],
            "AvailabilityZones": spec["zones"],
            "LoadBalancerNames": [],
            "TargetGroupARNs": [target_group] if target_group else [],
            "HealthCheckType": spec["health_check_type"],
            "HealthCheckGracePeriod": spec["health_check_grace"],
            "Instances": [self._show_instance(group, i) for i in group.instances],
            "CreatedTime": self.estate.claimed(group.created),
            "SuspendedProcesses": [
                {"ProcessName": p, "SuspensionReason": "User suspended"}
                for p in sorted(group.suspended)
            ],
            "VPCZoneIdentifier": "",
            "EnabledMetrics": enabled if spec["group_metrics"] else [],
            "Tags": tags,
            "TerminationPolicies": ["Default"],
            "NewInstancesProtectedFromScaleIn": False,
        }

    @staticmethod
    def _show_instance(group, instance):
        return {
            "InstanceId": instance.id,
            "InstanceType": group.spec["instance_type"],
            "AvailabilityZone": instance.zone,
            "LifecycleState": instance.state,
            "HealthStatus": instance.health,
            "LaunchTemplate": _template(instance.template),
            "ProtectedFromScaleIn": instance.protected,
        }

    def DescribeScalingActivities(self, call):
        params = call.params
        name = params.get("AutoScalingGroupName")
        groups = [self._group(name)] if name else list(self.estate.groups.values())
        wanted = params.get("ActivityIds") or None
        activities = [
            (group, activity) for group in groups for activity in group.activities
            if wanted is None or activity.id in wanted
        ]
        activities.sort(key=lambda pair: -pair[1].start)
        found, token = self.page(call, activities, 100, 100)
        return {"Activities": [self._show_activity(*pair) for pair in found], "NextToken": token}

    def _show_activity(self, group, activity):
        return {
            "ActivityId": activity.id,
            "AutoScalingGroupName": group.name,
            "AutoScalingGroupARN": group.arn,
            "Description": activity.description,
            "Cause": activity.cause.strip(),
            "StartTime": self.estate.claimed(activity.start),
            "EndTime": self.estate.claimed(activity.end) if activity.end is not None else None,
            "StatusCode": activity.status,
            "StatusMessage": activity.message,
            "Progress": 100 if activity.end is not None else 50,
            "Details": "{}",
        }

    def DescribePolicies(self, call):
        params = call.params
        name = params.get("AutoScalingGroupName")
        groups = [self._group(name)] if name else list(self.estate.groups.values())
        policies = []
        for group in groups:
            for given in group.policies:
                policy = {"AutoScalingGroupName": group.name, "Enabled": True, "Alarms": [],
                          "PolicyType": "SimpleScaling", **given}
                policy.setdefault("PolicyARN", (
                    f"arn:aws:autoscaling:{group.region}:{group.account}:scalingPolicy:"
                    f"{group.uuid}:autoScalingGroupName/{group.name}:policyName/"
                    f"{policy['PolicyName']}"))
                names, types = params.get("PolicyNames"), params.get("PolicyTypes")
                if names and not {policy["PolicyName"], policy["PolicyARN"]} & set(names):
                    continue
                if types and policy["PolicyType"] not in types:
                    continue
                policies.append(policy)
        found, token = self.page(call, policies, 50, 100)
        return {"ScalingPolicies": found, "NextToken": token}

    def DescribeInstanceRefreshes(self, call):
        group = self._group(call.params["AutoScalingGroupName"])
        wanted = call.params.get("InstanceRefreshIds") or None
        refreshes = [
            {"AutoScalingGroupName": group.name, **r} for r in group.refreshes
            if wanted is None or r["InstanceRefreshId"] in wanted
        ]
        found, token = self.page(call, refreshes, 50, 100)
        return {"InstanceRefreshes": found, "NextToken": token}

    # --- changing --------------------------------------------------------------------------------

    def SetDesiredCapacity(self, call):
        group = self._group(call.params["AutoScalingGroupName"])
        desired = call.params["DesiredCapacity"]
        if desired > group.max:
            raise validation(f"New SetDesiredCapacity value {desired} is above max value "
                             f"{group.max} for the AutoScalingGroup.")
        if desired < group.min:
            raise validation(f"New SetDesiredCapacity value {desired} is below min value "
                             f"{group.min} for the AutoScalingGroup.")
        if call.params.get("HonorCooldown"):
            self._refuse_in_cooldown(group)
        call.changed["desired"] = [group.desired, desired]
        group.set_desired(desired, self.estate.now, self.app.clock.now())

    def _refuse_in_cooldown(self, group):
        blocking = group.in_cooldown(self.estate.now)
        if blocking is not None:
            raise ApiError("ScalingActivityInProgress", f"Scaling activity {blocking.id} is in "
                           "progress and blocks this action")

    def TerminateInstanceInAutoScalingGroup(self, call):
        instance_id = call.params["InstanceId"]
        group, instance = self.estate.instance(instance_id)
        if instance is None:
            raise validation("Instance Id not found - No managed instance found for instance ID: "
                             f"{instance_id}")
        if instance.state == "Terminating":
            raise ApiError("ScalingActivityInProgress", f"Scaling activity "
                           f"{instance.termination.id} is in progress and blocks this action")
        decrement = call.params["ShouldDecrementDesiredCapacity"]
        if decrement and group.desired <= group.min:
            raise validation(f"Currently, desiredSize equals minSize ({group.min}). Terminating "
                             "instance without replacement will violate group's min size "
                             "constraint. Either set shouldDecrementDesiredCapacity flag to false "
                             "or lower group's min size.")
        call.changed["desired"] = [group.desired, group.desired - bool(decrement)]
        activity = group.terminate(instance, decrement, self.estate.now, self.app.clock.now())
        return {"Activity": self._show_activity(group, activity)}


def _template(template):
    return {"LaunchTemplateId": template["id"], "LaunchTemplateName": template["name"],
            "Version": str(template["version"])}
