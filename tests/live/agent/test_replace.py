"""asg_replace by the real agent: the unhealthy instance goes and no other, and nobody goes when it is not single instances that are broken."""

import unittest

from rig import Rig, eventually, group, scenario

REPLACE = """
policy "replace" {
  owner = "test", severity = "sev2", doc = "https://runbooks.example.com/replace", target = find.asg { name = { "web" } },
  when = sig.alb_healthy { below = "100%", lasting = "1s", period = "1s" },
  checks = { well = all { sig.asg_in_service { at_least = "100%", period = "1s" }, sig.alb_healthy { at_least = "100%", period = "1s" } } },
  actions = { replace = act.asg_replace { max = MAX, timeout = "60s" } },
  mode = "enforce", limit = "2 per 1d", cooldown = "10m", max_targets = "100%",
  run = function(r)
    if not r:act "replace" then return r:page "not replaced" end
    if not r:verify("well", "40s") then r:page "still unhealthy" end
  end,
}
"""


class Replace(Rig):
    with_sim = True
    scenario = scenario(group("web", desired=4, traffic=[{"at": 0, "rps": 20}], zones=["us-east-1a"], target_group="targetgroup/web/0123456789abcdef",
                              load_balancer="app/web/456789abcdef0123"))

    def begin(self, most=1):
        self.write("policies/replace.lua", REPLACE.replace("MAX", str(most)))
        self.estate('asg "web" { aws = "prod", target_group = "targetgroup/web/0123456789abcdef", alb = "app/web/456789abcdef0123" }')
        self.ids = sorted(i["id"] for i in self.group("web")["instances"])
        return self.start()

    def spoil(self, *ids, **more):
        for i in ids:
            self.sim.call("POST", "instance", {"id": i, "target": "unhealthy", **more})

    def ended(self):
        """Those that were ended through the API, in order; the group's size never changed by it."""
        effects = [e for e in self.sim.call("GET", "effects")["list"] if e["action"] == "TerminateInstanceInAutoScalingGroup"]
        for e in effects:
            self.assertIs(e["params"]["ShouldDecrementDesiredCapacity"], False)
        return [e["params"]["InstanceId"] for e in effects]

    def outcome(self, seconds=45):
        return eventually(lambda: next((d["outcome"] for d, _ in self.journal.state("run").values() if d.get("outcome")), None), seconds, 0.1)

    def test_one_is_replaced_though_its_answer_is_lost(self):
        self.begin()
        self.sim.call("POST", "faults", {"kind": "drop", "when": "after", "action": "TerminateInstanceInAutoScalingGroup", "count": 1})
        self.spoil(self.ids[2])
        self.assertEqual(self.outcome(), "succeeded")
        self.assertEqual(self.ended(), [self.ids[2]])
        web = self.group("web")
        self.assertEqual((web["desired"], web["serving"]), (4, 4))
        self.assertEqual(len([r for r in self.sim.call("GET", "requests") if r["action"] == "TerminateInstanceInAutoScalingGroup"]), 1)
        self.assertIn("in doubt", str(self.events()))
        # What was received is what the plan said, neither more nor less, and so was the question before it.
        call = self.journal.intents()[0][2]["plan"]["calls"][0]
        for one in (call, call["if"]):
            got = [r["params"] for r in self.sim.call("GET", "requests") if r["action"] == one["call"].partition(":")[2]]
            self.assertIn(one["args"], got)

    def test_what_got_well_in_between_stays(self):
        """Two are to go. While the answer to the first is held back the second gets well: it is asked about once more, and stays."""
        self.begin(2)
        self.sim.call("POST", "faults", {"kind": "delay", "when": "after", "action": "TerminateInstanceInAutoScalingGroup", "count": 1, "seconds": 3})
        self.spoil(self.ids[0], self.ids[3])
        eventually(self.ended, 20, 0.05)
        self.sim.call("POST", "instance", {"id": self.ids[3], "target": "healthy"})
        self.assertEqual(self.outcome(), "failed")
        self.assertEqual(self.ended(), [self.ids[0]])
        self.assertIn(f"{self.ids[3]} is healthy now, not unhealthy", str(self.events()))

    def test_too_few_healthy_or_somebody_at_work(self):
        self.begin()
        self.spoil(*self.ids[:3])
        self.assertEqual(self.outcome(), "refused")
        self.assertEqual(self.ended(), [])
        self.assertIn("at least 50% of the group are healthy (observed 1 of 4)", str(self.journal.log("decision")))

    def test_during_a_refresh(self):
        self.begin()
        self.sim.call("POST", "group", {"group": "web", "refreshes": [{"InstanceRefreshId": "r-1", "Status": "InProgress"}]})
        self.spoil(self.ids[1])
        self.assertEqual(self.outcome(), "refused")
        self.assertEqual(self.ended(), [])
        self.assertIn("instance refresh r-1", str(self.journal.log("decision")))


del Rig  # not a test itself


if __name__ == "__main__":
    unittest.main()
