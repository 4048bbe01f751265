"""The agent while the world around it fails: what it does not do, what goes on meanwhile, and what it says."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

from faulty import FREE, GROW, Faults, waited_ms
from rig import eventually, name_of, undelivered

class BadData(Faults):
    def test_unknown(self):
        self.heat()
        self.sim.call("POST", "faults", {"kind": "error", "service": "monitoring", "code": "InternalFailure", "status": 500, "count": 1000})
        self.start()
        e = self.when("grow", "unknown", "")
        self.nothing_done(5)
        e = self.when("grow", "unknown", "")
        self.assertTrue(e["when"].get("why"), e["when"])
        data = next(g for g in e["guards"]["grow"] if g["guard"] == "data")
        self.assertEqual(data["verdict"], "defer")
        self.assertIn("unknown", self.ctl("explain", "grow").stdout)

    def test_stale(self):
        """A value above the limit that stops coming is no value: it does not become `for long enough`."""
        self.write("policies/grow.lua", GROW.replace('lasting = "2s"', 'lasting = "5s"'))
        self.sim.call("POST", "settings", {"metric_delay": 0})
        self.heat()
        time.sleep(2)
        self.start()
        self.sim.call("POST", "metrics/override", {"namespace": "AWS/EC2", "name": "CPUUtilization", "dimensions": {}, "value": None})
        self.sim.call("POST", "metrics/drop", {"namespace": "AWS/EC2", "name": "CPUUtilization", "dimensions": {},
                                               "start": self.sim.call("GET", "state")["now"] - 600, "end": self.sim.call("GET", "state")["now"] + 1})
        e = self.when("grow", "unknown")
        self.nothing_done(6)
        e = self.when("grow", "unknown")
        self.assertTrue(e["when"].get("why"), e["when"])

    def points(self, ago):
        """CPU of 95 % for the seconds of `ago`, in place of what the group's would be."""
        where = {"namespace": "AWS/EC2", "name": "CPUUtilization", "dimensions": {"AutoScalingGroupName": "web"}}
        self.sim.call("POST", "metrics/override", {**where, "value": None})
        self.sim.call("POST", "metrics", {**where, "unit": "Percent", "replace": True, "points": [{"ago": a, "value": 95.0} for a in ago]})

    def test_future(self):
        self.start()
        self.points(range(-400, -300))
        self.when("grow", "unknown")
        self.nothing_done(4)
        self.assertTrue(self.when("grow", "unknown")["when"].get("why"))

    def test_gaps(self):
        """Points that come and go never last: the clock of `lasting` begins again after each gap."""
        self.write("policies/grow.lua", GROW.replace('lasting = "2s"', 'lasting = "8s", missing = "hold"'))
        self.start()
        over = threading.Event()

        def publish():
            while not over.wait(0.5):
                if int(time.time()) % 12 < 4:
                    self.points([1, 2])
        self.points([])
        t = threading.Thread(target=publish, daemon=True)
        t.start()
        self.nothing_done(12)
        over.set()
        t.join()
        e = self.ask("explain", "grow")["explain"][0]["when"]
        self.assertNotEqual(e["value"], "true", e)

    def test_zero_everywhere(self):
        self.write("policies/shrink.lua", GROW.replace('"grow"', '"shrink"').replace('above = "60%"', 'below = "20%"')
                   .replace("by = 2", "by = -1").replace("grow =", "shrink =").replace("grow", "shrink").replace("shrinkn", "grown"))
        os.unlink(self.path("policies/grow.lua"))
        self.sim.call("POST", "metrics/override", {"namespace": "AWS/EC2", "name": "CPUUtilization", "dimensions": {}, "value": 0})
        self.start()
        e = self.when("shrink", "unknown", "zero across the fleet")
        self.nothing_done(5)
        self.assertIn("exactly zero", e["when"]["why"])

    def test_no_targets(self):
        self.write("policies/grow.lua", GROW.replace('name = { "web" }', 'tag = { tier = "mistyped" }'))
        self.heat()
        self.start()
        self.nothing_done(4)
        self.assertIn("matches no target", self.ctl("explain", "grow", ok=False).stderr)
        self.assertIn("matches no target", self.ctl("start", "grow", "web", ok=False).stderr)
        eventually(lambda: any("matches no target" in str(e) for e in self.events()))
        self.assertIn("it will never act", self.check()[1])


