"""Auto Scaling: reading groups, changing capacity, and every refusal."""

import unittest

import testing


def _groups(count):
    return [{"name": f"g{n:03d}", "min": 0, "max": 2, "desired": 0,
             "tags": {"team": "web" if n % 2 else "batch"}} for n in range(count)]


class Reading(testing.SimTest):
    content = testing.scenario(groups=_groups(120) + testing.SCENARIO["groups"])

    def setUp(self):
        self.asg = self.sim.client("autoscaling")

    def names(self, **params):
        pages = self.asg.get_paginator("describe_auto_scaling_groups").paginate(**params)
        return [[g["AutoScalingGroupName"] for g in p["AutoScalingGroups"]] for p in pages]

    def test_pages(self):
        pages = self.names()
        self.assertEqual([len(p) for p in pages], [50, 50, 21])
        self.assertEqual(len({n for p in pages for n in p}), 121)
        self.assertEqual([len(p) for p in self.names(MaxRecords=100)], [100, 21])

    def test_filters_and_names(self):
        filters = [{"Name": "tag:team", "Values": ["batch"]}]
        self.assertEqual(len(sum(self.names(Filters=filters), [])), 60)
        filters.append({"Name": "tag-key", "Values": ["tier"]})
        self.assertEqual(self.names(Filters=filters), [[]])
        self.assertEqual(self.names(AutoScalingGroupNames=["g001", "nope"]), [["g001"]])
        self.refused("ValidationError", self.asg.describe_auto_scaling_groups,
                     Filters=[{"Name": "colour", "Values": ["x"]}])

    def test_a_token_belongs_to_its_question(self):
        token = self.asg.describe_auto_scaling_groups(MaxRecords=10)["NextToken"]
        self.asg.describe_auto_scaling_groups(MaxRecords=20, NextToken=token)
        for bad in ("nonsense", token[:-8] + "AAAAAAA="):
            self.refused("InvalidNextToken", self.asg.describe_auto_scaling_groups, NextToken=bad)
        self.refused("InvalidNextToken", self.asg.describe_auto_scaling_groups, NextToken=token,
                     AutoScalingGroupNames=["g001"])
        self.refused("ValidationError", self.asg.describe_auto_scaling_groups, MaxRecords=101)

    def test_a_group_in_full(self):
        group = self.asg.describe_auto_scaling_groups(
            AutoScalingGroupNames=["web"])["AutoScalingGroups"][0]
        self.assertEqual((group["MinSize"], group["DesiredCapacity"], group["MaxSize"]), (1, 3, 6))
        self.assertEqual({i["LifecycleState"] for i in group["Instances"]}, {"InService"})
        self.assertEqual({t["Key"]: t["Value"] for t in group["Tags"]},
                         {"team": "web", "tier": "front"})
        self.assertTrue(group["TargetGroupARNs"][0].endswith("targetgroup/web/0123456789abcdef"))
        self.assertEqual(len({i["AvailabilityZone"] for i in group["Instances"]}), 3)

    def test_policies_and_refreshes(self):
        self.sim.control("POST", "group", {
            "group": "web",
            "policies": [{"PolicyName": "cpu", "PolicyType": "TargetTrackingScaling",
                          "TargetTrackingConfiguration": {"TargetValue": 50.0}},
                         {"PolicyName": "step", "PolicyType": "StepScaling"}],
            "refreshes": [{"InstanceRefreshId": "r1", "Status": "InProgress",
                           "StartTime": 1.7e9, "PercentageComplete": 40}]})
        found = self.asg.describe_policies(AutoScalingGroupName="web")["ScalingPolicies"]
        self.assertEqual([p["PolicyName"] for p in found], ["cpu", "step"])
        self.assertEqual(found[0]["TargetTrackingConfiguration"]["TargetValue"], 50.0)
        found = self.asg.describe_policies(PolicyTypes=["StepScaling"])["ScalingPolicies"]
        self.assertEqual([p["PolicyName"] for p in found], ["step"])
        refresh = self.asg.describe_instance_refreshes(
            AutoScalingGroupName="web")["InstanceRefreshes"][0]
        self.assertEqual((refresh["Status"], refresh["PercentageComplete"]), ("InProgress", 40))
        self.refused("ValidationError", self.asg.describe_instance_refreshes,
                     AutoScalingGroupName="nope")
        self.refused("ValidationError", self.asg.describe_policies, AutoScalingGroupName="nope")


