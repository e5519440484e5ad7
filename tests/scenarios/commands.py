"""The commands of a transcript, each with what follows from it; ``COMMANDS`` lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from raft_over_libp2p.core.membership_change import ChangeKind, MembershipChange
from raft_over_libp2p.errors import NotLeader, ProposalRefused
from raft_over_libp2p.types import Index, ServerID
from tests.core.logs import MemoryLog, configuration_entry, entry, ids
from tests.scenarios import telling
from tests.scenarios.forging import forged_request
from tests.scenarios.server import Disk, ScenarioServer
from tests.scenarios.world import Message, World

__all__ = ["COMMANDS", "BadCommand", "run"]

Options = Mapping[str, str]


class BadCommand(Exception):
    """A transcript's command makes no sense."""


def run(world: World, line: str) -> None:
    """Do one line, and all that follows from it."""
    words, options = [], {}
    for word in line.split():
        name, equals, value = word.partition("=")
        if equals:
            options[name] = value
        else:
            words.append(word)
    world.tells_messages = words[:1] != ["quietly"]
    if not world.tells_messages:
        del words[0]
    if not words or words[0] not in COMMANDS:
        raise BadCommand(f"{line!r}: the commands are {', '.join(sorted(COMMANDS))}")
    world.tells_heartbeats = words[0] in {"heartbeat", "deliver", "send", "read", "disk"}
    try:
        COMMANDS[words[0]](world, words[1:], options)
    except NotLeader as error:
        world.lines.append(f"{words[1]} refuses: not the leader, {error.leader or 'nobody'} is")
    except ProposalRefused as error:
        world.lines.append(f"{words[1]} refuses: {error}")
    except (AttributeError, IndexError, KeyError, ValueError) as error:
        raise BadCommand(f"{line!r}: {error!r}") from error
    world.settle()


def _of(world: World, name: str) -> ScenarioServer:
    return world.servers[ServerID(name)]


# -- who there is


def _cluster(world: World, words: Sequence[str], options: Options) -> None:
    voters = list(words)
    if words[0].isdigit():
        voters = [f"n{i + 1}" for i in range(int(words[0]))]
    nonvoters = options["nonvoters"].split(",") if "nonvoters" in options else []
    term, told = int(options.get("term", "1")), len(world.lines)
    for name in [*voters, *nonvoters]:
        log = MemoryLog([configuration_entry(1, 1, *voters, nonvoters=nonvoters)])
        world.add(name, log, term - ("leader" in options))
    if "leader" in options:
        leader = _of(world, options["leader"])
        world.fire(leader, "vote", tries=3)
        world.advance(0.15)
        status = leader.machine.status(world.now)
        if status.term != term or status.leader != leader.id:
            raise BadCommand(f"{leader.id} does not lead term {term}: terms of leaders begin at 2")
        world.lines[told:] = [f"{leader.id} leader term={term} commit={status.commit_index}"]


def _go(world: World, words: Sequence[str], options: Options) -> None:
    """Let these servers serve Go's protocol alone."""
    world.go_peers.update(ids(*words))


def _config(world: World, words: Sequence[str], options: Options) -> None:
    for name, value in options.items():
        kind = type(getattr(world.config, name))
        world.config = replace(world.config, **{name: kind(float(value))})


def _blank(world: World, words: Sequence[str], options: Options) -> None:
    world.add(words[0], MemoryLog(), 0)


def _logs(world: World, words: Sequence[str], options: Options) -> None:
    for name, terms in options.items():
        server = _of(world, name)
        first, *rest = map(int, terms.split(","))
        if first != 1:
            raise ValueError("entry 1 is the configuration, of term 1")
        entries = [server.log.kept[0], *(entry(i, t) for i, t in enumerate(rest, 2))]
        term = max(server.hard_state.term, entries[-1].term)
        server.replace_disk(MemoryLog(entries), term, world.now)


def _terms(world: World, words: Sequence[str], options: Options) -> None:
    for name, term in options.items():
        server = _of(world, name)
        server.replace_disk(server.log, int(term), world.now)


# -- links


def _links(words: Sequence[str]) -> tuple[list[tuple[ServerID, ServerID]], list[str]]:
    """Read ``n1 -> n2`` or ``n1 <-> n2``; return the links, and the words that follow."""
    a, arrow, b = ServerID(words[0]), words[1], ServerID(words[2])
    if arrow not in {"->", "<->"}:
        raise ValueError("a link is written n1 -> n2, or n1 <-> n2 for both ways")
    return ([(a, b)] if arrow == "->" else [(a, b), (b, a)]), list(words[3:])


def _partition(world: World, words: Sequence[str], options: Options) -> None:
    sides = [ids(*side.split()) for side in " ".join(words).split("|")]
    for side in sides:
        for other in sides:
            if side is not other:
                world.cuts |= {(a, b) for a in side for b in other}


def _cut(world: World, words: Sequence[str], options: Options) -> None:
    world.cuts.update(_links(words)[0])


def _heal(world: World, words: Sequence[str], options: Options) -> None:
    world.cuts.clear()


def _hold(world: World, words: Sequence[str], options: Options) -> None:
    links, kinds = _links(words)
    world.holds |= {(*link, kind) for link in links for kind in kinds or [""]}


def _take(world: World, words: Sequence[str]) -> list[Message]:
    """Take held messages off a link: all, of one kind, the first (so many) or the last."""
    links, rest = _links(words)
    kinds = [w for w in rest if w != "last" and not w.isdigit()]
    found = [m for m in world.held if m.link in links and (not kinds or m.kind in kinds)]
    if not found:
        raise ValueError("nothing is held there")
    if "last" in rest:
        found = found[-1:]
    counts = [int(w) for w in rest if w.isdigit()]
    found = found[: counts[0]] if counts else found
    world.held = [m for m in world.held if all(m is not f for f in found)]
    return found


