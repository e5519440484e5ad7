package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	hraft "github.com/hashicorp/raft"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// enqueueTimeout bounds how long a command may wait to get into the leader's queue.
const enqueueTimeout = 10 * time.Second

var commands = map[string]command{
	"status":       status,
	"wait":         with(wait),
	"apply":        with(apply),
	"barrier":      with(barrier),
	"verify":       with(verify),
	"transfer":     with(transfer),
	"add_voter":    with(addVoter),
	"add_nonvoter": with(addNonvoter),
	"demote":       with(demote),
	"remove":       with(remove),
	"snapshot":     with(snapshot),
	"lose_no_more": with(loseNoMore),
	"dump":         with(dump),
	"state":        state,
	"connect":      with(connect),
	"block":        with(block),
	"unblock":      with(unblock),
	"bench":        with(bench),
	"log_pin":      with(logPin),
	"log_unpin":    with(logUnpin),
	"rollback":     with(rollback),
	"add_peer":     with(addPeer),
	"rm_peer":      with(rmPeer),
	"pinset":       pinset,
	"cluster_id":   with(clusterID),
}

type nothing struct{}

// with makes a command of a function that takes its arguments as a struct.
func with[A any](do func(p *peerNode, args A) (any, error)) command {
	return func(p *peerNode, line []byte) (any, error) {
		var args A
		if err := json.Unmarshal(line, &args); err != nil {
			return nil, err
		}
		return do(p, args)
	}
}

type serverID struct {
	Peer string `json:"peer"`
}

func (s serverID) id() hraft.ServerID           { return hraft.ServerID(s.Peer) }
func (s serverID) address() hraft.ServerAddress { return hraft.ServerAddress(s.Peer) }

func status(p *peerNode, _ []byte) (any, error) {
	configuration := p.raft.GetConfiguration()
	if err := configuration.Error(); err != nil {
		return nil, err
	}
	servers := []map[string]any{}
	for _, s := range configuration.Configuration().Servers {
		servers = append(servers, map[string]any{"id": s.ID, "address": s.Address, "suffrage": s.Suffrage.String()})
	}
	connected, dialled := []string{}, []string{}
	for _, id := range p.host.Network().Peers() {
		connected = append(connected, id.String())
		for _, conn := range p.host.Network().ConnsToPeer(id) {
			if conn.Stat().Direction == network.DirOutbound {
				dialled = append(dialled, id.String())
			}
		}
	}
	_, leader := p.raft.LeaderWithID()
	return map[string]any{
		"state": p.raft.State().String(), "term": term(p), "leader": leader,
		"last_index": p.raft.LastIndex(), "commit_index": p.raft.CommitIndex(),
		"applied_index": p.raft.AppliedIndex(), "configuration": servers,
		"connected": connected, "dialled": dialled,
	}, nil
}

type waitArgs struct {
	State        string `json:"state"`   // until it is in this state
	Leader       bool   `json:"leader"`  // until it knows a leader
	Not          string `json:"not"`     // with leader: other than this
	AppliedIndex uint64 `json:"applied"` // until it has applied this
	Term         uint64 `json:"term"`    // until its term is this or a later one
	TimeoutMs    int    `json:"timeout_ms"`

	Servers map[string]string `json:"servers"` // until these are the members, each with its suffrage
}

func (a waitArgs) done(p *peerNode) bool {
	_, leader := p.raft.LeaderWithID()
	return (a.State == "" || p.raft.State().String() == a.State) &&
		(!a.Leader || (leader != "" && string(leader) != a.Not)) &&
		p.raft.AppliedIndex() >= a.AppliedIndex &&
		(a.Term == 0 || term(p) >= a.Term) &&
		(a.Servers == nil || maps.Equal(a.Servers, members(p)))
}

func term(p *peerNode) uint64 {
	term, err := currentTerm(p.raft)
	if err != nil {
		return 0
	}
	return term
}

func members(p *peerNode) map[string]string {
	servers := map[string]string{}
	if future := p.raft.GetConfiguration(); future.Error() == nil {
		for _, s := range future.Configuration().Servers {
			servers[string(s.ID)] = s.Suffrage.String()
		}
	}
	return servers
}

