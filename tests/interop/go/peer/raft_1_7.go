//go:build !raft_1_6

package main

import (
	"flag"

	hraft "github.com/hashicorp/raft"
)

// addVersionFlags adds the flags that not every release of hashicorp/raft has.
func addVersionFlags(f *flag.FlagSet, config *hraft.Config) {
	f.BoolVar(&config.PreVoteDisabled, "pre-vote-disabled", false, "")
}

func currentTerm(r *hraft.Raft) (uint64, error) { return r.CurrentTerm(), nil }
