"""What crash.py kills the agent over: for each kind of action the servers, a policy whose run makes one act, and what was really
done, as the servers themselves count it."""

import os
import shutil
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "agent"))
from rig import Leak, Postgres, Sim, eventually, group, scenario  # noqa: E402


COMMON = """owner = "crash", severity = "sev2", doc = "https://runbooks.example.com/crash", mode = "enforce", limit = "2 per 1d", cooldown = "10m",
  max_targets = "100%","""


class Wrong(Exception):
    pass


def need(ok, text):
    if not ok:
        raise Wrong(text)


class World:
    """The servers that all points of a kind share; each slot has a target of its own, and a routing key."""

    clears = True  # the act makes the policy's `when` untrue
    acts = 1  # of a run that nobody kills

    def __init__(self, slots):
        self.dir = tempfile.mkdtemp(prefix="rb-crash-")
        self.pg = None
        self.seen = 0  # the newest event of the pager that any point has looked at
        self.sim = Sim(self.dir, self.scenario([self.name(n) for n in range(slots)]))

    def scenario(self, names):
        return scenario()

    def name(self, slot):
        return f"slot{slot}"

    def policy_of(self, slot):
        return self.policy.replace("@COMMON@", COMMON).replace("@NAME@", self.name(slot))

    def done(self, action, what):
        """[(time in s, what(params))] of the calls of an action that were carried out; those of which what() is None are another slot's."""
        pairs = [(e["time"], what(e["params"])) for e in self.sim.call("GET", "effects")["list"] if e["action"] == action]
        return [p for p in pairs if p[1] is not None]

    def tend(self, slot, rig):
        """What a human does meanwhile; called again and again."""

    def judge(self, run, effects, probed, human):
        """Whether the run may end like this after these effects."""
        outcome = run["outcome"]
        if outcome == "succeeded":
            need(effects, "succeeded without an effect")
            return
        need(outcome == "failed" and probed, f"the run ended {outcome}: {run}")
        need(not effects, f"the run failed although {effects}")
        need(human, "it failed and no human was called")

    def stop(self):
        self.sim.stop()
        if self.pg:
            self.pg.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


class AsgWorld(World):
    request = "Action=SetDesiredCapacity"
    policy = """
policy "grow" {
  @COMMON@ target = find.asg {},
  when = sig.asg_cpu { above = "60%", lasting = "1s", period = "1s" },
  checks = { grown = sig.asg_in_service { at_least = "100%", period = "1s" } },
  actions = { grow = act.asg_scale { by = 2, max = 6 } },
  run = function(r)
    if not r:act "grow" then return r:page "it did not grow" end
    if not r:verify("grown", "40s") then r:page "not in service" end
  end,
}
"""

    def scenario(self, names):
        return scenario(*(group(name) for name in names))

    def prepare(self, slot, rig):
        """A group of two at 80 % CPU, as at the start, and the agent's files."""
        name = self.name(slot)
        self.sim.call("POST", "group", {"group": name, "desired": 2, "who": "the test"})
        eventually(lambda: len([i for i in rig.group(name)["instances"]]) == 2, 20)
        rig.estate(f'asg "{name}" {{ aws = "prod" }}')
        rig.write("policies/grow.lua", self.policy_of(slot))
        rig.before = len(rig.scalings(name))

    def effects(self, slot, rig):
        """[(time in s, what)] of what was really done since prepare."""
        done = rig.scalings(self.name(slot))[rig.before:]
        return [(e["time"], e["params"]["DesiredCapacity"]) for e in done]

    def intended(self, plan):
        return plan["calls"][0]["args"]["DesiredCapacity"]

    def look(self, slot, rig, effects):
        desired = rig.group(self.name(slot))["desired"]
        need(desired == (4 if effects else 2), f"desired is {desired} after {effects}")


