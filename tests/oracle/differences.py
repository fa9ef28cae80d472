"""The deliberate differences between ringkeeper and Apache ZooKeeper that the oracle lets pass.

Each is a function that takes a step and the two outcomes, Apache's on the left, and returns a `Passing` if exactly this
difference, and no other, lies between them. Each has its entry, with the reason, in DIFFERENCES.md.
"""

import re
from typing import NamedTuple

# Requests that change no node, whatever they answer.
CHANGELESS = (
    "exists getData getACL getChildren getChildren2 getAllChildrenNumber getEphemerals sync multiRead whoAmI"
    " addWatch checkWatches removeWatches setWatches setWatches2"
).split()
# Those of them that can leave a watch behind.
WATCHING = ("exists", "addWatch", "setWatches", "setWatches2")
LISTS = {
    "setWatches": ("data", "exist", "child"),
    "setWatches2": ("data", "exist", "child", "persistent", "recursive"),
}


class Passing(NamedTuple):
    """A difference that may be."""

    end: bool = False  # the sequence ends here: the trees differ


def apart(steps):
    """The steps with each request that may be answered differently taken out of its pipeline, so that a zxid that only
    one side spends shifts nothing but what comes in later steps."""
    result = []
    for step in steps:
        if step["do"] != "send" or not any(_stands_alone(r) for r in step["requests"]):
            result.append(step)
            continue
        parts = [[]]
        for request in step["requests"]:
            if _stands_alone(request):
                parts += [[request], []]
            else:
                parts[-1].append(request)
        parts = [{**{k: v for k, v in step.items() if k != "closes"}, "requests": p} for p in parts if p]
        if "closes" in step:
            parts[-1]["closes"] = step["closes"]
        result += parts
    return result


def loses_connection(step):
    """Whether the step's connection is dropped behind it on both sides: it may have watches on one of them only, which
    nothing shows yet."""
    request = _only_request(step)
    return (
        request is not None
        and request["name"] in WATCHING
        and (_has_bad_text(request) or _has_null_list(request))
    )


def allowed(step, left, right):
    """The `Passing` of the deliberate difference that explains the outcomes, or None."""
    left = _as_utf8(left)
    if left == right:
        return Passing()  # 5: characters beyond U+FFFF
    for rule in (wrong_password, not_utf8, null_watch_list, reaping_without_permission, null_in_multi, null_in_multi_read):
        if (passing := rule(step, left, right)) is not None:
            return passing
    return None


def wrong_password(step, left, right):
    """1: attaching with a wrong password closes the session's present connection in Apache."""
    if step["do"] != "open" or "password" not in step or len(left) != len(right):
        return None
    told = [part for part in left if "conn" not in part]
    if [part["open"].get("session") for part in told] != [0]:
        return None
    for mine, other in zip(left, right):
        if mine == other:
            continue
        closed = {"conn": mine.get("conn"), "frames": [], "ended": True}
        lives = other.get("ended") is False and [f.get("reply") for f in other["frames"]] == ["barrier"]
        if mine != closed or other["conn"] != mine["conn"] or not lives:
            return None
    return Passing()


def not_utf8(step, left, right):
    """2: a string that is not UTF-8 makes a request none."""
    request = _only_request(step)
    if request is None or not _has_bad_text(request):
        return None
    mine, theirs = _answer(step, left), _answer(step, right)
    if mine is None or theirs is None or set(theirs) != {"reply", "err", "zxid"} or theirs["err"] != "MarshallingError":
        return None
    name = request["name"]
    if name == "multi":
        harmless = mine["err"] == "ok" and any("error" in r for r in mine["results"]) and mine["zxid"] == theirs["zxid"]
    elif name in CHANGELESS:
        harmless = mine["zxid"] == theirs["zxid"]
    else:
        harmless = mine["err"] in ("NoNode", "BadArguments", "NoAuth", "InvalidACL", "Unimplemented", "MarshallingError")
        harmless = harmless and mine["zxid"] - theirs["zxid"] in (0, 1)
    return Passing() if harmless and _rest_is_equal(step, left, right) else None


def null_watch_list(step, left, right):
    """3: setWatches with a null list among others does nothing; Apache works through those before it."""
    request = _only_request(step)
    if request is None or not _has_null_list(request):
        return None
    mine, theirs = _answer(step, left), _answer(step, right)
    if mine is None or mine != theirs or theirs["err"] != "MarshallingError" or not _rest_is_equal(step, left, right):
        return None
    return Passing()


