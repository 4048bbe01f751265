"""A reload reads, checks and tests beside the loop: while every way through its policies is walked and every test carried out, the agent answers."""

import json
import os
import signal
import socket
import threading
import time
import unittest

from rig import Rig, eventually

# Six questions one after the other: more ways through each run than a reload walks.
POLICY = '''
policy "p{n}" {{
  owner = "ops", severity = "sev3", doc = "https://runbooks/p", mode = "shadow", target = find.asg {{ name = "web-1" }},
  when = sig.asg_cpu {{ above = "{percent}%", lasting = "5m" }},
  checks = {{ calm = sig.asg_cpu {{ below = "30%", lasting = "30m" }}, busy = sig.asg_cpu {{ above = "50%", lasting = "5m" }} }},
  actions = {{ grow = act.asg_scale {{ by = 1, max = 8 }} }},
  run = function(r)
    local n = 0
    for k = 1, 6 do if r:wait({{ "calm", "busy" }}, "1h") == "calm" then n = n + 1 end end
    if n == 6 then r:act "grow" end
    r:page("done")
  end,
}}
'''
POLICIES = 12

# One that has tests: it grows at its limit, once.
GROW = '''
policy "grow" {{
  owner = "ops", severity = "sev3", doc = "https://runbooks/p", mode = "shadow", target = find.asg {{ name = "web-1" }},
  when = sig.asg_cpu {{ above = "{limit}%", lasting = "2m" }},
  checks = {{ cool = sig.asg_cpu {{ below = "50%" }} }},
  actions = {{ grow = act.asg_scale {{ by = 2, max = 20 }} }},
  run = function(r)
    if not r:act "grow" then return r:page "no" end
    if not r:verify("cool", "10m") then r:page "it did not help" end
  end,
}}
'''
TEST = '''
test "{name}" {{
  policy = "grow", target = {{ id = "web-1", desired = 8 }}, run_for = "{run_for}",
  series = {{ asg_cpu = "0m:45% 5m:85% 9m:40%" }},
  timeline = [[
    7m   fire
    7m   act grow desired 8 -> 10 ok
    9m   verify cool ok
    9m   end succeeded
    10m  clear
    10m  resolve ]],
}}
'''
# One that a guard holds back for a while, which an agent logs.
NIGHT = '''
policy "night" {
  owner = "ops", severity = "sev4", doc = "https://runbooks/p", mode = "shadow", target = find.asg { name = "web-1" },
  when = sig.asg_cpu { below = "10%", lasting = "5m" },
  actions = { shrink = act.asg_scale { by = -2, min = 4, max = 20 } },
  window = sig.clock { from = "01:00", to = "03:00" }, outside = "wait",
  run = function(r) if not r:act "shrink" then return r:page "not now" end end,
}
'''
NIGHT_TEST = '''
test "it waits" {
  policy = "night", target = { id = "web-1", desired = 8 }, series = { asg_cpu = "5%" }, starts_at = "2026-11-23T00:45:00Z", run_for = "1h",
  never = { "page" },
}
'''
TESTS = 200
TURN_S = float(os.environ.get("RB_TURN_MS", "50")) / 1000


