"""The running agent and its operators: commands, signals, reloads, the way out."""

import json
import os
import pty
import resource
import signal
import socket
import subprocess
import time
import unittest

from agent_case import RUNBOOKCTL, RUNBOOKD, AgentCase, eventually, sanitized


class Control(AgentCase):
    def test_status_freeze_unfreeze(self):
        self.start()
        self.assertFalse(self.ask("status")["frozen"])
        self.ctl("freeze", "the", "deploy")
        s = self.ask("status")
        self.assertTrue(s["frozen"])
        self.assertEqual(s["frozen_reason"], "the deploy")
        self.assertEqual(self.ctl("unfreeze", ok=False).returncode, 5, "it widens: not without a yes")
        self.assertTrue(self.ask("status")["frozen"])
        self.ctl("unfreeze", "--yes")
        self.assertFalse(self.ask("status")["frozen"])
        refused = self.ctl("unfreeze", "--yes", ok=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("not frozen", refused.stderr)

    def test_a_freeze_survives_kill_9(self):
        p = self.start()
        self.ctl("freeze", "holds")
        p.kill()
        p.wait()
        self.start()
        self.assertTrue(self.ask("status")["frozen"])

    def test_sigusr1_freezes(self):
        p = self.start()
        p.send_signal(signal.SIGUSR1)
        eventually(lambda: self.ask("status")["frozen"])
        self.assertEqual(self.ask("status")["frozen_by"], "signal")

    def test_the_file_freezes_and_does_not_unfreeze(self):
        self.start()
        self.write("run/freeze", "")
        eventually(lambda: self.ask("status")["frozen"], 5)
        refused = self.ctl("unfreeze", "--yes", ok=False)
        self.assertIn("file", refused.stderr)
        os.unlink(self.path("run/freeze"))
        time.sleep(1.5)
        self.assertTrue(self.ask("status")["frozen"])
        self.ctl("unfreeze", "--yes")
        self.assertFalse(self.ask("status")["frozen"])

    def test_who_gave_a_command_cannot_be_forged(self):
        self.start()
        me = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        self.raw({"command": "freeze", "by": "mallory", "reason": "x\n2026 forged line"})
        s = self.ask("status")
        self.assertEqual(s["frozen_by"], me)
        self.assertNotIn("\n2026 forged", self.log())
        shown = self.ctl("status").stdout
        self.assertNotIn("\n2026 forged", shown)
        self.assertIn("\\x0a2026 forged", shown)

    def test_a_mode_is_raised_only_by_name(self):
        self.start()
        self.ctl("mode", "shadow")
        self.assertEqual(self.ask("status")["mode"], "shadow")
        self.assertEqual(self.ctl("mode", "enforce", ok=False).returncode, 5)
        self.assertEqual(self.ctl("mode", "enforce", "--confirm", "otherhost", ok=False).returncode, 1)
        # nor by saying so in the protocol
        self.assertIn("error", self.raw({"command": "mode", "mode": "enforce", "confirmed": True})[0])
        self.assertEqual(self.ask("status")["mode"], "shadow")
        self.ctl("mode", "enforce", "--confirm", "testhost")
        self.assertEqual(self.ask("status")["mode"], "enforce")

    def test_a_lowered_mode_survives_a_restart(self):
        self.start()
        self.ctl("mode", "off")
        self.stop()
        p = self.start()
        self.assertEqual(self.ask("status")["mode"], "off")
        self.assertIn("mode off by an operator's order (enforce is configured), ", self.log(p))

    def test_nonsense_is_answered_and_does_no_harm(self):
        self.start()
        for line in (b"\n", b"{\n", b"[]\n", b"7\n", b'"x"\n', b"{}\n", b'{"command":7}\n', b'{"command":"status","command":"freeze"}\n',
                     b"\xff\xfe\n", b'{"command":"' + b"x" * 1000 + b'"}\n', b"[" * 5000 + b"\n", b'{"command":"frobnicate"}\n'):
            self.assertIn("error", self.raw(line)[0], line)
        self.assertIn("error", self.raw({"command": "approve", "run": "R1"})[0])
        self.assertIn("error", self.raw({"command": "show", "id": 7})[0])
        self.assertIn("error", self.raw({"command": "explain"})[0])
        self.assertIn("error", self.raw({"command": "silence", "for": "-2h", "policy": "x"})[0])
        self.assertIn("reports", self.raw({"command": "reports", "limit": -1})[0])
        self.assertFalse(self.ask("status")["frozen"])

    def test_exit_codes_of_ctl(self):
        self.assertEqual(self.ctl("status", ok=False).returncode, 3)
        self.assertEqual(self.ctl("frobnicate", ok=False).returncode, 2)
        self.assertEqual(self.ctl("explain", ok=False).returncode, 2)
        self.assertEqual(self.ctl("status", "extra", ok=False).returncode, 2)
        for limit in ("many", "5x", "0", "-1", ""):
            self.assertEqual(self.ctl("runs", f"--limit={limit}", ok=False).returncode, 2, limit)
        self.assertEqual(self.ctl("--frobnicate", ok=False).returncode, 2)
        self.assertEqual(self.ctl("settle", "R1", "maybe", "--yes", ok=False).returncode, 2)  # before it is asked or sent
        self.assertEqual(self.ctl("--help").returncode, 0)
        self.start()
        self.assertEqual(self.ctl("explain", "nothing", ok=False).returncode, 1)

    def test_every_line_of_help_fits(self):
        for line in self.ctl("--help").stdout.splitlines():
            self.assertLessEqual(len(line), 110, line)

    def pty_output(self, *args, env=None):
        primary, secondary = pty.openpty()
        p = subprocess.Popen([RUNBOOKCTL, "--socket", self.path("run/control.sock"), *args], stdout=secondary, stderr=secondary, stdin=secondary,
                             env={**os.environ, "TERM": "xterm", **(env or {})})
        os.close(secondary)
        out = b""
        while True:
            try:
                piece = os.read(primary, 65536)
            except OSError:
                break
            if not piece:
                break
            out += piece
        os.close(primary)
        p.wait()
        return out

    def test_colours_on_a_terminal_only(self):
        self.start()
        self.ctl("freeze", "x")
        env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        self.assertNotIn("\033", self.ctl("status", env=env).stdout)
        os.environ.pop("NO_COLOR", None)
        self.assertIn(b"\033[31;1m", self.pty_output("status"))
        self.assertNotIn(b"\033", self.pty_output("status", env={"NO_COLOR": "1"}))
        self.assertNotIn(b"\033", self.pty_output("status", env={"TERM": "dumb"}))

    def test_reports_are_kept(self):
        self.start()
        self.ctl("report-test")
        eventually(lambda: [r for r in self.ask("reports")["reports"] if r.get("delivery", {}).get("outcome") == "delivered"])

    def test_the_socket_is_for_its_owner(self):
        self.start()
        self.assertEqual(os.stat(self.path("run/control.sock")).st_mode & 0o7777, 0o600)
        self.stop()
        self.assertFalse(os.path.exists(self.path("run/control.sock")))

    def test_many_at_once(self):
        self.start()
        ps = [subprocess.Popen([RUNBOOKCTL, "--socket", self.path("run/control.sock"), "status"], stdout=subprocess.DEVNULL) for _ in range(8)]
        self.assertEqual([p.wait(20) for p in ps], [0] * 8)


class Life(AgentCase):
    def test_sigterm_ends_with_0(self):
        for how in (signal.SIGTERM, signal.SIGINT):
            self.start()
            began = time.monotonic()
            self.assertEqual(self.stop(how=how), 0)
            self.assertLess(time.monotonic() - began, 5)

    def test_no_core_file_and_no_debugger(self):
        p = self.start()
        with open(f"/proc/{p.pid}/limits", encoding="ascii") as f:
            core = [line for line in f if line.startswith("Max core file size")][0]
        self.assertEqual(core.split()[4:6], ["0", "0"])

    def test_the_service_manager_is_told(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind(self.path("notify"))
            s.settimeout(10)
            # WATCHDOG_PID is left out: then it is meant for whoever reads it
            p = self.start(env={**os.environ, "NOTIFY_SOCKET": self.path("notify"), "WATCHDOG_USEC": "2000000"})
            told = []

            def until(word):
                while not told or word not in told[-1]:
                    told.append(s.recv(4096).decode())
            until("READY=1")
            self.assertIn("STATUS=mode enforce, ", told[-1])
            self.ctl("mode", "shadow")
            until("STATUS=mode shadow by an operator's order (enforce is configured), ")
            until("WATCHDOG=1")
            p.send_signal(signal.SIGHUP)
            until("RELOADING=1")
            until("READY=1")
            p.send_signal(signal.SIGTERM)
            until("STOPPING=1")
            self.assertEqual(p.wait(10), 0)

    def test_out_of_memory_it_pages_and_ends_with_its_own_code(self):
        if sanitized():
            self.skipTest("the sanitizer needs its address space")
        p = self.start()
        with open(f"/proc/{p.pid}/statm", encoding="ascii") as f:
            now = int(f.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.prlimit(p.pid, resource.RLIMIT_AS, (now, now))
        for _ in range(400):
            if p.poll() is not None:
                break
            try:
                # an answer that does not fit into what is left
                with socket.socket(socket.AF_UNIX) as s:
                    s.settimeout(1)
                    s.connect(self.path("run/control.sock"))
                    s.sendall(b'{"command":"freeze","reason":"' + b"m" * 60000 + b'"}\n')
                    s.recv(65536)
            except OSError:
                pass
        self.assertEqual(p.wait(10), 71, self.log()[-2000:])
        self.assertRegex(self.log(), "out of memory")
        audit = subprocess.run([RUNBOOKD, "audit", self.path("state/journal.db")], capture_output=True, text=True)
        self.assertEqual(audit.returncode, 0, audit.stdout + audit.stderr)

    def test_files_are_ours_alone(self):
        self.start()
        for folder, _, names in os.walk(self.path("state")):
            self.assertEqual(os.stat(folder).st_mode & 0o077, 0)
            for name in names:
                self.assertEqual(os.stat(os.path.join(folder, name)).st_mode & 0o077, 0, name)

    def test_kills_leave_a_whole_journal(self):
        for n in range(4):
            p = self.start()
            self.ctl("freeze", f"n{n}")
            p.send_signal(signal.SIGKILL if n % 2 else signal.SIGTERM)
            p.wait()
        run = subprocess.run([RUNBOOKD, "audit", "--json", self.path("state/journal.db")],
                             capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stdout)
        self.assertEqual(json.loads(run.stdout)["findings"], [])


class Reload(AgentCase):
    def test_an_error_keeps_the_old(self):
        p = self.start()
        self.write("policies/a.lua", "frobnicate()\npolicy 'x' {}\n")
        refused = self.ctl("reload", ok=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("a.lua:1:1: E102", refused.stdout)
        self.assertIn("E105", refused.stdout)
        answer = json.loads(self.ctl("--json", "reload", ok=False).stdout)
        self.assertIn("E102", [d["code"] for d in answer["diagnostics"]])
        p.send_signal(signal.SIGHUP)
        eventually(lambda: self.log().count("E102") >= 3, 5)
        self.assertEqual(self.ask("status")["host"], "testhost")
        os.unlink(self.path("policies/a.lua"))
        self.assertIn("in force", self.ctl("reload").stdout)

    def test_sighup_takes_up_what_is_new(self):
        p = self.start()
        self.write("estate.lua", 'aws "prod" { region = "us-east-1" }\naws "dev" { region = "eu-west-1" }\n')
        p.send_signal(signal.SIGHUP)
        eventually(lambda: "2 targets in force" in self.log(), 5)

    def test_what_needs_a_restart_is_said(self):
        self.start()
        self.configure(mode="shadow")
        self.assertIn("mode is read at the start only", self.ctl("reload").stdout)
        self.assertEqual(self.ask("status")["mode"], "enforce")

    def test_a_target_that_may_do_more_needs_widen(self):
        lua = 'aws "prod" {{ region = "us-east-1" }}\nasg "web" {{ aws = "prod", mode = "{}" }}\n'
        self.write("estate.lua", lua.format("approve"))
        self.start()
        self.write("estate.lua", lua.format("enforce"))
        refused = self.ctl("reload", ok=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("wider: asg/web: mode approve -> enforce", refused.stdout)
        self.agents[-1].send_signal(signal.SIGHUP)  # a signal never widens
        eventually(lambda: "would widen" in self.log(), 5)
        self.ctl("reload", "--widen")
        self.write("estate.lua", lua.format("shadow"))
        self.ctl("reload")  # narrower is nobody's business


if __name__ == "__main__":
    unittest.main()
