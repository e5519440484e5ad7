package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"

	libp2p "github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
)

// newHost builds a host as IPFS Cluster's base options do: TCP, the private network, Noise and
// TLS, yamux; without relay, NAT, DHT and pubsub.
func newHost(o *options, g *gate) (host.Host, error) {
	key, err := privateKey(o)
	if err != nil {
		return nil, err
	}
	opts := []libp2p.Option{
		libp2p.Identity(key),
		libp2p.ListenAddrStrings(o.listen),
		libp2p.NoTransports,
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.DisableRelay(),
		libp2p.ConnectionGater(g),
	}
	if o.secret != "" {
		secret, err := decodeKey("-secret", o.secret)
		if err != nil {
			return nil, err
		}
		opts = append(opts, libp2p.PrivateNetwork(secret))
	}
	switch o.security {
	case "noise":
		opts = append(opts, libp2p.Security(noise.ID, noise.New))
	case "tls":
		opts = append(opts, libp2p.Security(libp2ptls.ID, libp2ptls.New))
	case "both":
		opts = append(opts, libp2p.Security(noise.ID, noise.New), libp2p.Security(libp2ptls.ID, libp2ptls.New))
	default:
		return nil, fmt.Errorf("-security is %q, not noise, tls or both", o.security)
	}
	return libp2p.New(opts...)
}

func privateKey(o *options) (crypto.PrivKey, error) {
	if o.identity != "" {
		return identityKey(o.identity)
	}
	seed, err := decodeKey("-seed", o.seed)
	if err != nil {
		return nil, err
	}
	return crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed))
}

// identityKey reads the private key of an identity.json of IPFS Cluster.
func identityKey(path string) (crypto.PrivKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var identity struct {
		PrivateKey string `json:"private_key"`
	}
	if err := json.Unmarshal(text, &identity); err != nil {
		return nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(identity.PrivateKey)
	if err != nil {
		return nil, err
	}
	return crypto.UnmarshalPrivateKey(raw)
}

// parsePeer joins an ID and an address, which may be empty or end in /p2p/ID.
func parsePeer(id, address string) (peer.AddrInfo, error) {
	pid, err := peer.Decode(id)
	if err != nil {
		return peer.AddrInfo{}, fmt.Errorf("peer ID %q: %w", id, err)
	}
	if address == "" {
		return peer.AddrInfo{ID: pid}, nil
	}
	ma, err := multiaddr.NewMultiaddr(address)
	if err != nil {
		return peer.AddrInfo{}, fmt.Errorf("address %q: %w", address, err)
	}
	transport, named := peer.SplitAddr(ma)
	if named != "" && named != pid {
		return peer.AddrInfo{}, fmt.Errorf("address %q is not of peer %s", address, id)
	}
	return peer.AddrInfo{ID: pid, Addrs: []multiaddr.Multiaddr{transport}}, nil
}
