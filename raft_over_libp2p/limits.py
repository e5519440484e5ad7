"""Every bound of this package, each with its reason. Nothing else in it may grow without one."""

from __future__ import annotations

from typing import Final

__all__ = [
    "FIRST_BYTE_TO_FRAME_S",
    "MAX_APPEND_ENTRIES",
    "MAX_APPLY_BATCH_ENTRIES",
    "MAX_DECODE_BYTES",
    "MAX_ENTRIES_READ_FOR_REQUESTS",
    "MAX_ENTRY_DATA_BYTES",
    "MAX_FRAME_RECEIVED_BYTES",
    "MAX_FRAME_SENT_BYTES",
    "MAX_FRAME_TOKENS",
    "MAX_FRUITLESS_SNAPSHOT_STREAMS",
    "MAX_INBOUND_SNAPSHOTS",
    "MAX_INBOUND_STREAMS",
    "MAX_INBOUND_STREAMS_PER_MEMBER",
    "MAX_INBOUND_STREAMS_PER_STRANGER",
    "MAX_INFLIGHT_APPENDS",
    "MAX_INFLIGHT_APPEND_BYTES",
    "MAX_LOG_CACHE_BYTES",
    "MAX_NESTING",
    "MAX_NEW_STREAMS_PER_S",
    "MAX_NEW_STREAMS_PER_S_OF_STRANGER",
    "MAX_OBSERVATIONS_QUEUED",
    "MAX_PEERS_COUNTED",
    "MAX_PENDING_READS",
    "MAX_PENDING_REPLIES_PER_STREAM",
    "MAX_PROPOSALS_QUEUED",
    "MAX_PROPOSAL_BYTES_QUEUED",
    "MAX_REQUEST_IDS",
    "MAX_REQUEST_RESULTS",
    "MAX_SERVERS",
    "MAX_SMALL_FIELD_BYTES",
    "MAX_SMALL_FRAME_BYTES",
    "MAX_SNAPSHOTS_SPOOLED",
    "MAX_SNAPSHOT_BYTES",
    "MAX_SNAPSHOT_BYTES_KEPT",
    "MAX_SNAPSHOT_HEADER_BYTES",
    "MAX_STALE_TAIL_ENTRIES",
    "MAX_UNCOMMITTED_BYTES",
    "MAX_WRITER_QUEUE_BYTES",
    "SEGMENT_BYTES",
    "SNAPSHOT_CHUNK_BYTES",
    "SNAPSHOT_KEPT_S",
    "SNAPSHOT_REOPEN_S",
    "STRANGER_IDLE_S",
]

KIB: Final = 1024
MIB: Final = 1024 * KIB

