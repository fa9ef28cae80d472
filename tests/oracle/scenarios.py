"""Fixed sequences for what random ones seldom reach."""


def all_scenarios():
    """(name, profile, steps) of each."""
    return []
