"""Faults seeded into what changes a cluster: membership, snapshots, compaction, transfer."""

from __future__ import annotations

from tests.simulation.faults import fault_of

__all__ = [
    "CHANGE_BEFORE_OWN_COMMIT",
    "CHANGE_FAULTS",
    "OUTSIDE_ITS_LATEST_IS_SILENT",
    "STORED_SNAPSHOT_IS_NOT_REJUDGED",
]

CHANGE_BEFORE_OWN_COMMIT = fault_of(
    "a change before a commit of the own term",
    "reconfiguration:append_change",
    "if not leadership.has_own_term_commit():",
    "if False:",
    "a configuration after a commit of the own term",
)
STORED_SNAPSHOT_IS_NOT_REJUDGED = fault_of(
    "a stored snapshot is not judged again by what is committed",
    "installing:on_stored",
    "if meta.index <= server.commit_index and not server.is_disputed:",
    "if False:",
    "applied never goes back",
)
OUTSIDE_ITS_LATEST_IS_SILENT = fault_of(
    "a server outside its own latest configuration never campaigns",
    "election:may_campaign",
    "server.membership.is_voter(server.id)",
    "server.membership.latest.configuration.is_voter(server.id)",
    "recovery",
)
_NO_INVARIANT_AT_COMPACTION = fault_of(
    "compaction is not asserted",
    "log_view:LogView.remove_prefix",
    "upto <= min(self._snapshot_index, self.durable_index)",
    "upto",
)

