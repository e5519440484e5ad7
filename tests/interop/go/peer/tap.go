package main

import (
	"sync/atomic"

	hraft "github.com/hashicorp/raft"
)

// tap stands between the transport and the server, and loses the answers it is told to: the
// server has done what it was asked, and the caller does not hear of it.
type tap struct {
	*hraft.NetworkTransport
	requests        chan hraft.RPC
	losingSnapshots atomic.Bool // answers to InstallSnapshot
}

func newTap(transport *hraft.NetworkTransport) *tap {
	t := &tap{NetworkTransport: transport, requests: make(chan hraft.RPC)}
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
		if response := <-answer; !t.losingSnapshots.Load() {
			caller <- response
		}
	}()
	return answer
}
