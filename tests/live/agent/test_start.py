"""Each way in which a start can fail has a message and an exit code of its own."""

import os
import shutil
import socket
import sqlite3
import subprocess
import unittest

from agent_case import HERE, KEY, RUNBOOKD, AgentCase, exits

AWSTEMP = os.path.join(HERE, "..", "..", "harness", "awstemp")


class Codes(AgentCase):
    def both(self, code, *words):
        """run and check agree, and both say what is wrong."""
        for got, text in (self.run_once(), self.check()):
            self.assertEqual(got, code, text)
            for word in words:
                self.assertIn(word, text)
        self.assertFalse(os.path.exists(self.path("state")), "nothing is begun before all is read")

    def test_the_table_has_each_code_once(self):
        table = exits()
        self.assertEqual(len(table), len(set(table.values())))
        for code in (0, 2, 10, 11, 12, 13, 14, 15, 16, 17, 20, 21, 22, 23, 24, 25, 71):
            self.assertIn(code, table)

    def test_usage(self):
        for args in ([], ["frobnicate"], ["run", "--frobnicate"], ["run", "extra"], ["plan", "one"]):
            self.assertEqual(subprocess.run([RUNBOOKD, *args], capture_output=True).returncode, 2, args)

    def test_no_configuration(self):
        os.unlink(self.path("runbookd.lua"))
        self.both(10, "runbookd.lua", "cannot be read")

    def test_no_policies(self):
        self.configure('policies = { "elsewhere" },')
        self.both(11, "elsewhere")

    def test_no_estate(self):
        os.unlink(self.path("estate.lua"))
        self.both(11, "estate.lua")

    def test_syntax(self):
        self.write("policies/a.lua", "policy 'x' {\n  when = \n}\n")
        self.both(12, "policies/a.lua:", "E101")

    def test_unknown_key(self):
        self.configure("budgets = 7,")
        self.both(13, "runbookd.lua:", "E104", "did you mean", "budget")

    def test_wrong_unit(self):
        self.configure('storm = { window = "5 minutes" },')
        self.both(14, "E107", "5m")

    def test_a_target_that_is_none(self):
        """With an estate beside it, in which what it selects is looked up."""
        self.write("estate.lua", 'aws "prod" { region = "us-east-1" }\nasg "web" { aws = "prod" }\n')
        policy = ('policy "p" { owner = "t", severity = "sev3", doc = "https://example.com/x", %s\n'
                  '  when = sig.asg_cpu { above = "60%%", lasting = "5m" }, actions = { act.asg_scale { by = 1, max = 5 } },\n'
                  '  max_targets = "10%%", window = sig.clock { from = "01:00", to = "02:00" }, verify_within = "30m" }\n')
        for target, code, *words in (("", 14, "E105", "target"), ("targeqt = find.asg {},", 14, "E104", "did you mean", "target"),
                                     ("target = find.asgg {},", 13, "E102", "asgg", "did you mean"), ("target = 7,", 14, "E107", "target")):
            self.write("policies/a.lua", policy % target)
            with self.subTest(target):
                self.both(code, "a.lua:1:", *words)

    def test_what_only_the_walk_through_a_run_finds(self):
        policy = ('policy "p" { owner = "t", severity = "sev3", doc = "https://example.com/x", target = find.asg {},\n'
                  '  when = sig.asg_cpu { above = "60%%" }, actions = { grow = act.asg_scale { by = 1, max = 5 } },\n'
                  '  run = function(r) %s end }\n')
        self.write("policies/a.lua", policy % 'while true do r:log "x" end')
        self.both(15, "a.lua:3:", "E113")
        self.write("policies/a.lua", policy % 'r:atc "grow"')
        self.both(13, "a.lua:3:", "E104", "did you mean", "act")

    def test_all_errors_of_all_files_at_once(self):
        self.write("policies/a.lua", "frobnicate()\n")
        self.write("policies/b.lua", "policy 'x' {\n")
        code, text = self.check()
        self.assertIn("a.lua:1:1: E102", text)
        self.assertIn("b.lua:", text)
        self.assertIn("E101", text)

    def test_a_secret_that_others_can_read(self):
        self.configure('pagerduty = { routing_key = secret.file "key" },')
        os.chmod(self.path("key"), 0o444)
        self.both(16, "key", "chmod")
        os.chmod(self.path("key"), 0o440)
        self.both(16, "key")

    def test_a_secret_that_is_not_there(self):
        self.configure('pagerduty = { routing_key = secret.file "nokey" },')
        code, text = self.check() # it may be there where the agent runs
        self.assertEqual(code, 0, text)
        self.assertIn("runbookd.lua:3:", text)
        self.assertIn("W207 routing_key: the secret", text)
        code, text = self.run_once()
        self.assertEqual(code, 17, text)
        self.assertIn("nokey", text)
        self.assertNotIn(KEY, text)

    def test_a_key_of_the_wrong_length(self):
        self.write("key", "short", 0o400)
        self.configure('pagerduty = { routing_key = secret.file "key" },')
        self.both(14, "runbookd.lua:", "E107", "32 characters, this one has 5")

    def test_a_second_agent(self):
        p = self.start()
        code, text = self.run_once()
        self.assertEqual(code, 20, text)
        self.assertIn(str(p.pid), text)
        self.assertEqual(self.ask("status")["host"], "testhost", "the first one goes on")
        # on a state directory of its own, but with the same socket
        self.configure(state="other")
        code, text = self.run_once()
        self.assertEqual(code, 20, text)
        self.assertIn("control.sock", text)
        self.assertEqual(self.ask("status")["host"], "testhost")

    def made(self):
        self.start()
        self.ctl("freeze", "a row")
        self.assertEqual(self.stop(), 0)
        return sqlite3.connect(self.path("state/journal.db"))

    def test_a_newer_journal(self):
        db = self.made()
        db.execute("PRAGMA user_version = 99")
        db.close()
        code, text = self.run_once()
        self.assertEqual(code, 21, text)
        self.assertIn("newer", text)

    def test_a_changed_journal(self):
        db = self.made()
        table = [r[0] for r in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        self.assertIn("log", table)
        db.execute("UPDATE log SET doc = replace(doc, 'a row', 'b row')")
        db.commit()
        db.close()
        code, text = self.run_once()
        self.assertEqual(code, 22, text)
        run = subprocess.run([RUNBOOKD, "audit", self.path("state/journal.db")], capture_output=True, text=True)
        self.assertEqual(run.returncode, 22, run.stdout)

    def test_a_freeze_that_somebody_took_out(self):
        self.ended_after("freeze", "drill")
        for change, says in (("UPDATE state SET doc = replace(doc, 'drill', 'other') WHERE kind = 'freeze'", "is not what the log says"),
                             ("DELETE FROM state WHERE kind = 'freeze'", "is missing or not the newest one"),
                             ("INSERT INTO state SELECT 'mode', 'agent', first, seq, '{}', 1 FROM state WHERE kind = 'freeze'", "is not what the log says"),
                             ("INSERT INTO token VALUES (1, 'limit/grow@asg/web', 'R1', 1)", "is not in the log"),
                             ("CREATE TRIGGER widen AFTER INSERT ON token BEGIN DELETE FROM token; END", "trigger widen is not one of the agent's")):
            before = self.path("before.db")
            shutil.copy(self.path("state/journal.db"), before)
            db = sqlite3.connect(self.path("state/journal.db"))
            self.assertIn(db.execute(change).rowcount, (1, -1), change)
            db.commit()
            db.close()
            code, text = self.run_once()
            self.assertEqual(code, 22, change + text)
            self.assertIn(says, text)
            shutil.copy(before, self.path("state/journal.db"))
        self.ended_after("status")  # as it was

    def ended_after(self, *command):
        """An agent that got this command, and then ended in order: all is in the one file."""
        p = self.start()
        self.ctl(*command)
        self.stop(p)

    def test_no_journal_at_all(self):
        os.mkdir(self.path("state"), 0o700)
        self.write("state/journal.db", "this is no database, and long enough to be looked at" * 40, 0o600)
        code, text = self.run_once()
        self.assertEqual(code, 22, text)
        run = subprocess.run([RUNBOOKD, "audit", self.path("state/journal.db")], capture_output=True, text=True)
        self.assertEqual(run.returncode, 22, run.stderr)

    def test_no_permission(self):
        os.mkdir(self.path("state"), 0o700)
        self.write("state/journal.db", "", 0o644)
        code, text = self.run_once()
        self.assertEqual(code, 23, text)
        os.unlink(self.path("state/journal.db"))
        os.chmod(self.path("run"), 0o777)
        code, text = self.run_once()
        self.assertEqual(code, 23, text)
        self.assertIn("run", text)

    def test_the_state_directory_is_a_file(self):
        self.write("state", "x")
        code, text = self.run_once()
        self.assertEqual(code, 24, text)

    def test_a_read_only_file_system(self):
        os.mkdir(self.path("state"), 0o700)
        run = subprocess.run(["unshare", "--mount", "--map-root-user", "sh", "-c", 'mount -t tmpfs -o ro,mode=0700 tmpfs "$1" || exit 99; exec "$2" run --config "$3"', "sh",
                              self.path("state"), RUNBOOKD, self.path("runbookd.lua")], capture_output=True, text=True, timeout=30, check=False)
        if run.returncode == 99 or "unshare" in run.stderr:
            self.skipTest("no mount of its own for a test here")
        self.assertEqual(run.returncode, 24, run.stderr)
        self.assertIn("Read-only file system", run.stderr)

    def test_the_socket_cannot_be_made(self):
        self.write("run/control.sock", "x")
        code, text = self.run_once()
        self.assertEqual(code, 25, text)

    def test_a_stale_socket_is_replaced(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(self.path("run/control.sock"))
        self.start()
        self.assertEqual(self.ask("status")["host"], "testhost")

    def test_a_pager_that_cannot_be_one(self):
        for url in ("events.pagerduty.com/v2/enqueue", "http://events.pagerduty.com/v2/enqueue", "https://"):
            self.configure(f'pagerduty = {{ routing_key = secret.file "key", url = "{url}" }},')
            self.both(14, "E107 url needs https://", url)

    def test_no_certificates(self):
        self.configure('ca_file = "nowhere.pem",')
        code, said = self.run_once()
        self.assertEqual(code, 26, said)
        self.assertIn(self.path("nowhere.pem") + ": No such file", said)

    def test_out_of_files_it_says_so(self):
        code, text = self.run_once(preexec_fn=lambda: __import__("resource").setrlimit(__import__("resource").RLIMIT_NOFILE, (5, 5)))
        self.assertNotEqual(code, 0)
        self.assertTrue(text)


class Commands(AgentCase):
    def test_check_as_json(self):
        self.write("policies/a.lua", "frobnicate()\n")
        code, text = self.check("--json")
        out = __import__("json").loads(text)
        self.assertEqual(code, 13)
        self.assertEqual(out["exit"], 13)
        self.assertFalse(out["ok"])
        self.assertEqual(out["diagnostics"][0]["code"], "E102")
        self.assertEqual(out["diagnostics"][0]["line"], 1)

    def test_check_of_nothing_wrong(self):
        code, text = self.check()
        self.assertEqual(code, 0)
        self.assertIn("no errors", text)

    def test_version(self):
        run = subprocess.run([RUNBOOKD, "version"], capture_output=True, text=True)
        self.assertRegex(run.stdout, r"^runbookd \d+\.\d+\.\d+\n$")

    def test_an_account_with_a_ca_of_its_own(self):
        """Its services, and the STS that its role is assumed at, are checked against the ca_file of the estate."""
        done = subprocess.run([AWSTEMP, "--tls", "--set", 'groups=[{"name": "web", "min": 1, "max": 8, "desired": 2}]', "--watch", str(os.getpid()),
                               "start"], stdout=subprocess.PIPE, text=True, check=True)
        env = dict(line.split("=", 1) for line in done.stdout.splitlines())
        self.addCleanup(subprocess.run, [AWSTEMP, "stop", env["RB_TEMP_DIR"]], check=True)
        url, keys = env["CLOUDSIM_URL"], {k: v for k, v in env.items() if k.startswith("AWS_") and "KEY" in k}
        self.write("policies/grow.lua", '''policy "grow" { owner = "o", severity = "sev3", doc = "https://x.example/r", target = find.asg {},
  when = sig.asg_cpu { above = "60%" }, actions = { act.asg_scale { by = 1, max = 4 } } }''')
        for ca, code, word in (("", 3, "certificate problem"), (f'ca_file = "{env["AWS_CA_BUNDLE"]}",', 0, "desired 2 -> 3")):
            self.write("estate.lua", f'''aws "prod" {{ region = "us-east-1", endpoint = "{url}", {ca} role = "arn:aws:iam::123456789012:role/runbookd" }}
asg "web" {{ aws = "prod" }}''')
            run = subprocess.run([RUNBOOKD, "plan", "--config", self.path("runbookd.lua"), "grow", "web"], capture_output=True, text=True, timeout=60,
                                 env={**os.environ, **keys})
            self.assertEqual(run.returncode, code, run.stdout + run.stderr)
            self.assertIn(word, " ".join(run.stdout.split()))

    def test_plan_without_such_a_policy(self):
        run = subprocess.run([RUNBOOKD, "plan", "--config", self.path("runbookd.lua"), "p", "t"], capture_output=True, text=True, timeout=40)
        self.assertEqual(run.returncode, 1, run.stderr)
        self.assertIn("no policy p", run.stderr)


if __name__ == "__main__":
    unittest.main()
