package main

import (
	"encoding/hex"
	"flag"
	"fmt"
	"strings"
	"time"

	hraft "github.com/hashicorp/raft"
	"github.com/libp2p/go-libp2p/core/peer"
)

// options are the command line. The timers have hashicorp/raft's names and defaults.
type options struct {
	mode      string // raft: a plain server; cluster: IPFS Cluster's consensus component
	listen    string // multiaddr
	seed      string // 32 bytes in hex: the Ed25519 seed of the identity
	identity  string // or an identity.json of IPFS Cluster
	secret    string // 32 bytes in hex: the private network; none when empty
	security  string // noise, tls or both
	dataDir   string
	store     string // bolt or inmem (mode raft)
	logCache  int
	record    bool // keep what was applied (mode raft); benchmarks do not
	peers     []peer.AddrInfo
	neverDial []peer.ID // who connects to this peer, and is not to be dialled by it
	bootstrap bool
	logLevel  string

	loseSnapshotAnswers bool // from the start (mode raft), until the command lose_no_more

	raft           *hraft.Config
	networkTimeout time.Duration

	// Mode cluster only.
	waitForLeader    time.Duration
	commitRetries    int
	commitRetryDelay time.Duration
}

func parseOptions(args []string) (*options, error) {
	o := &options{raft: hraft.DefaultConfig()}
	f := flag.NewFlagSet("peer", flag.ContinueOnError)
	var peers, neverDial string
	f.StringVar(&o.mode, "mode", "raft", "raft or cluster")
	f.StringVar(&o.listen, "listen", "/ip4/127.0.0.1/tcp/0", "multiaddr to listen on")
	f.StringVar(&o.seed, "seed", "", "Ed25519 seed, 32 bytes in hex")
	f.StringVar(&o.identity, "identity", "", "identity.json, instead of -seed")
	f.StringVar(&o.secret, "secret", "", "secret of the private network, 32 bytes in hex")
	f.StringVar(&o.security, "security", "both", "noise, tls or both")
	f.StringVar(&o.dataDir, "data", "", "data folder (raft.db and snapshots)")
	f.StringVar(&o.store, "store", "bolt", "bolt or inmem")
	f.IntVar(&o.logCache, "log-cache", 512, "entries cached in front of the store")
	f.BoolVar(&o.record, "record", true, "keep every applied entry for the command state")
	f.StringVar(&peers, "peers", "", "the first voters, in order: comma-separated id@multiaddr, this peer among them")
	f.StringVar(&neverDial, "never-dial", "", "comma-separated IDs of peers that connect to this one")
	f.BoolVar(&o.bootstrap, "bootstrap", false, "bootstrap with -peers when there is no state")
	f.BoolVar(&o.loseSnapshotAnswers, "lose-snapshot-answers", false, "lose answers to InstallSnapshot")
	f.StringVar(&o.logLevel, "log", "error", "debug, info, warn or error")
	f.DurationVar(&o.networkTimeout, "network-timeout", 10*time.Second, "deadline of one RPC")
	f.DurationVar(&o.raft.HeartbeatTimeout, "heartbeat-timeout", o.raft.HeartbeatTimeout, "")
	f.DurationVar(&o.raft.ElectionTimeout, "election-timeout", o.raft.ElectionTimeout, "")
	f.DurationVar(&o.raft.CommitTimeout, "commit-timeout", o.raft.CommitTimeout, "")
	f.DurationVar(&o.raft.LeaderLeaseTimeout, "leader-lease-timeout", o.raft.LeaderLeaseTimeout, "")
	f.DurationVar(&o.raft.SnapshotInterval, "snapshot-interval", o.raft.SnapshotInterval, "")
	f.Uint64Var(&o.raft.SnapshotThreshold, "snapshot-threshold", o.raft.SnapshotThreshold, "")
	f.Uint64Var(&o.raft.TrailingLogs, "trailing-logs", o.raft.TrailingLogs, "")
	f.IntVar(&o.raft.MaxAppendEntries, "max-append-entries", o.raft.MaxAppendEntries, "")
	addVersionFlags(f, o.raft)
	f.DurationVar(&o.waitForLeader, "wait-for-leader-timeout", 15*time.Second, "")
	f.IntVar(&o.commitRetries, "commit-retries", 1, "")
	f.DurationVar(&o.commitRetryDelay, "commit-retry-delay", 200*time.Millisecond, "")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() != 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	var err error
	if o.peers, err = parsePeers(peers); err != nil {
		return nil, err
	}
	for _, text := range splitList(neverDial) {
		id, err := peer.Decode(text)
		if err != nil {
			return nil, fmt.Errorf("-never-dial %q: %w", text, err)
		}
		o.neverDial = append(o.neverDial, id)
	}
	return o, o.check()
}

func (o *options) check() error {
	if o.mode != "raft" && o.mode != "cluster" {
		return fmt.Errorf("-mode is %q, not raft or cluster", o.mode)
	}
	if o.store != "bolt" && o.store != "inmem" {
		return fmt.Errorf("-store is %q, not bolt or inmem", o.store)
	}
	if o.dataDir == "" && (o.store == "bolt" || o.mode == "cluster") {
		return fmt.Errorf("-data is needed to store anything on disk")
	}
	if (o.seed == "") == (o.identity == "") {
		return fmt.Errorf("give one of -seed and -identity")
	}
	return nil
}

func splitList(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
}

// parsePeers reads id@multiaddr,id@multiaddr; an address may be left out (id@).
func parsePeers(text string) ([]peer.AddrInfo, error) {
	var peers []peer.AddrInfo
	for _, part := range splitList(text) {
		id, address, found := strings.Cut(part, "@")
		if !found {
			return nil, fmt.Errorf("peer %q is not id@multiaddr", part)
		}
		info, err := parsePeer(id, address)
		if err != nil {
			return nil, err
		}
		peers = append(peers, info)
	}
	return peers, nil
}

// decodeKey reads 32 bytes of hex.
func decodeKey(name, text string) ([]byte, error) {
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("%s is not 32 bytes in hex", name)
	}
	return key, nil
}
