"""Secrets stay where they are (right ones and wrong ones, while everything that uses them works, fails and is asked after):
none in the log at its most talkative, in the journal, in a report, in what any command prints; and none in a core file or for another process to read."""

import http.server
import os
import subprocess
import threading
import unittest

from rig import AWS_ENV, RUNBOOKD, Rig, eventually, group, scenario

# The test's command gives the servers' passwords: they are canaries, as are all of these.
PG, REDIS = os.environ["PGPASSWORD"], os.environ["REDIS_PASSWORD"]
WRONG = {n: f"canary-wrong-{n}-7f3a9c" for n in ("pg", "redis", "aws", "token")}
WEBHOOK = "whsec_Y2FuYXJ5LXdlYmhvb2stc2VjcmV0LTAxMjM0NTY3"
SECRETS = (PG, REDIS, AWS_ENV["AWS_SECRET_ACCESS_KEY"], WEBHOOK, Rig.routing_key, *WRONG.values())

POLICIES = """
defaults { owner = "t", severity = "sev3", doc = "https://runbooks.example.com/x", limit = "9 per 1h", cooldown = "0s" }
policy "sessions" { target = find.postgres {}, when = sig.pg_connections { at_least = 0, lasting = "1s", period = "1s" }, mode = "enforce",
  actions = { act.pg_terminate { idle_over = "1h" } }, verify_within = "10s" }
policy "keys" { target = find.cache {}, when = sig.cache_fragmentation { above = 0.0001, period = "1s" }, mode = "enforce",
  actions = { act.snapshot { keep = "1d" } }, verify_within = "1m" }
policy "cpu" { target = find.asg {}, when = sig.asg_cpu { above = "1%", lasting = "2s", period = "1s" }, mode = "enforce",
  actions = { act.asg_scale { by = 1, max = 3 } }, verify_within = "4m" }
"""


def without_rights(*argv):
    """Root reads everybody's memory by rights of its own, which neither the agent nor its reader is to have here."""
    rights = "-sys_ptrace,-perfmon,-sys_admin"
    return ("setpriv", "--bounding-set", rights, "--inh-caps", rights, *argv) if os.geteuid() == 0 else argv


def environment_of(pid):
    return subprocess.run(without_rights("cat", f"/proc/{pid}/environ"), capture_output=True, check=False)


class Refuses(http.server.BaseHTTPRequestHandler):
    """A receiver of webhooks that sends back what it got, as a clumsy one does."""

    def do_POST(self):  # pylint: disable=invalid-name
        body = self.rfile.read(int(self.headers["Content-Length"])) + str(self.headers).encode()
        self.send_response(400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        pass


class Secrets(Rig):
    with_sim = True
    scenario = scenario(group("web", desired=1))
    launcher = without_rights("setpriv", "--pdeathsig", "KILL")

    def begin(self):
        subprocess.run(["psql", "-Xqc", f"CREATE ROLE runbookd LOGIN PASSWORD '{PG}' IN ROLE pg_monitor"], check=True)
        receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        self.addCleanup(receiver.server_close)
        self.addCleanup(receiver.shutdown)
        for name, text in {"pg": PG, "redis": REDIS, "pg-wrong": WRONG["pg"], "redis-wrong": WRONG["redis"], "webhook": WEBHOOK}.items():
            self.write(name, text, 0o400)
        self.write("credentials", f"[bad]\naws_access_key_id = AKIACLOUDSIM00000001\naws_secret_access_key = {WRONG['aws']}\n"
                                  f"aws_session_token = {WRONG['token']}\n", 0o400)
        self.configure(f'log_level = "debug", webhook = {{ url = "http://127.0.0.1:{receiver.server_port}/hook", secret = secret.file "webhook" }},')
        sim = f'region = "us-east-1", endpoint = "http://127.0.0.1:{self.sim.port}"'
        pg = f'host = "{os.environ["PGHOST"]}", port = {os.environ["PGPORT"]}, database = "postgres", user = "runbookd", sslmode = "disable"'
        redis = f'host = "{os.environ["REDIS_HOST"]}", port = {os.environ["REDIS_PORT"]}, tls = false'
        self.write("estate.lua", f"""
aws "prod" {{ {sim} }}
aws "bad" {{ {sim}, profile = "bad" }}
asg "web" {{ aws = "prod" }}
asg "web-bad" {{ aws = "bad" }}
postgres "db" {{ {pg}, password = secret.file "pg" }}
postgres "db-bad" {{ {pg}, password = secret.file "pg-wrong" }}
cache "keys" {{ {redis}, auth = secret.file "redis" }}
cache "keys-bad" {{ {redis}, auth = secret.file "redis-wrong" }}
""")
        self.write("policies/all.lua", POLICIES)
        return self.start(env={"AWS_SHARED_CREDENTIALS_FILE": self.path("credentials"), "AWS_CONFIG_FILE": "/dev/null"})

    def test_none_is_told_and_none_can_be_read(self):
        agent = self.begin()
        failing = {"postgres/db-bad", "redis/keys-bad", "aws/bad"}
        eventually(lambda: {s["source"] for s in self.ask("sources")["sources"] if s["state"] == "failing"} == failing, 20)
        eventually(lambda: self.scalings("web"), 20, 0.2)
        eventually(lambda: [d for d, _ in self.journal.state("run").values() if d.get("policy") == "sessions"], 20, 0.2)
        self.ctl("report-test")
        said = []
        for policy, targets in {"sessions": ("db", "db-bad"), "keys": ("keys", "keys-bad"), "cpu": ("web", "web-bad")}.items():
            for target in targets:
                for words in (("explain",), ("plan",), ("--json", "explain"), ("--json", "plan")):
                    said.append(self.ctl(*words, policy, target, ok=False))
        for words in ("status", "sources", "runs", "episodes", "decisions", "reports", "reload", "version"):
            said += [self.ctl(words, ok=False), self.ctl("--json", words, ok=False)]
        said += [self.ctl("show", run["id"]) for run in self.ask("runs")["runs"]]
        env = {**os.environ, **AWS_ENV, "AWS_SHARED_CREDENTIALS_FILE": self.path("credentials"), "AWS_CONFIG_FILE": "/dev/null"}
        for words in (("check",), ("iam",), ("grants", "db"), ("plan", "sessions", "db"), ("plan", "sessions", "db-bad"), ("plan", "cpu", "web-bad")):
            said.append(subprocess.run([RUNBOOKD, words[0], "--config", self.path("runbookd.lua"), *words[1:]], capture_output=True, text=True, env=env,
                                       timeout=60, check=False))

        sleeper = subprocess.Popen(without_rights("sleep", "60"))  # the same reader can read another's
        self.addCleanup(sleeper.wait)
        self.addCleanup(sleeper.kill)
        eventually(lambda: b"PATH=" in environment_of(sleeper.pid).stdout)
        self.assertIn(b"Permission denied", environment_of(agent.pid).stderr)
        with open(f"/proc/{agent.pid}/limits", encoding="ascii") as f:
            self.assertRegex(f.read(), r"Max core file size +0 +0 ")
        self.assertEqual(self.stop(), 0)

        self.assertEqual(self.leaks(*SECRETS), [])
        for one in said:
            for secret in SECRETS:
                self.assertNotIn(secret, one.stdout + one.stderr, one.args)


if __name__ == "__main__":
    unittest.main()
