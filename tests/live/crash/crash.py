#!/usr/bin/python3
"""kill -9 of the real agent before and after each system call that has an effect, in one run of one kind; then it is
started again on the same state directory and left to finish, and the world is looked at from outside.

Usage: crash.py KIND[,KIND...] KILLER [--all | --every K | --steps | --random N [--seed S]] [--jobs N] [--only POINT,...]
KIND: one of worlds.py's, or "every". --steps: at the boundaries of the step only; several kinds then go side by side.
--random: N points over all these kinds, drawn from the seed.

A point is the kills that it takes, joined by +: the agent that comes after one of them gets the next, so that the second
comes while it starts, recovers, asks about what is in doubt. A kill is one of
  before|after:FROM:N    before or after the N-th call that has an effect, counted from the agent's start, from the journal's
                         write of the intent, or from the request itself: the same in every run around the effect
  time:MS                so long after the agent was started
  hup:MS:MORE            a reload is asked for, and the kill comes MORE ms later
  term:MS:MORE           the same with an end in order, which writes the journal's log back into its file and cuts it off"""

import argparse
import concurrent.futures
import os
import queue
import random
import signal
import subprocess
import sys
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "agent"))
from rig import Rig, eventually, undelivered  # noqa: E402
from worlds import WORLDS, Wrong, need  # noqa: E402

INTENT = '"state":"intent"'
END_S = 75  # a request that may still be on its way is not settled before 30 s


class Kill:
    def __init__(self, how, start, at):
        self.how, self.start, self.at = how, start, at  # of time, hup and term: how, ms, ms more

    @classmethod
    def parse(cls, text):
        how, *rest = text.split(":")
        if how in ("time", "hup", "term"):
            return cls(how, int(rest[0]), int(rest[1]) if how != "time" else 0)
        return cls(how, rest[0], int(rest[1]))

    @property
    def counted(self):
        return self.how in ("before", "after", "count")

    def __str__(self):
        return f"time:{self.start}" if self.how == "time" else f"{self.how}:{self.start}:{self.at}"


class Point:
    def __init__(self, *kills):
        self.kills = kills

    def __str__(self):
        return "+".join(str(k) for k in self.kills)


def over(world, rig):
    """The run that has ended with all said, or None."""
    runs = [doc for doc, _ in rig.journal.state("run").values()]
    if len(runs) != 1 or runs[0].get("state") != "ended":
        return None
    if any(is_open for _, is_open in rig.journal.state("report").values()):
        return None
    episodes = rig.journal.state("episode").values()
    if world.clears and runs[0]["outcome"] == "succeeded" and any(is_open for _, is_open in episodes):
        return None
    return runs[0]


def killer(args, world, kill, rig, listing):
    """The command that runs the agent until the kill."""
    os.makedirs(rig.path("state"), mode=0o700, exist_ok=True)
    mode = ["--count"] if kill.how == "count" else ["--kill", kill.how, "--at", str(kill.at)]
    start = {"start": [], "intent": ["--from", INTENT], "request": ["--from", world.request]}[kill.start]
    ports = [str(world.sim.port)] + ([str(world.pg.port)] if world.pg else [])
    what = ["--under", rig.path("state"), "--except", "-shm"] + [x for p in ports for x in ("--port", p)]
    return [args.killer, *mode, *start, *what, "--log", listing, "--timeout", "150", "--"]


