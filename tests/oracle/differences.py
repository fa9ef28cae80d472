"""The deliberate differences between ringkeeper and Apache ZooKeeper that the oracle lets pass.

Each is a function that takes a step and the two outcomes and says whether exactly this difference, and no other,
lies between them. Each has its entry, with the reason, in DIFFERENCES.md.
"""

ALLOWED = ()


def allowed(step, left, right):
    """Whether one of the deliberate differences explains the outcomes."""
    return any(rule(step, left, right) for rule in ALLOWED)
