package main

import (
	"context"
	"reflect"
	"unsafe"

	hraft "github.com/hashicorp/raft"
	"github.com/ipfs-cluster/ipfs-cluster/api"
	clusterraft "github.com/ipfs-cluster/ipfs-cluster/consensus/raft"
	"github.com/ipfs-cluster/ipfs-cluster/version"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// clusterComponent is IPFS Cluster's own consensus component and what it needs of the daemon
// around it: a gorpc server that followers of either language forward to.
type clusterComponent struct {
	consensus *clusterraft.Consensus
	client    *rpc.Client
}

func (p *peerNode) startCluster(o *options) error {
	config := &clusterraft.Config{}
	if err := config.Default(); err != nil {
		return err
	}
	o.raft.ShutdownOnRemove = false
	o.raft.Logger = config.RaftConfig.Logger
	o.raft.LogOutput = config.RaftConfig.LogOutput
	config.RaftConfig = o.raft
	config.DataFolder = o.dataDir
	config.InitPeerset = ids(o.peers)
	config.NetworkTimeout = o.networkTimeout
	config.WaitForLeaderTimeout = o.waitForLeader
	config.CommitRetries = o.commitRetries
	config.CommitRetryDelay = o.commitRetryDelay
	o.raft.LocalID = hraft.ServerID(p.host.ID().String()) // checked before it is set
	store := dssync.MutexWrap(datastore.NewMapDatastore())
	consensus, err := clusterraft.NewConsensus(p.host, config, store, !o.bootstrap)
	if err != nil {
		return err
	}
	p.raft, p.logs = insides(consensus)
	client, err := serveRPC(p.host, consensus)
	if err != nil {
		return err
	}
	consensus.SetClient(client) // lets it bootstrap
	p.cluster = &clusterComponent{consensus: consensus, client: client}
	p.close = func() error {
		if err := consensus.Shutdown(context.Background()); err != nil {
			return err
		}
		return p.host.Close()
	}
	return nil
}

// insides are the component's Raft server and log. It exports neither, and the tests look at
// both; go.mod holds the version whose fields these are.
func insides(c *clusterraft.Consensus) (*hraft.Raft, hraft.LogStore) {
	wrapper := reflect.ValueOf(c).Elem().FieldByName("raft").Elem()
	server := (*hraft.Raft)(wrapper.FieldByName("raft").UnsafePointer())
	logs := *(*hraft.LogStore)(unsafe.Pointer(wrapper.FieldByName("logStore").UnsafeAddr()))
	return server, logs
}

// serveRPC serves what peers call of a daemon in a Raft cluster without pubsub.
func serveRPC(h host.Host, c *clusterraft.Consensus) (*rpc.Client, error) {
	server := rpc.NewServer(h, version.RPCProtocol)
	services := map[string]any{
		"Consensus":  &consensusService{c},
		"Cluster":    &clusterService{h, c},
		"PinTracker": &pinTrackerService{},
	}
	for name, service := range services {
		if err := server.RegisterName(name, service); err != nil {
			return nil, err
		}
	}
	return rpc.NewClientWithServer(h, version.RPCProtocol, server), nil
}

type consensusService struct{ c *clusterraft.Consensus }

func (s *consensusService) LogPin(ctx context.Context, pin api.Pin, _ *struct{}) error {
	return s.c.LogPin(ctx, pin)
}

func (s *consensusService) LogUnpin(ctx context.Context, pin api.Pin, _ *struct{}) error {
	return s.c.LogUnpin(ctx, pin)
}

func (s *consensusService) AddPeer(ctx context.Context, id peer.ID, _ *struct{}) error {
	return s.c.AddPeer(ctx, id)
}

func (s *consensusService) RmPeer(ctx context.Context, id peer.ID, _ *struct{}) error {
	return s.c.RmPeer(ctx, id)
}

type clusterService struct {
	host host.Host
	c    *clusterraft.Consensus
}

func (s *clusterService) ID(ctx context.Context, _ struct{}, out *api.ID) error {
	peers, err := s.c.Peers(ctx)
	if err != nil {
		return err
	}
	*out = api.ID{
		ID: s.host.ID(), ClusterPeers: peers, Peername: "go-test-peer",
		Version: version.Version.String(), RPCProtocolVersion: version.RPCProtocol,
	}
	for _, addr := range s.host.Addrs() {
		out.Addresses = append(out.Addresses, api.NewMultiaddrWithValue(addr))
	}
	return nil
}

// pinTrackerService takes the calls the component makes of its own peer when it applies a pin.
type pinTrackerService struct{}

func (s *pinTrackerService) Track(context.Context, api.Pin, *struct{}) error   { return nil }
func (s *pinTrackerService) Untrack(context.Context, api.Pin, *struct{}) error { return nil }
