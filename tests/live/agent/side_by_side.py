#!/usr/bin/python3
"""Runs the tests of a module side by side, each in a process of its own: they mostly wait. Usage: side_by_side.py MODULE [JOBS]"""
import concurrent.futures
import os
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)


def names(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from names(test)
        else:
            yield test.id()


def run(name):
    done = subprocess.run([sys.executable, "-B", "-W", "ignore::ResourceWarning", "-m", "unittest", "-v", name], cwd=HERE, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=200, check=False)
    return name, done.returncode, done.stdout


def main():
    module, jobs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    tests = list(names(unittest.defaultTestLoader.loadTestsFromName(module)))
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for name, code, text in pool.map(run, tests):
            failed += code != 0
            print(f"{name}: {'ok' if code == 0 else 'FAILED'}" + (f"\n{text}" if code else ""), flush=True)
    print(f"{len(tests)} tests, {failed} failed")
    return 1 if failed or not tests else 0


if __name__ == "__main__":
    sys.exit(main())
