"""The closed loop with the real programs: a group whose CPU rises on cloudsim."""

import os
import signal
import subprocess
import time
import unittest

from agent_case import RUNBOOKD, AgentCase, eventually

AWS_ENV = {**os.environ, "AWS_ACCESS_KEY_ID": "AKIACLOUDSIM00000001", "AWS_SECRET_ACCESS_KEY": "cloudsim/secret/key/0001"}

POLICY = '''
policy "hot" {
  owner = "team-web", severity = "sev3", doc = "https://runbooks.example.com/hot",
  target = find.asg { name = { "web" } },
  when = sig.asg_cpu { above = "60%", lasting = "2s", period = "1s" },
  checks = { cool = sig.asg_cpu { below = "60%", lasting = "1s", period = "1s" } },
  actions = { grow = act.asg_scale { by = 2, max = 6 } },
  mode = "MODE", limit = "5 per 1h", cooldown = "0s", max_targets = 1, blind_after = "1m",
  run = function(r)
    if not r:act "grow" then return r:page "refused" end
    if not r:verify("cool", "10m") then return r:page "no help" end
  end,
}
'''


class Grow(AgentCase):
    with_sim = True
    scenario = {"metric_period": 1, "history_seconds": 60, "tick_seconds": 0.1, "groups": [{
        "name": "web", "min": 1, "max": 6, "desired": 2, "boot_seconds": 1, "health_seconds": 0, "drain_seconds": 1, "terminate_seconds": 1,
        "target_group": "targetgroup/web/0123456789abcdef", "load_balancer": "app/web/456789abcdef0123", "traffic": [{"at": 0, "rps": 60}]}]}

    def prepare(self, mode, policy=POLICY):
        self.write("estate.lua", f'''
aws "prod" {{ region = "us-east-1", endpoint = "http://127.0.0.1:{self.sim.port}" }}
asg "web" {{ aws = "prod", target_group = "targetgroup/web/0123456789abcdef", alb = "app/web/456789abcdef0123" }}
''')
        self.write("policies/hot.lua", policy.replace("MODE", mode))
        self.agent = self.start(env=AWS_ENV)
        eventually(lambda: [p for p in self.ask("status")["policies"] if "asg_cpu" in p.get("reading", "") and "%" in p["reading"]], 30, 0.3)

    def heat(self):
        self.sim.call("POST", "traffic", {"rps": 170})

    def desired(self):
        return self.sim.call("GET", "state")["groups"]["web"]["desired"]

    def effects(self):
        return self.sim.call("GET", "counts")["effects"].get("autoscaling:SetDesiredCapacity", 0)

    def runs(self):
        return self.ask("runs")["runs"]

    def test_enforce_grows_once_and_reports(self):
        self.prepare("enforce")
        self.assertEqual(self.desired(), 2)
        self.heat()
        eventually(lambda: self.desired() == 4, 40, 0.3)
        run = eventually(lambda: [r for r in self.runs() if r.get("outcome")], 60, 0.5)[0]
        self.assertEqual(run["outcome"], "succeeded", self.log())
        self.assertEqual(self.desired(), 4)
        eventually(lambda: any("desired 2 -> 4" in str(e["event"]) for e in self.sim.inbox()), 10)
        shown = self.ctl("show", run["id"]).stdout
        self.assertIn("desired 2 -> 4", shown)
        self.assertLess(self.raw({"command": "metrics"})[0]["loop_lag_minute_ms"], 250)

    def test_shadow_changes_nothing(self):
        self.prepare("shadow")
        self.heat()
        run = eventually(lambda: [r for r in self.runs() if r.get("outcome")], 60, 0.5)[0]
        self.assertEqual(run["outcome"], "shadowed")
        self.assertEqual(self.desired(), 2)
        self.assertEqual([e for e in self.sim.inbox() if e["action"] != "change" and "asg" in str(e)], [])

    def test_an_approval_shows_what_it_is_for(self):
        self.prepare("approve")
        self.heat()
        run = eventually(lambda: [r for r in self.runs() if r["state"] == "awaiting_approval"], 60, 0.5)[0]["id"]
        self.assertEqual(self.desired(), 2)
        shown = self.ctl("show", run).stdout
        self.assertIn("Waits for an approval of", shown)
        self.assertIn("desired 2 -> 4", shown)
        self.assertEqual(self.ctl("approve", run, "--hash", "0123456789ab", ok=False).returncode, 1)
        self.assertEqual(self.ctl("approve", run, ok=False).returncode, 5)
        self.assertEqual(self.desired(), 2)
        self.ctl("approve", run, "--yes")
        eventually(lambda: self.desired() == 4, 20)

    def test_plan_changes_nothing_with_and_without_an_agent(self):
        self.prepare("enforce")
        shown = self.ctl("plan", "hot", "web").stdout
        self.assertIn("desired 2 -> 4", shown)
        self.assertIn("autoscaling:SetDesiredCapacity", shown)
        run = subprocess.run([RUNBOOKD, "plan", "--config", self.path("runbookd.lua"), "hot", "web"], capture_output=True, text=True, timeout=60, env=AWS_ENV)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("desired 2 -> 4", run.stdout)
        self.assertEqual(self.desired(), 2)
        self.write("policies/hot.lua", POLICY.replace("MODE", "enforce").replace("max = 6", "max = 2"))
        run = subprocess.run([RUNBOOKD, "plan", "--config", self.path("runbookd.lua"), "hot", "web"], capture_output=True, text=True, timeout=60, env=AWS_ENV)
        self.assertEqual(run.returncode, 3, run.stderr)
        self.assertIn("cannot be planned", run.stdout)

    def test_a_signal_sizes_the_group(self):
        """60 requests a second take 2 instances at 40 each, 170 take 5: planned with and without an agent, done, and the reading journaled."""
        self.prepare("enforce", POLICY.replace("by = 2", 'to = sig.alb_requests { period = "1s" }, per_instance = 40'))
        offline = [RUNBOOKD, "plan", "--config", self.path("runbookd.lua"), "hot", "web"]
        for shown in (self.ctl("plan", "hot", "web").stdout, subprocess.run(offline, capture_output=True, text=True, timeout=60, env=AWS_ENV).stdout):
            self.assertRegex(" ".join(shown.split()), r"desired is 2 already \(alb_requests \d+(\.\d+)?, 40 an instance\)")
        self.heat()
        eventually(lambda: self.desired() == 5, 40, 0.1)
        plan = eventually(lambda: [r for r in self.runs() if r["state"] != "proposed"], 10)[0]
        shown = " ".join(self.ctl("show", plan["id"]).stdout.split())
        self.assertRegex(shown, r"desired 2 -> 5 \(alb_requests 1\d\d(\.\d+)?, 40 an instance\)")
        self.assertEqual(self.effects(), 1)

    def test_a_procedure_is_started_with_parameters(self):
        self.write("policies/add.lua", POLICY.replace("MODE", "enforce").replace('policy "hot"', 'procedure "add"').replace('  when = sig', '  params = { times = { type = "count", help = "how often" } },\n  clear = sig')
                   .replace("cooldown", "max_acts = 2, cooldown").replace('if not r:act "grow" then return r:page "refused" end', 'for _ = 1, r.params.times do r:act "grow" end'))
        self.prepare("shadow")
        for wrong, text in (([], "add needs times=VALUE"), (["times=x"], "times=x: needs a whole number"), (["web", "tmies=2"], 'did you mean "times"')):
            said = self.ctl("start", "add", *wrong, ok=False)
            self.assertEqual(said.returncode, 1)
            self.assertIn(text, " ".join(said.stderr.split()))
            self.assertIn("Its parameters: times (count, required): how often", " ".join(said.stderr.split()))
        self.ctl("start", "add", "times=2")
        eventually(lambda: self.desired() == 6, 30, 0.3)

    def test_explain_tells_readings_and_guards(self):
        self.prepare("enforce")
        shown = self.ctl("explain", "hot").stdout
        self.assertIn("asg_cpu above 60% for 2s", shown)
        self.assertIn("hot.lua:5:", shown)
        self.assertRegex(shown, "allow +freeze")
        for line in shown.splitlines():
            self.assertLessEqual(len(line), 80, line)

    def test_frozen_it_only_looks(self):
        self.prepare("enforce")
        self.write("run/freeze", "")
        self.heat()
        eventually(lambda: [p for p in self.ask("status")["policies"] if p["state"] == "firing"], 60, 0.5)
        time.sleep(3)
        self.assertEqual(self.desired(), 2)
        self.assertEqual(self.effects(), 0)

    def test_an_outage_of_aws_is_complained_about_and_recovered_from(self):
        self.prepare("enforce")
        self.sim.call("POST", "faults", {"kind": "unavailable", "service": "*", "action": "*"})
        eventually(lambda: [s for s in self.ask("sources")["sources"] if s["state"] == "failing"], 60, 0.5)
        self.assertIn("FAILING".lower(), self.ctl("sources").stdout)
        self.sim.call("DELETE", "faults")
        eventually(lambda: all(s["state"] == "ok" for s in self.ask("sources")["sources"]), 60, 0.5)
        self.assertIn("answers again", self.log())

    def test_a_policy_that_may_do_more_needs_widen(self):
        self.prepare("shadow")
        self.write("policies/hot.lua", POLICY.replace("MODE", "enforce"))
        refused = self.ctl("reload", ok=False)
        self.assertIn("wider: hot: mode shadow -> enforce", refused.stdout)
        self.ctl("reload", "--widen")
        self.assertEqual(self.ask("status")["policies"][0]["mode"], "enforce")
        self.assertIn("%", self.ask("status")["policies"][0]["reading"], "readings survive a reload")

    def test_kill_9_in_the_middle_acts_once(self):
        self.prepare("enforce")
        self.heat()
        eventually(lambda: self.desired() == 4, 40, 0.1)
        self.agent.kill()
        self.agent.wait()
        before = self.effects()
        self.start(env=AWS_ENV)
        run = eventually(lambda: [r for r in self.runs() if r.get("outcome")], 90, 0.5)[0]
        self.assertEqual(run["outcome"], "succeeded", self.log())
        self.assertEqual(self.effects(), before)
        self.assertEqual(self.desired(), 4)

    def test_sigterm_with_a_request_in_flight(self):
        self.prepare("enforce")
        self.sim.call("POST", "faults", {"kind": "delay", "service": "autoscaling", "action": "SetDesiredCapacity", "when": "after", "seconds": 60, "count": 1})
        self.heat()
        eventually(lambda: self.effects() == 1, 40, 0.1)  # carried out, and the answer does not come
        self.agent.send_signal(signal.SIGTERM)
        time.sleep(1)
        self.assertIsNone(self.agent.poll(), "it waits for the request in flight")
        self.agent.send_signal(signal.SIGTERM)
        self.assertEqual(self.agent.wait(5), 0)
        self.start(env=AWS_ENV)
        run = eventually(lambda: [r for r in self.runs() if r.get("outcome")], 90, 0.5)[0]
        self.assertEqual(run["outcome"], "succeeded", self.log())
        self.assertEqual(self.effects(), 1, "the probe saw that it was done")
        self.assertIn("probe grow: done", self.log())


if __name__ == "__main__":
    unittest.main()
