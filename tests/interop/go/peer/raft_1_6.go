//go:build raft_1_6

package main

import (
	"flag"
	"strconv"

	hraft "github.com/hashicorp/raft"
)

// addVersionFlags adds the flags that not every release of hashicorp/raft has: 1.6 has none.
func addVersionFlags(*flag.FlagSet, *hraft.Config) {}

func currentTerm(r *hraft.Raft) (uint64, error) {
	return strconv.ParseUint(r.Stats()["term"], 10, 64)
}
