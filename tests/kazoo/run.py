#!/usr/bin/env python3
"""Runs kazoo's own test suite against a server and compares the outcomes with those on Apache ZooKeeper.

    python3 tests/kazoo/run.py                        # against ringkeeper
    python3 tests/kazoo/run.py --server apache        # against Apache ZooKeeper
    python3 tests/kazoo/run.py --server apache --record   # writes expected.txt anew (runs the suite three times)
    python3 tests/kazoo/run.py test_lock.py -k semaphore  # a part; the rest goes to pytest

Prints "N passed, N failed" and ends with 0 if every test that passes on Apache ZooKeeper (expected.txt) passes, with 1
if not, with 77 if the suite cannot run here. A test that fails is tried again, up to --retries times, alone: kazoo's
tests have timeouts of their own that a busy machine can miss.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

import cache  # noqa: E402
import servers  # noqa: E402

EXPECTED = HERE / "expected.txt"
TEST_TIMEOUT_S = 120


def pytest_outcomes(server, targets, extra=(), log=None):
    """Runs pytest on the targets (files or node ids under kazoo/tests); test → outcome line."""
    sources = cache.kazoo_sources()
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as outcomes:
        environment = {
            **os.environ,
            "KAZOO_SERVER": server,
            "KAZOO_OUTCOMES": outcomes.name,
            "PYTHONPATH": str(HERE),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [cache.venv_python(), "-m", "pytest", "-p", "harness", "-p", "no:cacheprovider", "-c", os.devnull]
        command += ["-q", "--tb=short", f"--timeout={TEST_TIMEOUT_S}", "--rootdir", str(sources), *extra]
        command += [str(sources / "kazoo" / "tests" / target) for target in targets]
        done = subprocess.run(
            command, cwd=sources, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        found = {}
        for line in Path(outcomes.name).read_text().splitlines():
            entry = json.loads(line)
            # A failing tear-down outweighs the passed call before it.
            if entry["test"] not in found or entry["outcome"] == "failed":
                found[entry["test"]] = entry
    if log is not None:
        log.write(done.stdout + done.stderr)
    if done.returncode not in (0, 1, 5):
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    return found


def run_all(server, files, jobs, extra, log):
    """Runs the files, `jobs` of them at a time, each in a process and on a server of its own."""
    sizes = {name: (cache.kazoo_sources() / "kazoo" / "tests" / name).stat().st_size for name in files}
    found = {}
    with ThreadPoolExecutor(jobs) as pool:
        for part in pool.map(lambda name: pytest_outcomes(server, [name], extra, log), sorted(files, key=SLOW_FIRST(sizes))):
            found.update(part)
    return found


class SLOW_FIRST:
    """Orders test files so that the long ones do not come last."""

    LONG = ("test_gevent_handler.py", "test_eventlet_handler.py", "test_client.py", "test_lock.py", "test_connection.py")

    def __init__(self, sizes):
        self.sizes = sizes

    def __call__(self, name):
        return (self.LONG.index(name) if name in self.LONG else len(self.LONG), -self.sizes[name])


def read_expected():
    """test → (outcome on Apache ZooKeeper, reason)."""
    expected = {}
    for line in EXPECTED.read_text().splitlines():
        if line and not line.startswith("#"):
            outcome, test, *reason = line.split(None, 2)
            expected[test] = (outcome, reason[0] if reason else "")
    return expected


def record(runs, alone):
    """Writes expected.txt from several runs: a test is expected to pass if it did in all of them, or in some of them
    and then alone, which is how main() tries failing tests again."""
    lines = [
        f"# kazoo {cache.KAZOO_VERSION}'s tests against Apache ZooKeeper {cache.ZOOKEEPER_VERSION}, standalone.",
        "# pass: ringkeeper must pass it too. skip, fail, flaky: not asked of ringkeeper.",
        "# Written by run.py --server apache --record.",
    ]
    for test in sorted(set().union(*runs)):
        outcomes = [run[test] for run in runs if test in run]
        kinds = {entry["outcome"] for entry in outcomes}
        reason = next((entry["reason"] for entry in outcomes if "reason" in entry), "")
        reason = " ".join(reason.split())[:140]
        if alone.get(test, {}).get("outcome") == "passed":
            kinds = {"passed"} if "passed" in kinds else kinds
        if kinds == {"passed"}:
            lines.append(f"pass  {test}")
        elif kinds == {"skipped"}:
            lines.append(f"skip  {test}  {reason}")
        elif kinds == {"failed"}:
            lines.append(f"fail  {test}  {reason}")
        else:
            lines.append(f"flaky {test}  {reason}")
    EXPECTED.write_text("\n".join(lines) + "\n")


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", default="ringkeeper", help="a word of tests/support/servers.py")
    parser.add_argument("--record", action="store_true", help="write expected.txt")
    parser.add_argument("--jobs", type=int, default=6, help="test files at a time (the tests mostly wait)")
    parser.add_argument("--retries", type=int, default=2)
    parser.add_argument("--log", help="where pytest's output goes")
    parser.add_argument("-k", dest="keyword", help="pytest's -k")
    parser.add_argument("targets", nargs="*", help="test files; all by default")
    return parser.parse_args(arguments)


def main(arguments):
    options = parse(arguments)
    try:
        directory = cache.kazoo_sources() / "kazoo" / "tests"
        cache.venv_python()
        servers.make(options.server).destroy()
    except cache.Unavailable as reason:
        print(f"SKIPPED: {reason}")
        return 77
    files = options.targets or sorted(path.name for path in directory.glob("test_*.py"))
    extra = ["-k", options.keyword] if options.keyword else []
    with open(options.log or os.devnull, "w") as log:
        began = time.monotonic()
        if options.record:
            runs = [run_all(options.server, files, options.jobs, extra, log) for _ in range(3)]
            unsteady = sorted({test for run in runs for test, entry in run.items() if entry["outcome"] == "failed"})
            record(runs, pytest_outcomes(options.server, unsteady, (), log) if unsteady else {})
            print(f"wrote {EXPECTED}, {time.monotonic() - began:.0f} s")
            return 0
        found = run_all(options.server, files, options.jobs, extra, log)
        expected = read_expected()
        partial = bool(options.targets or options.keyword)
        asked = [test for test, (outcome, _) in expected.items() if outcome == "pass" and (test in found or not partial)]
        for _ in range(options.retries):
            failed = [test for test in asked if found.get(test, {}).get("outcome") != "passed"]
            if failed and len(failed) <= 20:
                found.update(pytest_outcomes(options.server, failed, (), log))
    failed = [test for test in asked if found.get(test, {}).get("outcome") != "passed"]
    for test in failed:
        entry = found.get(test, {"outcome": "did not run"})
        print(f"FAILED {test}: {entry['outcome']} {entry.get('reason', '')}")
    beyond = [t for t, e in found.items() if e["outcome"] == "passed" and expected.get(t, ("",))[0] not in ("pass", "")]
    took = time.monotonic() - began
    print(f"{len(asked) - len(failed)} passed, {len(failed)} failed, {len(beyond)} more pass, {took:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
