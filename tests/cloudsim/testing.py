"""For cloudsim's own tests: starts the real program and talks to it with botocore."""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

import botocore.session
from botocore.config import Config

sys.dont_write_bytecode = True

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.join(HERE, "cloudsim")
KEY, SECRET = "AKIACLOUDSIM00000001", "cloudsim/secret/key/0001"
GROUP = "web"
REGION = "us-east-1"

SCENARIO = {
    "metric_period": 1,
    "history_seconds": 30,
    "tick_seconds": 0.1,
    "roles": [{"name": "runbookd"}],
    "groups": [{
        "name": GROUP, "min": 1, "max": 6, "desired": 3, "tags": {"team": "web", "tier": "front"},
        "boot_seconds": 0.5, "drain_seconds": 0.3, "terminate_seconds": 0.2,
        "target_group": "targetgroup/web/0123456789abcdef", "load_balancer": "app/web/456789abcdef",
        "traffic": [{"at": 0, "rps": 120}],
    }],
}


def scenario(**changes):
    return {**json.loads(json.dumps(SCENARIO)), **changes}


class Sim:
    """A running cloudsim."""

    def __init__(self, content=None, *options):
        self.folder = tempfile.TemporaryDirectory()
        path = os.path.join(self.folder.name, "scenario.json")
        port_file = os.path.join(self.folder.name, "port")
        with open(path, "w", encoding="utf-8") as stream:
            json.dump(SCENARIO if content is None else content, stream)
        self.process = subprocess.Popen(
            [PROGRAM, "--scenario", path, "--port-file", port_file, "--die-with-parent", *options],
            stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not os.path.exists(port_file):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("cloudsim did not start")
            time.sleep(0.02)
        with open(port_file, encoding="ascii") as stream:
            self.port = int(stream.read())
        self.url = f"{'https' if '--tls-cert' in options else 'http'}://127.0.0.1:{self.port}"
        self._session = botocore.session.get_session()
        self._clients = {}

    def stop(self):
        for client in self._clients.values():
            client._endpoint.http_session.close()
        self.process.terminate()
        code = self.process.wait(timeout=10)
        self.folder.cleanup()
        return code

    def client(self, service, key=KEY, secret=SECRET, token=None, region=REGION, **config):
        """A botocore client that tries once; the same one again for the same arguments."""
        which = (service, key, secret, token, region, repr(config))
        if which not in self._clients:
            settings = {"retries": {"max_attempts": 0}, "read_timeout": 10, **config}
            self._clients[which] = self._session.create_client(
                service, region_name=region, endpoint_url=self.url, aws_access_key_id=key,
                aws_secret_access_key=secret, aws_session_token=token, config=Config(**settings))
        return self._clients[which]

    def http(self, method, path, body=None, headers=None, timeout=10):
        """(status, headers, body) of a plain request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def control(self, method, path, body=None):
        status, _, answer = self.http(method, "/_sim/" + path,
                                      None if body is None else json.dumps(body))
        if status != 200:
            raise RuntimeError(f"{method} {path}: {status} {answer.decode()}")
        return json.loads(answer)

    def state(self, group=GROUP):
        return self.control("GET", "state")["groups"][group]

    def until(self, test, seconds=10):
        """Waits until test() is true; its last value."""
        deadline = time.monotonic() + seconds
        while True:
            value = test()
            if value or time.monotonic() > deadline:
                return value
            time.sleep(0.05)


class SimTest(unittest.TestCase):
    """Tests that share one cloudsim; faults, policies and the clock are reset after each."""

    content = SCENARIO

    @classmethod
    def setUpClass(cls):
        cls.sim = Sim(cls.content)

    @classmethod
    def tearDownClass(cls):
        assert cls.sim.stop() == 0

    def tearDown(self):
        for path in ("faults", "iam", "metrics/override", "pager"):
            self.sim.control("DELETE", path)
        self.sim.control("POST", "clock", {"offset": 0})

    def refused(self, code, call, *args, **params):
        """Asserts that a botocore call is refused with `code`; gives (message, status)."""
        from botocore.exceptions import ClientError

        with self.assertRaises(ClientError) as caught:
            call(*args, **params)
        response = caught.exception.response
        self.assertEqual(response["Error"]["Code"], code, response)
        return response["Error"]["Message"], response["ResponseMetadata"]["HTTPStatusCode"]
