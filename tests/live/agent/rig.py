"""What the tests of the whole agent stand on, beside agent_case: a private PostgreSQL, an estate of both kinds, and
readers of what can be seen from outside: the journal, the pager's inbox, the servers themselves."""

import json
import os
import sqlite3
import subprocess
import sys
import time

sys.dont_write_bytecode = True

from agent_case import HERE, KEY, RUNBOOKD, AgentCase, Sim, eventually  # noqa: E402  pylint: disable=wrong-import-position,unused-import

SOURCE = os.path.abspath(os.path.join(HERE, "..", "..", ".."))
HARNESS = os.path.join(SOURCE, "tests", "harness")
PSQL = "/usr/lib/postgresql/15/bin/psql"
LEAK = os.environ.get("RB_LEAK", os.path.join(SOURCE, "build", "dev", "tests", "demo", "leak"))
AWS_ENV = {"AWS_ACCESS_KEY_ID": "AKIACLOUDSIM00000001", "AWS_SECRET_ACCESS_KEY": "cloudsim/secret/key/0001"}


def group(name, **more):
    """An Auto Scaling group at a test's pace: one instance carries 100 requests a second at 100 % CPU."""
    return {"name": name, "min": 1, "max": 8, "desired": 2, "boot_seconds": 0.3, "drain_seconds": 0.1, "terminate_seconds": 0.1,
            "cooldown": 0, "noise": 0.0, "traffic": [{"at": 0, "rps": 160}], **more}


def scenario(*groups):
    return {"metric_period": 1, "history_seconds": 20, "tick_seconds": 0.1, "groups": list(groups)}


