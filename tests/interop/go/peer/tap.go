package main

import (
	"fmt"
	"sync/atomic"
	"time"

	hraft "github.com/hashicorp/raft"
)

// tap stands between the transport and the server. While it is told to, it loses the answers to
// InstallSnapshot: the server has done what it was asked, and the caller does not hear of it.
type tap struct {
	*hraft.NetworkTransport
	requests chan hraft.RPC
	losing   atomic.Bool
	lost     atomic.Int64 // how many answers so far
}

func newTap(transport *hraft.NetworkTransport, losing bool) *tap {
	t := &tap{NetworkTransport: transport, requests: make(chan hraft.RPC)}
	t.losing.Store(losing)
	go t.run()
	return t
}

func (t *tap) Consumer() <-chan hraft.RPC { return t.requests }

func (t *tap) run() {
	for rpc := range t.NetworkTransport.Consumer() {
		if _, is := rpc.Command.(*hraft.InstallSnapshotRequest); is {
			rpc.RespChan = t.losable(rpc.RespChan)
		}
		t.requests <- rpc
	}
}

// losable hands one answer on to the caller, unless answers are being lost when it is given.
func (t *tap) losable(caller chan<- hraft.RPCResponse) chan<- hraft.RPCResponse {
	answer := make(chan hraft.RPCResponse, 1)
	go func() {
		response := <-answer
		if t.losing.Load() {
			t.lost.Add(1)
		} else {
			caller <- response
		}
	}()
	return answer
}

type loseNoMoreArgs struct {
	TimeoutMs int `json:"timeout_ms"`
}

// loseNoMore stops losing answers as soon as one was lost.
func loseNoMore(p *peerNode, args loseNoMoreArgs) (any, error) {
	if p.tap == nil {
		return nil, fmt.Errorf("mode cluster has no tap")
	}
	deadline := time.Now().Add(time.Duration(args.TimeoutMs) * time.Millisecond)
	for p.tap.lost.Load() == 0 {
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("no answer to lose came in %d ms", args.TimeoutMs)
		}
		time.Sleep(2 * time.Millisecond)
	}
	p.tap.losing.Store(false)
	return map[string]any{"lost": p.tap.lost.Load()}, nil
}