class ApproveWorld(AsgWorld):
    """A human answers between plan and act, as often as asked."""

    policy = AsgWorld.policy.replace("@COMMON@", COMMON.replace('"enforce"', '"approve"'))

    def tend(self, slot, rig):
        for key, (doc, _) in rig.journal.state("run").items():
            if doc.get("state") == "awaiting_approval" and time.monotonic() > getattr(rig, "asked_again", 0):
                rig.asked_again = time.monotonic() + 1
                rig.ctl("approve", key, "--yes", ok=False)


class UndoWorld(AsgWorld):
    """What was done is taken back: two acts of one run."""

    clears = False
    acts = 2
    policy = """
policy "grow" {
  @COMMON@ target = find.asg {},
  when = sig.asg_cpu { above = "60%", lasting = "1s", period = "1s" },
  actions = { grow = act.asg_scale { by = 2, max = 6 } },
  run = function(r)
    if not r:act "grow" then return r:page "it did not grow" end
    r:sleep "1s"
    if not r:undo "grow" then r:page "it was not taken back" end
  end,
}
"""

    def judge(self, run, effects, probed, human):
        need(effects == [4, 2][:len(effects)], f"done: {effects}")
        if len(effects) == 2:
            need(run["outcome"] == "succeeded", f"the run ended {run['outcome']} although all was done: {run}")
        else:
            need(run["outcome"] == "failed" and probed and human, f"the run ended {run['outcome']} after {effects}, human {human}: {run}")

    def look(self, slot, rig, effects):
        desired = rig.group(self.name(slot))["desired"]
        need(desired == (4 if len(effects) == 1 else 2), f"desired is {desired} after {effects}")


class PgWorld(World):
    request = 's."user" <> ALL ($7::text[])) OFFSET 0'  # on the wire; in the plan that the journal holds the quotes are escaped
    policy = """
policy "free" {
  @COMMON@ target = find.postgres {},
  when = sig.pg_connections { above = 6, lasting = "1s", period = "1s", database = "@NAME@" },
  checks = { relieved = sig.pg_connections { at_most = 6, lasting = "1s", period = "1s", database = "@NAME@" } },
  actions = { free = act.pg_terminate { idle_over = "1s", max = 4, database = "@NAME@" } },
  run = function(r)
    if not r:act "free" then return r:page "none could be ended" end
    if not r:verify("relieved", "40s") then r:page "still too many" end
  end,
}
"""

    def __init__(self, slots):
        super().__init__(0)
        self.pg = Postgres(30 + 20 * slots)
        for n in range(slots):
            self.pg.sql(f"CREATE DATABASE {self.name(n)}")

    def prepare(self, slot, rig):
        name = self.name(slot)
        rig.pg = self.pg
        rig.estate(rig.postgres("db", name))
        rig.write("policies/free.lua", self.policy_of(slot))
        rig.before = len(self.pg.log(name))
        rig.leak = Leak(self.pg, name, idle=7, busy=1, in_transaction=1, superuser=1)

    def effects(self, slot, rig):
        """Statements that the server carried out; their sessions are looked at in look()."""
        rows = self.pg.log(self.name(slot))[rig.before:]
        return [(None, text) for _, text in rows if self.request in text and ("execute" in text or "statement" in text)]

    def intended(self, plan):
        return None

    def look(self, slot, rig, effects):
        rows = self.pg.log(self.name(slot))[rig.before:]
        ended = [pid for pid, text in rows if "due to administrator command" in text]
        named = {int(name.split("@")[0]) for _, _, d in rig.journal.intents() for name in d["plan"]["names"]}
        need(len(ended) == len(set(ended)), f"a session was ended twice: {ended}")
        need(set(ended) <= named, f"ended {ended}, named in intents only {named}")
        need(set(ended) <= rig.leak.sessions["idle"], f"sessions were ended that were not eligible: {ended}, {rig.leak.sessions}")
        need(len(ended) <= 4, f"more than the plan's 4 were ended: {ended}")
        need(not effects or set(ended) == named, f"the statement ran, but ended {ended} of {named}")
        gone = set().union(*rig.leak.sessions.values()) - self.pg.pids()
        need(gone == set(ended), f"gone {gone}, ended by command {ended}")

    def clear(self, slot, rig):
        rig.leak.stop()
        where = f"FROM pg_stat_activity WHERE datname = '{self.name(slot)}'"
        self.pg.sql("SELECT pg_terminate_backend(pid) " + where)  # what sleeps does not notice that its client is gone
        eventually(lambda: self.pg.sql("SELECT count(*) " + where) == "0", 10)


