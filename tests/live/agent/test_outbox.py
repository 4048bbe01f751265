"""What reaches the pager when the pager, the disk or the agent fails."""

import os
import resource
import signal
import unittest

from agent_case import KEY, AgentCase, eventually


class Outbox(AgentCase):
    with_sim = True

    def summaries(self, key=None):
        return [(e["action"], e["event"].get("payload", {}).get("summary")) for e in self.sim.inbox() if key in (None, e["dedup_key"])]

    def test_a_page_arrives_with_what_it_needs(self):
        self.start()
        self.ctl("report-test")
        got = eventually(self.sim.inbox)[0]
        self.assertEqual(got["action"], "trigger")
        self.assertEqual(got["dedup_key"], "agent/test/human")
        self.assertIn("this is a test", got["event"]["payload"]["summary"].lower())
        self.assertRegex(got["event"]["payload"]["custom_details"]["journal"], r"^\d+:[0-9a-f]{64}$")
        self.assertNotIn(KEY, self.log())

    def test_faults_lose_nothing_and_keep_the_order(self):
        for fault in ({"kind": "throttle"}, {"kind": "reset"}, {"kind": "drop"}, {"kind": "html", "status": 502}):
            self.sim.fault(action="Enqueue", count=1, **fault)
        self.start()
        self.ctl("freeze", "one")  # a call for a human, under agent/freeze/human
        self.ctl("freeze", "two")
        self.ctl("freeze", "three")
        eventually(lambda: len(self.delivered()) >= 3, 60, 0.2)
        order = [s for a, s in self.summaries("agent/freeze/human")]
        told = [next(w for w in ("one", "two", "three") if f": {w}." in s) for s in order]
        # "drop" was accepted and told again: a repetition is merged by its key, an inversion would not be
        self.assertEqual(sorted(set(told), key=told.index), ["one", "two", "three"])
        self.assertEqual(told, sorted(told, key=["one", "two", "three"].index))

    def delivered(self):
        return [r for r in self.ask("reports", "--limit", "100")["reports"] if r.get("delivery", {}).get("outcome") == "delivered"]

    def test_a_restart_delivers_what_was_left(self):
        self.sim.fault(kind="unavailable", action="*")
        p = self.start()
        self.ctl("freeze", "one")
        self.ctl("freeze", "two")
        eventually(lambda: "tried again" in self.log(), 10)
        self.assertEqual(self.sim.inbox(), [])
        p.kill()
        p.wait()
        self.sim.call("DELETE", "faults")
        self.start()
        eventually(lambda: len(self.summaries("agent/freeze/human")) >= 2, 20)
        self.assertIn(": one.", self.summaries("agent/freeze/human")[0][1])
        self.assertIn(": two.", self.summaries("agent/freeze/human")[1][1])
        eventually(lambda: self.ask("status") and len(self.delivered()) == 2)

    def test_commands_are_not_held_up_by_a_hanging_pager(self):
        self.sim.fault(kind="hang", action="*", seconds=30)
        self.start()
        self.ctl("report-test")
        for _ in range(5):
            self.ctl("status")
        m = self.raw({"command": "metrics"})[0]
        self.assertLess(m["loop_lag_minute_ms"], 250)
        self.assertEqual(self.stop(), 0)

    def test_a_refused_report_is_given_up_loudly(self):
        self.sim.fault(kind="error", action="Enqueue", status=400, code="invalid event", count=1)
        self.start()
        self.ctl("freeze", "bad")
        self.ctl("freeze", "good")
        eventually(lambda: any(": good." in s for a, s in self.summaries()), 20)
        eventually(lambda: "given up" in self.log())
        self.assertFalse(any(": bad." in s for a, s in self.summaries("agent/freeze/human")))
        lost = eventually(lambda: self.summaries("runbookd/testhost/reports"))
        self.assertIn("pagerduty did not take a report of runbookd: human agent/freeze/human: HTTP 400", lost[0][1])
        dead = [r for r in self.ask("reports")["reports"] if r.get("delivery", {}).get("outcome") == "dead"]
        self.assertEqual(["one" if ": bad." in r["summary"] else r["summary"] for r in dead], ["one"])

    def test_a_full_disk_pages_from_memory(self):
        p = self.start(preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN))
        self.ctl("freeze", "before")
        eventually(lambda: len(self.delivered()) == 1)
        before = resource.prlimit(p.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(p.pid, resource.RLIMIT_FSIZE, (1, before[1]))
        self.assertIn("not yet written", self.ctl("freeze", "while it is full").stderr)
        page = eventually(lambda: self.summaries("runbookd/testhost/emergency"), 5)
        self.assertEqual(page[0][0], "trigger")
        self.assertIn("journal", page[0][1])
        self.assertTrue(self.ask("status")["frozen"], "it holds in memory")
        self.assertFalse(self.ask("status")["journal_ok"])
        resource.prlimit(p.pid, resource.RLIMIT_FSIZE, before)
        eventually(lambda: "resolve" in dict(self.summaries("runbookd/testhost/emergency")), 20)
        eventually(lambda: self.ask("status")["journal_ok"], 20)
        eventually(lambda: any("while it is full" in s for a, s in self.summaries("agent/freeze/human")), 20)

    def test_a_shadow_sink_of_its_own(self):
        self.configure('shadow_sink = { file = "shadow.jsonl" },')
        self.start()
        self.ctl("report-test")
        eventually(self.sim.inbox)
        self.assertFalse(os.path.exists(self.path("shadow.jsonl")), "nothing was in shadow")


if __name__ == "__main__":
    unittest.main()
