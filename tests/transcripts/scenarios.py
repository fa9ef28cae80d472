"""The recorded scenarios: each a function that starts an ensemble, does something to it and gives its transcript."""

import contextlib

import servers
import show
from ensemble import Client, Ensemble
from side import WORLD

ALL = {}
EPHEMERAL, SEQUENTIAL = 1, 2
NODE_EXISTS, NO_NODE, BAD_VERSION = -110, -101, -103


class Unexpected(Exception):
    """The servers did something else than the scenario is about."""


def scenario(about, sids=(1, 2, 3), **options):
    """Registers a function of an ensemble under its own name."""

    def register(body):
        def run(log):
            ensemble = Ensemble(sids, log=log, **options)
            try:
                body(ensemble)
            finally:
                ensemble.close()
            return ensemble.transcript, ensemble

        ALL[body.__name__.replace("_", "-")] = (about, run)
        return body

    return register


def expect(condition, what):
    """Raises unless the servers did what the scenario is about."""
    if not condition:
        raise Unexpected(what)


def led_by(ensemble, wanted, *sids):
    """Waits until these serve and asks for one leader."""
    leader = ensemble.until_serving(*sids)
    expect(leader == wanted, f"{leader} leads, not {wanted}")


def seen(ensemble, packet, receiver):
    """Whether a packet of a type went to a server."""
    return (receiver, packet) in show.packets(ensemble.transcript.lines())


@scenario("Three servers start together on nothing and elect the one with the largest sid.")
def start(ensemble):
    ensemble.start_together(1, 2, 3)
    led_by(ensemble, 3, 1, 2, 3)


@scenario("Two servers elect one of them; the third, whose sid is larger, joins the leader that is there.")
def late_joiner(ensemble):
    ensemble.start_together(1, 2)
    led_by(ensemble, 2, 1, 2)
    ensemble.start(3)
    led_by(ensemble, 2, 2, 3)


@scenario("Writes of every kind through the leader and through a follower; sync; a session that moves.")
def writes(ensemble):
    ensemble.start_together(1, 2, 3)
    led_by(ensemble, 3, 1, 2, 3)
    at_leader, at_follower = Client(ensemble, 3), Client(ensemble, 1)
    for client, path in ((at_leader, "/l"), (at_follower, "/f")):
        client.create(path, "data")
        client.call("setData", path=path, data="more", version=0)
        client.call("setData", BAD_VERSION, path=path, data="never", version=7)
        client.create(path, wanted=NODE_EXISTS)
        client.call("create2", path=path + "/c", data=None, acl=WORLD, flags=0)
        client.create(path + "/s-", flags=SEQUENTIAL)
        client.create(path + "/e", "e", flags=EPHEMERAL)
        client.call("createContainer", path=path + "/box", data="", acl=WORLD, flags=4)
        client.call("setACL", path=path, acl=[[31, "world", "anyone"], [1, "ip", "127.0.0.1"]], version=0)
        client.call("delete", path=path + "/c", version=0)
        client.call("delete", NO_NODE, path=path + "/none", version=-1)
        made = {"name": "create", "path": path + "/m", "data": "m", "acl": WORLD, "flags": 0}
        client.call("multi", ops=[made, {"name": "check", "path": path, "version": 1}])
        client.call("multi", ops=[{**made, "path": path + "/n"}, {"name": "delete", "path": path + "/no", "version": 0}])
        client.call("sync", path=path)
    # What stands in many clients' pipelines: writes that overtake no one.
    for number in range(5):
        at_follower.send("create", path=f"/f/p{number}", data="p", acl=WORLD, flags=0)
    for number in range(5):
        at_follower.connection.next()
    at_follower.drop()
    moved = Client(ensemble, 2, at_follower.session, at_follower.password)
    moved.create("/f/moved")
    moved.close()
    session_refused(ensemble, moved)
    at_leader.close()
    ensemble.until_level(1, 2, 3)


def session_refused(ensemble, closed):
    """A session that was closed, attached elsewhere with its right password: the leader is asked, and says no."""
    with contextlib.suppress(RuntimeError):
        Client(ensemble, 1, closed.session, closed.password)


@scenario("Sessions are kept alive at a follower, and one runs out: the leader closes it.", config={"minSessionTimeout": "500"})
def sessions(ensemble):
    ensemble.start_together(1, 2, 3)
    led_by(ensemble, 3, 1, 2, 3)
    kept, lost = Client(ensemble, 1), Client(ensemble, 2, timeout_ms=2_000)
    lost.create("/gone", flags=EPHEMERAL)
    lost.drop()
    for _ in range(3):
        kept.call("ping")
    ensemble.until_gone(kept, "/gone")
    kept.close()
    ensemble.until_level(1, 2, 3)