class ReplaceWorld(World):
    """An identity in place of a value: one of four instances is unhealthy."""

    request = "Action=TerminateInstanceInAutoScalingGroup"
    policy = """
policy "replace" {
  @COMMON@ target = find.asg {},
  when = sig.alb_healthy { below = "100%", lasting = "1s", period = "1s" },
  checks = { well = all { sig.asg_in_service { at_least = "100%", period = "1s" }, sig.alb_healthy { at_least = "100%", period = "1s" } } },
  actions = { replace = act.asg_replace {} },
  run = function(r)
    if not r:act "replace" then return r:page "not replaced" end
    if not r:verify("well", "40s") then r:page "still unhealthy" end
  end,
}
"""

    def scenario(self, names):
        return scenario(*(group(name, desired=4, traffic=[{"at": 0, "rps": 20}], zones=["us-east-1a"],
                                target_group=f"targetgroup/{name}/0123456789abcdef", load_balancer=f"app/{name}/456789abcdef0123")
                          for name in names))

    def prepare(self, slot, rig):
        name = self.name(slot)
        for i in rig.group(name)["instances"]:
            if i["target"] == "unhealthy":
                self.sim.call("POST", "instance", {"id": i["id"], "target": "healthy"})
        eventually(lambda: [i["target"] for i in rig.group(name)["instances"]] == ["healthy"] * 4, 20)
        rig.ids = {i["id"] for i in rig.group(name)["instances"]}
        rig.ill = min(rig.ids)
        self.sim.call("POST", "instance", {"id": rig.ill, "target": "unhealthy"})
        rig.estate(f'asg "{name}" {{ aws = "prod", target_group = "targetgroup/{name}/0123456789abcdef", alb = "app/{name}/456789abcdef0123" }}')
        rig.write("policies/replace.lua", self.policy_of(slot))

    def effects(self, slot, rig):
        return self.done("TerminateInstanceInAutoScalingGroup", lambda p: p["InstanceId"] if p["InstanceId"] in rig.ids else None)

    def intended(self, plan):
        return plan["calls"][0]["args"]["InstanceId"]

    def look(self, slot, rig, effects):
        now = rig.group(self.name(slot))
        there = {i["id"] for i in now["instances"] if i["state"] == "InService"}
        need(now["desired"] == 4, f"desired is {now['desired']}")
        need(rig.ids - there == ({rig.ill} if effects else set()), f"gone {rig.ids - there}, ill {rig.ill}, done {effects}")


