"""The program itself: start and end, port file, TLS, scenario errors, speed of a connection."""

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

import testing


class Program(unittest.TestCase):
    def test_ends_at_once(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            sim = testing.Sim()
            sim.control("POST", "faults", {"kind": "hang", "seconds": 60})
            with socket.create_connection(("127.0.0.1", sim.port)) as held:
                held.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
                time.sleep(0.2)
                begin = time.monotonic()
                sim.process.send_signal(number)
                self.assertEqual(sim.process.wait(timeout=5), 0)
                self.assertLess(time.monotonic() - begin, 1.0)
            sim.stop()

    def test_dies_with_its_parent(self):
        with tempfile.TemporaryDirectory() as folder:
            port_file = os.path.join(folder, "port")
            parent = subprocess.Popen(
                [sys.executable, "-c", "import subprocess, sys, time\n"
                 "p = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
                 "print(p.pid, flush=True)\ntime.sleep(60)",
                 testing.PROGRAM, "--port-file", port_file, "--die-with-parent"],
                stdout=subprocess.PIPE, text=True)
            child = int(parent.stdout.readline())
            while not os.path.exists(port_file):
                time.sleep(0.02)
            parent.kill()
            parent.wait()
            parent.stdout.close()
            deadline = time.monotonic() + 5
            while _alive(child) and time.monotonic() < deadline:
                time.sleep(0.02)
            self.assertFalse(_alive(child))

    def test_scenario_errors(self):
        for content, words in (('{"gruops": []}', "has no key 'gruops'"), ("{", "Expecting")):
            with tempfile.NamedTemporaryFile("w", suffix=".json") as stream:
                stream.write(content)
                stream.flush()
                done = subprocess.run([testing.PROGRAM, "--scenario", stream.name],
                                      capture_output=True, text=True, timeout=20)
                self.assertEqual(done.returncode, 2)
                self.assertIn(words, done.stderr)
                self.assertIn(stream.name, done.stderr)
        done = subprocess.run([testing.PROGRAM, "--scenario", "/nowhere"], capture_output=True,
                              text=True, timeout=20)
        self.assertEqual(done.returncode, 2)

    def test_loopback_only_and_a_taken_port(self):
        sim = testing.Sim()
        try:
            with open("/proc/net/tcp", encoding="ascii") as stream:
                listening = [line.split()[1] for line in stream if line.split()[3] == "0A"]
            mine = [a for a in listening if int(a.split(":")[1], 16) == sim.port]
            self.assertEqual(mine, [f"0100007F:{sim.port:04X}"])
            done = subprocess.run([testing.PROGRAM, "--port", str(sim.port)], capture_output=True,
                                  text=True, timeout=20)
            self.assertEqual(done.returncode, 2)
            self.assertIn("in use", done.stderr)
        finally:
            sim.stop()

    def test_keep_alive_without_delay(self):
        sim = testing.Sim()
        try:
            connection = http.client.HTTPConnection("127.0.0.1", sim.port)
            begin = time.monotonic()
            for _ in range(100):
                connection.request("GET", "/_sim/counts")
                connection.getresponse().read()
            # With Nagle's algorithm and delayed acknowledgements each would take 40 ms.
            self.assertLess(time.monotonic() - begin, 2.0)
            connection.close()
        finally:
            sim.stop()

    @unittest.skipUnless(shutil.which("openssl"), "needs the openssl program for a certificate")
    def test_tls(self):
        with tempfile.TemporaryDirectory() as folder:
            key, certificate = os.path.join(folder, "key.pem"), os.path.join(folder, "cert.pem")
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days",
                            "1", "-subj", "/CN=127.0.0.1", "-addext",
                            "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
                           check=True, capture_output=True)
            sim = testing.Sim(None, "--tls-cert", certificate, "--tls-key", key)
            try:
                context = ssl.create_default_context(cafile=certificate)
                # A client that never says hello holds up nobody.
                with socket.create_connection(("127.0.0.1", sim.port)):
                    connection = http.client.HTTPSConnection("127.0.0.1", sim.port, timeout=5,
                                                             context=context)
                    connection.request("GET", "/_sim/state")
                    self.assertIn("groups", json.loads(connection.getresponse().read()))
                    connection.close()
            finally:
                sim.stop()


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    unittest.main()
