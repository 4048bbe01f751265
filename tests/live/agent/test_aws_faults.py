"""AWS that answers badly, late, or not at all, and credentials and clocks that go wrong in the middle of a run: nothing wrong is done, what is
done to PostgreSQL is not delayed, and that AWS is back is said once."""

import os
import re
import socket
import struct
import subprocess
import threading
import time
import unittest

import rig
from faulty import GROW, Faults
from rig import HARNESS, eventually

# What has no stand-in in the middle goes through this: a TCP proxy with a mind of its own.
PROXY = os.path.join(HARNESS, "faultproxy")
AWS = ("autoscaling", "monitoring")


class Story(Faults):
    """An agent that sees both a calm group and a calm database, a time of trouble, and what must hold in it and after."""

    def begin(self, **more):
        p = self.start(**more)
        self.when("free", "false")
        self.when("grow", "false")
        return p

    def spoil(self, **fault):
        for service in AWS:
            self.sim.call("POST", "faults", {"service": service, **fault})

    def mend(self):
        self.sim.call("DELETE", "faults")

    def failing(self):
        return [s for s in self.ask("sources")["sources"] if s["source"].startswith("aws/") and s.get("failures")]

    def trouble(self, p, mend, complaint=""):
        """AWS is spoilt already: CPU rises, sessions leak. Then it is mended."""
        eventually(self.failing, 25, 0.1)
        self.heat()
        self.free_happens(self.leak())
        time.sleep(2)
        self.assertTrue(self.failing())
        self.assertEqual(self.scalings("web"), [])
        self.assertIn(complaint, self.log(p))
        mend()
        self.recovered(p)

    def recovered(self, p):
        """It acts once, and each source that failed is said to be back exactly once."""
        eventually(lambda: self.scalings("web"), 60, 0.2)
        eventually(lambda: "succeeded" in [d.get("outcome") for d, _ in self.journal.state("run").values() if d["policy"] == "grow"], 25, 0.2)
        self.assertEqual([e["params"]["DesiredCapacity"] for e in self.scalings("web")], [4])
        failing = set(re.findall(r"warn collect: ([^:]*aws/[^:]*):", self.log(p)))
        back = re.findall(r"collect: ([^:]*aws/[^:]*): answers again", self.log(p))
        self.assertEqual(sorted(back), sorted(failing), self.log(p))
        self.assertTrue(back)


class Answers(Story):
    def during(self, **fault):
        p = self.begin()
        self.spoil(**fault)
        self.trouble(p, self.mend)

    def test_throttled(self):
        self.during(kind="throttle")

    def test_500(self):
        self.during(kind="internal_error")

    def test_html_with_500(self):
        self.during(kind="html")

    def test_html_with_200(self):
        self.during(kind="html", status=200)

    def test_truncated(self):
        self.during(kind="truncated")

    def test_cut_off(self):
        self.during(kind="cut_off")

    def test_huge(self):
        self.during(kind="oversized")

    def test_reset(self):
        self.during(kind="reset")

    def test_no_answer(self):
        self.during(kind="drop")

    def test_one_bad_answer_after_the_other(self):
        """A single outage, in which the answers change their kind: one recovery."""
        p = self.begin()
        for kind in ("unavailable", "invalid_utf8", "dtd", "entity_bomb", "deep"):
            before = self.sim.call("GET", "faults")
            self.spoil(kind=kind)
            for fault in before:  # only then: no right answer slips in between
                self.sim.call("DELETE", f"faults?id={fault['id']}")
            time.sleep(1.5)
        self.trouble(p, self.mend)


