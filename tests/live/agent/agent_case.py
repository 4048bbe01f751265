"""A private agent for a test: its configuration in a directory of its own, the real programs, cloudsim as its pager."""

import glob
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True

HERE = os.path.dirname(os.path.abspath(__file__))
CLOUDSIM = os.path.join(HERE, "..", "..", "cloudsim", "cloudsim")
BIN = os.environ.get("RB_BIN", os.path.join(HERE, "..", "..", "..", "build", "dev", "agent"))
RUNBOOKD, RUNBOOKCTL = os.path.join(BIN, "runbookd"), os.path.join(BIN, "runbookctl")
KEY = "0123456789abcdef0123456789abcdef"


def sanitized():
    with open(RUNBOOKD, "rb") as f:
        return b"__asan_init" in f.read()


# So much work a turn of the loop may be. It is 50 ms in a release; the builds that are tested are not optimised.
LOOP_WORK_MS = 300 if sanitized() else 100


def exits():
    """The table of `runbookd --help`: what each code means."""
    text = subprocess.run([RUNBOOKD, "--help"], capture_output=True, text=True, check=True).stdout
    return {int(m[1]): m[2] for m in re.finditer(r"^ +(\d+)  (.*)$", text, re.M)}


def eventually(what, seconds=10.0, every=0.02):
    deadline = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(every)


def writes_log(pid):
    """Whether the agent's thread of the log has something to do: it runs, or waits for a core or the disk."""
    for task in glob.glob(f"/proc/{pid}/task/*/stat"):
        try:
            with open(task, encoding="ascii") as f:
                name, rest = f.read().rsplit(")", 1)
        except OSError:
            continue
        if name.endswith("(log") and rest.split()[0] not in "SZX":
            return True
    return False


class Sim:
    """cloudsim, for its pager and its Auto Scaling."""

    def __init__(self, folder, scenario):
        path, port = os.path.join(folder, "scenario.json"), os.path.join(folder, "port")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(scenario, f)
        self.process = subprocess.Popen([CLOUDSIM, "--scenario", path, "--port-file", port, "--die-with-parent"], stdout=subprocess.DEVNULL)
        eventually(lambda: os.path.exists(port), 60)
        with open(port, encoding="ascii") as f:
            self.port = int(f.read())

    def call(self, method, path, body=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        c.request(method, "/_sim/" + path, json.dumps(body) if body is not None else None)
        answer = c.getresponse()
        text = answer.read()
        c.close()
        if answer.status != 200:
            raise AssertionError(text)
        return json.loads(text)

    def inbox(self, since=0):
        return self.call("GET", f"pager?since={since}")

    def fault(self, **fault):
        self.call("POST", "faults", {"service": "pager", **fault})

    def stop(self):
        self.process.kill()
        self.process.wait()


class AgentCase(unittest.TestCase):
    with_sim = False
    scenario = {"metric_period": 1, "history_seconds": 1}

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="rb-agent-")
        self.addCleanup(shutil.rmtree, self.dir, True)
        os.mkdir(self.path("run"), 0o700)
        os.mkdir(self.path("policies"))
        self.agents = []
        self.addCleanup(self.end_agents)
        self.sim = None
        if self.with_sim:
            self.sim = Sim(self.dir, self.scenario)
            self.addCleanup(self.sim.stop)
        self.write("key", KEY, 0o400)
        self.write("estate.lua", 'aws "prod" { region = "us-east-1" }\n')
        self.configure()

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        if os.path.exists(path):
            os.unlink(path)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def configure(self, extra="", mode="enforce", state="state"):
        pager = ""
        if self.sim:
            pager = f'pagerduty = {{ routing_key = secret.file "key", url = "http://127.0.0.1:{self.sim.port}/v2/enqueue", ' \
                    f'change_url = "http://127.0.0.1:{self.sim.port}/v2/change/enqueue" }},'
        self.write("runbookd.lua", f'''runbookd {{
  mode = "{mode}", state_dir = "{state}", control = "run/control.sock", freeze_file = "run/freeze", host = "testhost",
  {pager} {extra}
}}
''')

    def leaks(self, *secrets):
        """Where one of these stands in what the agent wrote: its log, its journal, its reports to the pager."""
        found = []
        for at, _, names in os.walk(self.dir):
            for name in names:
                if name.startswith("log") or "journal.db" in name or name.endswith(".jsonl"):
                    with open(os.path.join(at, name), "rb") as f:
                        text = f.read()
                    found += [f"{name}: {s}" for s in secrets if s.encode() in text]
        told = json.dumps([{**e["event"], "routing_key": ""} for e in self.sim.inbox()]) if self.sim else ""
        return found + [f"pager: {s}" for s in secrets if s in told]

    # The agent

    def start(self, ready=True, **more):
        log = open(self.path(f"log{len(self.agents)}"), "w+", encoding="utf-8")
        p = subprocess.Popen([RUNBOOKD, "run", "--config", self.path("runbookd.lua")], stderr=log, stdout=log, **more)
        p.log = log
        self.agents.append(p)
        if ready:
            eventually(lambda: p.poll() is not None or "mode " in self.log(p) and os.path.exists(self.path("run/control.sock")))
            if p.poll() is not None:
                raise AssertionError(f"exit {p.returncode}: {self.log(p)}")
        return p

    def log(self, p=None):
        p = p or self.agents[-1]
        eventually(lambda: not writes_log(p.pid), 10, 0.001)
        with open(p.log.name, encoding="utf-8") as f:
            return f.read()

    def stop(self, p=None, how=signal.SIGTERM):
        p = p or self.agents[-1]
        p.send_signal(how)
        return p.wait(30)

    def end_agents(self):
        """Asked first: one that ends by itself says what it leaked, where it is built to. One that is stopped or busy is not waited for long."""
        for p in self.agents:
            if p.poll() is None:
                p.terminate()
        until = time.monotonic() + 1
        for p in self.agents:
            try:
                p.wait(max(0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
            p.log.close()

    def ctl(self, *args, ok=True, **more):
        run = subprocess.run([RUNBOOKCTL, "--socket", self.path("run/control.sock"), *args], capture_output=True, text=True, timeout=60,
                             stdin=subprocess.DEVNULL, **more)
        if ok and run.returncode != 0:
            raise AssertionError(f"runbookctl {args}: {run.returncode} {run.stdout}{run.stderr}")
        return run

    def ask(self, *args):
        return json.loads(self.ctl("--json", *args).stdout)

    def raw(self, *lines):
        """What the socket answers to these lines."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.path("run/control.sock"))
            out = []
            with s.makefile("rwb") as f:
                for line in lines:
                    f.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
                    f.flush()
                    out.append(json.loads(f.readline()))
            return out

    def check(self, *args):
        run = subprocess.run([RUNBOOKD, "check", "--config", self.path("runbookd.lua"), *args], capture_output=True, text=True, timeout=30)
        return run.returncode, run.stdout + run.stderr

    def run_once(self, **more):
        """A start that is to fail: its code and what it said."""
        run = subprocess.run([RUNBOOKD, "run", "--config", self.path("runbookd.lua")], capture_output=True, text=True, timeout=30, **more)
        return run.returncode, run.stderr
