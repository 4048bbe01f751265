"""A reload reads and checks beside the loop: while every way through its policies is walked, the agent answers."""

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
        with first.makefile("rb") as f:
            json.loads(f.readline())
        eventually(lambda: self.ask("version")["reloads"] == 2, 30)
        self.assertEqual(len(self.ask("status")["policies"]), 2)
        self.policies(63)
        agent.send_signal(signal.SIGHUP)
        time.sleep(0.05)
        self.assertEqual(self.stop(agent), 0)
        self.assertNotIn(f"reload: {POLICIES} policies", self.log(agent).split("2 policies")[-1])


if __name__ == "__main__":
    unittest.main()
