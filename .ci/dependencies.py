"""Checks the dependencies against deny.toml where cargo-deny is not installed: licences, sources,
wildcards; lists crates that are built in two versions. Needs Python 3.11 and nothing else."""

import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict

TARGET = "x86_64-unknown-linux-gnu"


def allowed(expression, licences):
    """Whether an SPDX expression can be satisfied with these licences. `/` is an old way to say OR."""
    text = expression.replace("/", " OR ")
    tokens = re.findall(r"\(|\)|[^\s()]+", text)
    words, index = [], 0
    while index < len(tokens):
        if index + 2 < len(tokens) and tokens[index + 1] == "WITH":
            words.append(" ".join(tokens[index : index + 3]))
            index += 3
        else:
            words.append(tokens[index])
            index += 1

    def any_of(at):
        value, at = all_of(at)
        while at < len(words) and words[at] == "OR":
            right, at = all_of(at + 1)
            value = value or right
        return value, at

    def all_of(at):
        value, at = one(at)
        while at < len(words) and words[at] == "AND":
            right, at = one(at + 1)
            value = value and right
        return value, at

    def one(at):
        if words[at] == "(":
            value, at = any_of(at + 1)
            return value, at + 1
        return words[at] in licences or words[at].removesuffix("+") in licences, at + 1

    value, end = any_of(0)
    return value and end == len(words)


def main():
    with open("deny.toml", "rb") as file:
        rules = tomllib.load(file)
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", TARGET]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    used = {node["id"] for node in metadata["resolve"]["nodes"]}
    licences = set(rules["licenses"]["allow"])
    exceptions = {entry["crate"]: set(entry["allow"]) for entry in rules["licenses"].get("exceptions", [])}
    registries = tuple("registry+" + url for url in rules["sources"]["allow-registry"])
    problems, versions = [], defaultdict(set)
    for package in metadata["packages"]:
        if package["id"] not in used:
            continue
        label = f"{package['name']} {package['version']}"
        versions[package["name"]].add(package["version"])
        own = package["source"] is None
        if own:
            for dependency in package["dependencies"]:
                if dependency["req"] == "*" and dependency["source"] is not None:
                    problems.append(f"{label}: {dependency['name']} is wanted in any version")
        elif not package["source"].startswith(registries):
            problems.append(f"{label}: comes from {package['source']}")
        if own and package["license"] is None:
            continue  # a crate of this repository that is not published
        licence = package["license"] or "nothing said"
        if not allowed(licence, licences | exceptions.get(package["name"], set())):
            problems.append(f"{label}: licence {licence} is not among those of deny.toml")
    for name, several in sorted(versions.items()):
        if len(several) > 1:
            print(f"note: {name} is built in several versions: {', '.join(sorted(several))}")
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    print(f"{sum(map(len, versions.values()))} packages checked against deny.toml, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