// wait answers with the status as soon as all its conditions hold together.
func wait(p *peerNode, args waitArgs) (any, error) {
	deadline := time.Now().Add(time.Duration(args.TimeoutMs) * time.Millisecond)
	for !args.done(p) {
		if time.Now().After(deadline) {
			_, leader := p.raft.LeaderWithID()
			return nil, fmt.Errorf("still %s with leader %q, %d applied and members %v after %d ms",
				p.raft.State(), leader, p.raft.AppliedIndex(), members(p), args.TimeoutMs)
		}
		time.Sleep(2 * time.Millisecond)
	}
	return status(p, nil)
}

type applyArgs struct {
	Data       []hexBytes `json:"data"`
	Extensions hexBytes   `json:"extensions"` // of each entry
}

// apply proposes all of data at once, in order, and answers with their indexes when all are
// committed and applied here.
func apply(p *peerNode, args applyArgs) (any, error) {
	futures := make([]hraft.ApplyFuture, len(args.Data))
	for i, data := range args.Data {
		entry := hraft.Log{Data: data, Extensions: args.Extensions}
		futures[i] = p.raft.ApplyLog(entry, enqueueTimeout)
	}
	indexes := make([]uint64, 0, len(futures))
	for _, future := range futures {
		if err := future.Error(); err != nil {
			return nil, fmt.Errorf("after %d of %d: %w", len(indexes), len(futures), err)
		}
		indexes = append(indexes, future.Index())
	}
	return map[string]any{"indexes": indexes}, nil
}

func barrier(p *peerNode, _ nothing) (any, error) {
	return nothing{}, p.raft.Barrier(enqueueTimeout).Error()
}

func verify(p *peerNode, _ nothing) (any, error) {
	return nothing{}, p.raft.VerifyLeader().Error()
}

// transfer hands leadership to a peer, or to the one that is furthest when none is named.
func transfer(p *peerNode, to serverID) (any, error) {
	if to.Peer == "" {
		return nothing{}, p.raft.LeadershipTransfer().Error()
	}
	return nothing{}, p.raft.LeadershipTransferToServer(to.id(), to.address()).Error()
}

func addVoter(p *peerNode, s serverID) (any, error) {
	return changed(p.raft.AddVoter(s.id(), s.address(), 0, enqueueTimeout))
}

func addNonvoter(p *peerNode, s serverID) (any, error) {
	return changed(p.raft.AddNonvoter(s.id(), s.address(), 0, enqueueTimeout))
}

func demote(p *peerNode, s serverID) (any, error) {
	return changed(p.raft.DemoteVoter(s.id(), 0, enqueueTimeout))
}

func remove(p *peerNode, s serverID) (any, error) {
	return changed(p.raft.RemoveServer(s.id(), 0, enqueueTimeout))
}

func changed(future hraft.IndexFuture) (any, error) {
	if err := future.Error(); err != nil {
		return nil, err
	}
	return map[string]any{"index": future.Index()}, nil
}

func snapshot(p *peerNode, _ nothing) (any, error) {
	future := p.raft.Snapshot()
	if err := future.Error(); err != nil {
		return nil, err
	}
	meta, reader, err := future.Open()
	if err != nil {
		return nil, err
	}
	return map[string]any{"id": meta.ID, "index": meta.Index, "term": meta.Term, "size": meta.Size}, reader.Close()
}

type connectArgs struct {
	Peer    string `json:"peer"`
	Address string `json:"address"`

	TimeoutMs int `json:"timeout_ms"` // 0: dialTimeout
}

func connect(p *peerNode, args connectArgs) (any, error) {
	info, err := parsePeer(args.Peer, args.Address)
	if err != nil {
		return nil, err
	}
	timeout := dialTimeout
	if args.TimeoutMs != 0 {
		timeout = time.Duration(args.TimeoutMs) * time.Millisecond
	}
	return nothing{}, p.connect(info, timeout)
}

func block(p *peerNode, s serverID) (any, error) {
	id, err := peer.Decode(s.Peer)
	if err != nil {
		return nil, err
	}
	return nothing{}, p.block(id)
}

func unblock(p *peerNode, s serverID) (any, error) {
	id, err := peer.Decode(s.Peer)
	if err != nil {
		return nil, err
	}
	p.unblock(id)
	return nothing{}, nil
}