class Requests(Story):
    """The one request that changes something, SetDesiredCapacity, meets the fault."""

    def act(self, outcome, effects, asked, within=30, **fault):
        self.sim.call("POST", "faults", {"service": "autoscaling", "action": "SetDesiredCapacity", "count": 1, **fault})
        self.start()
        self.heat()
        eventually(lambda: any(d.get("outcome") for d, _ in self.journal.state("run").values()), within, 0.2)
        self.assertEqual([d.get("outcome") for d, _ in self.journal.state("run").values()], [outcome])
        self.assertEqual(len(self.scalings("web")), effects)
        self.assertEqual(len([r for r in self.sim.call("GET", "requests") if r["action"] == "SetDesiredCapacity"]), asked)
        code, text = self.journal.audit()
        self.assertEqual(code, 0, text)

    def test_throttled_is_tried_again(self):
        self.act("succeeded", 1, 2, kind="throttle")

    def test_refused(self):
        self.act("failed", 0, 1, kind="error", code="ValidationError")

    def test_carried_out_and_truncated(self):
        self.act("succeeded", 1, 1, kind="truncated")

    def test_carried_out_and_cut_off(self):
        self.act("succeeded", 1, 1, kind="cut_off")

    def test_carried_out_and_reset(self):
        self.act("succeeded", 1, 1, kind="reset", when="after")

    def test_carried_out_and_html(self):
        self.act("succeeded", 1, 1, kind="html", when="after")

    def test_carried_out_and_500(self):
        self.act("succeeded", 1, 1, kind="internal_error", when="after")

    def test_reset_before(self):
        """It never arrived, but nobody can know that at once: the old value proves nothing for half a minute."""
        self.act("failed", 0, 1, 60, kind="reset")

    def test_500_before(self):
        self.act("failed", 0, 1, 60, kind="internal_error")

    def test_carried_out_later(self):
        """The answer does not come in time, the request is carried out: a second one would have been one too many."""
        self.write("policies/grow.lua", GROW.replace('timeout = "30s"', 'timeout = "5s"').replace('r:verify("grown", "40s")', 'r:verify("grown", "60s")'))
        self.act("succeeded", 1, 1, 60, kind="delay", seconds=6)


class Roads(Story):
    """The way to AWS is closed: its names, its endpoint."""

    def through(self, endpoint, extra=""):
        self.configure(extra)
        self.write("estate.lua", f'aws "prod" {{ region = "us-east-1", endpoint = "{endpoint}" }}\nasg "web" {{ aws = "prod" }}\n'
                   + self.postgres("db", "postgres") + "\n")

    def test_the_endpoint_is_away(self):
        proxy = subprocess.Popen([PROXY, "--to", f"127.0.0.1:{self.sim.port}"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (proxy.kill(), proxy.wait(), proxy.stdout.close()))
        listen, control = (int(x) for x in re.findall(r"=(\d+)", proxy.stdout.readline()))

        def mode(words):
            with socket.create_connection(("127.0.0.1", control)) as s:
                s.sendall(f"{words}\n".encode())
                self.assertIn(b"ok", s.recv(1000))
        self.through(f"http://127.0.0.1:{listen}")
        p = self.begin()
        mode("refuse")
        self.trouble(p, lambda: mode("pass"))

    def test_names_are_not_found(self):
        known = threading.Event()
        known.set()
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("127.0.0.1", 0))
        self.addCleanup(s.close)

        def serve():
            """Knows every name as 127.0.0.1, or answers SERVFAIL (RFC 1035)."""
            while True:
                try:
                    question, who = s.recvfrom(2000)
                except OSError:
                    return
                end = question.index(b"\0", 12) + 5
                kind = struct.unpack("!H", question[end - 4:end - 2])[0]
                answer = struct.pack("!HHHIH4s", 0xc00c, 1, 1, 1, 4, socket.inet_aton("127.0.0.1")) if known.is_set() and kind == 1 else b""
                head = question[:2] + struct.pack("!HHHHH", 0x8180 if known.is_set() else 0x8182, 1, 1 if answer else 0, 0, 0)
                s.sendto(head + question[12:end] + answer, who)
        threading.Thread(target=serve, daemon=True).start()
        self.through(f"http://aws.example.com:{self.sim.port}", f'nameserver = "127.0.0.1:{s.getsockname()[1]}",')
        p = self.begin()
        known.clear()
        # Connections that are open need no name: they end.
        self.sim.call("POST", "faults", {"kind": "drop", "when": "after", "service": "*", "count": 4})
        self.trouble(p, known.set, "aws.example.com")


