"""ELBv2: load balancers, target groups, the health of targets as instances come and go."""

import unittest

import testing


class Elbv2(testing.SimTest):
    def setUp(self):
        self.elb = self.sim.client("elbv2")
        self.state = self.sim.state()
        self.target_group = self.state["target_group_arn"]
        self.balancer = self.state["load_balancer_arn"]

    def health(self, **params):
        found = self.elb.describe_target_health(TargetGroupArn=self.target_group, **params)
        return {d["Target"]["Id"]: d["TargetHealth"] for d in found["TargetHealthDescriptions"]}

    def test_describe(self):
        balancer = self.elb.describe_load_balancers(Names=["web"])["LoadBalancers"][0]
        self.assertEqual((balancer["LoadBalancerArn"], balancer["State"]["Code"]),
                         (self.balancer, "active"))
        group = self.elb.describe_target_groups(LoadBalancerArn=self.balancer)["TargetGroups"][0]
        self.assertEqual(group["TargetGroupArn"], self.target_group)
        self.assertEqual(self.elb.describe_target_groups(
            TargetGroupArns=[self.target_group])["TargetGroups"], [group])

    def test_refusals(self):
        other = self.target_group.replace("/web/", "/other/")
        self.refused("TargetGroupNotFound", self.elb.describe_target_health, TargetGroupArn=other)
        self.refused("ValidationError", self.elb.describe_target_health, TargetGroupArn="web")
        self.refused("TargetGroupNotFound", self.elb.describe_target_groups, Names=["nope"])
        self.refused("LoadBalancerNotFound", self.elb.describe_load_balancers, Names=["nope"])
        self.refused("LoadBalancerNotFound", self.elb.describe_target_groups, LoadBalancerArn=other)
        self.refused("ValidationError", self.elb.describe_target_groups, Names=["web"],
                     TargetGroupArns=[self.target_group])
        self.refused("ValidationError", self.elb.describe_load_balancers, PageSize=401)

    def test_health_follows_the_fleet(self):
        ids = [i["id"] for i in self.state["instances"]]
        self.assertEqual({i: h["State"] for i, h in self.health().items()},
                         dict.fromkeys(ids, "healthy"))
        self.sim.control("POST", "group", {"group": "web", "health_seconds": 1})
        self.sim.control("POST", "group", {"group": "web", "desired": 4})
        states = self.sim.until(
            lambda: (lambda s: s if "initial" in s else None)(
                [h["State"] for h in self.health().values()]))
        self.assertEqual(sorted(states or []), ["healthy"] * 3 + ["initial"])
        self.assertTrue(self.sim.until(lambda: self.sim.state()["serving"] == 4))
        self.sim.control("POST", "group", {"group": "web", "desired": 3})
        states = [h["State"] for h in self.health().values()]
        self.assertEqual(sorted(states), ["draining"] + ["healthy"] * 3)
        self.assertTrue(self.sim.until(lambda: len(self.health()) == 3))

    def test_broken_and_unknown_targets(self):
        victim = self.state["instances"][0]["id"]
        self.sim.control("POST", "instance", {"id": victim, "target": "unhealthy"})
        unknown = "i-0123456789abcdef0"
        health = self.health(Targets=[{"Id": victim}, {"Id": unknown}])
        self.assertEqual(health[victim]["Reason"], "Target.FailedHealthChecks")
        self.assertEqual(health[unknown]["State"], "unused")
        self.assertEqual(self.sim.state()["serving"], 2)
        # With health checks of type ELB the group replaces it.
        self.sim.control("POST", "group", {"group": "web", "health_check_type": "ELB",
                                           "health_check_grace": 0})
        self.assertTrue(self.sim.until(
            lambda: victim not in [i["id"] for i in self.sim.state()["instances"]]
            and self.sim.state()["serving"] == 3))


if __name__ == "__main__":
    unittest.main()
