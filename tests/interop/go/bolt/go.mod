// Opens a raft.db with both generations of BoltDB, for the tests of the take-over.
module raft-over-libp2p/tests/interop/go/bolt

go 1.26

require (
	github.com/boltdb/bolt v1.3.1
	go.etcd.io/bbolt v1.4.3
)

require golang.org/x/sys v0.29.0 // indirect
