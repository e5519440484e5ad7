"""Faults against the rules that keep a cluster safe beside Go peers, and the rest of the list.

``mutants.py`` has the list, by number.
"""

from __future__ import annotations

from tests.simulation.faults import fault_of

__all__ = ["RULE_FAULTS"]

RULE_FAULTS = (
    fault_of(
        "a term is not stored",
        "server:Server.enter_term",
        "self.writes.owe_hard_state(is_new_term=True)",
        "pass",
        "stated term is durable",
        "vote is durable",
        "one vote a term",
    ),
    fault_of(
        "a duplicate is acknowledged from memory",
        "following:_take_entries",
        "server.reply_acknowledging(call, response, upto)",
        "server.reply_acknowledging(call, response, upto if new else NO_INDEX)",
        "acknowledged is durable",
    ),
    fault_of(
        "a part of a batch is acknowledged as the whole",
        "following:_take_entries",
        "server.reply_acknowledging(call, response, upto)",
        "server.reply_acknowledging(call, response, min(upto, Index(prev + 1)))",
        "acknowledged is durable",
    ),
    fault_of(
        "the commit index of a rejected append is taken",
        "following:_take_entries",
        "hint = log.last_with_term_at_most(request.prev_log_term, prev)",
        "server.commit_to(max(server.commit_index, min(request.leader_commit_index, log.last_index)))\n"
        "        hint = log.last_with_term_at_most(request.prev_log_term, prev)",
        "commitment",
    ),
    fault_of(
        "a commit index beyond the entries that came with it",
        "following:_take_entries",
        "min(request.leader_commit_index, upto)",
        "min(request.leader_commit_index, log.last_index)",
        "commitment",
    ),
    fault_of(
        "a vote is taken back on stepping down",
        "server:Server.become_follower",
        "self.leadership = None\n",
        "self.leadership = None\n    self.hard_state = HardState(self.term, None)\n",
        "one vote a term",
        "vote is durable",
    ),
    fault_of(
        "a vote of an older term counts",
        "election:on_answer",
        "response.granted and response.term == asked",
        "response.granted",
        "election by majority",
        "election safety",
        raft={"pre_vote_disabled": True},
        with_=(
            fault_of("", "election:campaign", "server.calls.clear()", "pass", ""),
            fault_of("", "election:_start_election", "server.calls.clear()", "pass", ""),
        ),
    ),
    fault_of(
        "a follower names its last entry, and its leader takes that for the acknowledged one",
        "replication:on_append_answer",
        "    _on_success(server, leadership, call)",
        "    call.prev, call.length = response.last_log, 0\n"
        "        _on_success(server, leadership, call)",
        "commitment by majority",
        with_=(
            fault_of(
                "",
                "following:_take_entries",
                "last_log=last_log, success=True",
                "last_log=log.last_index, success=True",
                "",
            ),
        ),
    ),
    fault_of(
        "what a peer holds may become less",
        "progress:Progress.succeed",
        "if match <= self.match_index:",
        "if False:",
        "recovery",
        world={"reset_every_s": 0.3, "slow_network": 0.1},
        raft={"max_inflight_appends": 4, "max_append_entries": 1},
    ),
    fault_of(
        "a pre-vote raises the term",
        "voting:answer_pre_vote",
        "server.rounds_refused = 0\n",
        "server.rounds_refused = 0\n"
        "    if request.term > server.term:\n"
        "        server.adopt_term(request.term)\n",
        "naive pre-vote",
        "naive term",
        is_judged=True,
    ),
    fault_of(
        "a pre-vote is granted while a leader is heard",
        "voting:answer_pre_vote",
        "        and not is_loyal\n        and request.term",
        "        and request.term",
        "naive pre-vote",
        is_judged=True,
        world={"voters": 3, "partition_every_s": 1.0, "pause_every_s": 1.5},
        raft={"pre_vote_disabled": False},
    ),
    fault_of(
        "an answer is taken for that to the oldest call",
        "machine:Machine._on_response",
        "server.calls.pop(event.call, None)",
        "server.calls.pop(next(iter(server.calls), event.call), None)",
        "commitment by majority",
    ),
    fault_of(
        "a heartbeat changes the term beside the main loop",
        "following:answer_append_entries",
        "    entries = request.entries or ()\n",
        "    entries = request.entries or ()\n"
        "    if request.is_heartbeat and request.term > server.term:\n"
        "        server.enter_term(request.term, None)\n"
        "        server.leader = server.term_leader = peer\n"
        "        server.reply_stating_term(\n"
        "            call,\n"
        "            AppendEntriesResponse(\n"
        "                term=server.term, last_log=server.log.last_index, success=True\n"
        "            ),\n"
        "        )\n"
        "        return\n",
        "log matching",
        "election safety",
    ),
    fault_of(
        "a server added again is taken for who it was",
        "leadership:Leadership.use_configuration",
        "        if peer != server.id and (known is None or known.is_leaving):\n",
        "        if known is not None:\n"
        "            known.removal = None\n"
        "        if peer != server.id and known is None:\n",
        "recovery",
        with_=(
            fault_of("", "leadership:Leadership._let_go", "del self.peers[peer.peer]", "pass", ""),
            fault_of(
                "",
                "replication:_on_reject",
                "leadership.start_over(peer, Index(response.last_log + 1))",
                "peer.back_off(server.now, str())",
                "",
            ),
        ),
    ),
    fault_of(
        "an answer from an earlier reign counts",
        "server:Server.become_follower",
        "self.calls.clear()",
        "pass",
        "commitment by majority",
        with_=(
            fault_of("", "election:campaign", "server.calls.clear()", "pass", ""),
            fault_of("", "election:_start_election", "server.calls.clear()", "pass", ""),
            fault_of("", "leadership:begin", "server.calls.clear()", "pass", ""),
            fault_of(
                "",
                "leadership:Leadership.note_answer",
                "    if response.term < server.term:\n        return False\n",
                "",
                "",
            ),
            *(
                fault_of(
                    "",
                    f"machine:Machine.{handler}",
                    "call = server.calls.pop(event.call, None)\n",
                    "call = server.calls.pop(event.call, None)\n"
                    "    if isinstance(call, AppendCall | HeartbeatCall) and not server.leadership:\n"
                    "        return\n",
                    "",
                )
                for handler in ("_on_response", "_on_call_failed")
            ),
            fault_of(
                "",
                "replication:on_append_answer",
                "    peer = call.progress\n",
                "    peer = call.progress = leadership.peers.get(call.progress.peer, call.progress)\n",
                "",
            ),
        ),
    ),
    fault_of(
        "a leader whose disk was full goes on in its term",
        "machine:Machine.take_ready",
        "server = self._server\n",
        "server = self._server\n"
        "    if server.is_held_back and server.leadership is None and server.term_leader is None:\n"
        "        election.leadership.begin(server)\n",
        "log matching",
    ),
    fault_of(
        "a candidate of a newer configuration is refused",
        "voting:_standing",
        "if is_newer and (is_quiet or server.is_blank):",
        "if is_newer and server.is_blank:",
        "recovery",
    ),
    fault_of(
        "an older snapshot is refused",
        "installing:answer_install_snapshot",
        "        response = InstallSnapshotResponse(term=server.term, success=True)\n"
        "        server.reply_acknowledging(call, response, request.last_log_index)",
        "        response = InstallSnapshotResponse(term=server.term, success=False)\n"
        "        server.reply_stating_term(call, response)",
        "recovery",
    ),
    fault_of(
        "entries are sent beside a snapshot",
        "snapshot_sending:send",
        "peer.is_installing = True\n",
        "peer.is_installing = True\n    peer.probe(Index(meta.index + 1))\n",
        "no entries beside a snapshot",
    ),
    fault_of(
        "a vote is given again without a look at the log",
        "voting:answer_vote",
        "if not _can_vote_for(server, peer) or not server.is_up_to_date(",
        "if not _can_vote_for(server, peer) or server.hard_state.vote != peer and not server.is_up_to_date(",
        "vote only for the up to date",
        "naive vote",
        is_judged=True,
        world={"voters": 5, "duplicate": 0.3},
    ),
    fault_of(
        "a leader steps down before a higher term and keeps its own",
        "leadership:Leadership.note_answer",
        "server.adopt_term(response.term)\n",
        "server.become_follower()\n",
        "recovery",
    ),
    fault_of(
        "the transfer flag goes with every later round",
        "election:on_timeout",
        "    campaign(server)\n",
        "    campaign(server, is_transfer=server.candidacy is not None and server.candidacy.is_transfer)\n",
        "the transfer flag is for one round",
    ),
)
