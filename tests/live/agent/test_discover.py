"""Groups that are discovered: they appear, vanish, cannot be listed, are known over a restart. The real agent, cloudsim as AWS."""

import json
import os
import signal
import subprocess
import time
import unittest

from rig import AWS_ENV, RUNBOOKD, Rig, eventually, group, scenario

POLICY = '''
policy "hot" {
  owner = "ops", severity = "sev2", doc = "https://runbooks/hot", mode = "enforce",
  target = find.asg { tag = { team = "web" } },
  when = sig.asg_cpu { above = "60%", lasting = "1s", period = "1s" },
  actions = { act.asg_scale { by = 1, max = 8 } },
  limit = "1 per 1h", cooldown = "1s", max_targets = 100, verify_within = "10m",
}
'''


def listings(rig):
    return rig.ask("sources")["listings"]


class Discover(Rig):
    with_sim = True
    scenario = scenario(*(group(name, tags={"team": team}, target_group=f"targetgroup/{name}/0123456789abcdef",
                                load_balancer=f"app/{name}/456789abcdef0123", zones=["us-east-1a"], traffic=[{"at": 0, "rps": 20}])
                          for name, team in (("web-1", "web"), ("web-2", "web"), ("other", "db"))))

    def setUp(self):
        super().setUp()
        self.write("policies/hot.lua", POLICY)
        self.discover()

    def discover(self, more="", every="1s"):
        self.estate(f'discover.asg {{ aws = "prod", tag = {{ team = "web" }}, every = "{every}"{more} }}')

    def targets(self):
        return {p["target"]: p for p in self.ask("status")["policies"]}

    def tag(self, name, team):
        self.sim.call("POST", "group", {"group": name, "tags": {"team": team}})

    def aws_fault(self, **fault):
        self.sim.call("POST", "faults", {"service": "autoscaling", "action": "DescribeAutoScalingGroups", **fault})

    def heal(self):
        self.sim.call("DELETE", "faults")

    def listing(self):
        return listings(self)[0]

    def guard(self, target):
        explained = self.ask("explain", "hot", target)["explain"][0]
        return next(g for g in explained["guards"]["asg_scale"] if g["guard"] == "listing")

    def vanished(self, target):
        return [d for d, _ in self.journal.state("episode").values() if d["target"] == target and d["state"] == "vanished"]

    def make_hot(self, name):
        self.sim.call("POST", "traffic", {"group": name, "rps": 190})

    def test_found_targets_join_and_leave(self):
        self.discover(every="2s")
        self.start()
        eventually(lambda: set(self.targets()) == {"asg/web-1", "asg/web-2"})
        known = [d for d, _ in self.journal.state("listing").values()]
        self.assertEqual(known[0]["members"][0]["fields"], {"target_group": "targetgroup/web-1/0123456789abcdef", "zone": "us-east-1a",
                                                            "alb": "app/web-1/456789abcdef0123"})
        self.tag("other", "web")
        eventually(lambda: "asg/other" in self.targets())
        self.tag("other", "db")
        eventually(lambda: self.listing()["absent"] == 1)
        self.assertEqual(self.guard("asg/other"), {"guard": "listing", "verdict": "deny", "why": "absent from the last complete listing"})
        text = self.ctl("explain", "hot", "asg/other").stdout
        self.assertIn("found by discover.asg of prod team=web: 2 targets, 1 absent, listed", text)
        self.assertIn("2 targets, 1 absent", self.ctl("status").stdout)
        eventually(lambda: set(self.targets()) == {"asg/web-1", "asg/web-2"})
        self.assertEqual(self.listing()["absent"], 0)

    def test_a_group_without_a_tag_that_the_policy_names(self):
        """It is left out and told of once, at the start and over many listings; the other one is acted on, and it as soon as it has the tag."""
        self.write("policies/hot.lua", POLICY.replace('period = "1s"', 'period = "1s" }, sig.cloudwatch { namespace = "AWS/EC2", metric = "CPUUtilization", '
                                                      'unit = "percent", dimensions = { AutoScalingGroupName = "$target.tag.group" }, above = "60%"')
                   .replace("when = sig.asg_cpu", "when = any { sig.asg_cpu").replace('above = "60%" },', 'above = "60%" } },'))
        self.sim.call("POST", "group", {"group": "web-1", "tags": {"team": "web", "group": "web-1"}})
        self.start()
        eventually(lambda: set(self.targets()) == {"asg/web-1"})
        self.make_hot("web-1")
        self.make_hot("web-2")
        eventually(lambda: self.scalings("web-1"), 20)
        self.assertEqual(self.scalings("web-2"), [])
        self.assertEqual([(r["policy"], r["target"]) for r in self.ask("status")["left_out"]], [("hot", "asg/web-2")])
        self.assertIn("unknown name $target.tag.group", " ".join(self.ctl("status").stdout.split()))
        self.assertIn("hot does not apply to asg/web-2", self.ctl("explain", "hot").stdout)
        self.assertEqual(len([r for r in self.journal.reports() if "does not apply" in r["summary"]]), 1)
        self.sim.call("POST", "group", {"group": "web-2", "tags": {"team": "web", "group": "web-2"}})
        eventually(lambda: self.scalings("web-2"), 20)
        self.assertEqual(self.ask("status")["left_out"], [])

    def test_a_vanished_target_ends_its_episode(self):
        """Fired and scaled, then absent from two listings: vanished, the run cancelled, the page resolved with a word on why."""
        self.start()
        eventually(lambda: "asg/web-1" in self.targets())
        self.make_hot("web-1")
        eventually(lambda: self.scalings("web-1"), 20)
        self.tag("web-1", "nobody")
        eventually(lambda: self.vanished("asg/web-1"))
        eventually(lambda: [e for e in self.events() if e["event"].get("event_action") == "resolve"])
        runs = [d for d, _ in self.journal.state("run").values()]
        self.assertEqual([(r["target"], r["outcome"]) for r in runs], [("asg/web-1", "cancelled")])
        told = [r["summary"] for r in self.journal.reports() if r["kind"] == "resolve"]
        self.assertEqual(len(told), 1)
        self.assertIn("no longer watched: the target or its policy is gone; nothing was verified", told[0])

    def test_listings_that_are_not_whole_change_nothing(self):
        """Refused, cut off in the middle: what was known stays in force, complained about once."""
        self.start()
        eventually(lambda: set(self.targets()) == {"asg/web-1", "asg/web-2"})
        self.tag("web-2", "nobody")  # would be absent, if a listing came through
        for fault in ({"kind": "error", "code": "AccessDenied", "status": 403}, {"kind": "truncated"}):
            with self.subTest(**fault):
                self.aws_fault(**fault)
                before = self.listing()["failures"]
                eventually(lambda n=before: self.listing()["failures"] > n, 25)
                self.assertEqual(self.listing()["absent"], 0)
                self.assertEqual(set(self.targets()), {"asg/web-1", "asg/web-2"})
                self.assertEqual(self.guard("asg/web-2")["verdict"], "allow")
                self.heal()
        self.assertIn("failing", self.ctl("status").stdout)
        self.tag("web-2", "web")
        eventually(lambda: self.listing()["failures"] == 0, 15)
        log = self.log()
        self.assertEqual(log.count("discover: discover.asg of prod team=web:"), 3, log)  # found, the first failure, back again
        self.assertIn("answers again", log)

    def test_an_empty_listing_is_not_believed(self):
        self.start()
        eventually(lambda: set(self.targets()) == {"asg/web-1", "asg/web-2"})
        self.tag("web-1", "nobody")
        self.tag("web-2", "nobody")
        eventually(lambda: self.listing()["listed"] == "empty", 15)
        was = set(self.targets())  # one of them may have been absent first
        self.assertLessEqual({"asg/web-2"} if "asg/web-1" not in was else {"asg/web-1"}, was)
        time.sleep(2.5)
        self.assertEqual(set(self.targets()), was)
        self.assertEqual({self.guard(t)["verdict"] for t in was}, {"deny"})
        self.make_hot("web-1")
        self.make_hot("web-2")
        eventually(lambda: self.ask("decisions")["decisions"], 20)
        self.assertEqual({d["guard"] for d in self.ask("decisions")["decisions"]}, {"listing"})
        self.assertEqual(self.scalings("web-1") + self.scalings("web-2"), [])
        pages = [e for e in self.events() if "lists nothing" in json.dumps(e)]
        self.assertEqual(len(pages), 1, pages)
        self.tag("web-1", "web")
        self.tag("web-2", "web")
        eventually(lambda: self.listing()["listed"] == "complete")
        self.assertEqual(self.guard("asg/web-1")["verdict"], "allow")

    def test_a_restart_knows_its_targets_and_waits_for_a_listing(self):
        self.start()
        eventually(lambda: "asg/web-1" in self.targets())
        self.make_hot("web-1")
        eventually(lambda: [r for r in self.ask("status")["policies"] if r.get("run")], 20)
        self.stop(how=signal.SIGKILL)
        before = self.scalings("web-1")
        self.aws_fault(kind="throttle")
        self.start()
        row = self.targets()["asg/web-1"]
        self.assertEqual(row["state"], "firing")  # its episode was not given up
        self.assertTrue(row["run"])
        self.assertEqual(self.guard("asg/web-1")["verdict"], "defer")
        self.assertEqual(self.listing()["listed"], "unsure")
        self.assertEqual(self.scalings("web-1"), before)
        self.heal()
        eventually(lambda: self.listing()["listed"] == "complete", 25)
        self.assertEqual(self.guard("asg/web-1")["verdict"], "allow")

    def test_plan_without_an_agent_lists_first(self):
        run = subprocess.run([RUNBOOKD, "plan", "--config", self.path("runbookd.lua"), "--json", "hot", "web-1"], capture_output=True, text=True,
                             env={**os.environ, **AWS_ENV}, timeout=40)
        self.assertEqual(run.returncode, 0, run.stderr)
        plan = json.loads(run.stdout)
        self.assertEqual(plan["target"], "asg/web-1")
        self.assertIn("SetDesiredCapacity", run.stdout)

    def test_declared_wins_and_reload_keeps(self):
        self.start()
        eventually(lambda: set(self.targets()) == {"asg/web-1", "asg/web-2"})
        since = self.journal.rows("SELECT max(seq) FROM log WHERE kind = 'listing'")
        self.estate('asg "web-1" { aws = "prod", tag = { team = "web" }, mode = "shadow" }',
                    'discover.asg { aws = "prod", tag = { team = "web" }, every = "1s", mode = "approve" }')
        self.ctl("reload")
        rows = self.targets()  # at once: what was found needs no new listing
        self.assertEqual({t: r["mode"] for t, r in rows.items()}, {"asg/web-1": "shadow", "asg/web-2": "approve"})
        self.assertEqual(self.journal.rows("SELECT max(seq) FROM log WHERE kind = 'listing'"), since)
        self.discover()
        self.assertIn("discover.asg of prod: mode approve -> enforce", self.ctl("reload", ok=False).stdout)
        self.estate('asg "web-1" { aws = "prod", tag = { team = "web" }, mode = "shadow" }')
        self.ctl("reload")
        self.assertEqual(set(self.targets()), {"asg/web-1"})
        eventually(lambda: [o for _, o in self.journal.state("listing").values()] == [0])


class Pages(Discover):
    """More groups than a page holds; the listing fails half way."""

    scenario = scenario(*(group(f"g{n:03d}", desired=1, tags={"team": "web"}, traffic=[{"at": 0, "rps": 1}]) for n in range(60)))

    def test_all_pages_or_nothing(self):
        self.start()
        eventually(lambda: len(self.targets()) == 60, 20)
        # Every second page is refused from now on; three groups of the second page lose their tag.
        self.aws_fault(kind="error", code="AccessDenied", status=403, skip=1, count=1000)
        for n in (57, 58, 59):
            self.tag(f"g{n:03d}", "nobody")
        eventually(lambda: self.listing()["failures"] > 0, 40)
        self.assertEqual((self.listing()["members"], self.listing()["absent"], len(self.targets())), (60, 0, 60))
        self.heal()
        eventually(lambda: len(self.targets()) == 57, 30)


for inherited in [n for n in dir(Discover) if n.startswith("test_")]:
    setattr(Pages, inherited, None)


if __name__ == "__main__":
    unittest.main()