class Postgres:
    """A private PostgreSQL that logs every statement of the agent's role, and every session that is ended."""

    def __init__(self, connections=100):
        done = subprocess.run([os.path.join(HARNESS, "pgtemp"), "--max-connections", str(connections), "--set", "log_line_prefix=%m|%p|%d|%u|",
                               "--watch", str(os.getpid()), "start"], stdout=subprocess.PIPE, text=True, check=True)
        self.env = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        self.host, self.port, self.pid = self.env["PGHOST"], int(self.env["PGPORT"]), int(self.env["RB_PG_PID"])
        self.sql("CREATE ROLE app LOGIN; CREATE ROLE runbookd LOGIN IN ROLE pg_monitor, pg_signal_backend;"
                 "ALTER ROLE runbookd SET log_statement = 'all'")

    def sql(self, text, database="postgres"):
        argv = [PSQL, "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.host, "-p", str(self.port), "-U", "postgres", "-d", database]
        for one in text.split(";"):
            argv += ["-c", one]
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout.strip()

    def pids(self):
        return {int(p) for p in self.sql("SELECT pid FROM pg_stat_activity").split()}

    def children(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as f:
            return [int(p) for p in f.read().split()]

    def log(self, database):
        """(pid, text) of the log's lines about this database; a statement may span lines, which belong to the one before."""
        rows = []
        with open(os.path.join(self.env["RB_PG_DIR"], "log"), encoding="utf-8", errors="replace") as f:
            for line in f:
                part = line.rstrip("\n").split("|", 4)
                if len(part) == 5 and part[1].isdigit():
                    rows.append([int(part[1]), part[2], part[4]])
                elif rows:
                    rows[-1][2] += " " + line.strip()
        return [(pid, text) for pid, at, text in rows if at == database]

    def stop(self):
        subprocess.run([os.path.join(HARNESS, "pgtemp"), "stop", self.env["RB_TEMP_DIR"]], check=False, capture_output=True)


class Leak:
    """Real sessions of several kinds on one database: {kind: set of pids}."""

    def __init__(self, pg, database, **kinds):
        self.process = subprocess.Popen([LEAK, *(f"{k}={n}" for k, n in kinds.items())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, "PGHOST": pg.host, "PGPORT": str(pg.port), "PGDATABASE": database})
        self.sessions = {k: set() for k in kinds}
        for line in self.process.stdout:
            if line.strip() == "ready":
                return
            kind, pid = line.split()
            self.sessions[kind].add(int(pid))
        raise AssertionError("leak did not get ready")

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class Journal:
    """The journal as another program reads it, while the agent runs or after."""

    def __init__(self, path):
        self.path = path

    def rows(self, sql, *args):
        for _ in range(100):
            try:
                db = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=5)
                try:
                    return db.execute(sql, args).fetchall()
                finally:
                    db.close()
            except sqlite3.OperationalError as e:
                # Not made yet, or being recovered by a starting agent.
                if not any(word in str(e) for word in ("unable to open", "no such table", "locked", "disk I/O", "readonly")):
                    raise
                time.sleep(0.02)
        return []

    def log(self, kind):
        """(seq, wall_ms, key, document, open) of each row of a kind, oldest first."""
        return [(s, w, k, json.loads(d), o) for s, w, k, d, o in
                self.rows("SELECT seq, wall_ms, key, doc, open FROM log WHERE kind = ? ORDER BY seq", kind)]

    def state(self, kind):
        """{key: (document, open)}: the last word of each."""
        return {k: (json.loads(d), o) for k, d, o in self.rows("SELECT key, doc, open FROM state WHERE kind = ?", kind)}

    def intents(self):
        return [(w, k, d) for _, w, k, d, _ in self.log("step") if d.get("state") == "intent"]

    def reports(self):
        """Each report once, in the order in which they were written."""
        seen = {}
        for _, _, key, doc, _ in self.log("report"):
            seen.setdefault(key, doc)
        return [seen[k] for k in seen]

    def audit(self, *witnesses):
        args = [x for w in witnesses for x in ("--witness", w)]
        run = subprocess.run([RUNBOOKD, "audit", *args, self.path], capture_output=True, text=True, timeout=60, check=False)
        return run.returncode, run.stdout + run.stderr


def name_of(event):
    """Which report an event of the pager's inbox is: (kind, key or episode, summary)."""
    body = event["event"]
    if event["action"] == "change":
        return "note", body["payload"].get("custom_details", {}).get("episode"), body["payload"]["summary"]
    return event["action"], event["dedup_key"], body.get("payload", {}).get("summary")


def name_of_report(report):
    if report["kind"] == "note":
        return "note", report.get("episode"), report["summary"]
    if report["kind"] == "resolve":
        return "resolve", report["key"], report["summary"]
    return "trigger", report["key"], report["summary"]


def undelivered(reports, events):
    """What is wrong with the delivery of these reports, as texts; [] when each arrived, in order within its key, with one alert a key."""
    wrong, arrived = [], [name_of(e) for e in events]
    for key in {r["key"] for r in reports}:
        want = [name_of_report(r) for r in reports if r["key"] == key]
        got = [a for a in arrived if a in want]
        firsts = list(dict.fromkeys(got))
        if firsts != list(dict.fromkeys(want)):
            wrong.append(f"reports of {key}: written {want}, arrived {got}")
        alerts, is_open = 0, False
        for event in events:
            if event["dedup_key"] != key:
                continue
            alerts += event["action"] == "trigger" and not is_open
            is_open = event["action"] == "trigger"
        if alerts > 1:
            wrong.append(f"{alerts} alerts of {key}: {got}")
    strange = [a for a in arrived if a not in [name_of_report(r) for r in reports]]
    if strange:
        wrong.append(f"the pager received what was never written: {strange}")
    return wrong


class Rig(AgentCase):
    """An agent with targets. For tests that make several at once: Rig.make(), and close()."""

    sim_shared = pg = None
    routing_key = KEY
    since = 0  # events of the pager up to this one are others'
    launcher = ()  # a command that starts the agent

    @classmethod
    def make(cls, **fields):
        rig = cls()
        for name, value in fields.items():
            setattr(rig, name, value)
        rig.setUp()
        return rig

    def runTest(self):
        pass

    def close(self):
        self.doCleanups()

    def setUp(self):
        super().setUp()
        if self.sim_shared:
            self.sim = self.sim_shared
            self.configure()

    def configure(self, extra="", mode="enforce", state="state"):
        self.write("key", self.routing_key, 0o400)
        super().configure('budget = "100 per 1h", budget_destructive = "100 per 1h", ' + extra, mode, state)

    def estate(self, *lines):
        text = "\n".join(lines)
        if self.sim:
            text = f'aws "prod" {{ region = "us-east-1", endpoint = "http://127.0.0.1:{self.sim.port}" }}\n' + text
        self.write("estate.lua", text + "\n")

    def postgres(self, name, database):
        return (f'postgres "{name}" {{ host = "{self.pg.host}", port = {self.pg.port}, database = "{database}", user = "runbookd", '
                'sslmode = "disable" }')

    def start(self, ready=True, **more):
        log = open(self.path(f"log{len(self.agents)}"), "w+", encoding="utf-8")
        env = {**os.environ, **AWS_ENV, **more.pop("env", {})}
        launcher = self.launcher or ("setpriv", "--pdeathsig", "KILL")  # nobody is left when the test is killed
        p = subprocess.Popen([*launcher, RUNBOOKD, "run", "--config", self.path("runbookd.lua")], stderr=log, stdout=log,
                             stdin=subprocess.DEVNULL, env=env, **more)
        p.log = log
        self.agents.append(p)
        if ready:
            eventually(lambda: p.poll() is not None or "agent: runbookd" in self.log(p) or " policies, " in self.log(p), 20)
            if p.poll() is not None:
                raise AssertionError(f"exit {p.returncode}: {self.log(p)}")
        return p

    def logs(self):
        return "".join(f"--- agent {n}\n{self.log(p)}" for n, p in enumerate(self.agents))

    @property
    def journal(self):
        return Journal(self.path("state", "journal.db"))

    def events(self):
        """What the pager accepted under this rig's routing key, oldest first."""
        return [e for e in self.sim.inbox(self.since) if e["event"]["routing_key"] == self.routing_key]

    def policy_row(self, policy):
        return next(p for p in self.ask("status")["policies"] if p["policy"] == policy)

    def group(self, name):
        return self.sim.call("GET", "state")["groups"][name]

    def scalings(self, name):
        """What was really done to a group through the API, oldest first."""
        return [e for e in self.sim.call("GET", "effects")["list"] if e["service"] == "autoscaling" and e["params"].get("AutoScalingGroupName") == name]
