"""What the tests of the agent in a failing world stand on: a group that grows, a database that leaks, a pager of its own, and
an eye on the agent's loop."""

import os
import threading
import time

from rig import SOURCE, Leak, Postgres, Rig, Sim, eventually, group, scenario

GROW = """
policy "grow" {
  owner = "test", severity = "sev2", doc = "https://runbooks.example.com/grow", target = find.asg { name = { "web" } },
  when = sig.asg_cpu { above = "60%", lasting = "2s", period = "1s" },
  checks = { grown = sig.asg_in_service { at_least = "100%", period = "1s" } },
  actions = { grow = act.asg_scale { by = 2, max = 6, timeout = "30s" } },
  mode = "enforce", limit = "2 per 1d", cooldown = "10m", max_targets = "100%",
  run = function(r)
    if not r:act "grow" then return r:page "it did not grow" end
    if not r:verify("grown", "40s") then r:page "not in service" end
  end,
}
"""
FREE = """
policy "free" {
  owner = "test", severity = "sev2", doc = "https://runbooks.example.com/free", target = find.postgres {},
  when = sig.pg_connections { above = 6, lasting = "1s", period = "1s" },
  checks = { relieved = sig.pg_connections { at_most = 6, lasting = "1s", period = "1s" } },
  actions = { free = act.pg_terminate { idle_over = "1s", max = 8 } },
  mode = "enforce", limit = "2 per 1d", cooldown = "10m", max_targets = "100%",
  run = function(r)
    if not r:act "free" then return r:page "none could be ended" end
    if not r:verify("relieved", "40s") then r:page "still too many" end
  end,
}
"""


def waited_ms(pid):
    """How long the process's first thread was ready and not run: the machine's doing."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
        return int(f.read().split()[1]) / 1e6


class Turns(threading.Thread):
    """Asks the agent each half second for the longest turn of its loop, and the kernel for how long its thread was ready but
    not run: what a turn took beyond that, it took itself."""

    def __init__(self, rig, pid):
        super().__init__(daemon=True)
        self.rig, self.pid, self.over, self.worst = rig, pid, threading.Event(), 0.0

    def waited_ms(self):
        return waited_ms(self.pid)

    def run(self):
        waits = []
        while not self.over.wait(0.5):
            try:
                lag = self.rig.raw({"command": "metrics"})[0]["loop_lag_ms"]
                waits.append(self.waited_ms())
            except (OSError, ValueError, KeyError):
                continue
            # The figure is of the second before: the waiting of the last two and a half covers it.
            self.worst = max(self.worst, lag - (waits[-1] - waits[max(0, len(waits) - 6)]))


class Faults(Rig):
    """One PostgreSQL for all tests; cloudsim and the agent are each test's own. The pager is a cloudsim of its own, so that AWS can
    stand still without it."""

    with_sim = True
    scenario = scenario(group("web", traffic=[{"at": 0, "rps": 60}]))
    turns = None
    turn_ms = float(os.environ.get("RB_TURN_MS", "50"))

    @classmethod
    def setUpClass(cls):
        cls.pg = Postgres(60)

    @classmethod
    def tearDownClass(cls):
        cls.pg.stop()

    def setUp(self):
        super().setUp()
        self.pager_dir = self.path("pager")
        os.mkdir(self.pager_dir)
        self.pager = Sim(self.pager_dir, {"history_seconds": 1})
        self.addCleanup(self.pager.stop)
        self.turns = None
        self.addCleanup(self.end_turns)
        self.configure()
        self.estate('asg "web" { aws = "prod" }', self.postgres("db", "postgres"))
        self.write("policies/grow.lua", GROW)
        self.write("policies/free.lua", FREE)

    def preload(self, name):
        """libNAME.so of the harness, by a link: LD_PRELOAD takes a path with a space for two."""
        built = os.environ.get(f"RB_{name.upper()}_LIB", os.path.join(SOURCE, "build", "dev", "tests", "harness", f"lib{name}.so"))
        if not os.path.exists(built):
            self.skipTest(f"no lib{name}.so in this build: a sanitizer brings its own calls")
        os.symlink(built, self.path(f"lib{name}.so"))
        return self.path(f"lib{name}.so")

    def configure(self, extra="", mode="enforce", state="state"):
        pager = getattr(self, "pager", None)
        aws, self.sim = self.sim, pager
        super().configure(extra, mode, state)
        self.sim = aws

    def start(self, ready=True, **more):
        p = super().start(ready, **more)
        self.end_turns()
        self.turns = Turns(self, p.pid)
        self.turns.start()
        return p

    def end_turns(self):
        if not self.turns:
            return
        self.turns.over.set()
        self.turns.join()
        worst, self.turns = self.turns.worst, None
        self.assertLess(worst, self.turn_ms, "a turn of the loop")

    def end_agents(self):
        self.end_turns()
        super().end_agents()

    def events(self):
        return self.pager.inbox()

    def heat(self, rps=160):
        self.sim.call("POST", "traffic", {"group": "web", "rps": rps})

    def leak(self, idle=9):
        leak = Leak(self.pg, "postgres", idle=idle, busy=1)
        self.addCleanup(self.end_leak, leak)
        return leak

    def end_leak(self, leak):
        leak.stop()
        self.pg.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'leaky'")
        eventually(lambda: self.pg.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'leaky'") == "0")

    def ended(self, leak):
        return leak.sessions["idle"] - self.pg.pids()

    def when(self, policy, value, text="", seconds=15):
        """Waits until the condition has this value and explain gives this reason; all that explain says."""
        def seen():
            e = self.ask("explain", policy)["explain"][0]
            return e["when"]["value"] == value and text in str(e) and e
        try:
            return eventually(seen, seconds, 0.2)
        except AssertionError:
            raise AssertionError(f"not {value} ({text}): {self.ask('explain', policy)['explain'][0]['when']}") from None

    def nothing_done(self, seconds=3.0):
        time.sleep(seconds)
        self.assertEqual(self.scalings("web"), [])
        self.assertEqual([d for _, _, d in self.journal.intents()], [])

    def free_happens(self, leak, within=9):
        began = time.monotonic()
        eventually(lambda: len(self.ended(leak)) == 8, within, 0.1)
        return time.monotonic() - began
