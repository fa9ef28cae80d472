#!/usr/bin/env python3
"""Records what real Apache ZooKeeper 3.9.5 servers say to each other on their quorum and election ports.

    python3 tests/transcripts/record.py                      # lists the scenarios
    python3 tests/transcripts/record.py --write              # records all of them anew into data/
    python3 tests/transcripts/record.py --write trunc snap   # these only
    python3 tests/transcripts/record.py --write --to DIR     # elsewhere
    python3 tests/transcripts/record.py --show start         # a transcript, message by message

Ends with 0, 1 when a scenario did not go as it should, 77 when servers cannot be had here.
"""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

import cache  # noqa: E402
import scenarios  # noqa: E402
import show  # noqa: E402

ATTEMPTS = 3


def record(name, directory, log=False):
    """Records one scenario into a file of its name. Tries again where the machine was too slow for it."""
    about, run = scenarios.ALL[name]
    for attempt in range(1, ATTEMPTS + 1):
        try:
            transcript, ensemble = run(log)
            break
        except (RuntimeError, scenarios.Unexpected) as reason:
            print(f"{name}: attempt {attempt} of {ATTEMPTS}: {reason}", file=sys.stderr)
            if attempt == ATTEMPTS:
                raise
    head = [
        "# What Apache ZooKeeper 3.9.5 servers sent each other. Recorded by tests/transcripts/record.py; see README.md.",
        f"# {about}",
        *(f"server {sid} {address}" for sid, address in sorted(ensemble.first_addresses.items())),
    ]
    path = Path(directory) / f"{name}.txt"
    path.write_text("\n".join([*head, *transcript.lines()]) + "\n")
    return path


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", help="names; all of them when there is none")
    parser.add_argument("--write", action="store_true", help="record and write the files")
    parser.add_argument("--show", action="store_true", help="print recorded messages")
    parser.add_argument("--to", default=str(HERE / "data"), help="the directory of the files")
    parser.add_argument("--log", action="store_true", help="have the servers write their own logs")
    options = parser.parse_args(arguments)
    unknown = set(options.scenarios) - set(scenarios.ALL)
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    names = options.scenarios or list(scenarios.ALL)
    if options.show:
        for name in names:
            show.show(Path(options.to) / f"{name}.txt")
        return 0
    if not options.write:
        for name in names:
            print(f"{name:16} {scenarios.ALL[name][0]}")
        return 0
    try:
        cache.java()
        cache.zookeeper_classpath()
    except cache.Unavailable as reason:
        print(f"SKIPPED: {reason}")
        return 77
    Path(options.to).mkdir(parents=True, exist_ok=True)
    for name in names:
        try:
            path = record(name, options.to, options.log)
        except (RuntimeError, scenarios.Unexpected) as reason:
            print(f"{name}: {reason}", file=sys.stderr)
            return 1
        print(f"{name:16} {path.stat().st_size:7} bytes  {path}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