class Isolation(Faults):
    def test_a_hanging_action_delays_no_other(self):
        self.sim.call("POST", "faults", {"kind": "hang", "service": "autoscaling", "action": "SetDesiredCapacity", "seconds": 120})
        self.start()
        self.heat()
        eventually(lambda: self.journal.intents(), 15, 0.1)
        leak = self.leak()
        self.free_happens(leak)
        self.assertEqual(self.scalings("web"), [])
        self.assertEqual(self.policy_row("grow")["run_state"], "running")
        eventually(lambda: self.policy_row("free")["state"] in ("recovering", "resolved", "quiet"), 20, 0.2)
        self.assertEqual(self.policy_row("grow")["run_state"], "running")

    def test_a_lost_answer_is_settled_by_the_probe(self):
        self.sim.call("POST", "faults", {"kind": "drop", "when": "after", "service": "autoscaling", "action": "SetDesiredCapacity"})
        self.start()
        self.heat()
        eventually(lambda: "succeeded" in [d.get("outcome") for d, _ in self.journal.state("run").values()], 25, 0.2)
        self.assertEqual(len(self.scalings("web")), 1)
        asked = [r for r in self.sim.call("GET", "requests") if r["action"] == "SetDesiredCapacity"]
        self.assertEqual(len(asked), 1, asked)
        self.assertIn("in doubt", str(self.events()))

    def test_an_aws_outage_delays_no_postgres_action(self):
        self.start()
        self.when("free", "false")
        os.kill(self.sim.process.pid, signal.SIGSTOP)
        try:
            time.sleep(3)
            self.free_happens(self.leak())
            eventually(lambda: self.policy_row("free")["state"] in ("recovering", "resolved", "quiet"), 20, 0.2)
        finally:
            os.kill(self.sim.process.pid, signal.SIGCONT)

    def test_a_postgres_outage_delays_no_aws_action(self):
        self.start()
        self.when("free", "false")
        pids = [self.pg.pid] + self.pg.children()
        for p in pids:
            os.kill(p, signal.SIGSTOP)
        try:
            self.heat()
            eventually(lambda: self.scalings("web"), 15, 0.1)
        finally:
            for p in pids:
                os.kill(p, signal.SIGCONT)

    def test_the_pager_away_for_a_while(self):
        self.start()
        self.when("free", "false")
        os.kill(self.pager.process.pid, signal.SIGSTOP)
        try:
            self.free_happens(self.leak())
            eventually(lambda: any(d.get("state") == "ended" for d, _ in self.journal.state("run").values()), 20)
        finally:
            os.kill(self.pager.process.pid, signal.SIGCONT)
        eventually(lambda: all(not is_open for _, is_open in self.journal.state("report").values()), 60, 0.2)
        self.assertEqual(undelivered(self.journal.reports(), self.events()), [])

    def test_the_pager_answers_badly(self):
        self.start()
        self.when("free", "false")
        self.pager.call("POST", "pager/answers", [{"status": 500, "count": 2}, {"status": 429, "headers": {"Retry-After": "1"}}, {"kind": "drop"},
                                                  {"status": 503}, {"kind": "reset"}])
        self.free_happens(self.leak())
        eventually(lambda: any(d.get("state") == "ended" for d, _ in self.journal.state("run").values()), 20)
        eventually(lambda: all(not is_open for _, is_open in self.journal.state("report").values()), 90, 0.2)
        self.assertEqual(undelivered(self.journal.reports(), self.events()), [])

    def test_hung_names(self):
        """A resolver that never answers holds up who asks for a name, and nobody else."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("127.0.0.1", 0))
            self.configure(f'nameserver = "127.0.0.1:{s.getsockname()[1]}",')
            estate = f'aws "far" {{ region = "us-east-1", endpoint = "http://aws.example.com:{self.sim.port}" }}\n'
            self.write("estate.lua", estate + 'asg "web" { aws = "far" }\n' + self.postgres("db", "postgres") + "\n")
            self.start()
            self.when("free", "false")
            self.free_happens(self.leak())
            self.assertTrue(self.when("grow", "unknown")["when"]["why"])
            eventually(lambda: "aws.example.com" in str(self.ask("sources")), 20, 0.2)

    def skewed(self, p):
        self.heat()
        eventually(lambda: self.scalings("web"), 60, 0.2)
        eventually(lambda: "succeeded" in [d.get("outcome") for d, _ in self.journal.state("run").values()], 60, 0.2)
        self.assertIn("clock", self.log(p))

    def test_aws_ten_minutes_ahead(self):
        self.sim.call("POST", "clock", {"offset": 600})
        self.skewed(self.start())

    def test_aws_ten_minutes_behind(self):
        """From one moment to the next: what it told of before lies ahead of it then."""
        p = self.start()
        self.when("grow", "false")
        self.sim.call("POST", "clock", {"offset": -600})
        self.skewed(p)


class Waiting(Faults):
    WAIT = GROW.replace("""    if not r:verify("grown", "40s") then r:page "not in service" end
