"""The harness's front end: a command gets a private cloudsim in its environment."""

import json
import os
import subprocess
import sys
import unittest

import testing

AWSTEMP = os.path.join(testing.HERE, "..", "harness", "awstemp")
SCENARIO = os.path.join(testing.HERE, "scenarios", "demo.json")
LOOK = """
import json, os, ssl, urllib.request
url = os.environ["CLOUDSIM_URL"]
ca = os.environ.get("AWS_CA_BUNDLE")
context = ssl.create_default_context(cafile=ca) if ca else None
with urllib.request.urlopen(url + "/_sim/state", context=context) as answer:
    print(json.dumps({"state": json.load(answer), "pid": int(os.environ["RB_CLOUDSIM_PID"]),
                      "key": os.environ["AWS_ACCESS_KEY_ID"], "url": url}))
raise SystemExit(7)
"""


class AwsTemp(unittest.TestCase):
    def run_with(self, *options):
        done = subprocess.run([AWSTEMP, *options, "--", sys.executable, "-c", LOOK],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 7, done.stderr)
        return json.loads(done.stdout)

    def test_a_command_gets_one_that_ends_with_it(self):
        seen = self.run_with("--scenario", SCENARIO, "--set", "metric_period=10")
        self.assertEqual(seen["state"]["metric_period"], 10)
        self.assertIn("basecoat-portal-asg", seen["state"]["groups"])
        self.assertEqual(seen["key"], testing.KEY)
        self.assertFalse(os.path.exists(f"/proc/{seen['pid']}"))

    def test_tls(self):
        self.assertTrue(self.run_with("--tls")["url"].startswith("https://"))

    def test_a_mistaken_scenario_is_told(self):
        done = subprocess.run([AWSTEMP, "--set", "metric_period=7", "--", "true"],
                              capture_output=True, text=True, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("metric_period must be", done.stderr)


if __name__ == "__main__":
    unittest.main()