MAX_ENTRY_DATA_BYTES: Final = 1 * MIB
"""One entry's data. hashicorp/raft suggests at most 512 KiB; a pin is a few hundred bytes."""
MAX_APPEND_ENTRIES: Final = 1024
"""Entries in one AppendEntries: hashicorp/raft refuses a larger ``MaxAppendEntries``."""
MAX_FRAME_SENT_BYTES: Final = 4 * MIB
"""What one AppendEntries of ours may carry: small enough to be written within a heartbeat."""
MAX_FRAME_RECEIVED_BYTES: Final = 80 * MIB
"""What one may carry to us: a Go leader sends 64 entries of 1 MiB, and for ever if refused."""
MAX_FRAME_TOKENS: Final = 64 * KIB
"""Msgpack values in one frame: 1024 entries have 13 342. Bounds the time a hostile frame costs."""
MAX_SMALL_FRAME_BYTES: Final = 128 * KIB
"""A request without entries or configuration, and any response (an error text is the largest part)."""
MAX_SNAPSHOT_HEADER_BYTES: Final = 1 * MIB
"""An InstallSnapshot request without the snapshot: mostly its configuration."""
MAX_SERVERS: Final = 1024
"""Members of one configuration; real clusters have tens."""
MAX_SMALL_FIELD_BYTES: Final = 4 * KIB
"""Every byte string of a message but entry data, extensions and configurations."""
MAX_NESTING: Final = 8
"""Depth of msgpack nesting; real messages need 4."""
MAX_DECODE_BYTES: Final = 160 * MIB
"""Memory for frames being received, over all streams."""
FIRST_BYTE_TO_FRAME_S: Final = 10.0
"""From a frame's first byte to its last (plus its size at 16 KiB/s): ends slow senders."""
STRANGER_IDLE_S: Final = 60.0
"""A stream of a peer outside the configuration may be silent for so long; a member's for ever."""
MAX_INBOUND_STREAMS: Final = 64
MAX_INBOUND_STREAMS_PER_MEMBER: Final = 16
"""Go opens a stream for each call outside its pipeline, seldom more than four at once."""
MAX_INBOUND_STREAMS_PER_STRANGER: Final = 4
"""Enough for the lanes of a leader that this server, asleep while members changed, does not
know yet: with one, its heartbeats would keep its appends out for ever."""
MAX_NEW_STREAMS_PER_S: Final = 100
"""New Raft streams of one member, after a burst of as many: Go opens one for each call outside its
pipeline, which needs some 50 a second; more is a flood, and each stream costs a task."""
MAX_NEW_STREAMS_PER_S_OF_STRANGER: Final = 10
"""The same of a peer that is no member: a leader not known yet opens its lanes once."""
MAX_PEERS_COUNTED: Final = 1024
"""Peers whose rate is remembered; one that was quiet for a second is forgotten first."""
MAX_PENDING_REPLIES_PER_STREAM: Final = 64
"""Requests read ahead on one stream while their replies wait for the disk."""
MAX_WRITER_QUEUE_BYTES: Final = 32 * MIB
"""Bytes queued to one peer; the in-flight window keeps far below it, so reaching it fails calls."""
MAX_INFLIGHT_APPENDS: Final = 8
"""AppendEntries in flight to one peer: more only lengthens its queue (hashicorp PR 541)."""
MAX_INFLIGHT_APPEND_BYTES: Final = 8 * MIB
MAX_UNCOMMITTED_BYTES: Final = 64 * MIB
"""Entries a leader holds that no majority has; above it proposals are refused."""
MAX_LOG_CACHE_BYTES: Final = 16 * MIB
"""Recent entries served from memory; older ones are read from the file."""
MAX_PROPOSALS_QUEUED: Final = 8192
"""Operations waiting for their outcome; 4096 in flight is the largest measured load."""
MAX_PROPOSAL_BYTES_QUEUED: Final = 32 * MIB
MAX_PENDING_READS: Final = 8192
MAX_APPLY_BATCH_ENTRIES: Final = 1024
"""Entries applied in one turn of the driver: keeps a turn far below 50 ms."""
MAX_OBSERVATIONS_QUEUED: Final = 256
"""Per observer; what comes on top is dropped and counted, Raft never waits for one."""
MAX_SNAPSHOTS_SPOOLED: Final = 2
"""Snapshots being received or kept half received: a new leader's beside its forerunner's."""
MAX_SNAPSHOT_BYTES_KEPT: Final = 1024 * MIB
"""Of snapshots that broke off, on the disk until they are resumed: the largest there is."""
SNAPSHOT_KEPT_S: Final = 600.0
"""How long such a part waits: a leader takes a new snapshot within minutes of writes."""
MAX_FRUITLESS_SNAPSHOT_STREAMS: Final = 5
"""Broken one after the other without the peer getting further: then the call has failed."""
SNAPSHOT_REOPEN_S: Final = 30.0
"""For a new stream after a broken one: as long as a restart takes. The log waits meanwhile."""
MAX_REQUEST_IDS: Final = 64 * KIB
"""IDs of operations kept in memory, some 200 bytes each; older ones count as compacted."""
MAX_REQUEST_RESULTS: Final = 1024
"""What applying operations with an ID gave; a repeated call beyond them learns only *done*."""
MAX_ENTRIES_READ_FOR_REQUESTS: Final = 32 * KIB
"""Read at start to find request IDs: more than a snapshot leaves behind, in under a second."""
MAX_STALE_TAIL_ENTRIES: Final = 64 * KIB
"""No-ops a leader appends to outgrow a peer's stale log: what a Go leader that is cut off takes
in until its lease ends (0.5 s at 65 000 entries a second) is less."""
MAX_SNAPSHOT_BYTES: Final = 1024 * MIB
MAX_INBOUND_SNAPSHOTS: Final = 4
"""Peers that may send us one at the same time: one leads, others may just have led."""
SNAPSHOT_CHUNK_BYTES: Final = 64 * KIB
"""Handed to the connection at a time: a heartbeat waits behind no more than a few of these."""
SEGMENT_BYTES: Final = 16 * MIB
"""One file of the log, preallocated."""
