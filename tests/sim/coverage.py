"""Reads llvm-cov's export and says what of src/zab was reached: `tests/sim/coverage` calls it.

A line is reached if the innermost region at its first character is. A branch is one outcome of one condition. Conditions
that ask for a planted mistake, and what they guard, are left out: they are constant in a release build; so are functions
whose doc says that they are for tests. What docs/design/simulator.md names as out of reach is accounted for; anything else
that was not reached makes the script fail.
"""

import json
import re
import sys
from collections import defaultdict


# Tests, the wire's codecs (which have fuzzers of their own), and the mistakes' names.
LEFT_OUT = ("tests/", "testdata/", "wire/", "mistake.rs")


class Source:
    """A file's text, with places as llvm-cov has them: line and column from 1."""

    def __init__(self, path):
        self.path = path
        with open(path, encoding="utf-8") as file:
            self.text = file.read()
        self.lines = self.text.split("\n")
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line) + 1)

    def at(self, line, column):
        return self.starts[line - 1] + column - 1

    def span(self, span):
        return self.text[self.at(span[0], span[1]) : self.at(span[2], span[3])]


def merged(data):
    """Counts by file and span, added up over all instances of a function."""
    regions = defaultdict(lambda: defaultdict(int))
    branches = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for function in data["functions"]:
        files = function["filenames"]
        for *span, count, file, _, kind in function["regions"]:
            if kind == 0:
                regions[files[file]][tuple(span)] += count
        for branch in function["branches"]:
            span, (true, false), file = tuple(branch[:4]), branch[4:6], branch[6]
            found = branches[files[file]][span]
            found[0] += true
            found[1] += false
    return regions, branches


def inside(inner, outer):
    return outer[:2] <= inner[:2] and inner[2:] <= outer[2:]


def closing(text, opening):
    """The place of the brace that closes the one at `opening`."""
    depth = 0
    for at in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at
    return len(text)


def planted(source, branches):
    """What only a planted mistake or a test reaches: the lines of blocks that it guards, and the spans of conditions on it."""
    text, lines = source.text, set()
    for guard in re.finditer(r"\bif [^;{}]*?Mistake::[^;{}]*\{|_ if [^;{}]*?Mistake::[^;{}]*=> \{", text):
        condition = guard.group()
        if all("Mistake::" in part for part in condition.split("||")) and not re.search(r"![\w.]+has\(Mistake::", condition):
            first = text.count("\n", 0, guard.start()) + 1
            last = text.count("\n", 0, closing(text, guard.end() - 1)) + 1
            lines |= set(range(first, last + 1))
    for test in re.finditer(r"/// [^\n]*For tests\.\n\s*pub fn [^{]*\{", text):
        first = text.count("\n", 0, test.start()) + 1
        last = text.count("\n", 0, closing(text, test.end() - 1)) + 1
        lines |= set(range(first, last + 1))
    names = re.findall(r"let (\w+) = [\w.]+has\(Mistake::", text)
    spans = [span for span in branches if "Mistake::" in source.span(span) or source.span(span) in names]
    return lines, spans


def named():
    """What docs/design/simulator.md names as not reached: file, condition and outcome."""
    with open("docs/design/simulator.md", encoding="utf-8") as file:
        part = file.read().split("\n## Not reached\n")[-1].split("\n## ")[0]
    return {(row[0], row[1], row[2]) for row in re.findall(r"\| `(\S+)` \| `` ?(.+?) ?`` \| (\w+) \|", part)}


def lines_of(source, regions):
    """Line by line what was counted at its first character."""
    counted = {}
    ordered = sorted(regions.items(), key=lambda item: (item[0][:2], [-n for n in item[0][2:]]))
    for span, count in ordered:
        for number in range(span[0], span[2] + 1):
            text = source.lines[number - 1]
            if not text.strip() or text.strip().startswith("//") or text.strip() in "})];,":
                continue
            first = len(text) - len(text.lstrip()) + 1
            if span[:2] <= (number, first) < span[2:]:
                counted[number] = count
    return counted


def guarded_by(source, line):
    """The lines of the block behind a condition, in this line, that is never true."""
    opening = source.text.index("{\n", source.starts[line - 1])
    last = source.text.count("\n", 0, closing(source.text, opening)) + 1
    return range(line + 1, last + 1)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        (data,) = json.load(file)["data"]
    regions, branches = merged(data)
    never, sources = [], {}
    sums = [0, 0, 0, 0]
    print(f"{'file':<28}{'lines':>14}{'branches':>16}")
    for path in sorted(regions):
        short = path.split("/src/zab/")[-1]
        if "/src/zab/" not in path or short.startswith(LEFT_OUT):
            continue
        source = Source(path)
        mistaken, conditions = planted(source, branches[path])
        counted = {n: count for n, count in lines_of(source, regions[path]).items() if n not in mistaken}
        row = [sum(count > 0 for count in counted.values()), len(counted), 0, 0]
        unreached = [(n, 0, "line", source.lines[n - 1].strip()) for n, c in counted.items() if c == 0]
        for span, outcomes in branches[path].items():
            if span[0] in mistaken and "Mistake::" not in source.lines[span[0] - 1]:
                continue
            if any(inside(span, other) for other in conditions):
                continue
            row[3] += 2
            for outcome, count in zip(("true", "false"), outcomes):
                row[2] += count > 0
                if count == 0:
                    text = " ".join(source.span(span).split())
                    unreached.append((span[0], span[1], f"never {outcome}", text))
        sums = [a + b for a, b in zip(sums, row)]
        print(f"{short:<28}{row[0]:>7} of {row[1]:<6}{row[2]:>7} of {row[3]:<6}")
        sources[short] = source
        never += [(short, *what) for what in sorted(unreached)]
    print(f"{'all':<28}{sums[0]:>7} of {sums[1]:<6}{sums[2]:>7} of {sums[3]:<6}")
    known = named()
    accounted = [], []
    guarded = set()
    for row in never:
        short, line, _, what, text = row
        is_known = (short, text, what.removeprefix("never ")) in known
        if is_known and what == "never true":
            guarded |= {(short, number) for number in guarded_by(sources[short], line)}
        accounted[is_known or (short, line) in guarded].append(row)
    for title, rows in (("not accounted for", accounted[False]), ("named in docs/design/simulator.md", accounted[True])):
        print(f"\nnever reached, {title}: {len(rows)}")
        for short, line, column, what, text in rows:
            place = f"{short}:{line}" + (f":{column}" if column else "")
            print(f"  {place:<24} {what:<12} {text:.120}")
    sys.exit(1 if accounted[False] else 0)


main()
