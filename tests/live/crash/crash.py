#!/usr/bin/python3
"""kill -9 of the real agent before and after each system call that has an effect, in one run of one kind; then it is
started again on the same state directory and left to finish, and the world is looked at from outside.

Usage: crash.py KIND[,KIND...] KILLER [--all | --every K | --steps] [--jobs N] [--only before|after:from:N,...]
KIND: one of worlds.py's. --steps: at the boundaries of the step only; several kinds then go side by side.

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
from rig import Rig, eventually, undelivered  # noqa: E402
from worlds import WORLDS, Wrong, need  # noqa: E402

INTENT = '"state":"intent"'
END_S = 75  # a request that may still be on its way is not settled before 30 s


class Point:
    def __init__(self, when, start, at):
        self.when, self.start, self.at = when, start, at

    def __str__(self):
        return f"{self.when}:{self.start}:{self.at}"


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
    run = over(world, rig)
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
    if str(point) == "before:request:1":  # an intent, and nothing left: asked about, never simply sent again
        need(outcome == "failed", f"the run ended {outcome}, though its request never left")
    if outcome == "succeeded":
        need(effects, "succeeded without an effect")
    else:
        need(outcome == "failed" and "settled by probe" in str(steps), f"the run ended {outcome}: {run}")
        need(not effects, f"the run failed although {effects}")
        need(any(e["dedup_key"] and e["dedup_key"].endswith("/human") for e in events), "it failed and no human was called")
    world.look(slot, rig, effects)
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
        eventually(lambda: p.poll() is not None or over(world, rig), 120, 0.2)
        if p.poll() is None:  # the run ended before the point came
            with open(f"/proc/{p.pid}/task/{p.pid}/children", encoding="ascii") as f:
                os.kill(int(f.read().split()[0]), 15)
            p.wait(40)
        need(p.returncode in (0, 10), f"killer ended with {p.returncode}")
        said = "killed" if p.returncode == 0 and point.when != "count" else "not reached"
        rig.launcher = ()
        if not over(world, rig):
            p = rig.start()
            eventually(lambda: over(world, rig) or p.poll() is not None, END_S, 0.2)
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


# Around the intent, the bytes of the request, the outcome.
STEPS = "before:request:1,before:intent:1,after:intent:1,after:request:1,before:request:2,after:request:2"


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


def try_kind(args, kind):
    """Problems, as texts."""
    began = time.monotonic()
    world = WORLDS[kind](args.jobs)
    try:
        many = {} if args.only else counted(args, world)
        points = points_of(args, many)
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
    parser.add_argument("--jobs", type=int, default=12)
    parser.add_argument("--only")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    kinds = args.kinds.split(",")
    if unknown := set(kinds) - set(WORLDS):
        parser.error(f"there is no kind {', '.join(sorted(unknown))}; known: {', '.join(WORLDS)}")
    if args.steps:
        args.only = STEPS
        args.jobs = len(STEPS.split(","))
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
