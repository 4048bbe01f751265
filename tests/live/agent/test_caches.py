"""The shipped policy on evictions, carried out by the real agent with nothing but AWS: members by CloudWatch, a snapshot, an approval, one step up the
ladder, verified. Under the rights that `runbookd iam` prints, and when answers are lost or members fall silent."""

import json
import os
import subprocess
import time
import unittest

from rig import RUNBOOKD, SOURCE, Rig, eventually, scenario

ROLE = "arn:aws:iam::123456789012:role/runbookd"
PARAMS = """return {
  cache_period = "1s", cache_evictions_lasting = "2s", cache_ended_lasting = "2s", cache_status_period = "1s", cache_save_within = "20s",
  cache_verify_within = "4m", cache_mode = "enforce", cache_ladder = { "cache.t4g.micro", "cache.t4g.small", "cache.t4g.medium" },
}
"""


class Caches(Rig):
    with_sim = True
    # 640 MiB of data in two shards of micro nodes would fit; 1,200 do not, and fit into small ones.
    scenario = {**scenario(), "caches": [{
        "name": "portal", "cluster_mode": True, "shards": 2, "replicas": 1, "node_type": "cache.t4g.micro", "data_mib": 1200, "writes_rps": 80,
        "modify_seconds": 1, "snapshot_seconds": 1}]}

    def begin(self):
        with open(os.path.join(SOURCE, "policies/cache_evictions.lua"), encoding="utf-8") as f:
            self.write("policies/cache_evictions.lua", f.read())
        os.mkdir(self.path("params"))
        self.write("params/test.lua", PARAMS)
        self.configure('environment = "test",')
        self.write("estate.lua", f"""
aws "prod" {{ region = "us-east-1", role = "{ROLE}", endpoint = "http://127.0.0.1:{self.sim.port}" }}
cache "portal" {{ aws = "prod", replication_group = "portal" }}
""")
        documents = subprocess.run([RUNBOOKD, "iam", "--config", self.path("runbookd.lua"), "--json"], capture_output=True, text=True, check=True,
                                   timeout=30).stdout
        for d in json.loads(documents)["documents"]:
            principal = "arn:aws:iam::123456789012:user/runbookd" if d["account"] == "-" else ROLE
            self.sim.call("POST", "iam", {"principal": principal, "policy": d["policy"]})
        self.start()

    def row(self):
        return next(iter(self.ask("status")["policies"]), {})

    def approve(self):
        run = eventually(lambda: self.row().get("run_state") == "awaiting_approval" and self.row()["run"], 40, 0.2)
        self.ctl("approve", run, "--yes")

    def effects(self):
        return [e["action"] for e in self.sim.call("GET", "effects")["list"] if e["service"] == "elasticache"]

    def outcome(self):
        return eventually(lambda: next((d["outcome"] for d, _ in self.journal.state("run").values() if d.get("outcome")), None), 40, 0.1)

    def test_a_step_up_though_its_answer_is_lost(self):
        self.begin()
        self.sim.call("POST", "faults", {"kind": "drop", "when": "after", "action": "ModifyReplicationGroup", "count": 1})
        self.approve()
        self.assertEqual(self.outcome(), "succeeded")
        self.assertEqual(self.effects(), ["CreateSnapshot", "ModifyReplicationGroup"])
        cache = self.sim.call("GET", "state")["caches"]["portal"]
        self.assertEqual((cache["node_type"], cache["status"], list(cache["snapshots"].values())), ("cache.t4g.small", "available", ["available"]))
        requests = self.sim.call("GET", "requests")
        self.assertEqual(len([r for r in requests if r["action"] == "ModifyReplicationGroup"]), 1)
        self.assertEqual({r["action"] for r in requests if r["verdict"].startswith("AccessDenied")}, set())
        self.assertIn("in doubt", str(self.events()))

    def test_a_member_that_falls_silent_is_no_reason_to_act(self):
        """One shard's primary publishes nothing: what the other evicts is not the sum, and nothing is done, nor does it look ended."""
        self.sim.call("POST", "cache", {"cache": "portal", "silent": ["portal-0002-001"]})
        self.begin()
        time.sleep(8)
        self.assertEqual(self.effects(), [])
        self.assertEqual(self.journal.state("run"), {})
        self.assertIn("unknown", str(self.ask("explain", "cache-evictions")))


del Rig  # not a test itself


if __name__ == "__main__":
    unittest.main()
