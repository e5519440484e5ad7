package main

import (
	"context"
	"fmt"
	"time"

	hraft "github.com/hashicorp/raft"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
)

const dialTimeout = 5 * time.Second

// peerNode is one running server. Commands work on raft and logs, whichever mode made them.
type peerNode struct {
	host     host.Host
	gate     *gate
	raft     *hraft.Raft
	logs     hraft.LogStore
	recorder *recorder         // mode raft, else nil
	tap      *tap              // mode raft, else nil
	cluster  *clusterComponent // mode cluster, else nil
	close    func() error
}

func startPeer(o *options) (*peerNode, error) {
	g := newGate(o.neverDial)
	h, err := newHost(o, g)
	if err != nil {
		return nil, err
	}
	p := &peerNode{host: h, gate: g}
	for _, info := range o.peers {
		h.Peerstore().AddAddrs(info.ID, info.Addrs, peerstore.PermanentAddrTTL)
	}
	if o.mode == "cluster" {
		err = p.startCluster(o)
	} else {
		err = p.startRaft(o)
	}
	if err != nil {
		return nil, fmt.Errorf("starting Raft: %w", err)
	}
	// A restarted peer dials the others itself: they may be in their dial backoff (5 s and more).
	for _, info := range o.peers {
		if info.ID != h.ID() && len(info.Addrs) > 0 {
			go func() { _ = p.connect(info, dialTimeout) }()
		}
	}
	return p, nil
}

// addresses are this peer's listen addresses, each with /p2p/ID.
func (p *peerNode) addresses() []string {
	addrs, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: p.host.ID(), Addrs: p.host.Addrs()})
	if err != nil {
		panic(err) // the host's own ID
	}
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	return texts
}

// connect remembers the addresses for ever and dials, whatever failed before.
func (p *peerNode) connect(info peer.AddrInfo, timeout time.Duration) error {
	p.host.Peerstore().AddAddrs(info.ID, info.Addrs, peerstore.PermanentAddrTTL)
	if s, ok := p.host.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(info.ID)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return p.host.Connect(ctx, info)
}

func (p *peerNode) block(id peer.ID) error {
	p.gate.set(id, true)
	return p.host.Network().ClosePeer(id)
}

func (p *peerNode) unblock(id peer.ID) {
	p.gate.set(id, false)
	if s, ok := p.host.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(id)
	}
}

// voters is a configuration in which all of ids vote, in this order; ID and address are one.
func voters(ids []peer.ID) hraft.Configuration {
	var c hraft.Configuration
	for _, id := range ids {
		text := id.String()
		c.Servers = append(c.Servers, hraft.Server{
			Suffrage: hraft.Voter, ID: hraft.ServerID(text), Address: hraft.ServerAddress(text),
		})
	}
	return c
}

func ids(infos []peer.AddrInfo) []peer.ID {
	list := make([]peer.ID, len(infos))
	for i, info := range infos {
		list[i] = info.ID
	}
	return list
}
