package main

import (
	"errors"
	"fmt"

	hraft "github.com/hashicorp/raft"
)

// maxDump bounds one answer; ask again from the next index for more.
const maxDump = 20_000

type dumpArgs struct {
	First uint64 `json:"first"` // 0: the first there is
	Last  uint64 `json:"last"`  // 0: the last there is
}

type logEntry struct {
	Index      uint64   `json:"index"`
	Term       uint64   `json:"term"`
	Type       uint8    `json:"type"`
	Data       hexBytes `json:"data"`
	Extensions hexBytes `json:"extensions"`
	AppendedAt hexBytes `json:"appended_at"` // Go's time.MarshalBinary
}

// dump reads entries out of the log store; an index the store does not have is left out.
func dump(p *peerNode, args dumpArgs) (any, error) {
	first, last, err := bounds(p.logs, args)
	if err != nil {
		return nil, err
	}
	entries := []logEntry{}
	for index := first; index <= last && index != 0; index++ {
		var log hraft.Log
		if err := p.logs.GetLog(index, &log); errors.Is(err, hraft.ErrLogNotFound) {
			continue
		} else if err != nil {
			return nil, err
		}
		at, err := log.AppendedAt.MarshalBinary()
		if err != nil {
			return nil, err
		}
		entries = append(entries, logEntry{
			Index: log.Index, Term: log.Term, Type: uint8(log.Type),
			Data: log.Data, Extensions: log.Extensions, AppendedAt: at,
		})
	}
	return map[string]any{"entries": entries}, nil
}

func bounds(logs hraft.LogStore, args dumpArgs) (uint64, uint64, error) {
	first, err := logs.FirstIndex()
	if err != nil {
		return 0, 0, err
	}
	last, err := logs.LastIndex()
	if err != nil {
		return 0, 0, err
	}
	first = max(first, args.First)
	if args.Last != 0 {
		last = min(last, args.Last)
	}
	if last >= first+maxDump {
		return 0, 0, fmt.Errorf("%d entries are more than %d: ask for a part", last-first+1, maxDump)
	}
	return first, last, nil
}

// state answers with what mode raft applied, oldest first.
func state(p *peerNode, _ []byte) (any, error) {
	if p.recorder == nil {
		return nil, errors.New("mode cluster has a pinset instead")
	}
	count, entries := p.recorder.list()
	if len(entries) > maxDump {
		return nil, fmt.Errorf("%d entries are more than %d", len(entries), maxDump)
	}
	if entries == nil {
		entries = []appliedEntry{}
	}
	return map[string]any{"count": count, "applied": entries, "restored": p.recorder.restores()}, nil
}
