"""An agent, RDS and its proxy on cloudsim, a real PostgreSQL behind: a procedure that widens the pool, saves and goes back. And what Certificate
Manager and a CloudWatch that refuses a question say, to the end of what an operator sees."""

import os
import subprocess
import unittest

from agent_case import AgentCase, eventually

AWS_ENV = {**os.environ, "AWS_ACCESS_KEY_ID": "AKIACLOUDSIM00000001", "AWS_SECRET_ACCESS_KEY": "cloudsim/secret/key/0001"}

PROCEDURE = '''
procedure "widen" {
  owner = "team-db", severity = "sev3", doc = "https://runbooks.example.com/widen",
  target = find.postgres {},
  checks = {
    there = sig.rds_status { is_not = "deleting", period = "1s" },
    saved = sig.snapshot_progress { at_least = "100%", period = "1s" },
  },
  actions = { widen = act.proxy_pool { add = "10%", max = "60%" }, save = act.snapshot { keep = "1d" } },
  mode = "enforce", limit = "6 per 1h", cooldown = "0s",
  run = function(r)
    if not r:act "widen" then return r:page "not widened" end
    if not r:verify("there", "1m") then return r:page "gone" end
    if not r:act "save" then return r:page "not saved" end
    if not r:verify("saved", "1m") then return r:page "never saved" end
    if not r:undo "widen" then return r:page "not undone" end
  end,
}
'''


GROW = '''
procedure "grow" {
  owner = "team-web", severity = "sev3", doc = "https://runbooks.example.com/grow",
  target = find.asg {},
  actions = { grow = act.asg_scale { by = 1, max = 9 } },
  mode = "enforce", limit = "6 per 1h", cooldown = "0s",
  run = function(r)
    if not r:act "grow" then return r:page "not grown" end
  end,
}
'''


class Widen(AgentCase):
    with_sim = True
    scenario = {"metric_period": 60, "history_seconds": 300, "tick_seconds": 0.1,
                "databases": [{"name": "db-1", "max_connections": 40, "snapshot_seconds": 1}],
                "proxies": [{"name": "px", "database": "db-1", "clients": 4}],
                "groups": [{"name": name, "desired": 2, "max": 8, "cooldown": 0} for name in ("web", "api")]}

    def setUp(self):
        super().setUp()
        subprocess.run(["psql", "-X", "-q", "-c", "CREATE ROLE runbookd LOGIN IN ROLE pg_monitor"], capture_output=True, check=False)
        self.write("estate.lua", f'''
aws "prod" {{ region = "us-east-1", endpoint = "http://127.0.0.1:{self.sim.port}" }}
proxy "px" {{ aws = "prod" }}
postgres "db" {{ host = "127.0.0.1", port = {os.environ["PGPORT"]}, database = "postgres", user = "runbookd", sslmode = "disable",
  instance = "db-1", proxy = "px", aws = "prod" }}
postgres "direct" {{ host = "127.0.0.1", port = {os.environ["PGPORT"]}, database = "postgres", user = "runbookd", sslmode = "disable" }}
asg "web" {{ aws = "prod" }}
asg "api" {{ aws = "prod" }}
service "shop" {{ asg = "web", postgres = "direct", pool_size = 13 }}
service "rest" {{ asg = "api", postgres = "direct", pool_size = 4 }}
''')
        self.write("policies/grow.lua", GROW)
        self.write("policies/widen.lua", PROCEDURE)
        self.start(env=AWS_ENV)

    def ended(self):
        run = eventually(lambda: [r for r in self.ask("runs")["runs"] if r.get("outcome")], 60, 0.3)[0]
        return run["outcome"], self.ctl("show", run["id"]).stdout

    def changes(self):
        effects = self.sim.call("GET", "effects")["list"]
        return [(e["action"], e["changed"].get("max_percent")) for e in effects if e["service"] == "rds"]

    def test_the_answer_is_lost_and_it_is_done_once(self):
        self.sim.call("POST", "faults", {"kind": "reset", "when": "after", "count": 1, "action": "ModifyDBProxyTargetGroup"})
        self.ctl("start", "widen", "db", "--yes")
        outcome, shown = self.ended()
        self.assertEqual(outcome, "succeeded", shown + self.log())
        self.assertEqual(self.changes(), [("ModifyDBProxyTargetGroup", [50, 60]), ("CreateDBSnapshot", None),
                                          ("ModifyDBProxyTargetGroup", [60, 50])])
        self.assertIn("settled by probe", self.log())

    def test_without_room_nothing_is_sent(self):
        others = [subprocess.Popen(["psql", "-X", "-q", "-U", "runbookd", "-c", "SELECT pg_sleep(100)"], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL) for _ in range(18)]
        for process in others:
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
        count = ["psql", "-X", "-A", "-t", "-c", "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%'"]
        eventually(lambda: int(subprocess.run(count, capture_output=True, text=True, check=True).stdout) >= 18, 20, 0.3)
        self.ctl("start", "widen", "db", "--yes")
        outcome, shown = self.ended()
        self.assertEqual(outcome, "refused", shown + self.log())
        self.assertIn("a pool of 24 fits into the 37 connections beside the other sessions", " ".join(shown.split()))
        self.assertEqual(self.changes(), [])

    def test_a_group_whose_connections_would_not_fit_does_not_grow(self):
        self.ctl("start", "grow", "web", "--yes")
        outcome, shown = self.ended()
        self.assertEqual(outcome, "refused", shown + self.log())
        self.assertIn("3 instances with 13 connections each fit into the 37 of postgres/direct", " ".join(shown.split()))
        self.assertIn("13 more into", " ".join(shown.split()))
        self.ctl("start", "grow", "api", "--yes")  # 12 in all: they fit
        eventually(lambda: any(r["outcome"] == "succeeded" for r in self.ask("runs")["runs"] if r.get("outcome")), 30, 0.3)
        grown = [e["params"] for e in self.sim.call("GET", "effects")["list"] if e["action"] == "SetDesiredCapacity"]
        self.assertEqual([(g["AutoScalingGroupName"], g["DesiredCapacity"]) for g in grown], [("api", 3)])


