"""What `runbookd iam` and `runbookd grants` print is enough, and no line of it too much: with all of it two incidents on cloudsim
and one on a real PostgreSQL are remediated, and a real Redis is read, and with any one right taken away something is not."""

import json
import os
import subprocess
import tempfile
import time
import unittest

from rig import HARNESS, RUNBOOKD, Leak, Postgres, Rig, eventually, group, scenario

ROLE = "arn:aws:iam::123456789012:role/runbookd"
AGENT = "arn:aws:iam::123456789012:user/runbookd"
POLICIES = """
local common = { owner = "test", severity = "sev2", doc = "https://runbooks.example.com/x", mode = "enforce", limit = "2 per 1d", cooldown = "10m",
                 max_targets = "100%" }
local function with(t) for k, v in pairs(common) do t[k] = v end return t end
policy "grow" (with {
  target = find.asg { name = { "web" } },
  when = sig.asg_cpu { above = "60%", lasting = "2s", period = "1s" },
  checks = { grown = sig.asg_in_service { at_least = "100%", period = "1s" } },
  actions = { grow = act.asg_scale { by = 2, max = 6 } },
  run = function(r)
    if not r:act "grow" then return r:page "it did not grow" end
    if not r:verify("grown", "20s") then r:page "not in service" end
  end,
})
policy "replace" (with {
  target = find.asg { name = { "api" } },
  when = sig.alb_healthy { below = "100%", lasting = "1s", period = "1s" },
  checks = { well = sig.alb_healthy { at_least = "100%", period = "1s" } },
  actions = { replace = act.asg_replace {} },
  run = function(r)
    if not r:act "replace" then return r:page "not replaced" end
    if not r:verify("well", "20s") then r:page "still unhealthy" end
  end,
})
"""
DATABASE = """
policy "free" {
  owner = "test", severity = "sev2", doc = "https://runbooks.example.com/free", target = find.postgres {}, mode = "enforce", limit = "2 per 1d",
  cooldown = "10m", max_targets = "100%",
  when = sig.pg_connections { above = 6, lasting = "1s", period = "1s" },
  checks = { relieved = sig.pg_connections { at_most = 6, lasting = "1s", period = "1s" } },
  actions = { free = act.pg_terminate { idle_over = "1s", max = 8 } },
  run = function(r)
    if not r:act "free" then return r:page "none could be ended" end
    if not r:verify("relieved", "40s") then r:page "still too many" end
  end,
}
"""


def estate(endpoint):
    return f"""
aws "prod" {{ region = "us-east-1", role = "{ROLE}", endpoint = "{endpoint}" }}
asg "web" {{ aws = "prod" }}
asg "api" {{ aws = "prod", target_group = "targetgroup/api/0123456789abcdef", alb = "app/api/456789abcdef0123" }}
"""


def said(command, folder, *args):
    return subprocess.run([RUNBOOKD, command, "--config", os.path.join(folder, "runbookd.lua"), *args], capture_output=True, text=True, check=True,
                          timeout=30).stdout


def rights():
    """(account, action) of each right that the documents for these policies hold."""
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "policies"))
        for name, text in (("runbookd.lua", 'runbookd { state_dir = "state" }'), ("estate.lua", estate("http://127.0.0.1:1")),
                           ("policies/p.lua", POLICIES)):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                f.write(text)
        documents = json.loads(said("iam", folder, "--json"))["documents"]
    return [(d["account"], action) for d in documents for s in d["policy"]["Statement"] for action in s["Action"]]


def without(document, action):
    """The document without this action; a statement without any is none."""
    kept = [dict(s, Action=[a for a in s["Action"] if a != action]) for s in document["Statement"]]
    return dict(document, Statement=[s for s in kept if s["Action"]] or [{"Effect": "Deny", "Action": ["none:None"], "Resource": ["*"]}])


