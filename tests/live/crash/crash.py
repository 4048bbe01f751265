#!/usr/bin/python3
"""kill -9 of the real agent before and after each system call that has an effect, in one run of one kind; then it is
started again on the same state directory and left to finish, and the world is looked at from outside.

Usage: crash.py asg|replace|cache|pg KILLER [--all | --every K] [--jobs N] [--only before|after:from:N,...]

A point is (before or after, what counting starts from, N). Counting starts at the agent's start, at the journal's write of
the intent, or at the request itself, so that the points around the effect are the same in every run."""

import argparse
import concurrent.futures
import os
import queue
import subprocess
import sys
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "agent"))
from rig import Leak, Postgres, Rig, Sim, eventually, group, scenario, undelivered  # noqa: E402

INTENT = '"state":"intent"'
END_S = 75  # a request that may still be on its way is not settled before 30 s


class Wrong(Exception):
    pass


def need(ok, text):
    if not ok:
        raise Wrong(text)


class World:
    """The servers that all points of a kind share; each slot has a group or a database of its own, and a routing key."""

    def __init__(self, slots):
        import tempfile
        self.dir = tempfile.mkdtemp(prefix="rb-crash-")
        self.pg = None
        self.seen = 0  # the newest event of the pager that any point has looked at
        self.sim = Sim(self.dir, self.scenario(slots))

    def scenario(self, slots):
        return scenario(*(self.group(n) for n in range(slots)))

    def name(self, slot):
        return f"slot{slot}"

    def group(self, slot):
        return group(self.name(slot))

    def stop(self):
        import shutil
        self.sim.stop()
        if self.pg:
            self.pg.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


class AsgWorld(World):
    request = "Action=SetDesiredCapacity"
    policy = """
policy "grow" {
  owner = "crash", severity = "sev2", doc = "https://runbooks.example.com/crash", target = find.asg {},
  when = sig.asg_cpu { above = "60%", lasting = "1s", period = "1s" },
  checks = { grown = sig.asg_in_service { at_least = "100%", period = "1s" } },
  actions = { grow = act.asg_scale { by = 2, max = 6 } },
  mode = "enforce", limit = "2 per 1d", cooldown = "10m", max_targets = "100%",
  run = function(r)
    if not r:act "grow" then return r:page "it did not grow" end
    if not r:verify("grown", "40s") then r:page "not in service" end
  end,
}
"""

    def prepare(self, slot, rig):
        """A group of two at 80 % CPU, as at the start, and the agent's files."""
        name = self.name(slot)
        self.sim.call("POST", "group", {"group": name, "desired": 2, "who": "the test"})
        eventually(lambda: len([i for i in rig.group(name)["instances"]]) == 2, 20)
        rig.estate(f'asg "{name}" {{ aws = "prod" }}')
        rig.write("policies/grow.lua", self.policy)
        rig.before = len(rig.scalings(name))

    def effects(self, slot, rig):
        """[(time in s, what)] of what was really done since prepare."""
        done = rig.scalings(self.name(slot))[rig.before:]
        return [(e["time"], e["params"]["DesiredCapacity"]) for e in done]

    def intended(self, plan):
        return plan["calls"][0]["args"]["DesiredCapacity"]

    def look(self, slot, rig, effects, succeeded):
        desired = rig.group(self.name(slot))["desired"]
        need(desired == (4 if effects else 2), f"desired is {desired} after {effects}")
        need(not succeeded or effects, "the run succeeded without an effect")

    def clear(self, slot, rig):
        pass


