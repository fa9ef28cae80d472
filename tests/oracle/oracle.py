#!/usr/bin/env python3
"""The differential oracle: the same operations on two servers, every answer compared.

    python3 tests/oracle/oracle.py                                   # Apache ZooKeeper against ringkeeper, 20 seeds
    python3 tests/oracle/oracle.py --right apache --seeds 50         # proves the oracle itself
    python3 tests/oracle/oracle.py --seed 7 --steps 300              # one seed
    python3 tests/oracle/oracle.py --replay failing.json             # a sequence an earlier run wrote down

`--left` and `--right` take the words of tests/support/servers.py: apache, ringkeeper, a binary, host:port.
Ends with 0 when nothing differs, 1 on a difference, 77 when a server cannot be had here.
"""

import argparse
import json
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

import cache  # noqa: E402
import differences  # noqa: E402
import scenarios  # noqa: E402
import servers  # noqa: E402
import side  # noqa: E402
import steps as generator  # noqa: E402

# What both servers are configured with. The reaper of containers and TTL nodes is kept from running in the middle of
# a sequence; scenarios.py looks at it.
PROFILES = {
    "default": {"znode.container.checkIntervalMs": "86400000"},
    "extended": {
        "znode.container.checkIntervalMs": "86400000",
        "extendedTypesEnabled": "true",
        "enforceQuota": "true",
    },
    # With restarts of both servers among the steps.
    "restarts": {"znode.container.checkIntervalMs": "86400000", "extendedTypesEnabled": "true"},
    # For the fixed sequences about what happens by itself: reaping and expiry.
    "timed": {
        "znode.container.checkIntervalMs": "200",
        "extendedTypesEnabled": "true",
        "tickTime": "200",
        "minSessionTimeout": "400",
        "maxSessionTimeout": "40000",
    },
}
RANDOM_PROFILES = ("default", "extended", "restarts")


class Pair:
    """Two servers under one profile, and the sides that speak to them."""

    def __init__(self, left, right, profile):
        self.servers = [servers.make(word, PROFILES[profile]) for word in (left, right)]
        self.words = (left, right)

    def __enter__(self):
        self.servers[0].__enter__()
        try:
            self.servers[1].__enter__()
        except BaseException:
            self.servers[0].__exit__(None, None, None)
            raise
        names = [f"{name} ({word})" for name, word in zip(("left", "right"), self.words)]
        self.sides = [side.Side(name, (s.host, s.port)) for name, s in zip(names, self.servers)]
        return self

    def __exit__(self, *exception):
        for server in self.servers:
            server.__exit__(*exception)

    def _into_step(self):
        """Brings the sides together after a difference, so that it is not told for ever: connections that only one of
        them has are dropped, the one that has spent fewer zxids spends as many."""
        both = set(self.sides[0].connections) & set(self.sides[1].connections)
        for one in self.sides:
            for number in set(one.connections) - both:
                one.connections.pop(number).close()
        spent = [one.last_zxid - one.normaliser.base for one in self.sides]
        for one, mine in zip(self.sides, spent):
            if mine < max(spent):
                one.spend(max(spent) - mine)

    def _drop(self, number):
        for one in self.sides:
            connection = one.connections.pop(number, None)
            if connection is not None:
                connection.close()

    def _restart(self, step):
        for one in self.sides:
            one.lose_connections()
        for server in self.servers:
            if step.get("how") == "kill":
                server.kill()
            else:
                server.stop()
            server.start()

    def run(self, steps, every=None):
        """Runs the steps on both; the first difference as (index, left, right), or None.

        With `every`, a function, goes on after a difference and calls it for each."""
        self.answers, self.passed, first = 0, 0, None
        for one in self.sides:
            one.reset()
        try:
            for index, step in enumerate(steps):
                if step["do"] == "restart":
                    self._restart(step)
                for one in self.sides:
                    one.begin(step)
                left, right = [one.finish(step) for one in self.sides]
                self.answers += sum(len(part.get("frames", ())) for part in left)
                if differences.loses_connection(step):
                    self._drop(step["conn"])
                if left == right:
                    continue
                passing = differences.allowed(step, left, right)
                if passing is not None:
                    self.passed += 1
                    if passing.end:
                        break
                    self._into_step()
                else:
                    first = first or (index, left, right)
                    if every is None:
                        break
                    every(index, step, left, right)
                    self._into_step()
            return first
        finally:
            for one in self.sides:
                one.finish_run()


