"""What of the figures needs the whole daemon: cold start, memory, processor at 10,000 series, sample to request.

How: the real daemon of the build, one at a time. Cold start is from exec until the control socket answers `version`, the
middle of five. Memory is VmRSS ten seconds after that; "its own" is RssAnon, of which 8 MiB are the reserve for the way out. Processor
is what the daemon used (user and system) over a minute, with CloudWatch played by a server in this process that answers every
query with a fresh point; the same server answers the same questions asked from Python, as a measure of the machine. Sample to
request is against cloudsim: from the answer that carried the deciding point to the SetDesiredCapacity, both by cloudsim's clock,
for ten groups one after the other; the calls that lie between them are also made one after the other by Python on kept
connections, as the least that it could take."""

import http.client
import http.server
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ENV = {"PATH": "/usr/bin:/bin", "AWS_ACCESS_KEY_ID": "AKIACLOUDSIM00000001", "AWS_SECRET_ACCESS_KEY": "cloudsim/secret/key/0001"}
POLICIES, PER = 1000, 10
MANY = '''
policy "p{n}" {{
  owner = "bench", severity = "sev3", doc = "https://runbooks.example.com/p", mode = "shadow", target = find.asg {{ name = {{ {names} }} }},
  when = sig.asg_cpu {{ above = "60%", lasting = "5m" }}, actions = {{ act.asg_scale {{ by = 1, max = 8 }} }},
}}
'''
HOT = '''
policy "hot" {
  owner = "bench", severity = "sev3", doc = "https://runbooks.example.com/p", mode = "enforce", target = find.asg { tag = { tier = "web" } },
  when = sig.asg_cpu { above = "60%", lasting = "1s", period = "1s" }, actions = { act.asg_scale { by = 1, max = 8 } },
  limit = "1 per 1h", policy_limit = "100 per 1h", cooldown = "1s", max_targets = 100,
}
'''


class Daemon:
    def __init__(self, build, folder, estate, policies, **config):
        self.folder, self.build = folder, build
        folder.mkdir()
        (folder / "state").mkdir(mode=0o700)
        (folder / "estate.lua").write_text(estate)
        if isinstance(policies, list):  # one text a file
            (folder / "policies").mkdir()
            for n, text in enumerate(policies):
                (folder / f"policies/p{n:04d}.lua").write_text(text)
            policies = folder / "policies"
        fields = {"host": "bench", "state_dir": f"{folder}/state", "control": f"{folder}/control.sock", "freeze_file": f"{folder}/freeze",
                  "mode": "shadow", "estate": "estate.lua", **config}
        (folder / "runbookd.lua").write_text("runbookd { " + ", ".join(f'{k} = "{v}"' for k, v in fields.items()) +
                                             f', policies = {{ "{policies}" }} }}\n')
        self.process = None

    def start(self):
        """Seconds until it answers."""
        begin = time.monotonic()
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([self.build / "agent/runbookd", "run", "--config", self.folder / "runbookd.lua"], stdout=log,
                                            stderr=log, env=ENV)
        while True:
            try:
                self.ask("version")
                return time.monotonic() - begin
            except OSError:
                if self.process.poll() is not None:
                    sys.exit("runbookd did not start: " + (self.folder / "log").read_text()[-500:])
                time.sleep(0.001)

    def ask(self, command):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.folder / "control.sock"))
            with s.makefile("rwb") as f:
                f.write(json.dumps({"command": command}).encode() + b"\n")
                f.flush()
                return json.loads(f.readline())

    def memory(self):
        status = dict(line.split(":", 1) for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines())
        return tuple(int(status[k].split()[0]) / 1024 for k in ("VmRSS", "RssAnon"))

    def cpu(self):
        ticks = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Metrics(http.server.BaseHTTPRequestHandler):
    """CloudWatch: each query has one point, of the last whole minute."""

    protocol_version = "HTTP/1.1"
    answered = 0

    def do_POST(self):
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        ids = re.findall(r"MetricDataQueries\.member\.\d+\.Id=([^&]+)", form)
        at = time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(time.time() - 60))
        rows = "".join(f"<member><Id>{urllib.parse.unquote(i)}</Id><Label>l</Label><StatusCode>Complete</StatusCode><Timestamps><member>{at}</member>"
                       f"</Timestamps><Values><member>{20 + len(i) % 7}.5</member></Values></member>" for i in ids)
        body = (f"<GetMetricDataResponse><GetMetricDataResult><MetricDataResults>{rows}</MetricDataResults></GetMetricDataResult>"
                "<ResponseMetadata><RequestId>bench</RequestId></ResponseMetadata></GetMetricDataResponse>").encode()
        Metrics.answered += len(ids)
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def idle(build, folder):
    d = Daemon(build, folder, 'aws "prod" { region = "us-east-1", endpoint = "http://127.0.0.1:9" }\n'
               'asg "web-1" { aws = "prod", tag = { tier = "web" }, target_group = "targetgroup/web/0123456789abcdef", '
               'alb = "app/web/456789abcdef0123" }\n'
               'postgres "db-1" { host = "127.0.0.1", port = 9, database = "app", user = "runbookd", sslmode = "disable" }\n', ROOT / "policies")
    starts = []
    for _ in range(5):
        starts.append(d.start())
        if len(starts) < 5:
            d.stop()
    true = time.monotonic()
    subprocess.run(["/bin/true"], check=True)
    true = time.monotonic() - true
    time.sleep(10)
    rss, own = d.memory()
    cpu = d.cpu()
    n = d.ask("metrics")["engine"]["instances"]
    d.stop()
    start = statistics.median(starts)
    yield f"start: the shipped policies, {n} of them with a target: {start * 1e3:.0f} ms until it answers; /bin/true takes {true * 1e3:.1f} ms"
    yield f"memory: idle, two targets that do not answer: {rss:.1f} MiB resident ({own:.1f} of them its own), {cpu:.2f} s of processor in 10 s"


