------------------------------ MODULE RaftTrace ------------------------------
(***************************************************************************)
(* Whether a trace of the real core is a behaviour of the model: one line   *)
(* of it a step.  Each line names what a server did; the step is the        *)
(* model's, and the server must then be in the state that the trace says.   *)
(* A line that fits nothing has no step: TLC reports a deadlock, and in the *)
(* last state `line' is the number of the line that is refused.             *)
(*                                                                         *)
(* Servers in Unseen (Go peers) leave no trace.  What they say is learnt    *)
(* when it arrives, and must agree with all that was said before.           *)
(***************************************************************************)
EXTENDS Raft, TLC

CONSTANTS
    Lines,          \* the trace: a sequence of records, see traces.py
    Unseen,         \* servers whose traces are not in it
    StartLogs       \* of each server: what was in its log at first

VARIABLES
    line,           \* the next line
    queue,          \* of each server: batches on their way to its disk
    given,          \* votes given in memory; each may be said when it is durable
    ears            \* of each server: votes that came, and of each other how far it acknowledged

traceVars == <<line, queue, given, ears>>

AgreedLog == [n \in 1..Len(agreed) |-> agreed[n].entry]

Fits(new, at) ==
    /\ new.term = at.term /\ new.vote = at.vote /\ new.commit = at.commit
    /\ Len(new.log) = at.last /\ LastTerm(new.log) = at.lastTerm
    /\ new.conf = at.conf
    /\ (new.role = "Leader") = at.leads

Rest == UNCHANGED <<orders, agreed, uncovered>>
NoMore == UNCHANGED <<queue, given, ears>>
Same == UNCHANGED vars

HeardNothing == [votes |-> {}, acks |-> [i \in Server |-> [term |-> 0, upto |-> 0]]]
HearVote(l) ==
    ears' = [ears EXCEPT ![l.i].votes =
                {v \in @ : v.term >= l.term} \cup {[term |-> l.term, from |-> l.from]}]
HearAck(l) ==
    LET ack == ears[l.i].acks[l.from]
        upto == IF ack.term = l.term THEN Max(ack.upto, l.upto) ELSE l.upto
    IN  ears' = IF l.term < ack.term THEN ears
                 ELSE [ears EXCEPT ![l.i].acks[l.from] = [term |-> l.term, upto |-> upto]]

(* What is on a disk with a snapshot is found there, whatever became of the log behind it. *)
WithSnapshot(d, n) ==
    IF n = 0 \/ TermAt(d.log, n) = AgreedLog[n].term THEN [d EXCEPT !.snap = n]
    ELSE [d EXCEPT !.log = SubSeq(AgreedLog, 1, n), !.snap = n]

-----------------------------------------------------------------------------

(* A process starts: from what was durable, or from more of what was on its way. *)
Start(l) ==
    LET i == l.i
        log == SubSeq(AgreedLog, 1, l.first - 1) \o l.entries
        found == {disk[i]} \cup {queue[i][k].d : k \in 1..Len(queue[i])}
        d == [term |-> l.term, vote |-> l.vote, log |-> log, snap |-> l.snap]
        new == [role |-> "Follower", term |-> Max(l.term, LastTerm(log)), log |-> log,
                vote |-> IF LastTerm(log) > l.term THEN Nobody ELSE l.vote,
                commit |-> l.snap, snap |-> l.snap, verified |-> 0, heard |-> FALSE,
                conf |-> ConfIndex(log, Len(log))]
    IN  /\ l.first <= Len(agreed) + 1
        /\ \E q \in found : q.term = l.term /\ q.vote = l.vote
        /\ \/ Len(log) = l.snap
           \/ \E q \in found : /\ Common(log, q.log) = Len(log)
                               /\ Len(log) >= Common(disk[i].log, q.log)
        /\ Fits(new, l.at)
        /\ Becomes(i, new, d)
        /\ queue' = [queue EXCEPT ![i] = <<>>]
        /\ ears' = [ears EXCEPT ![i] = HeardNothing]
        /\ Rest /\ UNCHANGED given

(* A batch leaves for the disk; when it is durable, all before it is. *)
Write(l) ==
    /\ queue' = [queue EXCEPT ![l.i] = Append(@, [batch |-> l.batch, d |-> OnDisk(l.i)])]
    /\ Same /\ UNCHANGED <<given, ears>>

Persisted(l) ==
    LET done == {k \in 1..Len(queue[l.i]) : queue[l.i][k].batch <= l.batch}
        last == Cardinality(done)
        snap == disk[l.i].snap
    IN  /\ Becomes(l.i, s[l.i],
                   IF last = 0 THEN disk[l.i] ELSE WithSnapshot(queue[l.i][last].d, snap))
        /\ queue' = [queue EXCEPT ![l.i] = SubSeq(@, last + 1, Len(@))]
        /\ Rest /\ UNCHANGED <<given, ears>>

(* AppendEntries of a leader: of its log, and taken as Raft says, or refused. *)
Append_(l) ==
    LET i == l.i
        sent == reign[l.term][l.from].log
        n == Len(l.entries)
        was == /\ sent # <<>>
               /\ l.prev + n <= Len(sent)
               /\ SubSeq(sent, l.prev + 1, l.prev + n) = l.entries
               /\ l.commit \in SentCommits(l.term, l.from, l.prev + n)
        taken == AfterAppend(i, l.term, sent, l.prev, n, l.commit)
        heard == [InTerm(s[i], l.term) EXCEPT !.role = "Follower"]
        new == IF was /\ l.term >= s[i].term /\ Fits(taken, l.at) THEN taken
               ELSE IF Fits(s[i], l.at) THEN s[i] ELSE heard
    IN  /\ was \/ l.from \in Unseen
        /\ Fits(new, l.at)
        /\ Becomes(i, new, disk[i])
        /\ Rest /\ NoMore

(* A heartbeat, or another message of a term's leader that moves the term only. *)
Adopt(l) ==
    LET i == l.i
        adopted == InTerm(s[i], l.at.term)
        down == [s[i] EXCEPT !.role = IF l.at.leads THEN @ ELSE "Follower"]
        new == IF l.at.term > s[i].term THEN adopted ELSE down
    IN  /\ \/ l.at.term = s[i].term
           \/ \E j \in Server \ {i} : s[j].term >= l.at.term \/ j \in Unseen
           \/ \E r \in requests : r.term = l.at.term
        /\ Fits(new, l.at)
        /\ Becomes(i, new, disk[i])
        /\ Rest /\ NoMore

VoteRequest(l) ==
    LET i == l.i
        r == [term |-> l.term, from |-> l.from, transfer |-> l.transfer, last |-> l.last]
        judged == AfterVoteRequest(i, r)
        new == IF Fits(judged, l.at) THEN judged
               ELSE IF Fits(s[i], l.at) THEN s[i]
               ELSE InTerm(s[i], l.term)
    IN  /\ r \in requests \/ l.from \in Unseen
        /\ Fits(new, l.at)
        /\ Becomes(i, new, disk[i])
        /\ given' = IF new.vote = l.from /\ new.term = l.term
                    THEN given \cup {[term |-> l.term, from |-> i, to |-> l.from]} ELSE given
        /\ Rest /\ UNCHANGED <<queue, ears>>

(* The model counts what was said; a real server counts what came to it. *)
Led(l) ==
    LET came == {v.from : v \in {w \in ears[l.i].votes : w.term = s[l.i].term}}
    IN  /\ Quorum(came \cup {l.i}, Latest(l.i).voters)
        /\ BecomeLeader(l.i)
        /\ NoMore

Committed_(l) ==
    LET came == {v \in Server : /\ ears[l.i].acks[v].term = s[l.i].term
                                /\ ears[l.i].acks[v].upto >= l.n}
    IN  /\ Quorum(came \cup (IF Durable(l.i) >= l.n THEN {l.i} ELSE {}), Latest(l.i).voters)
        /\ AdvanceCommit(l.i, l.n)
        /\ NoMore

Campaigned(l) == Campaign(l.i, l.transfer) /\ Fits(s'[l.i], l.at) /\ NoMore

Grow(l) ==
    LET i == l.i
        log == s[i].log \o [k \in 1..l.count |-> Entry(s[i].term, NoConf)]
    IN  /\ s[i].role = "Leader"
        /\ Becomes(i, [s[i] EXCEPT !.log = log], disk[i])
        /\ Rest /\ NoMore

Snapshot(l) ==
    LET i == l.i
    IN  /\ l.n <= Min(s[i].commit, Durable(i))
        /\ Becomes(i, [s[i] EXCEPT !.snap = l.n], [disk[i] EXCEPT !.snap = l.n])
        /\ Rest /\ NoMore

Install(l) ==
    LET i == l.i
        sent == reign[l.term][l.from].log
        kept == TermAt(s[i].log, l.n) = l.lastTerm /\ Durable(i) >= l.n
        log == IF kept THEN s[i].log ELSE SubSeq(sent, 1, l.n)
        new == [WithLog(s[i], log) EXCEPT !.commit = Max(@, l.n), !.snap = l.n, !.role = "Follower",
                                          !.verified = Max(@, l.n)]
    IN  /\ s[i].term = l.term /\ s[i].role # "Leader"
        /\ l.n <= Len(sent) /\ sent[l.n].term = l.lastTerm
        /\ l.n <= Len(agreed)
        /\ l.n > s[i].commit
        /\ Fits(new, l.at)
        /\ Becomes(i, new, WithSnapshot(disk[i], l.n))
        /\ Rest /\ NoMore

-----------------------------------------------------------------------------
(* What is said: it must be so, on the disk of who says it. *)

Says(l) ==
    /\ NoMore
    /\ CASE l.what = "entries" ->
            LET sent == reign[l.term][l.i].log
                upto == l.prev + Len(l.entries)
            IN  /\ disk[l.i].term >= l.term
                /\ upto <= Len(sent) /\ SubSeq(sent, l.prev + 1, upto) = l.entries
                /\ l.commit \in SentCommits(l.term, l.i, upto)
                /\ l.prev > 0 => sent[l.prev].term = l.prevTerm
                /\ Same
         [] l.what = "request" ->
                /\ [term |-> l.term, from |-> l.i, transfer |-> l.transfer, last |-> l.last]
                        \in requests
                /\ Same
         [] l.what = "vote" ->
            LET vote == [term |-> l.term, from |-> l.i, to |-> l.to]
            IN  /\ vote \in given \cup votes
                /\ disk[l.i].term >= l.term
                /\ disk[l.i].term = l.term => disk[l.i].vote = l.to
                /\ votes' = votes \cup {vote}
                /\ UNCHANGED <<s, disk, reign, requests, prevotes, acked>> /\ Rest
         [] l.what = "ack" ->
                /\ disk[l.i].term >= l.term
                /\ Common(disk[l.i].log, reign[l.term][l.to].log) >= l.upto
                /\ acked' = [acked EXCEPT ![l.term][l.i] = Max(@, l.upto)]
                /\ UNCHANGED <<s, disk, reign, requests, votes, prevotes>> /\ Rest
         [] l.what = "term" -> disk[l.i].term >= l.term /\ Same
         [] l.what = "order" ->
                /\ \E t \in 1..MaxTerm : reign[t][l.i] # NoReign
                /\ s[l.i].role = "Leader" => acked[s[l.i].term][l.to] = Len(s[l.i].log)
                /\ Same

(* What is heard of a server that is traced was said. *)
Hears(l) ==
    /\ UNCHANGED <<queue, given>>
    /\ Same
    /\ CASE l.what = "vote" ->
                [term |-> l.term, from |-> l.from, to |-> l.i] \in votes /\ HearVote(l)
         [] l.what = "ack" -> acked[l.term][l.from] >= l.upto /\ HearAck(l)

(* What is heard of one that is not traced is learnt. *)
Learns(l) ==
    /\ UNCHANGED <<queue, given>>
    /\ l.from \in Unseen
    /\ CASE l.what = "vote" ->
                /\ HearVote(l)
                /\ votes' = votes \cup {[term |-> l.term, from |-> l.from, to |-> l.i]}
                /\ UNCHANGED <<s, disk, reign, requests, prevotes, acked>> /\ Rest
         [] l.what = "ack" ->
                /\ HearAck(l)
                /\ acked' = [acked EXCEPT ![l.term][l.from] = Max(@, l.upto)]
                /\ UNCHANGED <<s, disk, reign, requests, votes, prevotes>> /\ Rest
         [] l.what = "entries" ->
            LET known == reign[l.term][l.from]
                own == s[l.i].log
                has(log) == /\ l.prev <= Len(log)
                            /\ l.prev > 0 => log[l.prev].term = l.prevTerm
                \* Logs that agree in one entry agree in all before it.
                before == IF has(own) THEN own ELSE known.log
                fits == has(before)
                log == SubSeq(before, 1, l.prev) \o l.entries
                longer == IF Len(log) > Len(known.log) THEN log ELSE known.log
                commit == Max(known.commit, Min(l.commit, Len(longer)))
            IN  /\ l.prev <= Len(known.log) => has(known.log)
                /\ fits => Common(log, known.log) = Min(Len(log), Len(known.log))
                /\ reign' = IF ~fits THEN reign ELSE [reign EXCEPT ![l.term][l.from] =
                        [log |-> longer, commit |-> commit, snap |-> 0]]
                /\ agreed' = IF ~fits THEN agreed ELSE Agree(longer, commit, l.term)
                /\ UNCHANGED <<s, disk, requests, votes, prevotes, acked, orders, uncovered, ears>>

-----------------------------------------------------------------------------

Step(l) ==
    CASE l.do = "start" -> Start(l)
      [] l.do = "write" -> Write(l)
      [] l.do = "persisted" -> Persisted(l)
      [] l.do = "append" -> Append_(l)
      [] l.do = "adopt" -> Adopt(l)
      [] l.do = "vote request" -> VoteRequest(l)
      [] l.do = "campaign" -> Campaigned(l)
      [] l.do = "lead" -> Led(l)
      [] l.do = "grow" -> Grow(l)
      [] l.do = "change" -> ChangeConf(l.i, l.conf) /\ NoMore
      [] l.do = "commit" -> Committed_(l)
      [] l.do = "snapshot" -> Snapshot(l)
      [] l.do = "install" -> Install(l)
      [] l.do = "says" -> Says(l)
      [] l.do = "hears" -> Hears(l)
      [] l.do = "learns" -> Learns(l)
      [] l.do = "is" -> Fits(s[l.i], l.at) /\ Same /\ NoMore

TraceInit ==
    /\ s = [i \in Server |->
            [role |-> "Follower", term |-> StartLogs[i].term, vote |-> StartLogs[i].vote,
             log |-> StartLogs[i].log, commit |-> 0, snap |-> 0, verified |-> 0, heard |-> FALSE,
             conf |-> ConfIndex(StartLogs[i].log, Len(StartLogs[i].log))]]
    /\ disk = [i \in Server |-> [term |-> StartLogs[i].term, vote |-> StartLogs[i].vote,
                                 log |-> StartLogs[i].log, snap |-> 0]]
    /\ reign = [t \in 0..MaxTerm |-> [i \in Server |-> NoReign]]
    /\ requests = {} /\ votes = {} /\ prevotes = {} /\ orders = {}
    /\ acked = [t \in 0..MaxTerm |-> [i \in Server |-> 0]]
    /\ agreed = <<>>
    /\ uncovered = FALSE
    /\ line = 1
    /\ queue = [i \in Server |-> <<>>]
    /\ given = {}
    /\ ears = [i \in Server |-> HeardNothing]

TraceNext ==
    \/ line <= Len(Lines) /\ Step(Lines[line]) /\ line' = line + 1
    \/ line > Len(Lines) /\ UNCHANGED <<vars, traceVars>>

TraceSpec == TraceInit /\ [][TraceNext]_<<vars, traceVars>>
=============================================================================