class ProxyWorld(World):
    request = "Action=ModifyDBProxyTargetGroup"
    policy = """
policy "widen" {
  @COMMON@ target = find.postgres {},
  when = sig.proxy_pool_used { above = "85%", lasting = "1s", period = "1s" },
  checks = { well = sig.rds_status { is = "available", period = "1s" } },
  actions = { widen = act.proxy_pool { add = "10%", max = "60%" } },
  run = function(r)
    if not r:act "widen" then return r:page "not widened" end
    if not r:verify("well", "40s") then r:page "not available" end
  end,
}
"""
    connections = 400

    def __init__(self, slots):
        super().__init__(slots)
        self.pg = Postgres(self.connections)

    def scenario(self, names):
        # A pool of half of the connections, nine tenths of them in use.
        return {**scenario(), "databases": [{"name": f"{name}-db", "max_connections": self.connections} for name in names],
                "proxies": [{"name": name, "database": f"{name}-db", "clients": self.connections * 9 // 10} for name in names]}

    def prepare(self, slot, rig):
        name = self.name(slot)
        self.sim.call("POST", "proxy", {"proxy": name, "max_percent": 50})
        rig.pg = self.pg
        rig.estate(f'proxy "{name}" {{ aws = "prod" }}',
                   rig.postgres("db", "postgres").replace("}", f', instance = "{name}-db", proxy = "{name}", aws = "prod" }}'))
        rig.write("policies/widen.lua", self.policy_of(slot))
        rig.before = len(self.all(slot))

    def all(self, slot):
        def percent(p):
            return p["ConnectionPoolConfig"]["MaxConnectionsPercent"] if p["DBProxyName"] == self.name(slot) else None
        return self.done("ModifyDBProxyTargetGroup", percent)

    def effects(self, slot, rig):
        return self.all(slot)[rig.before:]

    def intended(self, plan):
        return plan["after"]["pool_percent"]

    def look(self, slot, rig, effects):
        percent = self.sim.call("GET", "state")["proxies"][self.name(slot)]["max_percent"]
        need(percent == (60 if effects else 50), f"the pool is {percent}% after {effects}")


class CacheWorld(World):
    request = "Action=ModifyReplicationGroup"
    policy = """
policy "grow" {
  @COMMON@ target = find.cache {},
  when = sig.cache_evictions { above = 0, lasting = "1s", period = "1s" },
  checks = { well = sig.cache_status { is = "available", period = "1s" } },
  actions = { grow = act.cache_scale { ladder = { "cache.t4g.micro", "cache.t4g.small" } } },
  run = function(r)
    if not r:act "grow" then return r:page "not grown" end
    if not r:verify("well", "40s") then r:page "not available" end
  end,
}
"""

    def scenario(self, names):
        return {**scenario(), "caches": [{"name": name, "node_type": "cache.t4g.micro", "data_mib": 640, "writes_rps": 50, "modify_seconds": 1,
                                          "snapshot_seconds": 1} for name in names]}

    def prepare(self, slot, rig):
        name = self.name(slot)
        self.sim.call("POST", "cache", {"cache": name, "node_type": "cache.t4g.micro", "status": "available", "pending_type": None})
        rig.estate(f'cache "{name}" {{ aws = "prod", replication_group = "{name}" }}')
        rig.write("policies/cache.lua", self.policy_of(slot))
        rig.before = len(self.all(slot))

    def all(self, slot):
        return self.done("ModifyReplicationGroup", lambda p: p["CacheNodeType"] if p["ReplicationGroupId"] == self.name(slot) else None)

    def effects(self, slot, rig):
        return self.all(slot)[rig.before:]

    def intended(self, plan):
        return plan["calls"][0]["args"]["CacheNodeType"]

    def look(self, slot, rig, effects):
        now = self.sim.call("GET", "state")["caches"][self.name(slot)]["node_type"]
        need(now == ("cache.t4g.small" if effects else "cache.t4g.micro"), f"the node type is {now} after {effects}")


class SnapshotWorld(CacheWorld):
    clears = False
    request = "Action=CreateSnapshot"
    policy = """
policy "save" {
  @COMMON@ target = find.cache {},
  when = sig.cache_evictions { above = 0, lasting = "1s", period = "1s" },
  checks = { saved = sig.snapshot_progress { at_least = "100%", period = "1s" } },
  actions = { save = act.snapshot { keep = "1d" } },
  run = function(r)
    if not r:act "save" then return r:page "not saved" end
    if not r:verify("saved", "40s") then r:page "never saved" end
  end,
}
"""

    def all(self, slot):
        return self.done("CreateSnapshot", lambda p: p["SnapshotName"] if p["ReplicationGroupId"] == self.name(slot) else None)

    def intended(self, plan):
        return plan["calls"][0]["args"]["SnapshotName"]

    def look(self, slot, rig, effects):
        run = next(iter(rig.journal.state("run")))
        need(all(name == f"runbookd-{run}" for _, name in effects), f"{effects} is not named after the run {run}")


WORLDS = {"asg": AsgWorld, "approve": ApproveWorld, "undo": UndoWorld, "pg": PgWorld, "replace": ReplaceWorld, "proxy": ProxyWorld, "cache": CacheWorld, "snapshot": SnapshotWorld}