def check(world, slot, rig, point):
    """All that must hold once it is over."""
    run = over(world, rig)
    events = rig.events()
    world.seen = max([world.seen] + [e["seq"] for e in events])
    witnesses = [e["event"]["payload"]["custom_details"]["journal"] for e in events if "payload" in e["event"]]
    code, text = rig.journal.audit(*witnesses[-16:])
    need(code == 0, f"the journal does not verify: {text}")
    effects, intents = world.effects(slot, rig), rig.journal.intents()
    keys = list(dict.fromkeys(key for _, key, _ in intents))
    need(len(keys) <= world.acts, f"more acts were intended than {world.acts}: {keys}")
    need(len(effects) <= world.acts, f"an effect twice: {effects}")
    need(len(effects) <= len(keys), f"an effect without an intent: {effects}, {keys}")
    for (at, what), act in zip(effects, keys):
        first_ms, plan = next((wall_ms, d["plan"]) for wall_ms, key, d in intents if key == act)
        need(at is None or first_ms <= at * 1000 + 5, f"the effect came before its intent: {at}, {first_ms}")
        need(what is None or at is None or what == world.intended(plan), f"{what} was done, {plan} intended")
    wrong = undelivered(rig.journal.reports(), events)
    need(not wrong, "; ".join(wrong))
    need(sum(e["action"] == "trigger" and not e["dedup_key"].endswith("/human") for e in events) >= 1, "nobody was paged")
    steps = [d for d, _ in rig.journal.state("step").values()]
    need(all(s.get("state") in ("done", "ended") or "result" in s or "answer" in s for s in steps), f"a step has no end: {steps}")
    if str(point) == "before:request:1":  # an intent, and nothing left: asked about, never simply sent again
        need(run["outcome"] == "failed", f"the run ended {run['outcome']}, though its request never left")
    world.judge(run, [what for _, what in effects], "settled by probe" in str(steps), any((e["dedup_key"] or "").endswith("/human") for e in events))
    world.look(slot, rig, effects)
    return run["outcome"]


def ended(world, slot, rig, p):
    """Called again and again while an agent runs: whether it is done with."""
    if p.poll() is not None or over(world, rig):
        return True
    world.tend(slot, rig)
    return False


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(text) for text in f.read().split()]


def counted_life(args, world, slot, rig, kill, listing):
    """Whether the agent was killed at its call."""
    rig.launcher = killer(args, world, kill, rig, listing)
    p = rig.start(ready=False)
    eventually(lambda: ended(world, slot, rig, p), 120, 0.2)
    if p.poll() is None:  # the run ended before the call came
        os.kill(eventually(lambda: children(p.pid), 10)[0], signal.SIGTERM)
        p.wait(40)
    need(p.returncode in (0, 10), f"killer ended with {p.returncode}")
    return p.returncode == 0 and kill.how != "count"


def timed_life(world, slot, rig, kill):
    """The same, by the clock."""
    rig.launcher = ()
    p = rig.start(ready=False)
    until = time.monotonic() + kill.start / 1000
    while time.monotonic() < until and not ended(world, slot, rig, p):
        time.sleep(min(0.1, max(0.0, until - time.monotonic())))
    need(p.poll() is None, f"the agent ended with {p.poll()}")
    if over(world, rig):
        need(rig.stop(p) == 0, "the agent did not end in order")
        return False
    # A signal before the agent listens for it ends it: that is a kill, too.
    if kill.how != "time":
        p.send_signal({"hup": signal.SIGHUP, "term": signal.SIGTERM}[kill.how])
        time.sleep(kill.at / 1000)
    p.kill()
    p.wait()
    return True


def try_point(args, world, slot, point):
    """(point, "killed succeeded" and so on, problem or None, listing)."""
    rig = Rig.make(sim_shared=world.sim, routing_key=f"{time.time_ns():032d}"[-32:])
    listing, said = rig.path("calls"), ""
    try:
        rig.since = world.seen
        world.prepare(slot, rig)
        lives = 0
        for kill in point.kills:
            if over(world, rig) or not (counted_life(args, world, slot, rig, kill, listing) if kill.counted else timed_life(world, slot, rig, kill)):
                break
            lives += 1
        said = {0: "not reached", 1: "killed"}.get(lives, f"killed {lives} times")
        rig.launcher = ()
        if not over(world, rig):
            p = rig.start()
            eventually(lambda: ended(world, slot, rig, p), END_S, 0.2)
            need(p.poll() is None, f"the last agent ended with {p.poll()}")
            need(rig.stop(p) == 0, "the last agent did not end in order")
        said += " " + check(world, slot, rig, point)
        with open(listing if os.path.exists(listing) else os.devnull, encoding="utf-8") as f:
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
    """How many calls count from the start and from the intent on, and how long it takes, by a run of each that nobody kills."""
    many = {}
    for start in ("start", "intent"):
        began = time.monotonic()
        _, _, problem, rows = try_point(args, world, 0, Point(Kill("count", start, 0)))
        many["ms"] = int((time.monotonic() - began) * 1000)
        if problem:
            raise SystemExit(f"FAILED without a kill: {problem}")
        many[start] = sum(not row.startswith("#") for row in rows)
        if args.verbose:
            print("\n".join(rows))
    return many


