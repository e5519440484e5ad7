package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/ipfs-cluster/ipfs-cluster/api"
	clusterraft "github.com/ipfs-cluster/ipfs-cluster/consensus/raft"
	"github.com/ipfs-cluster/ipfs-cluster/state/dsstate"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p/core/peer"
)

// commitTimeout bounds one LogPin, whose own retries may take about 35 s.
const commitTimeout = time.Minute

var errNotCluster = errors.New("mode raft has no pins")

type pinArgs struct {
	Pin json.RawMessage `json:"pin"` // the fields of a pin in IPFS Cluster's JSON; cid is needed
}

func (a pinArgs) pin() (api.Pin, error) {
	var named struct {
		Cid api.Cid `json:"cid"`
	}
	if err := json.Unmarshal(a.Pin, &named); err != nil {
		return api.Pin{}, err
	}
	pin := api.PinCid(named.Cid)
	return pin, json.Unmarshal(a.Pin, &pin)
}

func logPin(p *peerNode, args pinArgs) (any, error) {
	return commit(p, args, func(ctx context.Context, pin api.Pin) error {
		return p.cluster.consensus.LogPin(ctx, pin)
	})
}

func logUnpin(p *peerNode, args pinArgs) (any, error) {
	return commit(p, args, func(ctx context.Context, pin api.Pin) error {
		return p.cluster.consensus.LogUnpin(ctx, pin)
	})
}

type rollbackArgs struct {
	Pins []json.RawMessage `json:"pins"`
}

// rollback has the component commit a state of these pins, as its Rollback does: one entry that
// every peer takes in.
func rollback(p *peerNode, args rollbackArgs) (any, error) {
	if p.cluster == nil {
		return nil, errNotCluster
	}
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	store := dssync.MutexWrap(datastore.NewMapDatastore())
	wanted, err := dsstate.New(ctx, store, clusterraft.DefaultDatastoreNamespace, dsstate.DefaultHandle())
	if err != nil {
		return nil, err
	}
	for _, fields := range args.Pins {
		pin, err := pinArgs{fields}.pin()
		if err != nil {
			return nil, err
		}
		if err := wanted.Add(ctx, pin); err != nil {
			return nil, err
		}
	}
	return nothing{}, p.cluster.consensus.Rollback(wanted)
}

func addPeer(p *peerNode, s serverID) (any, error) {
	return changePeers(p, s, func(ctx context.Context, id peer.ID) error {
		return p.cluster.consensus.AddPeer(ctx, id)
	})
}

func rmPeer(p *peerNode, s serverID) (any, error) {
	return changePeers(p, s, func(ctx context.Context, id peer.ID) error {
		return p.cluster.consensus.RmPeer(ctx, id)
	})
}

func changePeers(p *peerNode, s serverID, do func(context.Context, peer.ID) error) (any, error) {
	if p.cluster == nil {
		return nil, errNotCluster
	}
	id, err := peer.Decode(s.Peer)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	return nothing{}, do(ctx, id)
}

func commit(p *peerNode, args pinArgs, do func(context.Context, api.Pin) error) (any, error) {
	if p.cluster == nil {
		return nil, errNotCluster
	}
	pin, err := args.pin()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	return nothing{}, do(ctx, pin)
}

// pinset answers with all pins of the agreed state: their JSON, and the protobuf form of the
// datastore, which is one for equal pins.
func pinset(p *peerNode, _ []byte) (any, error) {
	if p.cluster == nil {
		return nil, errNotCluster
	}
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	agreed, err := p.cluster.consensus.State(ctx)
	if err != nil {
		return nil, err
	}
	listed := make(chan api.Pin, 64)
	failed := make(chan error, 1)
	go func() { failed <- agreed.List(ctx, listed) }()
	pins := []map[string]any{}
	for pin := range listed {
		stored, err := pin.ProtoMarshal()
		if err != nil {
			return nil, err
		}
		pins = append(pins, map[string]any{"cid": pin.Cid.String(), "pin": pin, "stored": hexBytes(stored)})
	}
	return map[string]any{"pins": pins}, <-failed
}

// clusterID calls Cluster.ID of another peer, as a daemon does when that peer joins.
func clusterID(p *peerNode, s serverID) (any, error) {
	if p.cluster == nil {
		return nil, errNotCluster
	}
	id, err := peer.Decode(s.Peer)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	var answer api.ID
	err = p.cluster.client.CallContext(ctx, id, "Cluster", "ID", struct{}{}, &answer)
	return answer, err
}