class Aws(Rig):
    with_sim = True
    scenario = scenario(group("web"), group("api", desired=4, traffic=[{"at": 0, "rps": 20}], target_group="targetgroup/api/0123456789abcdef",
                                            load_balancer="app/api/456789abcdef0123"))

    def begin(self, taken=None):
        """Both incidents, under the printed documents less the action that is taken away."""
        self.write("policies/p.lua", POLICIES)
        self.write("estate.lua", estate(f"http://127.0.0.1:{self.sim.port}"))
        for d in json.loads(said("iam", self.dir, "--json"))["documents"]:
            policy = without(d["policy"], taken[1]) if taken and d["account"] == taken[0] else d["policy"]
            self.sim.call("POST", "iam", {"principal": AGENT if d["account"] == "-" else ROLE, "policy": policy})
        ill = self.group("api")["instances"][0]["id"]
        self.sim.call("POST", "instance", {"id": ill, "target": "unhealthy"})
        self.start()

    def outcomes(self):
        return {d["policy"]: d["outcome"] for d, _ in self.journal.state("run").values() if d.get("outcome")}

    def denied(self):
        return {r["action"] for r in self.sim.call("GET", "requests") if r["verdict"] in ("AccessDenied", "AccessDeniedException")}

    def test_all_of_it_is_enough(self):
        self.begin()
        eventually(lambda: self.outcomes() == {"grow": "succeeded", "replace": "succeeded"}, 60, 0.2)
        self.assertEqual(self.denied(), set())

    def breaks(self, account, action):
        self.begin((account, action))
        name = action.split(":")[1]
        eventually(lambda: name in self.denied(), 40, 0.1)

        def broken():
            blind = [s for s in self.ask("sources")["sources"] if name in str(s)]
            return blind or any(o != "succeeded" for o in self.outcomes().values())
        eventually(broken, 40, 0.2)
        self.assertNotEqual(self.outcomes(), {"grow": "succeeded", "replace": "succeeded"})
        self.assertIn("not authorized", self.logs() + str(self.events()) + str(self.journal.log("decision")) + str(self.ask("sources")))


class Sql(Rig):
    """On a server where PUBLIC may not connect, as it should be."""

    with_sim = True  # the pager

    @classmethod
    def setUpClass(cls):
        cls.pg = Postgres(40)
        cls.pg.sql("DROP ROLE runbookd; CREATE DATABASE orders; REVOKE CONNECT ON DATABASE orders FROM PUBLIC; GRANT CONNECT ON DATABASE orders TO app")

    @classmethod
    def tearDownClass(cls):
        cls.pg.stop()

    def printed(self):
        self.write("policies/p.lua", DATABASE)
        self.estate(self.postgres("db", "orders"))
        return said("grants", self.dir, "db")

    def psql(self, text):
        subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.pg.host, "-p", str(self.pg.port), "-U", "postgres", "-d", "orders"],
                       input=text, text=True, check=True, capture_output=True, timeout=30)

    def relieved(self):
        """Whether an incident is remediated."""
        leak = Leak(self.pg, "orders", idle=9, busy=1)
        try:
            self.start()
            end = time.monotonic() + 15  # what is enough takes about 5 s
            while time.monotonic() < end and not any(d.get("outcome") for d, _ in self.journal.state("run").values()):
                time.sleep(0.2)
            return [d.get("outcome") for d, _ in self.journal.state("run").values()] == ["succeeded"]
        finally:
            leak.stop()

    def why(self):
        return f"{self.journal.state('run')} {self.ask('explain', 'free')} {self.logs()}"

    def test_all_of_it_is_enough_and_may_be_run_twice(self):
        sql = self.printed()
        self.psql(sql)
        self.psql(sql)
        self.assertTrue(self.relieved(), self.why())

    def test_nothing_else_is_allowed(self):
        self.psql("CREATE TABLE t (n int)")
        self.psql(self.printed())
        for refused in ("SELECT * FROM t", "CREATE TABLE u (n int)", "CREATE ROLE v", "SELECT pg_read_file('PG_VERSION')"):
            run = subprocess.run(["psql", "-XAtq", "-h", self.pg.host, "-p", str(self.pg.port), "-U", "runbookd", "-d", "orders", "-c", refused],
                                 capture_output=True, text=True, check=False, timeout=30)
            self.assertNotEqual(run.returncode, 0, refused)

    def breaks(self, line):
        lines = self.printed().splitlines()
        kept = [x for x in lines if not x.startswith(line)]
        self.assertEqual(len(kept), len(lines) - 1, f"not one line: {line}")
        self.psql("\n".join(kept))
        self.assertFalse(self.relieved(), line)