class ReplaceWorld(AsgWorld):
    """An identity in place of a value: one of four instances is unhealthy."""

    request = "Action=TerminateInstanceInAutoScalingGroup"
    policy = """
policy "replace" {
  owner = "crash", severity = "sev2", doc = "https://runbooks.example.com/crash", target = find.asg {},
  when = sig.alb_healthy { below = "100%", lasting = "1s", period = "1s" },
  checks = { well = sig.alb_healthy { at_least = "100%", period = "1s" } },
  actions = { replace = act.asg_replace {} },
  mode = "enforce", limit = "2 per 1d", cooldown = "10m", max_targets = "100%",
  run = function(r)
    if not r:act "replace" then return r:page "not replaced" end
    if not r:verify("well", "40s") then r:page "still unhealthy" end
  end,
}
"""

    def group(self, slot):
        return group(self.name(slot), desired=4, traffic=[{"at": 0, "rps": 20}], target_group=f"targetgroup/{self.name(slot)}/0123456789abcdef",
                     load_balancer=f"app/{self.name(slot)}/456789abcdef0123")

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
        rig.write("policies/replace.lua", self.policy)

    def effects(self, slot, rig):
        done = [e for e in self.sim.call("GET", "effects")["list"] if e["action"] == "TerminateInstanceInAutoScalingGroup"]
        return [(e["time"], e["params"]["InstanceId"]) for e in done if e["params"]["InstanceId"] in rig.ids]

    def intended(self, plan):
        return plan["calls"][0]["args"]["InstanceId"]

    def look(self, slot, rig, effects, succeeded):
        now = rig.group(self.name(slot))
        there = {i["id"] for i in now["instances"] if i["state"] == "InService"}
        need(now["desired"] == 4, f"desired is {now['desired']}")
        need(rig.ids - there == ({rig.ill} if effects else set()), f"gone {rig.ids - there}, ill {rig.ill}, done {effects}")
        need(not succeeded or effects, "the run succeeded without an effect")


class CacheWorld(World):
    request = "Action=ModifyReplicationGroup"
    policy = """
policy "grow" {
  owner = "crash", severity = "sev2", doc = "https://runbooks.example.com/crash", target = find.cache {},
  when = sig.cache_evictions { above = 0, lasting = "1s", period = "1s" },
  checks = { ended = sig.cache_evictions { at_most = 0, lasting = "1s", period = "1s" } },
  actions = { grow = act.cache_scale { ladder = { "cache.t4g.micro", "cache.t4g.small", "cache.t4g.medium" } } },
  mode = "enforce", limit = "2 per 1d", cooldown = "10m", max_targets = "100%",
  run = function(r)
    if not r:act "grow" then return r:page "it did not grow" end
    if not r:verify("ended", "6m") then r:page "still evicting" end
  end,
}
"""

    def scenario(self, slots):
        caches = [{"name": self.name(n), "replicas": 0, "data_mib": 640, "writes_rps": 50, "modify_seconds": 0.5} for n in range(slots)]
        return {**scenario(), "caches": caches}

    def prepare(self, slot, rig):
        name = self.name(slot)
        self.sim.call("POST", "cache", {"cache": name, "node_type": "cache.t4g.micro", "pending_type": None})
        rig.estate(f'cache "{name}" {{ aws = "prod", replication_group = "{name}" }}')
        rig.write("policies/grow.lua", self.policy)
        rig.before = len(self.modified(name))

    def modified(self, name):
        return [e for e in self.sim.call("GET", "effects")["list"]
                if e["action"] == "ModifyReplicationGroup" and e["params"]["ReplicationGroupId"] == name]

    def effects(self, slot, rig):
        done = self.modified(self.name(slot))[rig.before:]
        return [(e["time"], e["params"]["CacheNodeType"]) for e in done]

    def intended(self, plan):
        return plan["calls"][0]["args"]["CacheNodeType"]

    def look(self, slot, rig, effects, succeeded):
        cache = self.sim.call("GET", "state")["caches"][self.name(slot)]
        need(cache["node_type"] == ("cache.t4g.small" if effects else "cache.t4g.micro"), f"{cache} after {effects}")
        need(not succeeded or effects, "the run succeeded without an effect")

    def clear(self, slot, rig):
        pass


