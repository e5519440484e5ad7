package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	hraft "github.com/hashicorp/raft"
)

// recorder is the state of mode raft: the list of all commands applied, in order.
//
// Its snapshot is one record after another: index and term (8 bytes each), length of the data (4
// bytes), all big-endian, then the data.
type recorder struct {
	mu      sync.Mutex
	keep    bool // otherwise commands are only counted
	count   uint64
	entries []appliedEntry // only ever appended to, or replaced as a whole

	restored []uint64 // the last index of each snapshot restored, oldest first
}

type appliedEntry struct {
	Index uint64   `json:"index"`
	Term  uint64   `json:"term"`
	Data  hexBytes `json:"data"`
}

const recordHeader = 8 + 8 + 4

func (r *recorder) Apply(log *hraft.Log) any {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	if r.keep {
		r.entries = append(r.entries, appliedEntry{Index: log.Index, Term: log.Term, Data: log.Data})
	}
	return nil
}

func (r *recorder) list() (uint64, []appliedEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count, r.entries[:len(r.entries):len(r.entries)]
}

func (r *recorder) restores() []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]uint64{}, r.restored...)
}

func (r *recorder) Snapshot() (hraft.FSMSnapshot, error) {
	_, entries := r.list()
	return recorded(entries), nil
}

func (r *recorder) Restore(reader io.ReadCloser) error {
	defer reader.Close()
	var entries []appliedEntry
	header := make([]byte, recordHeader)
	for {
		if _, err := io.ReadFull(reader, header); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("snapshot of a recorder: %w", err)
		}
		entry := appliedEntry{
			Index: binary.BigEndian.Uint64(header),
			Term:  binary.BigEndian.Uint64(header[8:]),
			Data:  make([]byte, binary.BigEndian.Uint32(header[16:])),
		}
		if _, err := io.ReadFull(reader, entry.Data); err != nil {
			return fmt.Errorf("snapshot of a recorder: %w", err)
		}
		entries = append(entries, entry)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries, r.count = entries, uint64(len(entries))
	last := uint64(0)
	if len(entries) > 0 {
		last = entries[len(entries)-1].Index
	}
	r.restored = append(r.restored, last)
	return nil
}

type recorded []appliedEntry

func (s recorded) Persist(sink hraft.SnapshotSink) error {
	for _, entry := range s {
		record := make([]byte, 0, recordHeader+len(entry.Data))
		record = binary.BigEndian.AppendUint64(record, entry.Index)
		record = binary.BigEndian.AppendUint64(record, entry.Term)
		record = binary.BigEndian.AppendUint32(record, uint32(len(entry.Data)))
		if _, err := sink.Write(append(record, entry.Data...)); err != nil {
			return errors.Join(err, sink.Cancel())
		}
	}
	return sink.Close()
}

func (s recorded) Release() {}