CHANGE_FAULTS = (
    CHANGE_BEFORE_OWN_COMMIT,
    fault_of(
        "two configurations in flight",
        "reconfiguration:append_change",
        "if not server.membership.is_latest_committed:",
        "if False:",
        "one configuration at a time",
    ),
    fault_of(
        "a change of another configuration than was asked for",
        "reconfiguration:append_change",
        "prev_index not in {NO_INDEX, latest.index}",
        "False",
        "a change of what was seen",
    ),
    fault_of(
        "a configuration is not rolled back",
        "membership:Membership.truncate",
        "self._placed[-1].index >= first_removed",
        "False",
        "the configuration in force",
        world={"voters": 3, "spares": 2, "change_every_s": 0.2, "partition_every_s": 1.0},
    ),
    fault_of(
        "votes are counted in the committed configuration",
        "election:_count",
        "voters = server.membership.latest.configuration.voters",
        "voters = server.membership.committed.configuration.voters",
        "election by majority",
        "election safety",
        "recovery",
        within_seeds=400,
    ),
    fault_of(
        "a nonvoter counts for commitment",
        "leadership:Leadership.advance_commit",
        "for peer in self.voters]",
        "for peer in self.peers.values()]",
        "commitment by majority",
    ),
    fault_of(
        "a removed leader counts itself",
        "leadership:Leadership.use_configuration",
        "self.is_voter = latest.configuration.is_voter(server.id)",
        "self.is_voter = True",
        "commitment by majority",
        "a removed leader ends",
    ),
    fault_of(
        "a removed leader leads on",
        "leadership:Leadership.advance_commit",
        "server.membership.is_latest_committed and not self.is_voter",
        "False",
        "a removed leader ends",
    ),
    # Snapshots.
    fault_of(
        "a snapshot without its configuration",
        "snapshotting:Snapshotting.take",
        "configuration=placed.configuration,",
        "configuration=type(placed.configuration)(),",
        "a snapshot carries its configuration",
    ),
    fault_of(
        "a snapshot with a configuration newer than its index",
        "snapshotting:Snapshotting.take",
        "placed = server.membership.applied\n"
        '    invariant(placed.index <= index, "a snapshot\'s configuration is not newer than it is")',
        "placed = server.membership.latest",
        "a snapshot carries its configuration",
    ),
    fault_of(
        "a snapshot of a state machine that is not at rest",
        "machine:Machine.take_ready",
        "server.snapshotting.is_due and server.applied_index == server.handed_index",
        "server.snapshotting.is_due",
        "a snapshot is of what was applied",
        world={"apply_s": 0.005, "snapshot_every_s": 0.3, "client_every_s": 0.02},
        raft={"snapshot_threshold": 4, "snapshot_interval_s": 0.1},
    ),
    fault_of(
        "a restart without the snapshot's configuration",
        "server:Server._initial_membership",
        "if snapshot:",
        "if False:",
        "the configuration in force",
    ),
    fault_of(
        "what was applied is forgotten",
        "server:Server.__init__",
        "max(initial.applied_index, snapshot_index)",
        "Index(snapshot_index)",
        "apply in order",
        "commit never goes back",
    ),
    fault_of(
        "a snapshot in the place of a newer log",
        "installing:on_stored",
        "if is_kept and not server.is_disputed:",
        "if False:",
        "acknowledged entries stay",
        first_seed=1180,
    ),
    fault_of(
        "a stale tail stays over a snapshot",
        "installing:on_stored",
        "server.log.term(meta.index) == meta.term and ",
        "",
        "the core never raises",
        "a log agrees with its snapshot",
        first_seed=38,
    ),
    fault_of(
        "a stored snapshot is not judged again by its term",
        "installing:on_stored",
        "if installing.term != server.term:",
        "if False:",
        "a snapshot is its leader's",
        within_seeds=200,
    ),
    fault_of(
        "entries are handed out that an adopted snapshot holds",
        "installing:_put_in_force",
        "server.commit_index = server.handed_index = server.applied_index",
        "server.commit_index = server.applied_index",
        "apply in order",
        "log reader",
        "the core never raises",
    ),
    fault_of(
        "a second snapshot beside the first",
        "snapshot_sending:send",
        "peer.is_installing = True",
        "pass",
        "one snapshot at a time",
        "timers",
    ),
    # Compaction.
    fault_of(
        "compaction past what was applied",
        "snapshotting:compact",
        "min(log.snapshot_index, ",
        "min(log.last_index, ",
        "compaction behind a snapshot",
        with_=(_NO_INVARIANT_AT_COMPACTION,),
    ),
    fault_of(
        "compaction before the snapshot is durable",
        "snapshotting:Snapshotting.take",
        "self._taking = ready.take_snapshot = SnapshotMeta(",
        "server.log.cover(index, term)\n    compact(server)\n"
        "    self._taking = ready.take_snapshot = SnapshotMeta(",
        "compaction behind a snapshot",
    ),
    fault_of(
        "compaction past a snapshot on its way",
        "leadership:Leadership.oldest_snapshot_sent",
        "min(sent, default=self.server.log.snapshot_index)",
        "self.server.log.snapshot_index",
        "compaction keeps what follows a snapshot on its way",
        world={"slow_snapshot": 0.5, "crash_every_s": 1.0, "client_every_s": 0.02},
        raft={"snapshot_threshold": 4, "snapshot_interval_s": 0.1, "trailing_logs": 0},
    ),
    # Handing over.
    fault_of(
        "TimeoutNow is obeyed whoever sends it",
        "following:answer_timeout_now",
        "peer != server.term_leader or ",
        "",
        "TimeoutNow from the term's leader only",
    ),
    fault_of(
        "TimeoutNow before the target has the whole log",
        "transfer:go_on",
        "transfer.is_fresh and peer.match_index == server.log.last_index",
        "transfer.is_fresh",
        "TimeoutNow at match = last",
        first_seed=15,
    ),
    fault_of(
        "every campaign overrides the leader",
        "election:_count",
        "_start_election(server, is_transfer=False)",
        "_start_election(server, is_transfer=True)",
        "the transfer flag is for one round",
    ),
    fault_of(
        "a transfer has no end",
        "transfer:on_timer",
        "server.now >= transfer.deadline",
        "False",
        "a transfer ends",
        "timers",
    ),
    fault_of(
        "proposals are refused after a transfer",
        "server:Server.end_transfer",
        "self.transfer = None",
        "pass",
        "a transfer blocks nobody",
        "transfers",
    ),
)