def reaping_without_permission(step, left, right):
    """4: deleteContainer needs DELETE on the parent."""
    request = _only_request(step)
    if request is None or request["name"] != "deleteContainer":
        return None
    mine, theirs = _answer(step, left), _answer(step, right)
    if mine is None or theirs is None or theirs["err"] != "NoAuth" or mine["zxid"] != theirs["zxid"]:
        return None
    if mine["err"] == "ok":
        return Passing(end=True)
    known = mine["err"] in ("NoNode", "NotEmpty", "BadVersion")
    return Passing() if known and _rest_is_equal(step, left, right) else None


def null_in_multi(step, left, right):
    """6: nulls in the operations of a multi. It fails on both sides; how far it came, and whether it took a zxid, may
    differ."""
    request = _only_request(step)
    if request is None or request["name"] != "multi" or not any(map(_has_null, request["ops"])):
        return None
    mine, theirs = _answer(step, left), _answer(step, right)
    if mine is None or theirs is None or mine["zxid"] - theirs["zxid"] not in (-1, 0):
        return None
    for answer in (mine, theirs):
        failed = answer["err"] == "MarshallingError" and set(answer) == {"reply", "err", "zxid"}
        if not failed and not (answer["err"] == "ok" and any("error" in result for result in answer["results"])):
            return None
    return Passing() if _rest_is_equal(step, left, right) else None


def null_in_multi_read(step, left, right):
    """7: a null path in a multiRead. Both answer MarshallingError; Apache adds the results of the reads before it."""
    request = _only_request(step)
    if request is None or request["name"] != "multiRead" or not any(map(_has_null, request["ops"])):
        return None
    mine, theirs = _answer(step, left), _answer(step, right)
    if mine is None or theirs != {"reply": "multiRead", "err": "MarshallingError", "zxid": mine["zxid"]}:
        return None
    return Passing() if mine["err"] == "MarshallingError" and _rest_is_equal(step, left, right) else None


# --- what the rules look at -----------------------------------------------------------------------------------------


def _stands_alone(request):
    return (
        request["name"] == "deleteContainer"
        or _has_bad_text(request)
        or _has_null_list(request)
        or any(map(_has_null, request.get("ops", ())))
    )


def _has_null_list(request):
    return any(request.get(name) is None for name in LISTS.get(request["name"], ()))


def _has_bad_text(request):
    """Whether a path of the request (of its operations, its lists) is no UTF-8."""
    paths = [request.get("path")] + [op.get("path") for op in request.get("ops", ())]
    for name in LISTS.get(request["name"], ()):
        paths += request.get(name) or []
    return any(isinstance(path, dict) and not _is_utf8(path) for path in paths)


def _is_utf8(path):
    try:
        bytes.fromhex(path.get("hex", "")).decode()
        return True
    except UnicodeDecodeError:
        return False


def _has_null(op):
    """Whether an operation has a null that ZooKeeper comes upon late, or does not expect at all."""
    return op.get("path") is None or "acl" in op and op["acl"] is None or _has_null_id(op)


def _has_null_id(op):
    return any(entry[2] is None and entry[1] in ("digest", "ip", "world") for entry in op.get("acl") or ())


def _only_request(step):
    requests = step.get("requests", ())
    return requests[0] if step["do"] == "send" and len(requests) == 1 else None


def _frames(step, outcome):
    return next((part["frames"] for part in outcome if part.get("conn") == step["conn"]), [])


def _answer(step, outcome):
    """The reply to the step's only request."""
    name = step["requests"][0]["name"]
    return next((frame for frame in _frames(step, outcome) if frame.get("reply") == name), None)


def _rest_is_equal(step, left, right):
    """Whether all but the reply to the step's only request, what else that did to its connection before the reply, and
    the zxid of what comes later, is the same."""

    def rest(outcome):
        result = []
        for part in outcome:
            frames = part.get("frames", [])
            if part.get("conn") == step["conn"]:
                frames = [f for f in frames if f.get("reply") == "barrier"]
            frames = [{k: v for k, v in f.items() if k != "zxid"} for f in frames]
            result.append({**part, "frames": frames})
        return result

    return rest(left) == rest(right)


# A character beyond U+FFFF as Java writes it, shown by Python's backslashreplace.
_SURROGATES = re.compile(r"((?:\\xed\\xa[0-9a-f]|\\xed\\xb[0-9a-f])\\x[89ab][0-9a-f]){2}")


def _as_utf8(outcome):
    """The outcome with characters that Java wrote as two surrogates made what they are."""
    if isinstance(outcome, str):

        def character(found):
            data = bytes.fromhex(found.group().replace("\\x", ""))
            pair = data.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass")
            return pair.decode("utf-16", "backslashreplace")

        return _SURROGATES.sub(character, outcome)
    if isinstance(outcome, list):
        return [_as_utf8(item) for item in outcome]
    if isinstance(outcome, dict):
        return {key: _as_utf8(value) for key, value in outcome.items()}
    return outcome
