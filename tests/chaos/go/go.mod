// Judges histories of chaos runs with porcupine.
module raft-over-libp2p/tests/chaos/go

go 1.26

require github.com/anishathalye/porcupine v1.3.1
