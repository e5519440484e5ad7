// Command peer is a real go-libp2p-raft server for the interoperability tests.
//
// It is driven by JSON lines: one command a line on standard input, one answer a line on
// standard output, in any order (see console.go). The end of standard input ends it, so it never
// outlives the test that started it. Logs go to standard error.
package main

import (
	"fmt"
	"os"

	logging "github.com/ipfs/go-log/v2"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	options, err := parseOptions(args)
	if err != nil {
		return err
	}
	level, err := logging.LevelFromString(options.logLevel)
	if err != nil {
		return err
	}
	logging.SetupLogging(logging.Config{Format: logging.PlaintextOutput, Stderr: true, Level: level})
	peer, err := startPeer(options)
	if err != nil {
		return err
	}
	console := newConsole(peer, os.Stdin, os.Stdout)
	console.send(readyEvent(peer))
	return console.serve()
}

func readyEvent(p *peerNode) map[string]any {
	return map[string]any{"event": "ready", "id": p.host.ID().String(), "addrs": p.addresses()}
}