def many(build, folder):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metrics)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    d = Daemon(build, folder, f'aws "prod" {{ region = "us-east-1", endpoint = "http://127.0.0.1:{port}" }}\n'
               f'for k = 0, {POLICIES * PER - 1} do asg("g" .. k) {{ aws = "prod" }} end\n',
               [MANY.format(n=n, names=", ".join(f'"g{n * PER + k}"' for k in range(PER))) for n in range(POLICIES)])
    start = d.start()
    time.sleep(10)
    before, answered, lag = d.cpu(), Metrics.answered, d.ask("metrics")["loop_lag_minute_ms"]
    time.sleep(60)
    cpu, points = d.cpu() - before, Metrics.answered - answered
    rss, own = d.memory()
    m = d.ask("metrics")
    while d.ask("metrics")["loop_work_minute_ms"] > 20:  # of the minute before
        time.sleep(1)
    begin = time.monotonic()
    if "error" in d.ask("reload"):
        sys.exit("the reload was refused")
    reload = time.monotonic() - begin
    time.sleep(1.2)
    work = d.ask("metrics")["loop_work_minute_ms"]
    d.stop()
    yield (f"reload: {POLICIES} policies, {POLICIES * PER} targets: {reload * 1e3:.0f} ms until the answer, beside the loop; "
           f"most work of one turn of the loop {work:.0f} ms")
    yield f"start: {POLICIES} policies, each in a file, {POLICIES * PER} targets: {start * 1e3:.0f} ms until it answers"
    yield f"memory: {POLICIES} policies, {m['engine']['series']} series: {rss:.1f} MiB resident ({own:.1f} of them its own)"
    # the same questions from Python: what the server and the machine make of them
    form = "&".join(f"MetricDataQueries.member.{k}.Id=q{k}" for k in range(1, 501))
    c, mine = http.client.HTTPConnection("127.0.0.1", port), time.process_time()
    for _ in range(points // 500):
        c.request("POST", "/", form)
        re.findall("<Values><member>([^<]*)", c.getresponse().read().decode())
    mine = time.process_time() - mine
    server.shutdown()
    yield (f"processor: {m['engine']['series']} series, {points} points in a minute: {cpu / 60 * 100:.2f} % of one core, {cpu * 1e6 / max(points, 1):.1f} us a point, "
           f"signing, XML and conditions included; asking and answering the same from Python takes {mine:.2f} s, the daemon {cpu / max(mine, 1e-9):.2f} times that; "
           f"longest turn of the loop {max(lag, m['loop_lag_minute_ms']):.0f} ms")


def latency(build, folder):
    sys.path.insert(0, str(ROOT / "tests/live/agent"))
    os.environ["RB_BIN"] = str(build / "agent")
    from rig import Sim, eventually, group, scenario  # pylint: disable=import-outside-toplevel
    names = [f"web-{n}" for n in range(10)]
    folder.mkdir()
    sim = Sim(str(folder), scenario(*(group(n, traffic=[{"at": 0, "rps": 20}]) for n in names)))
    d = Daemon(build, folder / "agent", f'aws "prod" {{ region = "us-east-1", endpoint = "http://127.0.0.1:{sim.port}" }}\n' +
               "".join(f'asg "{n}" {{ aws = "prod", tag = {{ tier = "web" }} }}\n' for n in names), [HOT], mode="enforce")
    took, calls = [], []
    try:
        d.start()
        time.sleep(3)
        for name in names:
            sim.call("POST", "traffic", {"group": name, "rps": 190})
            eventually(lambda n=name: [e for e in sim.call("GET", "effects")["list"] if e["params"].get("AutoScalingGroupName") == n], 30)
            requests = sim.call("GET", "requests")
            act = next(r for r in requests if r["action"] == "SetDesiredCapacity" and r["params"]["AutoScalingGroupName"] == name)
            last = [r for r in requests if r["action"] == "GetMetricData" and r["seq"] < act["seq"]][-1]
            took.append(act["time"] - last["time"])
            calls.append([r for r in requests if last["seq"] < r["seq"] <= act["seq"]])
        c, floor = http.client.HTTPConnection("127.0.0.1", sim.port), []
        for between in calls:
            begin = time.monotonic()
            for _ in between:
                c.request("GET", "/_sim/pager")
                c.getresponse().read()
            floor.append(time.monotonic() - begin)
    finally:
        d.stop()
        sim.stop()
    yield (f"latency: from the answer with the deciding sample to SetDesiredCapacity {statistics.median(took) * 1e3:.0f} ms in the middle, {max(took) * 1e3:.0f} ms at most, "
           f"of {len(took)}, with {statistics.median(len(b) for b in calls):.0f} calls one after the other and two durable steps in between; as many calls "
           f"of nothing take {statistics.median(floor) * 1e3:.0f} ms")


def measure(build, folder):
    for n, part in enumerate((idle, many, latency)):
        yield from part(build, folder / f"daemon{n}")