""", """    local now = r:wait("calm", "1h")
    if now ~= "calm" then return r:page "never calm" end
    if not r:undo "grow" then r:page "not undone" end
""").replace("checks = {", 'checks = { calm = sig.asg_cpu { below = "30%", lasting = "2s", period = "1s" },')

    def until_it_waits(self):
        self.heat()
        eventually(lambda: self.policy_row("grow").get("run_state") == "waiting", 25, 0.2)
        self.assertEqual([e["params"]["DesiredCapacity"] for e in self.scalings("web")], [4])

    def ends_as_it_began(self):
        """Back to 2, as the source of its beginning says, and not as the file says now."""
        self.heat(20)
        eventually(lambda: [e["params"]["DesiredCapacity"] for e in self.scalings("web")] == [4, 2], 25, 0.2)
        eventually(lambda: [d["outcome"] for d, _ in self.journal.state("run").values()] == ["succeeded"], 10, 0.2)
        self.assertNotIn("the new text", str(self.journal.log("step")) + str(self.events()))
        eventually(lambda: all(not is_open for _, is_open in self.journal.state("report").values()), 20, 0.2)
        self.assertEqual(undelivered(self.journal.reports(), self.events()), [])

    def test_it_survives_a_restart_and_a_changed_file(self):
        self.write("policies/grow.lua", self.WAIT)
        p = self.start()
        self.until_it_waits()
        self.end_turns()
        self.stop(p, signal.SIGKILL)
        self.write("policies/grow.lua", self.WAIT.replace('r:undo "grow"', 'r:page "the new text"').replace('then r:page "not undone"', "then return"))
        self.start()
        eventually(lambda: self.policy_row("grow").get("run_state") == "waiting", 10, 0.2)
        self.ends_as_it_began()

    def test_it_survives_a_reload(self):
        self.write("policies/grow.lua", self.WAIT)
        p = self.start()
        self.until_it_waits()
        self.write("policies/grow.lua", self.WAIT.replace('r:undo "grow"', 'r:page "the new text"').replace('then r:page "not undone"', "then return"))
        p.send_signal(signal.SIGHUP)
        eventually(lambda: self.ask("status")["metrics"]["reloads"] == 1, 10)
        self.ends_as_it_began()

    def test_the_time_away_counts(self):
        self.write("policies/grow.lua", self.WAIT.replace('"1h"', '"8s"'))
        p = self.start()
        self.until_it_waits()
        self.end_turns()
        self.stop(p, signal.SIGKILL)
        time.sleep(9)
        self.start()
        try:
            eventually(lambda: any("never calm" in str(name_of(e)) for e in self.events()), 6)
        except AssertionError as e:
            raise AssertionError(self.logs()) from e


class Clock(Faults):
    """Somebody sets the clock on the wall, a year forward, then a year back, then the agent is started again: what was done counts
    for as long as it would have."""

    YEAR_S = 365 * 86400

    def setUp(self):
        super().setUp()
        self.env = {"LD_PRELOAD": self.preload("clockstep"), "RB_CLOCKSTEP": self.path("step")}

    def wall(self, seconds):
        self.write("step.new", str(seconds))
        os.rename(self.path("step.new"), self.path("step"))

    def held(self, policy, says):
        self.write("policies/free.lua", policy)
        self.wall(0)
        p = self.start(env=self.env)
        self.when("free", "false")
        leak = self.leak()
        self.free_happens(leak, 15)
        self.end_leak(leak)
        eventually(lambda: [d for d, _ in self.journal.state("run").values()][0]["state"] == "ended", 15)
        for step, again in ((self.YEAR_S, False), (-self.YEAR_S, False), (0, True)):
            if again:
                self.end_turns()
                self.assertEqual(self.stop(p), 0)
            self.wall(step)
            if again:
                p = self.start(env=self.env)
            eventually(lambda: self.ask("explain", "free")["explain"][0]["state"] == "quiet", 15, 0.2)
            self.when("free", "false")
            leak, before = self.leak(), self.log(p).count(says)
            eventually(lambda: self.log(p).count(says) > before, 15, 0.1)
            self.assertEqual(self.ended(leak), set(), f"at {step}")
            self.end_leak(leak)
            self.assertLess(abs(self.journal.rows("SELECT wall_ms FROM log ORDER BY seq DESC LIMIT 1")[0][0] / 1000 - time.time() - step), 60, "the clock was not set")
        self.assertEqual(len({key for _, key, _ in self.journal.intents()}), 1)
        code, text = self.journal.audit()
        self.assertEqual(code, 0, text)

    def test_a_rate(self):
        self.held(FREE.replace('"2 per 1d"', '"1 per 1d"').replace('"10m"', '"0s"'), "limit 1 per 1d is used up")

    def test_a_cooldown(self):
        self.held(FREE, "deferred by cooldown: the last run on this target ended too recently; 9m")


class Disk(Faults):
    """A journal that cannot be written: nothing is done, and the page goes out from memory."""

    def setUp(self):
        super().setUp()
        self.fault = self.path("fault")
        self.env = {"LD_PRELOAD": self.preload("diskfault"), "RB_DISKFAULT": self.fault, "RB_DISKFAULT_UNDER": self.path("state")}

    def emergencies(self, action="trigger"):
        return [e for e in self.events() if e["dedup_key"] == "runbookd/testhost/emergency" and e["action"] == action]

    def disk(self, what):
        self.write("fault.new", what)
        os.rename(self.path("fault.new"), self.fault)

    def nothing_until_mended(self, what):
        p = self.start(env=self.env)
        self.when("free", "false")
        leak = self.leak()
        self.disk(what)
        eventually(lambda: os.path.exists(self.fault + ".hit"), 20, 0.01)  # the agent had something to write
        waited = waited_ms(p.pid) + waited_ms(os.getpid())
        eventually(self.emergencies, 20, 0.02)
        paged = time.time() - os.stat(self.fault + ".hit").st_mtime - (waited_ms(p.pid) + waited_ms(os.getpid()) - waited) / 1000
        self.assertLess(paged, 5)
        time.sleep(3)
        self.assertEqual(self.ended(leak), set(), "something was done that is in no journal")
        self.assertFalse(self.ask("status")["journal_ok"])
        self.assertIn("not yet written", self.ctl("silence", "for=1s", "policy=grow").stderr)
        self.assertEqual(self.journal.intents(), [])
        self.disk("ok")
        eventually(lambda: self.emergencies("resolve"), 30, 0.1)
        code, text = self.journal.audit()
        self.assertEqual(code, 0, text)
        self.assertTrue(self.ask("status")["journal_ok"])
        # what is intended from now on is done, and only that
        time.sleep(3)
        named = {int(n.split("@")[0]) for _, _, d in self.journal.intents() for n in d["plan"]["names"]}
        self.assertLessEqual(self.ended(leak), named)

    def test_full(self):
        self.nothing_until_mended("full")

    def test_failing(self):
        self.nothing_until_mended("error")

    def test_hanging(self):
        """The log lies on the same disk: that holds up nobody either."""
        self.env["RB_DISKFAULT_UNDER"] = self.dir
        self.nothing_until_mended("hang")  # it counts as hanging after 4 s

    def test_taken_away(self):
        """The state directory is moved from under the agent, which still has its files open."""
        self.start()
        os.rename(self.path("state"), self.path("elsewhere"))
        self.assertIn("not yet written", self.ctl("freeze").stderr)
        self.assertIn("was removed", eventually(self.emergencies, 8, 0.05)[0]["event"]["payload"]["summary"])
        os.rename(self.path("elsewhere"), self.path("state"))
        eventually(lambda: self.emergencies("resolve"), 30, 0.1)
        self.assertEqual(self.journal.audit()[0], 0)


# Asks one question after the other, for ever: a process of its own, so that it does not hold up the test's own look at the clock.
CROWD = """
import socket, sys
while True:
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(sys.argv[1])
        f = s.makefile("rwb")
        for _ in range(100):
            f.write(b'{"command":"explain","policy":"grow"}\\n')
            f.flush()
            f.readline()