class Acl(Rig):
    """The line for a Redis: what it allows is enough to read the cache, and nothing else."""

    with_sim = True  # the pager

    def setUp(self):
        super().setUp()
        done = subprocess.run([os.path.join(HARNESS, "redistemp"), "--watch", str(os.getpid()), "start"], stdout=subprocess.PIPE, text=True, check=True)
        self.redis = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        self.addCleanup(subprocess.run, [os.path.join(HARNESS, "redistemp"), "stop", self.redis["RB_TEMP_DIR"]], check=False)
        self.write("policies/p.lua", 'policy "full" { owner = "test", severity = "sev2", doc = "https://runbooks.example.com/x", target = find.cache {}, '
                   'when = sig.cache_memory { above = "90%", lasting = "2s", period = "1s" }, actions = { act.cache_scale { '
                   'ladder = { "cache.r6g.large", "cache.r6g.xlarge" } } } }')
        self.write("redis.key", "sesame", 0o400)
        self.write("estate.lua", f'cache "c" {{ host = "127.0.0.1", port = {self.redis["REDIS_PORT"]}, user = "runbookd", auth = secret.file "redis.key" }}\n')

    def cli(self, *words):
        return subprocess.run(["redis-cli", "-h", "127.0.0.1", "-p", self.redis["REDIS_PORT"], *words], capture_output=True, text=True, check=True,
                              timeout=10).stdout

    def grant(self, *taken):
        line = said("grants", self.dir, "c").splitlines()[-1]
        words = [w.replace(">PASSWORD", ">sesame") for w in line.split() if w not in taken]
        self.assertEqual(len(words), len(line.split()) - len(taken))
        self.assertEqual(self.cli(*words).strip(), "OK")
        self.assertEqual(self.cli(*words).strip(), "OK")  # again
        self.cli("CONFIG", "SET", "maxmemory", "100mb")

    def value(self):
        return self.ask("explain", "full")["explain"][0]["when"]

    def test_all_of_it_is_enough(self):
        self.grant()
        self.start()
        eventually(lambda: self.value()["value"] == "false", 15, 0.2)
        self.assertIn("NOPERM", self.cli("--user", "runbookd", "--pass", "sesame", "--no-auth-warning", "GET", "x"))
        self.assertIn("NOPERM", self.cli("--user", "runbookd", "--pass", "sesame", "--no-auth-warning", "CONFIG", "GET", "*"))

    def test_without_info(self):
        self.grant("+info")
        self.start()
        eventually(lambda: "NOPERM" in self.logs() or "permission" in str(self.ask("sources")), 15, 0.2)
        self.assertEqual(self.value()["value"], "unknown")

    def test_without_on(self):
        self.grant("on")
        self.start()
        eventually(lambda: "WRONGPASS" in self.logs(), 15, 0.2)
        self.assertEqual(self.value()["value"], "unknown")


def add(case, name, body):
    setattr(case, name, body)


for where, what in rights():
    add(Aws, f"test_without_{what.replace(':', '_')}_of_{where.replace('-', 'start')}", lambda self, a=where, b=what: self.breaks(a, b))
for number, grant in enumerate(('GRANT CONNECT ON DATABASE "orders" TO "runbookd";', 'GRANT pg_monitor TO "runbookd";',
                                'GRANT pg_signal_backend TO "runbookd";', 'ALTER ROLE "runbookd" LOGIN')):
    add(Sql, f"test_without_grant_{number}", lambda self, g=grant: self.breaks(g))
del Rig  # not a test itself


if __name__ == "__main__":
    unittest.main()