ARN = "arn:aws:acm:us-east-1:123456789012:certificate/0c10ad51-0000-0000-0000-00000000000"
PAGES = """
defaults { owner = "team-db", severity = "sev3", doc = "https://runbooks.example.com/look", mode = "shadow", actions = {},
  run = function(r) r:page "look" end }
policy "renew" { target = find.certificate {}, when = sig.cert_days_left { below = 14 } }
policy "odd" { target = find.asg {},
  when = sig.cloudwatch { namespace = "Own", metric = "M", unit = "count", period = "1s", expr = "m +", above = 1 } }
policy "own" { target = find.asg {}, when = sig.cloudwatch { namespace = "Own", metric = "M", unit = "count", period = "1s", above = 1 } }
"""


class Told(AgentCase):
    with_sim = True
    scenario = {"metric_period": 1, "history_seconds": 1, "certificates": [
        {"name": "soon.example.com", "id": ARN[-35:] + "1", "days": 3.5}, {"name": "later.example.com", "id": ARN[-35:] + "2", "days": 40.5}]}

    def setUp(self):
        super().setUp()
        self.write("estate.lua", f"""
aws "prod" {{ region = "us-east-1", endpoint = "http://127.0.0.1:{self.sim.port}" }}
asg "web" {{ aws = "prod" }}
certificate "soon" {{ aws = "prod", arn = "{ARN}1" }}
certificate "later" {{ aws = "prod", arn = "{ARN}2" }}
certificate "gone" {{ aws = "prod", arn = "{ARN}3" }}
""")
        self.write("policies/pages.lua", PAGES)
        self.start(env=AWS_ENV)

    def row(self, policy, target):
        return next(r for r in self.ask("explain", policy)["explain"] if r["target"] == target)

    def source(self, collector):
        return next(s for s in self.ask("sources")["sources"] if s["collector"] == collector)

    def test_the_days_of_a_certificate(self):
        for name, days in (("soon", 3), ("later", 40)):
            when = eventually(lambda n=name: "reading" in (w := self.row("renew", f"certificate/{n}")["when"]) and w, 20, 0.2)
            self.assertEqual((when["reading"], when["note"]),
                             (days, f"decided by Certificate Manager; Certificate Manager: {days} days"))
        eventually(lambda: "ResourceNotFound" in self.row("renew", "certificate/gone")["when"]["why"], 20, 0.2)
        when = self.row("renew", "certificate/gone")["when"]
        self.assertEqual((when["value"], when["finding"]), ("unknown", "unknown to its source"))

    def test_a_question_that_is_refused(self):
        source = eventually(lambda: (s := self.source("cloudwatch"))["state"] == "refused" and s, 20, 0.2)
        self.assertEqual((source["refused"], source["series"], source["failures"]), (1, 2, 0))
        self.assertIn("sig.cloudwatch of asg/web: CloudWatch refuses the question", source["error"])
        self.assertIn("Error in expression", " ".join(self.ctl("explain", "odd").stdout.split()))
        self.assertIn("CloudWatch has no points", " ".join(self.ctl("explain", "own").stdout.split()))
        self.assertIn("1 refuse a part", self.ctl("status").stdout)
        self.assertEqual([m["refused"] for m in self.raw({"command": "metrics"})[0]["sources"] if m["collector"] == "cloudwatch"], [1])
        self.assertEqual(self.log().count("CloudWatch refuses the question"), 1)


if __name__ == "__main__":
    unittest.main()