"""


class Freezing(Faults):
    """Frozen between plan and act, under load, with AWS slow: the act does not happen, then or after kill -9."""

    def freeze_in_the_middle(self, freeze):
        self.sim.call("POST", "faults", {"kind": "delay", "service": "autoscaling", "action": "DescribePolicies", "seconds": 1.5, "count": 100})
        p = self.start()
        crowd = [subprocess.Popen([sys.executable, "-c", CROWD, self.path("run/control.sock")], stderr=subprocess.DEVNULL) for _ in range(3)]
        self.addCleanup(lambda: [(c.kill(), c.wait()) for c in crowd])
        self.heat()
        eventually(lambda: self.policy_row("grow").get("run") and self.ask("status")["metrics"]["steps_in_flight"], 20, 0.05)
        began, waited = time.monotonic(), waited_ms(p.pid) + waited_ms(os.getpid())
        freeze(p)
        took = time.monotonic() - began - (waited_ms(p.pid) + waited_ms(os.getpid()) - waited) / 1000
        self.assertEqual(self.scalings("web"), [], "too late to freeze")
        time.sleep(4)
        self.assertEqual(self.scalings("web"), [])
        self.assertTrue(self.ask("status")["frozen"])
        self.end_turns()
        self.stop(p, signal.SIGKILL)
        self.sim.call("DELETE", "faults")
        self.start()
        self.assertTrue(self.ask("status")["frozen"])
        time.sleep(3)
        self.assertEqual(self.scalings("web"), [])
        return took

    def test_by_command(self):
        def freeze(_):
            """It holds when the agent says that it is frozen; that it is durable, too, is told a little later."""
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(self.path("run/control.sock"))
                s.sendall(b'{"command":"freeze","reason":"test"}\n')
                eventually(lambda: self.raw({"command": "status"})[0]["frozen"], 5, 0.001)
                s.settimeout(10)
                self.assertNotIn(b"error", s.recv(65536))
        self.assertLess(self.freeze_in_the_middle(freeze), 0.1)

    def test_by_file(self):
        self.freeze_in_the_middle(lambda p: self.write("run/freeze", ""))

    def test_by_signal(self):
        self.freeze_in_the_middle(lambda p: p.send_signal(signal.SIGUSR1))


del Faults  # not tests themselves


if __name__ == "__main__":
    unittest.main()
