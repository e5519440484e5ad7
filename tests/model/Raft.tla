-------------------------------- MODULE Raft --------------------------------
(***************************************************************************)
(* The Raft of this project as a state machine, small enough for TLC.       *)
(*                                                                         *)
(* The network is not a bag of messages but what was ever said: what the    *)
(* leader of a term had in its log, committed and in snapshots; who asked   *)
(* for votes and who granted them; what was acknowledged.  Whatever was     *)
(* said may arrive at any later time, any number of times, or never.  A     *)
(* leader's log only grows while it leads, so its longest state stands for  *)
(* all that it may have sent.                                              *)
(*                                                                         *)
(* Of each server there is what it has in memory (s) and what is on its     *)
(* disk (disk).  Entries leave before the leader's own write is done; votes, *)
(* acknowledgements and terms leave after it.  A crash leaves the disk.     *)
(*                                                                         *)
(* Logs are kept whole.  A snapshot is a number: what is before it is       *)
(* agreed on.  Faults holds the names of seeded faults; each must be found. *)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    Server,         \* everybody there is
    Voters,         \* of the configuration that is the first entry
    Nonvoters,      \* likewise
    Go,             \* servers that behave as hashicorp/raft does
    Campaigner,     \* who may campaign for each term: a bound, [2..MaxTerm -> SUBSET Server]
    Crashers,       \* who may crash: a bound
    Synchronous,    \* whether each change is durable at once: fewer states, longer runs
    MaxTerm,        \* the first term is 1: the first entry's
    MaxLog,         \* entries in a log, with the first one
    MaxBatch,       \* entries in one AppendEntries
    Targets,        \* configurations that may be proposed
    PreVote,        \* whether pre-votes and stickiness are modelled (else: anybody, any time)
    Snapshots,      \* whether snapshots are taken and sent
    Transfers,      \* whether leadership is handed over
    Faults          \* names of seeded faults

VARIABLES
    s,              \* of each server, in memory
    disk,           \* of each server, durable
    reign,          \* of each term and server: the most it ever had as that term's leader
    requests,       \* votes asked for
    votes,          \* votes granted, and said so
    prevotes,       \* likewise pre-votes
    acked,          \* of each term and server: up to where it acknowledged that term's leader
    orders,         \* TimeoutNow sent
    agreed,         \* what was ever committed by a leader, in order, and in which term
    uncovered       \* whether a commit index was sent that its entries do not cover

vars == <<s, disk, reign, requests, votes, prevotes, acked, orders, agreed, uncovered>>

Has(fault) == fault \in Faults
Min(a, b) == IF a < b THEN a ELSE b
Max(a, b) == IF a > b THEN a ELSE b
Nobody == "nobody"
NoConf == [voters |-> {}, others |-> {}]
Conf(v, o) == [voters |-> v, others |-> o]
Entry(t, c) == [term |-> t, conf |-> c]
NoReign == [log |-> <<>>, commit |-> 0, snap |-> 0]

TermAt(log, k) == IF k = 0 \/ k > Len(log) THEN 0 ELSE log[k].term
LastTerm(log) == TermAt(log, Len(log))
(* Where the last configuration up to k stands. *)
ConfIndex(log, k) ==
    LET places == {n \in 1..Min(k, Len(log)) : log[n].conf # NoConf}
    IN  IF places = {} THEN 0 ELSE CHOOSE n \in places : \A m \in places : m <= n
ConfAt(log, n) == IF n = 0 THEN NoConf ELSE log[n].conf
(* Votes and matches are counted in the latest configuration; a Go server may have lost it. *)
Latest(i) == ConfAt(s[i].log, s[i].conf)
(* All but the last are agreed on: nobody starts a change while one is open. *)
Committed(i) ==
    LET last == ConfIndex(s[i].log, Len(s[i].log))
    IN  ConfAt(s[i].log, IF last <= s[i].commit THEN last ELSE ConfIndex(s[i].log, last - 1))
Quorum(who, voters) ==
    IF Has("half is a majority")
    THEN 2 * Cardinality(who \cap voters) >= Cardinality(voters)
    ELSE 2 * Cardinality(who \cap voters) > Cardinality(voters)
UpToDate(theirs, log) ==
    \/ theirs[1] > LastTerm(log)
    \/ theirs[1] = LastTerm(log) /\ theirs[2] >= Len(log)
Newer(theirs, log) == UpToDate(theirs, log) /\ theirs # <<LastTerm(log), Len(log)>>
(* Up to where two logs are the same. *)
Common(a, b) ==
    LET same == {n \in 1..Min(Len(a), Len(b)) : a[n] = b[n]}
    IN  CHOOSE n \in 0..Min(Len(a), Len(b)) :
            /\ 1..n \subseteq same
            /\ n + 1 \notin same
Durable(i) == Common(s[i].log, disk[i].log)

(* Up to where a server may acknowledge: verified in this term, and durable with the term. *)
MayAck(new, d) ==
    IF Has("reply before write") \/ Has("acknowledged before write") THEN new.verified
    ELSE IF d.term # new.term THEN 0
    ELSE Min(new.verified, Common(new.log, d.log))

Request(i, new) ==
    [term |-> new.term, from |-> i, transfer |-> new.role = "Heir",
     last |-> <<LastTerm(new.log), Len(new.log)>>]

Stored(new) == [term |-> new.term, log |-> new.log, snap |-> new.snap,
                vote |-> IF Has("vote not stored") THEN Nobody ELSE new.vote]

(* Server i is now `new', with d on its disk.  It says at once all that it may say, because what
   is said may be heard at any later time, or never. *)
Becomes(i, new, durable) ==
    LET d == IF Synchronous THEN Stored(new) ELSE durable
        stored == \/ d.term = new.term /\ d.vote = new.vote
                  \/ Has("vote not stored") \/ Has("reply before write")
    IN  /\ s' = [s EXCEPT ![i] = new]
        /\ disk' = [disk EXCEPT ![i] = d]
        /\ reign' = IF new.role = "Leader"
                    THEN [reign EXCEPT ![new.term][i] =
                            [log |-> new.log, commit |-> new.commit, snap |-> new.snap]]
                    ELSE reign
        /\ requests' = IF new.role \in {"Candidate", "Heir"} /\ stored
                       THEN requests \cup {Request(i, new)} ELSE requests
        /\ votes' = IF new.vote # Nobody /\ stored
                    THEN votes \cup {[term |-> new.term, from |-> i, to |-> new.vote]} ELSE votes
        /\ acked' = [acked EXCEPT ![new.term][i] = Max(@, MayAck(new, d))]
        /\ prevotes' = {p \in prevotes : p.to # i \/ p.term > new.term}

(* A log of its own changed: the configuration in force is the last one in it. *)
WithLog(state, log) == [state EXCEPT !.log = log, !.conf = ConfIndex(log, Len(log))]
InTerm(state, t) ==
    IF t > state.term
    THEN [state EXCEPT !.term = t, !.vote = Nobody, !.role = "Follower", !.verified = 0]
    ELSE state

-----------------------------------------------------------------------------
(* Elections: Raft 5.2, 5.4.1; thesis 3.10, 4.2.2, 9.6. *)

MayCampaign(i) == i \in Latest(i).voters \cup Committed(i).voters

(* A leader may have stepped down before: no quorum answers, or its disk stands still. *)
Campaign(i, byOrder) ==
    /\ s[i].term < MaxTerm
    /\ i \in Campaigner[s[i].term + 1]
    /\ MayCampaign(i)
    /\ Becomes(i, [s[i] EXCEPT !.term = @ + 1, !.vote = i, !.verified = 0, !.heard = FALSE,
                               !.role = IF byOrder THEN "Heir" ELSE "Candidate"], disk[i])
    /\ UNCHANGED <<orders, agreed, uncovered>>

Timeout(i) ==
    /\ ~s[i].heard
    /\ PreVote /\ i \notin Go =>
        Quorum({i} \cup {p.from : p \in {q \in prevotes : q.to = i /\ q.term = s[i].term + 1}},
               Latest(i).voters)
    /\ Campaign(i, FALSE)

(* What a vote would meet, changing nothing. *)
GrantPreVote(j, i) ==
    /\ PreVote /\ i # j /\ i \notin Go
    /\ s[j].role # "Leader" /\ ~s[j].heard
    /\ s[i].role # "Leader" /\ s[i].term < MaxTerm /\ i \in Campaigner[s[i].term + 1]
    /\ s[i].term + 1 >= s[j].term
    /\ UpToDate(<<LastTerm(s[i].log), Len(s[i].log)>>, s[j].log)
    /\ prevotes' = prevotes \cup {[term |-> s[i].term + 1, from |-> j, to |-> i]}
    /\ prevotes' # prevotes
    /\ UNCHANGED <<s, disk, reign, requests, votes, acked, orders, agreed, uncovered>>

(* Nothing was heard of a leader for a timeout, or of a leader's followers. *)
Quiet(i) ==
    /\ PreVote /\ (s[i].heard \/ s[i].role = "Leader")
    /\ Becomes(i, [s[i] EXCEPT !.heard = FALSE, !.role = "Follower"], disk[i])
    /\ UNCHANGED <<orders, agreed, uncovered>>

Known(j, i) == i \in Latest(j).voters \cup Committed(j).voters

(* What becomes of j when r arrives. *)
AfterVoteRequest(j, r) ==
    LET known == Known(j, r.from)
        member == known \/ r.from \in Latest(j).others \cup Committed(j).others
        newer == Newer(r.last, s[j].log)
        loyal == PreVote /\ ~(r.transfer /\ known) /\ (s[j].heard \/ s[j].role = "Leader")
        adopted == InTerm(s[j], r.term)
        free == \/ adopted.vote = Nobody
                \/ adopted.vote = r.from
        again == adopted.vote = r.from /\ Has("duplicate vote unchecked")
        grants == /\ r.term = adopted.term
                  /\ free /\ adopted.role # "Leader"
                  /\ known \/ newer
                  /\ again \/ UpToDate(r.last, adopted.log) \/ Has("vote without log check")
    IN  IF loyal \/ ~(member \/ newer) \/ r.term < s[j].term
        THEN s[j]
        ELSE IF grants THEN [adopted EXCEPT !.vote = r.from, !.role = "Follower"] ELSE adopted

ReceiveVoteRequest(j, r) ==
    /\ r.from # j
    /\ AfterVoteRequest(j, r) # s[j]
    /\ Becomes(j, AfterVoteRequest(j, r), disk[j])
    /\ UNCHANGED <<orders, agreed, uncovered>>

Elected(i) == Quorum({v.from : v \in {w \in votes : w.term = s[i].term /\ w.to = i}},
                     Latest(i).voters)

BecomeLeader(i) ==
    /\ s[i].role \in {"Candidate", "Heir"}
    /\ Elected(i)
    /\ Len(s[i].log) < MaxLog
    /\ Becomes(i, [s[i] EXCEPT !.role = "Leader",
                               !.log = Append(@, Entry(s[i].term, NoConf))], disk[i])
    /\ UNCHANGED <<orders, agreed, uncovered>>

-----------------------------------------------------------------------------
(* Replication: Raft 5.3, 5.4.2; rules 1 and 8. *)

Propose(i, conf) ==
    /\ s[i].role = "Leader"
    /\ Len(s[i].log) < MaxLog
    /\ Becomes(i, WithLog(s[i], Append(s[i].log, Entry(s[i].term, conf))), disk[i])
    /\ UNCHANGED <<orders, agreed, uncovered>>

ClientRequest(i) == Propose(i, NoConf)

Members(c) == c.voters \cup c.others
Differs(a, b) ==
    LET changed(x) == (x \in a.voters) # (x \in b.voters) \/ (x \in a.others) # (x \in b.others)
    IN  Cardinality({x \in Members(a) \cup Members(b) : changed(x)}) = 1

MayChange(i) ==
    /\ s[i].conf <= s[i].commit \/ Has("two configurations at once")
    /\ TermAt(s[i].log, s[i].commit) = s[i].term \/ Has("change before own commit")

ChangeConf(i, conf) ==
    /\ MayChange(i)
    /\ conf.voters # {} /\ Differs(Latest(i), conf)
    /\ Propose(i, conf)

(* What a commit index l may have sent in term t with entries up to `upto'. *)
SentCommits(t, l, upto) ==
    IF l \in Go \/ Has("sent commit uncapped")
    THEN 0..reign[t][l].commit
    ELSE 0..Min(reign[t][l].commit, upto)

(* What becomes of f's log when entries prev+1 .. prev+n of l's log arrive. *)
AfterEntries(log, sent, prev, n) ==
    LET fresh == {k \in prev + 1 .. prev + n : TermAt(log, k) # sent[k].term}
        first == CHOOSE k \in fresh : \A m \in fresh : k <= m
    IN  IF Has("matching entries truncated") /\ n > 0
        THEN SubSeq(log, 1, Min(prev, Len(log))) \o SubSeq(sent, prev + 1, prev + n)
        ELSE IF fresh = {} THEN log
        ELSE SubSeq(log, 1, first - 1) \o SubSeq(sent, first, prev + n)

HasPrevious(log, sent, prev) ==
    \/ prev = 0
    \/ prev <= Len(log) /\ (log[prev].term = sent[prev].term \/ Has("previous term unchecked"))

AfterAppend(f, t, sent, prev, n, commit) ==
    LET followed == [InTerm(s[f], t) EXCEPT !.role = "Follower", !.heard = PreVote]
        log == AfterEntries(followed.log, sent, prev, n)
        upto == IF f \in Go \/ Has("commit up to own last") THEN Len(log) ELSE prev + n
    IN  IF ~HasPrevious(followed.log, sent, prev) THEN followed
        ELSE [(IF log = followed.log THEN followed ELSE WithLog(followed, log))
                EXCEPT !.commit = Max(@, Min(commit, upto)), !.verified = Max(@, prev + n)]

ReceiveAppend(f, t, l, prev, n, commit) ==
    LET sent == reign[t][l].log
        new == AfterAppend(f, t, sent, prev, n, commit)
    IN  /\ l # f /\ sent # <<>> /\ t >= s[f].term
        /\ ~(s[f].role = "Leader" /\ s[f].term = t)
        /\ prev + n <= Len(sent)
        /\ commit \in SentCommits(t, l, prev + n)
        /\ new # s[f]
        /\ Becomes(f, new, disk[f])
        /\ uncovered' = (uncovered \/ (l \notin Go /\ commit > prev + n))
        /\ UNCHANGED <<orders, agreed>>

Holders(i, n) ==
    {v \in Server : \/ v # i /\ acked[s[i].term][v] >= n
                    \/ v = i /\ (Durable(i) >= n \/ Has("leader counts before its write"))}

MayCommit(i, n) ==
    /\ s[i].role = "Leader"
    /\ n \in s[i].commit + 1 .. Len(s[i].log)
    /\ TermAt(s[i].log, n) = s[i].term \/ Has("older term by counting")
    /\ Quorum(Holders(i, n), IF Has("nonvoter counts") THEN Members(Latest(i))
                                                       ELSE Latest(i).voters)

(* All that i's log holds up to n is agreed on: said by its term's leader. *)
Agree(log, n, t) ==
    IF n <= Len(agreed) THEN agreed
    ELSE agreed \o [k \in 1 .. n - Len(agreed) |->
                        [entry |-> log[Len(agreed) + k], term |-> t]]

AdvanceCommit(i, n) ==
    /\ MayCommit(i, n)
    /\ Becomes(i, [s[i] EXCEPT !.commit = n], disk[i])
    /\ agreed' = Agree(s[i].log, n, s[i].term)
    /\ UNCHANGED <<orders, uncovered>>

-----------------------------------------------------------------------------
(* Transfers: thesis 3.10, rule 21. *)

SendTimeoutNow(i, j) ==
    LET order == [term |-> s[i].term, to |-> j]
    IN  /\ Transfers /\ i # j
        /\ s[i].role = "Leader" /\ j \in Latest(i).voters
        /\ acked[s[i].term][j] = Len(s[i].log)
        /\ order \notin orders
        /\ orders' = orders \cup {order}
        /\ UNCHANGED <<s, disk, reign, requests, votes, prevotes, acked, agreed, uncovered>>

(* Go obeys whoever says so, whenever. *)
ReceiveTimeoutNow(j, order) ==
    /\ order.to = j
    /\ order.term = s[j].term \/ j \in Go
    /\ Campaign(j, TRUE)

-----------------------------------------------------------------------------
(* Disks, crashes, snapshots: rules 8, 11, 12; Raft 7. *)

OnDisk(i) == Stored(s[i])

Persist(i) ==
    /\ disk[i] # OnDisk(i)
    /\ Becomes(i, s[i], OnDisk(i))
    /\ UNCHANGED <<orders, agreed, uncovered>>

(* Go writes its term and its vote one after the other. *)
PersistTermOnly(i) ==
    /\ i \in Go
    /\ disk[i].term < s[i].term
    /\ Becomes(i, s[i], [disk[i] EXCEPT !.term = s[i].term, !.vote = Nobody])
    /\ UNCHANGED <<orders, agreed, uncovered>>

(* A log may end in a later term than was stored, behind a snapshot. *)
AfterCrash(i) ==
    LET d == disk[i]
        lifted == LastTerm(d.log) > d.term
    IN  [role |-> "Follower", term |-> Max(d.term, LastTerm(d.log)), log |-> d.log,
         vote |-> IF lifted \/ Has("vote forgotten") THEN Nobody ELSE d.vote,
         commit |-> d.snap, snap |-> d.snap, verified |-> 0, heard |-> FALSE,
         conf |-> ConfIndex(d.log, Len(d.log))]

Crash(i) ==
    /\ i \in Crashers
    /\ s[i] # AfterCrash(i)
    /\ Becomes(i, AfterCrash(i), disk[i])
    /\ UNCHANGED <<orders, agreed, uncovered>>

TakeSnapshot(i) ==
    LET upto == Min(s[i].commit, Durable(i))
    IN  /\ Snapshots /\ upto > s[i].snap
        /\ Becomes(i, [s[i] EXCEPT !.snap = upto], [disk[i] EXCEPT !.snap = upto])
        /\ UNCHANGED <<orders, agreed, uncovered>>

(* The suffix stays only behind the same, durable entry. *)
AfterInstall(log, sent, n) ==
    IF (TermAt(log, n) = sent[n].term) \/ (Has("stale tail kept") /\ Len(log) > n)
    THEN IF TermAt(log, n) = sent[n].term THEN log
         ELSE SubSeq(sent, 1, n) \o SubSeq(log, n + 1, Len(log))
    ELSE SubSeq(sent, 1, n)

InstallSnapshot(f, t, l, n) ==
    LET sent == reign[t][l].log
        kept == IF Durable(f) >= n THEN s[f].log ELSE SubSeq(s[f].log, 1, 0)
        log == AfterInstall(kept, sent, n)
    IN  /\ Snapshots /\ l # f /\ sent # <<>> /\ n \in 1..reign[t][l].snap
        /\ s[f].term = t /\ s[f].role # "Leader"
        /\ n > s[f].commit
        /\ Becomes(f, [WithLog(s[f], log) EXCEPT !.commit = n, !.snap = n, !.role = "Follower",
                                                 !.verified = Max(@, n)],
                      [disk[f] EXCEPT !.log = AfterInstall(@, sent, n), !.snap = n])
        /\ UNCHANGED <<orders, agreed, uncovered>>

(* A Go follower takes a snapshot that is older than what it has: its configuration goes back with
   it. Our leader sends none while one is under way, and later ones only newer (rule 4). *)
LateSnapshot(f, t, l, n) ==
    /\ Has("late snapshot") /\ Snapshots /\ f \in Go /\ l # f
    /\ n \in 1..reign[t][l].snap /\ n <= s[f].commit
    /\ s[f].term = t /\ s[f].role = "Follower"
    /\ s' = [s EXCEPT ![f].conf = ConfIndex(s[f].log, n)]
    /\ s' # s
    /\ UNCHANGED <<disk, reign, requests, votes, prevotes, acked, orders, agreed, uncovered>>

-----------------------------------------------------------------------------

First == <<Entry(1, Conf(Voters, Nonvoters))>>

Init ==
    /\ s = [i \in Server |-> [role |-> "Follower", term |-> 1, vote |-> Nobody, log |-> First,
                              commit |-> 0, snap |-> 0, verified |-> 0, heard |-> FALSE,
                              conf |-> 1]]
    /\ disk = [i \in Server |-> [term |-> 1, vote |-> Nobody, log |-> First, snap |-> 0]]
    /\ reign = [t \in 1..MaxTerm |-> [i \in Server |-> NoReign]]
    /\ requests = {} /\ votes = {} /\ prevotes = {} /\ orders = {}
    /\ acked = [t \in 1..MaxTerm |-> [i \in Server |-> 0]]
    /\ agreed = <<>>
    /\ uncovered = FALSE

Next ==
    \/ \E i \in Server :
        \/ Timeout(i) \/ BecomeLeader(i) \/ Quiet(i) \/ ClientRequest(i)
        \/ Persist(i) \/ PersistTermOnly(i) \/ Crash(i) \/ TakeSnapshot(i)
        \/ \E j \in Server : GrantPreVote(i, j) \/ SendTimeoutNow(i, j)
        \/ \E r \in requests : ReceiveVoteRequest(i, r)
        \/ \E order \in orders : ReceiveTimeoutNow(i, order)
        \/ \E conf \in Targets : ChangeConf(i, conf)
        \/ \E n \in s[i].commit + 1 .. Len(s[i].log) : AdvanceCommit(i, n)
        \/ \E t \in s[i].term .. MaxTerm, l \in Server :
            /\ reign[t][l] # NoReign
            /\ \/ \E prev \in 0..Len(reign[t][l].log), n \in 0..MaxBatch,
                     commit \in 0..reign[t][l].commit : ReceiveAppend(i, t, l, prev, n, commit)
               \/ \E n \in 1..reign[t][l].snap :
                    InstallSnapshot(i, t, l, n) \/ LateSnapshot(i, t, l, n)

Spec == Init /\ [][Next]_vars

-----------------------------------------------------------------------------
(* What must hold in every state. *)

ElectionSafety == \A t \in 1..MaxTerm : Cardinality({i \in Server : reign[t][i] # NoReign}) <= 1

OneVotePerTerm ==
    \A v, w \in votes : v.term = w.term /\ v.from = w.from => v.to = w.to

(* What was said of a term is on the disk of who said it. *)
VoteDurable ==
    \A v \in votes : /\ disk[v.from].term >= v.term
                     /\ disk[v.from].term = v.term => disk[v.from].vote = v.to

AckDurable ==
    \A t \in 1..MaxTerm, i \in Server, l \in Server :
        /\ acked[t][i] > 0 => Max(disk[i].term, LastTerm(disk[i].log)) >= t
        /\ acked[t][i] > 0 /\ disk[i].term = t /\ reign[t][l] # NoReign /\ l # i =>
            Common(disk[i].log, reign[t][l].log) >= acked[t][i]

LogMatching ==
    \A i, j \in Server : i # j =>
        \A n \in 1..Min(Len(s[i].log), Len(s[j].log)) :
            s[i].log[n].term = s[j].log[n].term => n <= Common(s[i].log, s[j].log)

LeaderCompleteness ==
    \A i \in Server : s[i].role = "Leader" =>
        \A n \in 1..Len(agreed) : agreed[n].term < s[i].term =>
            n <= Len(s[i].log) /\ s[i].log[n] = agreed[n].entry

(* Nobody believes agreed on what is not, or what another does not. *)
StateMachineSafety ==
    \A i \in Server :
        /\ s[i].commit <= Len(agreed)
        /\ \A n \in 1..Min(s[i].commit, Len(s[i].log)) : s[i].log[n] = agreed[n].entry

CommitWithinLog == \A i \in Server : s[i].commit <= Len(s[i].log)

(* What is agreed on is on disks without which nobody is elected: any majority of the
   configuration that is agreed on last holds some disk with all of it. *)
AgreedIsHeld ==
    LET log == [n \in 1..Len(agreed) |-> agreed[n].entry]
        voters == ConfAt(log, ConfIndex(log, Len(log))).voters
        holders == {i \in Server : Common(disk[i].log, log) = Len(log)}
    IN  agreed # <<>> => 2 * Cardinality(voters \ holders) < Cardinality(voters)
                         \/ \E i \in Server : s[i].conf > Len(agreed)

OneOpenConfiguration ==
    \A i \in Server : s[i].role = "Leader" =>
        Cardinality({n \in s[i].commit + 1 .. Len(s[i].log) : s[i].log[n].conf # NoConf
                                                             /\ s[i].log[n].term = s[i].term}) <= 1

(* Ongaro 2015: what an earlier leader left open is settled before another change begins. *)
ChangeAfterOwnCommit ==
    \A i \in Server : s[i].role = "Leader" =>
        \A n \in 1..Len(s[i].log) :
            s[i].log[n].conf # NoConf /\ s[i].log[n].term = s[i].term =>
                TermAt(s[i].log, s[i].commit) = s[i].term

TermsGrow ==
    \A i \in Server : \A n \in 2..Len(s[i].log) : s[i].log[n - 1].term <= s[i].log[n].term

DiskBehindMemory == \A i \in Server : disk[i].term <= s[i].term /\ disk[i].snap <= s[i].commit

SentCommitCovered == ~uncovered

(* A snapshot holds what is agreed on, and nothing else. *)
SnapshotAgreed ==
    \A i \in Server : /\ disk[i].snap <= Len(agreed)
                      /\ \A n \in 1..disk[i].snap : disk[i].log[n] = agreed[n].entry
=============================================================================