class Changing(testing.SimTest):
    def setUp(self):
        self.asg = self.sim.client("autoscaling")
        self.sim.control("DELETE", "requests")

    def set(self, desired, **more):
        return self.asg.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=desired,
                                             **more)

    def settled(self, count):
        return self.sim.until(lambda: self.sim.state()["serving"] == count
                              and len(self.sim.state()["instances"]) == count)

    def test_out_and_in_again(self):
        self.set(5)
        states = [i["state"] for i in self.sim.state()["instances"]]
        self.assertEqual(sorted(states), ["InService"] * 3 + ["Pending"] * 2)
        self.assertTrue(self.settled(5))
        self.set(3)
        targets = [i["target"] for i in self.sim.state()["instances"]]
        self.assertEqual(targets.count("draining"), 2)
        self.assertTrue(self.settled(3))
        self.assertEqual(self.sim.control("GET", "counts")["effects"],
                         {"autoscaling:SetDesiredCapacity": 2})
        self.assertEqual([e["changed"] for e in self.sim.control("GET", "effects")["list"]],
                         [{"desired": [3, 5]}, {"desired": [5, 3]}])
        activities = self.asg.describe_scaling_activities(AutoScalingGroupName="web",
                                                          MaxRecords=4)["Activities"]
        self.assertEqual([a["Description"].split()[0] for a in activities],
                         ["Terminating"] * 2 + ["Launching"] * 2)
        self.assertEqual({a["StatusCode"] for a in activities}, {"Successful"})
        self.assertIn("from 5 to 3", activities[0]["Cause"])
        one = self.asg.describe_scaling_activities(ActivityIds=[activities[2]["ActivityId"]])
        self.assertEqual(len(one["Activities"]), 1)

    def test_refusals_change_nothing(self):
        message, status = self.refused("ValidationError", self.set, 7)
        self.assertEqual((message, status), (
            "New SetDesiredCapacity value 7 is above max value 6 for the AutoScalingGroup.", 400))
        self.refused("ValidationError", self.set, 0)
        message, _ = self.refused("ValidationError", self.asg.set_desired_capacity,
                                  AutoScalingGroupName="nope", DesiredCapacity=1)
        self.assertIn("AutoScalingGroup name not found", message)
        self.assertEqual(self.sim.state()["desired"], 3)
        self.assertEqual(self.sim.control("GET", "counts")["effects"], {})
        verdicts = self.sim.control("GET", "counts")["requests"]["autoscaling:SetDesiredCapacity"]
        self.assertEqual(verdicts, {"ValidationError": 3})

    def test_cooldown(self):
        self.set(4)
        message, _ = self.refused("ScalingActivityInProgress", self.set, 5, HonorCooldown=True)
        self.assertIn("is in progress and blocks this action", message)
        self.set(5)
        self.sim.control("POST", "group", {"group": "web", "cooldown": 0})
        self.assertTrue(self.settled(5))
        self.set(3, HonorCooldown=True)
        self.sim.control("POST", "group", {"group": "web", "cooldown": 300})
        self.assertTrue(self.settled(3))

    def test_terminate_one(self):
        victim = self.sim.state()["instances"][0]["id"]
        activity = self.asg.terminate_instance_in_auto_scaling_group(
            InstanceId=victim, ShouldDecrementDesiredCapacity=False)["Activity"]
        self.assertIn(victim, activity["Description"])
        self.refused("ScalingActivityInProgress", self.asg.terminate_instance_in_auto_scaling_group,
                     InstanceId=victim, ShouldDecrementDesiredCapacity=False)
        self.assertTrue(self.settled(3))
        self.assertNotIn(victim, [i["id"] for i in self.sim.state()["instances"]])
        self.refused("ValidationError", self.asg.terminate_instance_in_auto_scaling_group,
                     InstanceId="i-0123456789abcdef0", ShouldDecrementDesiredCapacity=False)
        self.sim.control("POST", "group", {"group": "web", "min": 3})
        try:
            other = self.sim.state()["instances"][0]["id"]
            message, _ = self.refused(
                "ValidationError", self.asg.terminate_instance_in_auto_scaling_group,
                InstanceId=other, ShouldDecrementDesiredCapacity=True)
            self.assertIn("desiredSize equals minSize (3)", message)
        finally:
            self.sim.control("POST", "group", {"group": "web", "min": 1})

    def test_no_capacity_and_hanging_launches(self):
        self.sim.control("POST", "group", {"group": "web", "launches": "fail"})
        self.set(4)
        newest = self.asg.describe_scaling_activities()["Activities"][0]
        self.assertEqual(newest["StatusCode"], "Failed")
        self.assertEqual(len(self.sim.state()["instances"]), 3)
        self.sim.control("POST", "group", {"group": "web", "launches": "hang"})
        self.set(4)
        self.assertFalse(self.sim.until(lambda: self.sim.state()["serving"] == 4, 1))
        self.sim.control("POST", "group", {"group": "web", "launches": "ok"})
        self.assertTrue(self.settled(4))
        self.set(3)
        self.assertTrue(self.settled(3))


if __name__ == "__main__":
    unittest.main()