class Credentials(Story):
    """Temporary credentials that end in the middle of a run, from an instance's and from a container's endpoint."""

    WAIT = """
policy "grow" {
  owner = "test", severity = "sev2", doc = "https://runbooks.example.com/grow", target = find.asg { name = { "web" } },
  when = sig.asg_cpu { above = "60%", lasting = "2s", period = "1s" },
  checks = { calm = sig.asg_cpu { below = "30%", lasting = "2s", period = "1s" } },
  actions = { grow = act.asg_scale { by = 2, max = 6, timeout = "30s" } },
  mode = "enforce", limit = "2 per 1d", cooldown = "10m", max_targets = "100%",
  run = function(r)
    if not r:act "grow" then return r:page "it did not grow" end
    if r:wait("calm", "1h") ~= "calm" then return r:page "never calm" end
    if not r:undo "grow" then r:page "not undone" end
  end,
}
"""

    def setUp(self):
        super().setUp()
        keys = dict(rig.AWS_ENV)
        self.addCleanup(rig.AWS_ENV.update, keys)
        rig.AWS_ENV.clear()
        for name in [n for n in os.environ if n.startswith("AWS_")]:
            del os.environ[name]
        self.write("policies/grow.lua", self.WAIT)

    def sources(self):
        return {"imds": {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{self.sim.port}"},
                "container": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{self.sim.port}/v2/credentials/cloudsim",
                              "AWS_EC2_METADATA_DISABLED": "true"}}

    def issued(self):
        return len([c for c in self.sim.call("GET", "credentials") if c["temporary"]])

    def story(self, source, expire):
        p = self.begin(env=self.sources()[source])
        self.heat()
        eventually(lambda: self.policy_row("grow").get("run_state") == "waiting", 25, 0.2)
        before = self.issued()
        expire()
        eventually(lambda: self.issued() > before, 25, 0.2)
        self.heat(20)
        eventually(lambda: [e["params"]["DesiredCapacity"] for e in self.scalings("web")] == [4, 2], 40, 0.2)
        eventually(lambda: [d.get("outcome") for d, _ in self.journal.state("run").values()] == ["succeeded"], 10, 0.2)
        return p

    def expired_and_answered(self, source):
        """AWS says ExpiredToken long before the time that it was given: new ones are fetched, and no poll failed by it."""
        p = self.story(source, lambda: self.sim.call("POST", "credentials/expire", {}))
        self.assertIn("ExpiredToken", {r["verdict"] for r in self.sim.call("GET", "requests")})
        self.assertNotIn("warn collect:", self.log(p))

    def test_an_instance_s(self):
        self.expired_and_answered("imds")

    def test_a_container_s(self):
        self.expired_and_answered("container")

    def test_short_ones(self):
        """They end every four seconds all along; fetched again in time, none is answered with ExpiredToken."""
        self.sim.call("POST", "settings", {"token_seconds": 4})
        self.story("imds", lambda: time.sleep(5))

    def test_none_to_be_had(self):
        p = self.begin(env=self.sources()["imds"])
        self.sim.call("POST", "faults", {"kind": "internal_error", "service": "imds"})
        self.sim.call("POST", "credentials/expire", {})
        self.write("policies/grow.lua", GROW)
        self.ctl("reload", "--widen")
        self.trouble(p, self.mend)


class Clock(Story):
    def test_it_falls_behind_in_mid_run(self):
        """Ours falls ten minutes behind AWS's while all is well: corrected, said once, and no poll fails by it."""
        p = self.begin()
        self.sim.call("POST", "clock", {"offset": 600})
        self.heat()
        eventually(lambda: self.scalings("web"), 40, 0.2)
        self.assertEqual([e["params"]["DesiredCapacity"] for e in self.scalings("web")], [4])
        self.assertEqual(len(re.findall(r"this host's clock is \d+ s behind", self.log(p))), 1, self.log(p))
        self.assertNotIn("warn collect:", self.log(p))


del Story, Faults  # not tests themselves


if __name__ == "__main__":
    unittest.main()