class Pulse(threading.Thread):
    """Asks the agent for its version without a pause, and keeps the longest time that it took."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.longest, self.answers, self.over = path, 0.0, 0, threading.Event()

    def run(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.path)
            with s.makefile("rwb") as f:
                while not self.over.is_set():
                    begin = time.monotonic()
                    f.write(b'{"command":"version"}\n')
                    f.flush()
                    json.loads(f.readline())
                    self.longest = max(self.longest, time.monotonic() - begin)
                    self.answers += 1


class Reload(Rig):
    def setUp(self):
        super().setUp()
        self.estate('aws "prod" { region = "us-east-1", endpoint = "http://127.0.0.1:9" }', 'asg "web-1" { aws = "prod" }')
        self.policies(60)

    def policies(self, percent, n=POLICIES):
        for k in range(POLICIES):
            if k < n:
                self.write(f"policies/p{k}.lua", POLICY.format(n=k, percent=percent))
            else:
                os.unlink(self.path("policies", f"p{k}.lua"))

    def test_the_agent_answers_while_it_reads(self):
        self.start()
        self.policies(61)
        pulse = Pulse(self.path("run", "control.sock"))
        pulse.start()
        eventually(lambda: pulse.answers > 10)
        pulse.longest, before, begin = 0.0, pulse.answers, time.monotonic()
        answer = self.ask("reload")
        spent = time.monotonic() - begin
        pulse.over.set()
        pulse.join(10)
        self.assertEqual(answer["policies"], POLICIES)
        self.assertGreater(spent, 0.3, "too short to show anything: more policies are needed")
        self.assertGreater(pulse.answers - before, 20)
        self.assertLess(pulse.longest, spent / 2, f"of {spent:.2f} s; {pulse.answers - before} answers meanwhile")

    def test_one_at_a_time(self):
        """A second order is refused while one is under way; a signal is not lost; stopping waits for nothing and puts nothing in force."""
        agent = self.start()
        path = self.path("run", "control.sock")
        first, second = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        self.addCleanup(first.close)
        self.addCleanup(second.close)
        for s in (first, second):
            s.settimeout(60)
            s.connect(path)
        first.sendall(b'{"command":"reload"}\n')
        time.sleep(0.02)
        second.sendall(b'{"command":"reload"}\n')
        with second.makefile("rb") as f:
            self.assertIn("a reload is under way", json.loads(f.readline())["error"])
        self.policies(62, 2)
        agent.send_signal(signal.SIGHUP)
        with first.makefile("rb") as f:  # refused where it met a file that has just gone
            done = "error" not in json.loads(f.readline())
        eventually(lambda: self.ask("version")["reloads"] == done + 1, 30)
        self.assertEqual(len(self.ask("status")["policies"]), 2)
        self.policies(63)
        agent.send_signal(signal.SIGHUP)
        time.sleep(0.05)
        self.assertEqual(self.stop(agent), 0)
        self.assertNotIn(f"reload: {POLICIES} policies", self.log(agent).split("2 policies")[-1])

    def grow(self, limit=60, tests=TESTS, run_for="2h"):
        self.write("policies/grow.lua", GROW.format(limit=limit))
        self.write("policies/grow_test.lua", "".join(TEST.format(name=f"number {k}", run_for=run_for) for k in range(tests)))

    def in_force(self):
        return sorted(p["policy"] for p in self.ask("status")["policies"])

    def test_tests_that_fail_refuse_it(self):
        """The tests of 200 are carried out while the loop turns; where one fails, what was in force stays, and the operator reads why."""
        self.policies(60, 0)
        agent = self.start()
        self.grow()
        pulse = Pulse(self.path("run", "control.sock"))
        pulse.start()
        eventually(lambda: pulse.answers > 10)
        longest = []
        while len(longest) < 3 and not (longest and min(longest) < TURN_S):  # what blocks the loop does so each time, a busy machine does not
            pulse.longest, before = 0.0, pulse.answers
            answer = self.ask("reload")
            longest.append(pulse.longest)
            self.assertEqual(answer["tests"], {"ran": TESTS, "not_carried_out": 0, "failing": []}, answer)
            self.assertGreater(pulse.answers - before, 20)
        pulse.over.set()
        pulse.join(10)
        self.assertLess(min(longest), TURN_S)
        self.assertEqual(self.in_force(), ["grow"])
        self.assertIn(f"{TESTS} tests passed", self.log(agent))

        self.grow(limit=90, tests=3)
        self.write("policies/more.lua", POLICY.format(n="more", percent=60))
        answer = json.loads(self.ctl("--json", "reload", ok=False).stdout)
        self.assertIn("3 of 3 tests fail", answer["error"])
        self.assertEqual([f.split(": ")[1] for f in answer["tests"]["failing"]], [f"number {k}" for k in range(3)])
        shown = self.ctl("reload", ok=False)
        self.assertNotEqual(shown.returncode, 0)
        self.assertEqual(shown.stdout.count("- expected, + got:"), 1, shown.stdout)
        self.assertRegex(shown.stdout, r"- +7m +fire")
        self.assertIn("number 2", shown.stdout)
        self.assertEqual(self.in_force(), ["grow"])
        agent.send_signal(signal.SIGHUP)
        eventually(lambda: self.log(agent).count("refused: 3 of 3 tests fail") == 3)
        self.assertEqual(self.in_force(), ["grow"])

        self.write("policies/grow_test.lua", 'test "x" { policy = "shrink" }')
        answer = json.loads(self.ctl("--json", "reload", ok=False).stdout)
        self.assertIn("error", answer)
        self.assertIn("grow_test.lua", json.dumps(answer["diagnostics"]))
        self.assertEqual(self.in_force(), ["grow"])

        os.unlink(self.path("policies", "grow_test.lua"))
        self.assertEqual(self.ask("reload")["tests"]["ran"], 0)
        self.assertEqual(self.in_force(), ["grow", "pmore"])

    def test_what_a_test_plays_is_not_logged(self):
        self.policies(60, 0)
        self.write("policies/night.lua", NIGHT)
        self.write("policies/night_test.lua", NIGHT_TEST)
        agent = self.start()
        self.assertEqual(self.ask("reload")["tests"]["ran"], 1)
        self.assertNotIn("deferred by", self.log(agent))

    def test_the_end_does_not_wait_for_tests(self):
        self.policies(60, 0)
        agent = self.start()
        self.grow(run_for="30d", tests=50)
        agent.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        begin = time.monotonic()
        self.assertEqual(self.stop(agent), 0)
        self.assertLess(time.monotonic() - begin, 5)
        self.assertNotIn("in force", self.log(agent))

    def test_files_of_policies_need_no_tests(self):
        """The test beside a file that is configured by name is carried out; where there is none, nothing is missed."""
        self.policies(60, 0)
        self.grow(tests=1)
        self.write("policies/more.lua", POLICY.format(n="more", percent=60))
        self.configure('policies = { "policies/grow.lua", "policies/more.lua" },')
        self.start()
        self.assertEqual(self.ask("reload")["tests"]["ran"], 1)


if __name__ == "__main__":
    unittest.main()