@scenario("A follower is restarted a few transactions behind: DIFF, with writes going on.")
def diff(ensemble):
    ensemble.start_together(1, 2, 3)
    led_by(ensemble, 3, 1, 2, 3)
    client = Client(ensemble, 2)
    client.create("/a")
    ensemble.until_level(1, 2, 3)
    ensemble.kill(1)
    for number in range(4):
        client.create(f"/a/{number}", "while it was away")
    ensemble.start(1)
    ensemble.until_serving(1)
    client.create("/b")
    ensemble.until_level(1, 2, 3)
    expect(seen(ensemble, "DIFF", 1), "no DIFF")


@scenario("A follower is restarted level with the leader, in the leader's epoch: an empty DIFF.")
def diff_empty(ensemble):
    ensemble.start_together(1, 2, 3)
    led_by(ensemble, 3, 1, 2, 3)
    client = Client(ensemble, 2)
    client.create("/a")
    ensemble.until_level(1, 2, 3)
    ensemble.kill(1)
    ensemble.start(1)
    ensemble.until_serving(1)
    client.create("/b")
    ensemble.until_level(1, 2, 3)


@scenario(
    "A follower comes back so far behind that the leader's memory does not reach: SNAP.",
    config={"snapCount": "10"},
    properties={"zookeeper.snapshotSizeFactor": "-1"},
)
def snap(ensemble):
    ensemble.start_together(1, 2, 3)
    led_by(ensemble, 3, 1, 2, 3)
    client = Client(ensemble, 3)
    client.create("/a", "first")
    ensemble.until_level(1, 2, 3)
    ensemble.kill(1)
    for number in range(24):
        client.create(f"/a/{number}", "while it was away", flags=EPHEMERAL if number % 8 == 0 else 0)
    client.call("setACL", path="/a", acl=[[31, "world", "anyone"], [1, "ip", "127.0.0.1"]], version=0)
    ensemble.until_level(2, 3)
    # A restart makes the others forget what is older than their last snapshot.
    ensemble.kill(2)
    ensemble.kill(3)
    ensemble.start_together(2, 3)
    led_by(ensemble, 3, 2, 3)
    ensemble.start(1)
    ensemble.until_serving(1)
    other = Client(ensemble, 1)
    other.create("/b")
    ensemble.until_level(1, 2, 3)
    expect(seen(ensemble, "SNAP", 1), "no SNAP")


@scenario(
    "As snap, but the leader may read its log: DIFF from disk and memory.",
    config={"snapCount": "10"},
    properties={"zookeeper.snapshotSizeFactor": "0"},  # nought: as much log as there is
)
def diff_from_log(ensemble):
    ensemble.start_together(1, 2, 3)
    led_by(ensemble, 3, 1, 2, 3)
    client = Client(ensemble, 3)
    client.create("/a", "first")
    ensemble.until_level(1, 2, 3)
    ensemble.kill(1)
    for number in range(24):
        client.create(f"/a/{number}", "while it was away")
    ensemble.until_level(2, 3)
    ensemble.kill(2)
    ensemble.kill(3)
    ensemble.start_together(2, 3)
    led_by(ensemble, 3, 2, 3)
    ensemble.start(1)
    ensemble.until_serving(1)
    ensemble.until_level(1, 2, 3)
    expect(seen(ensemble, "DIFF", 1) and not seen(ensemble, "SNAP", 1), "no DIFF from disk")


def leader_with_a_tail(ensemble):
    """Server 3 leads, logs three transactions that reach nobody, and dies; server 2 leads after it."""
    ensemble.start_together(1, 2, 3)
    led_by(ensemble, 3, 1, 2, 3)
    survivor, client = Client(ensemble, 2), Client(ensemble, 3)
    survivor.create("/a")
    ensemble.until_level(1, 2, 3)
    logged = ensemble.on_disk(3)[2]
    ensemble.tap.swallow(3, 1)
    ensemble.tap.swallow(3, 2)
    for number in range(3):
        client.send("create", path=f"/a/tail{number}", data="", acl=WORLD, flags=0)
    ensemble.until_logged(3, logged + 3)
    ensemble.kill(3)
    ensemble.tap.mend()
    led_by(ensemble, 2, 1, 2)


@scenario("A leader logs what reaches nobody and dies; it comes back before its successor wrote: TRUNC.")
def trunc(ensemble):
    leader_with_a_tail(ensemble)
    ensemble.start(3)
    ensemble.until_serving(3)
    client = Client(ensemble, 3)
    client.create("/b")
    ensemble.until_level(1, 2, 3)
    expect(seen(ensemble, "TRUNC", 3), "no TRUNC")


@scenario("The same, but its successor has written in its own epoch: no TRUNC across epochs, SNAP.")
def tail_across_epochs(ensemble):
    leader_with_a_tail(ensemble)
    Client(ensemble, 2).create("/b")
    ensemble.until_level(1, 2)
    ensemble.start(3)
    ensemble.until_serving(3)
    ensemble.until_level(1, 2, 3)
    expect(seen(ensemble, "SNAP", 3), "no SNAP")


