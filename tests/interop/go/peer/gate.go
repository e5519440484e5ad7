package main

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// gate is a connection gater that shuts single peers out, in both directions, or leaves it to
// them to connect.
type gate struct {
	mu        sync.Mutex
	blocked   map[peer.ID]bool
	undialled map[peer.ID]bool // never changes
}

func newGate(neverDial []peer.ID) *gate {
	g := &gate{blocked: map[peer.ID]bool{}, undialled: map[peer.ID]bool{}}
	for _, id := range neverDial {
		g.undialled[id] = true
	}
	return g
}

func (g *gate) set(id peer.ID, blocked bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.blocked[id] = blocked
}

func (g *gate) allows(id peer.ID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.blocked[id]
}

func (g *gate) InterceptPeerDial(id peer.ID) bool {
	return g.allows(id) && !g.undialled[id]
}

func (g *gate) InterceptAddrDial(id peer.ID, _ multiaddr.Multiaddr) bool { return g.allows(id) }
func (g *gate) InterceptAccept(network.ConnMultiaddrs) bool              { return true }
func (g *gate) InterceptSecured(_ network.Direction, id peer.ID, _ network.ConnMultiaddrs) bool {
	return g.allows(id)
}
func (g *gate) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