class PgWorld(World):
    request = "pg_terminate_backend("
    policy = """
policy "free" {
  owner = "crash", severity = "sev2", doc = "https://runbooks.example.com/crash", target = find.postgres {},
  when = sig.pg_connections { above = 6, lasting = "1s", period = "1s", database = "@DATABASE@" },
  checks = { relieved = sig.pg_connections { at_most = 6, lasting = "1s", period = "1s", database = "@DATABASE@" } },
  actions = { free = act.pg_terminate { idle_over = "1s", max = 4, database = "@DATABASE@" } },
  mode = "enforce", limit = "2 per 1d", cooldown = "10m", max_targets = "100%",
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
        rig.write("policies/free.lua", self.policy.replace("@DATABASE@", name))
        rig.before = len(self.pg.log(name))
        rig.leak = Leak(self.pg, name, idle=7, busy=1, in_transaction=1, superuser=1)

    def effects(self, slot, rig):
        """Statements that the server carried out; their sessions are looked at in look()."""
        rows = self.pg.log(self.name(slot))[rig.before:]
        return [(None, text) for _, text in rows if self.request in text and ("execute" in text or "statement" in text)]

    def intended(self, plan):
        return None

    def look(self, slot, rig, effects, succeeded):
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
        need(not succeeded or ended, "the run succeeded without an effect")

    def clear(self, slot, rig):
        rig.leak.stop()
        where = f"FROM pg_stat_activity WHERE datname = '{self.name(slot)}'"
        self.pg.sql("SELECT pg_terminate_backend(pid) " + where)  # what sleeps does not notice that its client is gone
        eventually(lambda: self.pg.sql("SELECT count(*) " + where) == "0", 10)


class Point:
    def __init__(self, when, start, at):
        self.when, self.start, self.at = when, start, at

    def __str__(self):
        return f"{self.when}:{self.start}:{self.at}"


def over(rig):
    """The run that has ended with all said, or None."""
    runs = [doc for doc, _ in rig.journal.state("run").values()]
    if len(runs) != 1 or runs[0].get("state") != "ended":
        return None
    if any(is_open for _, is_open in rig.journal.state("report").values()):
        return None
    episodes = rig.journal.state("episode").values()
    if runs[0]["outcome"] == "succeeded" and any(is_open for _, is_open in episodes):
        return None
    return runs[0]


def killer(args, world, point, rig, listing):
    """The command that runs the agent until the point."""
    os.makedirs(rig.path("state"), mode=0o700, exist_ok=True)
    mode = ["--count"] if point.when == "count" else ["--kill", point.when, "--at", str(point.at)]
    start = {"start": [], "intent": ["--from", INTENT], "request": ["--from", world.request]}[point.start]
    ports = [str(world.sim.port)] + ([str(world.pg.port)] if world.pg else [])
    what = ["--under", rig.path("state"), "--except", "-shm"] + [x for p in ports for x in ("--port", p)]
    return [args.killer, *mode, *start, *what, "--log", listing, "--timeout", "150", "--"]


def check(world, slot, rig, point):
    """All that must hold once it is over."""
    run = over(rig)
    events = rig.events()
    world.seen = max([world.seen] + [e["seq"] for e in events])
    witnesses = [e["event"]["payload"]["custom_details"]["journal"] for e in events if "payload" in e["event"]]
    code, text = rig.journal.audit(*witnesses[-16:])
    need(code == 0, f"the journal does not verify: {text}")
    effects, intents = world.effects(slot, rig), rig.journal.intents()
    need(len(effects) <= 1, f"an effect twice: {effects}")
    need(len({key for _, key, _ in intents}) <= 1, f"more than one act was intended: {[k for _, k, _ in intents]}")
    need(not effects or intents, f"an effect without an intent: {effects}")
    for at, what in effects:
        need(at is None or intents[0][0] <= at * 1000 + 5, f"the effect came before its intent: {at}, {intents[0][0]}")
        need(what is None or at is None or what == world.intended(intents[0][2]["plan"]), f"{what} was done, {intents[0][2]['plan']} intended")
    wrong = undelivered(rig.journal.reports(), events)
    need(not wrong, "; ".join(wrong))
    need(sum(e["action"] == "trigger" and not e["dedup_key"].endswith("/human") for e in events) >= 1, "nobody was paged")
    steps = [d for d, _ in rig.journal.state("step").values()]
    need(all(s.get("state") in ("done", "ended") or "result" in s or "answer" in s for s in steps), f"a step has no end: {steps}")
    outcome = run["outcome"]
    if outcome == "succeeded":
        need(effects, "succeeded without an effect")
    else:
        need(outcome == "failed" and "settled by probe" in str(steps), f"the run ended {outcome}: {run}")
        need(not effects, f"the run failed although {effects}")
        need(any(e["dedup_key"] and e["dedup_key"].endswith("/human") for e in events), "it failed and no human was called")
    world.look(slot, rig, effects, outcome == "succeeded")
    return outcome


def try_point(args, world, slot, point, keep=None):
    """(point, "killed succeeded" and so on, problem or None, listing)."""
    rig = Rig.make(sim_shared=world.sim, routing_key=f"{time.time_ns():032d}"[-32:])
    listing, said = rig.path("calls"), ""
    try:
        rig.since = world.seen
        world.prepare(slot, rig)
        rig.launcher = killer(args, world, point, rig, listing)
        p = rig.start(ready=False)
        eventually(lambda: p.poll() is not None or over(rig), 120, 0.2)
        if p.poll() is None:  # the run ended before the point came
            with open(f"/proc/{p.pid}/task/{p.pid}/children", encoding="ascii") as f:
                os.kill(int(f.read().split()[0]), 15)
            p.wait(40)
        need(p.returncode in (0, 10), f"killer ended with {p.returncode}")
        said = "killed" if p.returncode == 0 and point.when != "count" else "not reached"
        rig.launcher = ()
        if not over(rig):
            p = rig.start()
            eventually(lambda: over(rig) or p.poll() is not None, END_S, 0.2)
            need(p.poll() is None, f"the second agent ended with {p.poll()}")
            need(rig.stop(p) == 0, "the second agent did not end in order")
        said += " " + check(world, slot, rig, point)
        with open(listing, encoding="utf-8") as f:
            return point, said, None, f.read().splitlines()
    except Exception as e:  # pylint: disable=broad-exception-caught
        text = f"{point}: {e}" if isinstance(e, Wrong) else f"{point}: {traceback.format_exc()}"
        tail = "\n".join(rig.logs().splitlines()[-40:])
        calls = ""
        if os.path.exists(listing):
            with open(listing, encoding="utf-8") as f:
                calls = "".join(f.readlines()[-12:])
        return point, said, f"{text}\n{tail}\nthe last calls:\n{calls}", []
    finally:
        if hasattr(rig, "leak"):
            world.clear(slot, rig)
        rig.close()


def try_all(args, world, points):
    slots, problems, seen = queue.Queue(), [], {}

    for n in range(args.jobs):
        slots.put(n)

    def one(point):
        slot = slots.get()
        try:
            done = try_point(args, world, slot, point)
            if done[2] and "TimeoutError" in done[2]:  # our own look at a server, on a machine that is too busy: says nothing
                done = try_point(args, world, slot, point)
            return done
        finally:
            slots.put(slot)

    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for point, said, problem, _ in pool.map(one, points):
            seen[said] = seen.get(said, 0) + 1
            if args.verbose or problem:
                print(f"{point}: {said}", flush=True)
            if problem:
                problems.append(problem)
                print(problem, flush=True)
    return problems, seen


def counted(args, world):
    """How many calls count from the start and from the intent on, by a run of each that nobody kills."""
    many = {}
    for start in ("start", "intent"):
        _, _, problem, rows = try_point(args, world, 0, Point("count", start, 0))
        if problem:
            raise SystemExit(f"FAILED without a kill: {problem}")
        many[start] = sum(not row.startswith("#") for row in rows)
        if args.verbose:
            print("\n".join(rows))
    return many


def points_of(args, many):
    if args.only:
        each = [text.split(":") for text in args.only.split(",")]
        return [Point(when, start, int(at)) for when, start, at in each]
    both = ("before", "after")
    points = [Point(w, "request", n) for n in (1, 2, 3) for w in both]
    if args.all:
        # A run never has exactly as many calls as another: a few more, which may not be reached.
        points += [Point(w, "intent", n) for n in range(1, many["intent"] + 5) for w in both]
        points += [Point(w, "start", n) for n in range(1, many["start"] + 20) for w in both]
    else:
        points += [Point(both[k % 2], "intent", n) for k, n in enumerate(range(1, many["intent"] + 1, args.every))]
        points += [Point(both[k % 2], "start", n) for k, n in enumerate(range(1, many["start"] + 1, 4 * args.every))]
    return points


WORLDS = {"asg": AsgWorld, "replace": ReplaceWorld, "cache": CacheWorld, "pg": PgWorld}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=tuple(WORLDS))
    parser.add_argument("killer")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--every", type=int, default=8, metavar="K")
    parser.add_argument("--jobs", type=int, default=12)
    parser.add_argument("--only")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    probe = subprocess.run([args.killer, "--count", "--children", "--", "true"], capture_output=True, text=True, check=False)
    if probe.returncode == 12:
        print(f"skipped: {probe.stderr.strip()}")
        return 77
    began = time.monotonic()
    world = WORLDS[args.kind](args.jobs)
    try:
        many = {} if args.only else counted(args, world)
        points = points_of(args, many)
        problems, seen = try_all(args, world, points)
    finally:
        world.stop()
    print(f"{args.kind}: {many} calls, {len(points)} points in {time.monotonic() - began:.0f} s: "
          + ", ".join(f"{n} {said}" for said, n in sorted(seen.items())))
    if not args.only and not args.all and seen.get("not reached succeeded", 0) > len(points) // 2:
        problems.append("most points were not reached: nothing was tested")
    print(f"FAILED: {len(problems)} points" if problems else "passed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