def _deliver(world: World, words: Sequence[str], options: Options) -> None:
    for message in _take(world, words):
        world.deliver(message)
        world.settle()


def _duplicate(world: World, words: Sequence[str], options: Options) -> None:
    """Deliver copies of what is held, and go on holding it; nobody waits for the answers."""
    held = list(world.held)
    for message in _take(world, words):
        world.deliver(replace(message, call=None))
        world.settle()
    world.held = held + [m for m in world.held if all(m is not h for h in held)]


def _drop(world: World, words: Sequence[str], options: Options) -> None:
    for message in _take(world, words):
        world.lines.append(message.text() + " (lost)")
        world.fail(message)


def _release(world: World, words: Sequence[str], options: Options) -> None:
    links, _ = _links(words)
    world.holds = {hold for hold in world.holds if hold[:2] not in links}
    waiting = [m for m in world.held if m.link in links]
    world.held = [m for m in world.held if m.link not in links]
    world.inbox.extend(waiting)


# -- processes and disks


def _crash(world: World, words: Sequence[str], options: Options) -> None:
    server = _of(world, words[0])
    if server.unsynced:
        world.lines.append(f"{server.id} loses writes: {len(server.unsynced)}")
    server.is_up, server.life, server.disk = False, server.life + 1, Disk.GOOD
    server.unsynced.clear()
    world.hang_up(server)


def _restart(world: World, words: Sequence[str], options: Options) -> None:
    server = _of(world, words[0])
    server.is_up = True
    server.start(world.now)
    world.lines.extend(telling.status_text(server.machine.status(world.now)))


def _disk(world: World, words: Sequence[str], options: Options) -> None:
    server = _of(world, words[0])
    if words[1] == "sync":
        server.sync(world.now, int(words[2]))
    else:
        server.disk = Disk(words[1])
        if server.disk is Disk.GOOD:
            server.store_snapshots(world.now)


# -- what callers ask for


def _timeout(world: World, words: Sequence[str], options: Options) -> None:
    world.fire(_of(world, words[0]), "prevote", "vote", tries=3)


def _heartbeat(world: World, words: Sequence[str], options: Options) -> None:
    world.fire(_of(world, words[0]), "heartbeat", tries=8)


def _advance(world: World, words: Sequence[str], options: Options) -> None:
    if not words[0].endswith("ms"):
        raise ValueError("write the time as 150ms")
    world.advance(int(words[0][:-2]) / 1000)


def _propose(world: World, words: Sequence[str], options: Options) -> None:
    _of(world, words[0]).machine.propose([w.encode() for w in words[1:]], world.now)


def _read(world: World, words: Sequence[str], options: Options) -> None:
    _of(world, words[0]).machine.read_index(int(words[1].removeprefix("r")), world.now)


def _change(world: World, words: Sequence[str], options: Options) -> None:
    change = MembershipChange(ChangeKind(words[1]), ServerID(words[2]), words[2])
    prev = Index(int(options.get("prev", "0")))
    _of(world, words[0]).machine.change_membership(change, world.now, prev_index=prev)


def _snapshot(world: World, words: Sequence[str], options: Options) -> None:
    _of(world, words[0]).machine.snapshot_now(world.now)


def _restore(world: World, words: Sequence[str], options: Options) -> None:
    server = _of(world, words[0])
    deadline = world.now + float(options.get("within", "10000ms").removesuffix("ms")) / 1000
    server.machine.begin_restore(deadline, world.now)
    server.to_restore = list(words[1:])


def _transfer(world: World, words: Sequence[str], options: Options) -> None:
    target = ServerID(words[1]) if len(words) > 1 else None
    _of(world, words[0]).machine.transfer_leadership(target, world.now)


def _status(world: World, words: Sequence[str], options: Options) -> None:
    for name in words or world.servers:
        world.lines.extend(telling.status_text(_of(world, name).machine.status(world.now)))


def _log(world: World, words: Sequence[str], options: Options) -> None:
    """Tell what is on the disks and what was applied."""
    for name in words or world.servers:
        server = _of(world, name)
        newest = max(server.snapshots, default=None)
        behind = "" if newest is None else f" behind snapshot {newest}"
        state = " ".join(server.state) or "nothing"
        world.lines.append(f"{name} log {telling.runs(server.log.kept)}{behind}; applied {state}")


# -- requests that no machine of the transcript sent


def _send(world: World, words: Sequence[str], options: Options) -> None:
    (link,), (kind,) = _links(words)
    request = forged_request(kind, link[0], options)
    state = options.get("state", "").split(",")
    world.deliver(Message(link[0], link[1], request, state=[s for s in state if s]))


COMMANDS: Final[Mapping[str, Callable[[World, Sequence[str], Options], None]]] = {
    "advance": _advance,
    "blank": _blank,
    "change": _change,
    "cluster": _cluster,
    "config": _config,
    "crash": _crash,
    "cut": _cut,
    "deliver": _deliver,
    "disk": _disk,
    "drop": _drop,
    "duplicate": _duplicate,
    "go": _go,
    "heal": _heal,
    "heartbeat": _heartbeat,
    "hold": _hold,
    "log": _log,
    "logs": _logs,
    "partition": _partition,
    "propose": _propose,
    "read": _read,
    "release": _release,
    "restart": _restart,
    "restore": _restore,
    "send": _send,
    "snapshot": _snapshot,
    "status": _status,
    "terms": _terms,
    "timeout": _timeout,
    "transfer": _transfer,
}
