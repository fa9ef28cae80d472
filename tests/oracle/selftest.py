#!/usr/bin/env python3
"""Proves that the oracle can fail: two Apache ZooKeepers, one side's answers falsified in one small way at a time.

    python3 tests/oracle/selftest.py

Every falsification must be found, and shrunk to a few steps; without one, nothing may differ.
"""

import sys

import oracle  # also sets sys.path
import cache
import side
import steps as generator

SEEDS = range(1, 6)


def _later_zxid(frame):
    return {**frame, "zxid": frame["zxid"] + 1} if frame.get("err", 0) < 0 and frame["zxid"] > 0 else frame


def _other_error(frame):
    return {**frame, "err": -102} if frame.get("err") == -103 else frame


def _flipped_byte(frame):
    """The lowest byte of a Stat's pzxid, at the end of a getData reply."""
    if "reply" in frame and frame["reply"]["name"] == "getData" and len(frame["body"]) > 68:
        return {**frame, "body": frame["body"][:-1] + bytes([frame["body"][-1] ^ 1])}
    return frame


def _wrong_time(frame):
    """The lowest byte of mtime in the reply to setData (a Stat begins with czxid, mzxid, ctime, mtime)."""
    if "reply" in frame and frame["reply"]["name"] == "setData" and len(frame["body"]) == 68:
        body = frame["body"]
        return {**frame, "body": body[:31] + bytes([body[31] ^ 1]) + body[32:]}
    return frame


def _trailing_byte(frame):
    if "reply" in frame and frame["reply"]["name"] == "sync" and frame["body"]:
        return {**frame, "body": frame["body"] + b"\0"}
    return frame


def _event_type(frame):
    """NodeDeleted told as NodeDataChanged."""
    if "event" in frame and frame["event"][:4] == b"\0\0\0\x02":
        return {**frame, "event": b"\0\0\0\x03" + frame["event"][4:]}
    return frame


def _swap_events(frames):
    """The first two neighbouring frames that are an event and a reply change places."""
    for at in range(len(frames) - 1):
        pair = frames[at : at + 2]
        if "event" in pair[0] and pair[1].get("reply", {}).get("path") != "/":
            return frames[:at] + [pair[1], pair[0]] + frames[at + 2 :]
    return frames


def _lose_event(frames):
    events = [f for f in frames if "event" in f]
    return [f for f in frames if f is not events[-1]] if events else frames


def _double_event(frames):
    return [g for f in frames for g in ([f, f] if "event" in f else [f])]


ON_A_FRAME = (_later_zxid, _other_error, _flipped_byte, _wrong_time, _trailing_byte, _event_type)
ON_A_STEP = (_swap_events, _lose_event, _double_event)


def falsify(one, lie):
    """Makes a side tell the lie."""
    honest_frame, honest_frames = one._frame, None
    if lie in ON_A_FRAME:
        one._frame = lambda connection, payload: lie(honest_frame(connection, payload))
        return
    honest_reset = one.reset

    def reset():
        nonlocal honest_frames
        honest_reset()
        honest_frames = one.normaliser.frames
        one.normaliser.frames = lambda frames, step: honest_frames(lie(frames), step)

    one.reset = reset


def main():
    failures = 0
    try:
        pair = oracle.Pair("apache", "apache", "default").__enter__()
    except cache.Unavailable as reason:
        print(f"SKIPPED: {reason}")
        return 77
    try:
        address = pair.sides[1].address
        for lie in (None, *ON_A_FRAME, *ON_A_STEP):
            pair.sides[1] = side.Side("right (falsified)", address)
            if lie is not None:
                falsify(pair.sides[1], lie)
            found = [seed for seed in SEEDS if pair.run(generator.sequence(seed, 120))]
            name = "nothing falsified" if lie is None else lie.__name__.strip("_").replace("_", " ")
            right = not found if lie is None else bool(found)
            size = ""
            if found and lie is not None:
                shorter, still = oracle.shrink(pair, generator.sequence(found[0], 120), 20.0)
                right = right and shorter is not None and len(shorter) < 40
                size = f", shrunk to {len(shorter)} steps" if shorter else ", not found again"
            failures += not right
            print(f"{'ok  ' if right else 'FAIL'} {name}: found by {len(found)} of {len(SEEDS)} seeds{size}", flush=True)
    finally:
        pair.__exit__(None, None, None)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
