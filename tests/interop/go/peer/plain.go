package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb"
	libp2praft "github.com/libp2p/go-libp2p-raft"
)

const keptSnapshots = 5 // as IPFS Cluster

// stores are what a server writes to; close ends the file behind them.
type stores struct {
	logs      hraft.LogStore
	stable    hraft.StableStore
	snapshots hraft.SnapshotStore
	close     func() error
}

// startRaft makes a plain server: go-libp2p-raft's transport and a state that records.
func (p *peerNode) startRaft(o *options) error {
	o.raft.LocalID = hraft.ServerID(p.host.ID().String())
	o.raft.ShutdownOnRemove = false // as IPFS Cluster
	o.raft.Logger = hclog.New(&hclog.LoggerOptions{
		Name: "raft", Level: hclog.LevelFromString(o.logLevel), Output: os.Stderr,
	})
	s, err := openStores(o)
	if err != nil {
		return err
	}
	transport, err := libp2praft.NewLibp2pTransport(p.host, o.networkTimeout)
	if err != nil {
		return err
	}
	p.tap = newTap(transport, o.loseSnapshotAnswers)
	p.recorder = &recorder{keep: o.record}
	if o.bootstrap {
		err := hraft.BootstrapCluster(o.raft, s.logs, s.stable, s.snapshots, transport, voters(ids(o.peers)))
		if err != nil && !errors.Is(err, hraft.ErrCantBootstrap) {
			return err
		}
	}
	p.logs = s.logs
	p.raft, err = hraft.NewRaft(o.raft, p.recorder, s.logs, s.stable, s.snapshots, p.tap)
	p.close = func() error {
		return errors.Join(p.raft.Shutdown().Error(), s.close(), p.host.Close())
	}
	return err
}

func openStores(o *options) (*stores, error) {
	if o.store == "inmem" {
		store := hraft.NewInmemStore()
		return &stores{
			logs: store, stable: store, snapshots: hraft.NewInmemSnapshotStore(),
			close: func() error { return nil },
		}, nil
	}
	if err := os.MkdirAll(o.dataDir, 0o700); err != nil {
		return nil, err
	}
	store, err := raftboltdb.NewBoltStore(filepath.Join(o.dataDir, "raft.db"))
	if err != nil {
		return nil, err
	}
	cache, err := hraft.NewLogCache(o.logCache, store)
	if err != nil {
		return nil, err
	}
	snapshots, err := hraft.NewFileSnapshotStoreWithLogger(o.dataDir, keptSnapshots, o.raft.Logger)
	if err != nil {
		return nil, err
	}
	return &stores{logs: cache, stable: store, snapshots: snapshots, close: store.Close}, nil
}