# Around the intent, the bytes of the request, the outcome.
STEPS = "before:request:1,before:intent:1,after:intent:1,after:request:1,before:request:2,after:request:2"


def random_kill(rng, many, first):
    how = rng.choices(("call", "time", "hup", "term"), (70, 14, 8, 8))[0]
    if how == "time":
        return Kill(how, rng.randrange(many["ms"]), 0)
    if how != "call":
        return Kill(how, rng.randrange(many["ms"]), rng.randrange(80))
    # What comes after a kill has the intent behind it, most of the time.
    start = rng.choices(("start", "intent", "request"), (45, 40, 15))[0] if first else "start"
    return Kill(rng.choice(("before", "after")), start, rng.randint(1, many.get(start, 4) // (1 if first else 3)))


def points_of(args, many, kind):
    if args.only:
        return [Point(*(Kill.parse(k) for k in text.split("+"))) for text in args.only.split(",")]
    if args.random:
        rng = random.Random(f"{args.seed}/{kind}")
        kills = [rng.choices((1, 2, 3), (50, 35, 15))[0] for _ in range(args.random)]
        return [Point(*(random_kill(rng, many, k == 0) for k in range(n))) for n in kills]
    both = ("before", "after")
    points = [Point(Kill(w, "request", n)) for n in (1, 2, 3) for w in both]
    if args.all:
        # A run never has exactly as many calls as another: a few more, which may not be reached.
        points += [Point(Kill(w, "intent", n)) for n in range(1, many["intent"] + 5) for w in both]
        points += [Point(Kill(w, "start", n)) for n in range(1, many["start"] + 20) for w in both]
    else:
        points += [Point(Kill(both[k % 2], "intent", n)) for k, n in enumerate(range(1, many["intent"] + 1, args.every))]
        points += [Point(Kill(both[k % 2], "start", n)) for k, n in enumerate(range(1, many["start"] + 1, 4 * args.every))]
    return points


def try_kind(args, kind):
    """Problems, as texts."""
    began = time.monotonic()
    world = WORLDS[kind](args.jobs)
    try:
        many = {} if args.only else counted(args, world)
        points = points_of(args, many, kind)
        problems, seen = try_all(args, world, points)
    finally:
        world.stop()
    print(f"{kind}: {many} calls, {len(points)} points in {time.monotonic() - began:.0f} s: "
          + ", ".join(f"{n} {said}" for said, n in sorted(seen.items())), flush=True)
    missed = sum(n for said, n in seen.items() if said.startswith("not reached"))
    if args.steps and missed:
        problems.append(f"{kind}: {missed} boundaries were not reached")
    if not args.only and not args.all and missed > len(points) // 2:
        problems.append(f"{kind}: most points were not reached: nothing was tested")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", metavar="KIND[,KIND...]")
    parser.add_argument("killer", metavar="KILLER")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--every", type=int, default=8, metavar="K")
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--random", type=int, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, metavar="N", help="at the same time, of each kind")
    parser.add_argument("--only")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    kinds = list(WORLDS) if args.kinds == "every" else args.kinds.split(",")
    if unknown := set(kinds) - set(WORLDS):
        parser.error(f"there is no kind {', '.join(sorted(unknown))}; known: {', '.join(WORLDS)}")
    if args.steps:
        args.only = STEPS
    if args.random:
        args.random = -(-args.random // len(kinds))
    args.jobs = args.jobs or (len(STEPS.split(",")) if args.steps else 3 if args.random else 12)
    probe = subprocess.run([args.killer, "--count", "--children", "--", "true"], capture_output=True, text=True, check=False)
    if probe.returncode == 12:
        print(f"skipped: {probe.stderr.strip()}")
        return 77
    with concurrent.futures.ThreadPoolExecutor(len(kinds)) as pool:
        problems = sum(pool.map(lambda kind: try_kind(args, kind), kinds), [])
    for problem in problems:
        print(problem.splitlines()[0])
    print(f"FAILED: {len(problems)} points" if problems else "passed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