def shrink(pair, steps, budget_s=120.0):
    """A shorter sequence that still differs (at any step), and that difference."""
    found = pair.run(steps)
    if found is None:
        return None, None
    steps = steps[: found[0] + 1]
    deadline = time.monotonic() + budget_s
    chunk = max(1, len(steps) // 2)
    while time.monotonic() < deadline:
        at, removed = 0, False
        while at < len(steps) - 1 and time.monotonic() < deadline:
            shorter = steps[:at] + steps[min(at + chunk, len(steps) - 1) :]
            again = pair.run(shorter)
            if again is not None:
                steps, found, removed = shorter[: again[0] + 1], again, True
            else:
                at += chunk
        if chunk == 1 and not removed:
            break
        chunk = max(1, chunk // 2)
    return _shrink_requests(pair, steps, found, deadline)


def _shrink_requests(pair, steps, found, deadline):
    """Takes single requests out of pipelines and operations out of multis."""
    for index in range(len(steps)):
        at = 0
        while time.monotonic() < deadline and len(steps[index].get("requests", ())) > 1:
            requests = steps[index]["requests"]
            if at >= len(requests):
                break
            shorter = list(steps)
            shorter[index] = {**steps[index], "requests": requests[:at] + requests[at + 1 :]}
            again = pair.run(shorter)
            if again is not None:
                steps, found = shorter, again
            else:
                at += 1
    return steps, found


def differing_parts(left, right):
    """What differs between two outcomes, as lines."""
    lines = []

    def walk(where, a, b):
        if a == b:
            return
        if isinstance(a, dict) and isinstance(b, dict):
            for key in list(a) + [k for k in b if k not in a]:
                walk(f"{where}.{key}", a.get(key, "(absent)"), b.get(key, "(absent)"))
        elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
            for number, (x, y) in enumerate(zip(a, b)):
                walk(f"{where}[{number}]", x, y)
        else:
            lines.append(f"  {where}:\n    left:  {json.dumps(a)}\n    right: {json.dumps(b)}")

    walk("outcome", left, right)
    return lines


def report(title, steps, found):
    """Prints a difference so that a person can see it and replay it."""
    index, left, right = found
    print(f"\nDIFFERENCE {title}, step {index} of {len(steps)}:")
    for number, step in enumerate(steps[: index + 1]):
        print(f"  {'>>' if number == index else '  '} {number}: {json.dumps(step)}")
    print("\n".join(differing_parts(left, right)), flush=True)
    print("  whole left: ", json.dumps(left))
    print("  whole right:", json.dumps(right))


def write_down(directory, title, steps, profile):
    """Writes a sequence for --replay; returns the path."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{title.replace(' ', '-').replace('/', '-')}.json"
    path.write_text(json.dumps({"profile": profile, "steps": steps}, indent=1))
    return path


def examine(pair, title, steps, profile, options):
    """Runs one sequence; returns whether the servers agreed."""
    if options.through:
        def tell(index, step, left, right):
            print(f"\nDIFFERENCE {title}, step {index}: {json.dumps(step)[:600]}")
            print("\n".join(line[:1200] for line in differing_parts(left, right)), flush=True)

        return pair.run(steps, tell) is None
    found = pair.run(steps)
    if found is None:
        return True
    report(title, steps, found)
    if not options.no_shrink:
        shorter, still = shrink(pair, steps, options.shrink_seconds)
        if shorter is None:
            print("  It did not happen again on the same sequence: it depends on timing.")
        else:
            report(f"{title}, shrunk", shorter, still)
            steps = shorter
    print("  replay with: --replay", write_down(Path(options.failures), title, steps, profile))
    for server in pair.servers:
        if not server.running():
            print(f"  {server.address} has ended:\n{server.log_tail()}")
    return False


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--left", default="apache")
    parser.add_argument("--right", default="ringkeeper")
    parser.add_argument("--seed", type=int, help="only this seed")
    parser.add_argument("--first", type=int, default=1, help="the first of --seeds")
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds, the profiles in turn")
    parser.add_argument("--steps", type=int, default=150, help="steps a seed")
    parser.add_argument("--profile", choices=sorted(PROFILES), help="only this profile")
    parser.add_argument("--seconds", type=float, help="stop after this long (each profile has an equal share)")
    parser.add_argument("--keep-going", action="store_true", help="go on after a difference")
    parser.add_argument("--through", action="store_true", help="go on in a sequence after a difference, tell them all")
    parser.add_argument("--no-shrink", action="store_true")
    parser.add_argument("--shrink-seconds", type=float, default=60.0)
    parser.add_argument("--replay", help="a file an earlier run wrote")
    parser.add_argument("--no-scenarios", action="store_true", help="leave out the fixed sequences")
    parser.add_argument("--only-scenarios", action="store_true", help="nothing but the fixed sequences")
    parser.add_argument("--scenario", help="only fixed sequences whose name holds this")
    parser.add_argument("--failures", default=str(cache.cache_directory() / "oracle-failures"))
    parser.add_argument("--print", action="store_true", help="print every step and the left server's outcome")
    return parser.parse_args(arguments)


def work(options):
    """The (profile, title, steps) of all that is asked for, profile by profile."""
    if options.replay:
        written = json.loads(Path(options.replay).read_text())
        return [(written["profile"], f"replay of {options.replay}", written["steps"])]
    profiles = [options.profile] if options.profile else sorted(PROFILES)
    if any(":" in word for word in (options.left, options.right)):
        print("A server that already runs is not restarted: the profile restarts is left out.")
        profiles = [profile for profile in profiles if profile != "restarts"]
    result = []
    if not options.no_scenarios and options.seed is None:
        for name, profile, steps in scenarios.all_scenarios():
            if profile in profiles and (options.scenario or "") in name:
                result.append((profile, f"scenario {name}", steps))
    if not options.only_scenarios and not options.scenario:
        seeds = [options.seed] if options.seed is not None else range(options.first, options.first + options.seeds)
        profiles = [profile for profile in profiles if profile in RANDOM_PROFILES]
        for seed in seeds if profiles else ():
            for profile in profiles if options.seed is not None else [profiles[seed % len(profiles)]]:
                result.append((profile, f"seed {seed} profile {profile}", (seed, profile)))
    return sorted(result, key=lambda item: item[0])


def main(arguments):
    options = parse(arguments)
    differing, done, answers, passed, began = [], 0, 0, 0, time.monotonic()
    items = work(options)
    try:
        profiles = sorted({item[0] for item in items})
        for number, profile in enumerate(profiles):
            mine = [item for item in items if item[0] == profile]
            share_s = (options.seconds or 1e9) * (number + 1) / len(profiles)
            with Pair(options.left, options.right, profile) as pair:
                for _, title, steps in mine:
                    if time.monotonic() - began > share_s:
                        break
                    if isinstance(steps, tuple):
                        steps = generator.sequence(steps[0], options.steps, profile)
                    steps = differences.apart(steps)
                    done += 1
                    agreed = trace(pair, steps) if options.print else examine(pair, title, steps, profile, options)
                    answers += pair.answers
                    passed += pair.passed
                    if not agreed:
                        differing.append(title)
                        if not options.keep_going or not all(s.running() for s in pair.servers):
                            break
            if differing and not options.keep_going:
                break
    except cache.Unavailable as reason:
        print(f"SKIPPED: {reason}")
        return 77
    took = time.monotonic() - began
    deliberate = f"{passed} deliberate differences passed"
    print(f"{done} sequences, {answers} answers compared, {len(differing)} differences, {deliberate}, {took:.1f} s")
    for title in differing:
        print(f"  differs: {title}")
    return 1 if differing else 0


def trace(pair, steps):
    """Runs the steps on the left server alone and prints all it says."""
    pair.answers, pair.passed = 0, 0
    left = pair.sides[0]
    left.reset()
    for step in steps:
        left.begin(step)
        print(">>", json.dumps(step))
        for part in left.finish(step):
            for frame in part.get("frames", [part]):
                if frame.get("reply") != "barrier":
                    print("     ", part.get("conn", "-"), json.dumps(frame))
            if part.get("ended"):
                print("     ", part.get("conn", "-"), "CLOSED")
    left.finish_run()
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
