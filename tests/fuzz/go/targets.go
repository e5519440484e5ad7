package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"

	msgpack "github.com/hashicorp/go-msgpack/v2/codec"
	hraft "github.com/hashicorp/raft"
	"github.com/ipfs-cluster/ipfs-cluster/api"
	clusterraft "github.com/ipfs-cluster/ipfs-cluster/consensus/raft"
	"github.com/ipfs-cluster/ipfs-cluster/state/dsstate"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	dssync "github.com/ipfs/go-datastore/sync"
	ugorji "github.com/ugorji/go/codec"
)

// targets by their number, which is what a question names them by.
var targets = []func(in input) (any, error){
	hashicorp[hraft.AppendEntriesRequest],
	hashicorp[hraft.RequestVoteRequest],
	hashicorp[hraft.InstallSnapshotRequest],
	hashicorp[hraft.TimeoutNowRequest],
	hashicorp[hraft.RequestPreVoteRequest],
	response[hraft.AppendEntriesResponse],
	response[hraft.RequestVoteResponse],
	response[hraft.InstallSnapshotResponse],
	response[hraft.TimeoutNowResponse],
	response[hraft.RequestPreVoteResponse],
	hashicorp[hraft.Log],
	hashicorp[hraft.Configuration],
	hashicorp[[][]byte],
	operation,
	pin,
	snapshot,
	meta,
	peersJSON(hraft.ReadConfigJSON),
	peersJSON(hraft.ReadPeersJSON),
}

// hashicorp decodes as net_transport.go does, and util.go's decodeMsgPack.
func hashicorp[T any](in input) (any, error) {
	var value T
	err := msgpack.NewDecoder(in.Reader, &msgpack.MsgpackHandle{}).Decode(&value)
	return rendered(value), err
}

// response decodes as net_transport.go's decodeResponse: an error text, then the struct.
func response[T any](in input) (any, error) {
	decoder := msgpack.NewDecoder(in.Reader, &msgpack.MsgpackHandle{})
	var rpcError string
	if err := decoder.Decode(&rpcError); err != nil {
		return nil, err
	}
	var value T
	err := decoder.Decode(&value)
	return map[string]any{"error": rendered(rpcError), "response": rendered(value)}, err
}

// operation decodes as go-libp2p-raft's codec.go, onto a fresh object.
func operation(in input) (any, error) {
	handle := &ugorji.MsgpackHandle{}
	handle.ErrorIfNoField = true
	var value clusterraft.LogOp
	err := ugorji.NewDecoder(in.Reader, handle).Decode(&value)
	return map[string]any{"type": rendered(value.Type), "pin": rendered(value.Cid)}, err
}

// pin decodes as go-libp2p-gorpc's stream_wrap.go.
func pin(in input) (any, error) {
	var value api.Pin
	err := ugorji.NewDecoder(in.Reader, &ugorji.MsgpackHandle{}).Decode(&value)
	return rendered(value), err
}

// snapshot restores a state, and answers with what it lists and with what it stores: a value that
// cannot be read is stored and not listed.
func snapshot(in input) (any, error) {
	ctx := context.Background()
	store := dssync.MutexWrap(datastore.NewMapDatastore())
	state, err := dsstate.New(ctx, store, clusterraft.DefaultDatastoreNamespace, dsstate.DefaultHandle())
	if err != nil {
		return nil, err
	}
	if err := state.Unmarshal(in.Reader); err != nil {
		return nil, err
	}
	results, err := store.Query(ctx, query.Query{KeysOnly: true})
	if err != nil {
		return nil, err
	}
	stored, err := results.Rest()
	if err != nil {
		return nil, err
	}
	listed := make(chan api.Pin, 64)
	failed := make(chan error, 1)
	go func() { failed <- state.List(ctx, listed) }()
	pins := map[string]any{}
	for pin := range listed {
		value, err := pin.ProtoMarshal()
		if err != nil {
			return nil, err
		}
		pins[text(pin.Cid.Bytes())] = text(value)
	}
	return map[string]any{"stored": len(stored), "pins": pins}, <-failed
}

type fileMeta struct {
	hraft.SnapshotMeta
	CRC []byte
}

// meta reads as file_snapshot.go does: readMeta, and getSnapshots, which passes over versions it
// does not know. Beside the value it answers with how Go would write that.
func meta(in input) (any, error) {
	var value fileMeta
	if err := json.NewDecoder(in.Reader).Decode(&value); err != nil {
		return nil, err
	}
	if value.Version < hraft.SnapshotVersionMin || value.Version > hraft.SnapshotVersionMax {
		return nil, fmt.Errorf("unknown version %d", value.Version)
	}
	written, err := json.Marshal(value)
	said := map[string]any{"written": string(written)}
	collect(reflect.ValueOf(value), said)
	return said, err
}

func peersJSON(read func(string) (hraft.Configuration, error)) func(in input) (any, error) {
	return func(in input) (any, error) {
		file, err := os.CreateTemp("", "peers")
		if err != nil {
			return nil, err
		}
		defer os.Remove(file.Name())
		defer file.Close()
		if _, err := in.WriteTo(file); err != nil {
			return nil, err
		}
		configuration, err := read(file.Name())
		return rendered(configuration), err
	}
}