@scenario("The leader is killed under writes; the others elect, go on, and it comes back.")
def leader_killed(ensemble):
    ensemble.start_together(1, 2, 3)
    led_by(ensemble, 3, 1, 2, 3)
    client = Client(ensemble, 2)
    client.create("/a")
    for number in range(6):
        client.send("create", path=f"/a/{number}", data="", acl=WORLD, flags=0)
    ensemble.kill(3)
    led_by(ensemble, 2, 1, 2)
    other = Client(ensemble, 1)
    other.create("/b")
    other.create("/b/c")
    ensemble.start(3)
    ensemble.until_serving(3)
    other.create("/b/d")
    ensemble.until_level(1, 2, 3)


@scenario("A follower is cut off from the leader for a while: it looks, hears, and comes back.")
def follower_cut_off(ensemble):
    ensemble.start_together(1, 2, 3)
    led_by(ensemble, 3, 1, 2, 3)
    client = Client(ensemble, 2)
    client.create("/a")
    ensemble.until_level(1, 2, 3)
    ensemble.tap.sever(1, 3)
    ensemble.until_not_serving(1)
    client.create("/a/while-cut-off")
    ensemble.tap.mend()
    ensemble.until_serving(1)
    ensemble.until_level(1, 2, 3)


@scenario("An observer joins three voters that have written, sees writes, and writes itself.", sids=(1, 2, 3, 4), observers=(4,))
def observer(ensemble):
    ensemble.start_together(1, 2, 3)
    led_by(ensemble, 3, 1, 2, 3)
    client = Client(ensemble, 1)
    client.create("/a", "before")
    client.create("/a/b")
    ensemble.start(4)
    ensemble.until_serving(4)
    client.create("/a/c", "after")
    at_observer = Client(ensemble, 4)
    at_observer.create("/o", "through the observer")
    at_observer.call("sync", path="/o")
    at_observer.close()
    ensemble.until_level(1, 2, 3)


@scenario(
    "A fourth server joins by reconfig, the first leaves, and then the leader hands over as it is removed.",
    sids=(1, 2, 3, 4),
    left_out=(4,),
    dynamic=True,
)
def reconfig(ensemble):
    ensemble.start_together(1, 2, 3)
    led_by(ensemble, 3, 1, 2, 3)
    client = Client(ensemble, 2)
    client.call("auth", scheme="digest", auth=servers.SUPER_PASSWORD)
    client.create("/a")
    ensemble.start(4)
    ensemble.until_serving(4)
    _reconfigure(client, joining=f"server.4={ensemble.address(4)}", leaving=None)
    ensemble.until_level(1, 2, 3, 4)
    _reconfigure(client, joining=None, leaving="1")
    client.create("/b")
    ensemble.until_level(2, 3, 4)
    # Its reply may be lost: every follower begins anew when the leader goes.
    client.send("reconfig", joining=None, leaving="3", members=None, config=-1)
    leader = ensemble.until_led_by_one_of(2, 4)
    Client(ensemble, leader).create("/c")
    ensemble.until_level(2, 4)


def _reconfigure(client, joining, leaving):
    client.call("reconfig", joining=joining, leaving=leaving, members=None, config=-1)


@scenario(
    "A reconfiguration with an observer in the ensemble: a voter leaves, then the observer becomes a voter.",
    sids=(1, 2, 3, 4),
    observers=(4,),
    dynamic=True,
)
def observer_reconfig(ensemble):
    ensemble.start_together(1, 2, 3, 4)
    led_by(ensemble, 3, 1, 2, 3, 4)
    client = Client(ensemble, 3)
    client.call("auth", scheme="digest", auth=servers.SUPER_PASSWORD)
    _reconfigure(client, joining=None, leaving="1")
    client.create("/a")
    ensemble.until_level(2, 3, 4)
    ensemble.observers.clear()
    client.send("reconfig", joining=f"server.4={ensemble.address(4)}", leaving=None, members=None, config=-1)
    ensemble.until_serving(2, 3, 4)
    ensemble.until_level(2, 3, 4)


@scenario(
    "The leader's counter runs out: it gives up, and the next epoch begins at nought.",
    properties={"zookeeper.testingonly.initialZxid": str(0xFFFFFFFC)},
)
def rollover(ensemble):
    ensemble.start_together(1, 2, 3)
    led_by(ensemble, 3, 1, 2, 3)
    client = Client(ensemble, 3)
    for number in range(3):
        client.send("create", path=f"/r{number}", data="", acl=WORLD, flags=0)
    ensemble.until_epoch(3, 2)
    ensemble.until_serving(1, 2, 3)
    ensemble.until_quiet()

