// Command chaos judges whether a recorded history of pins is linearisable, one CID at a time,
// with porcupine.
//
// A history is a file of JSON lines, one call each: kind (pin, unpin or read), cid, value (what a
// pin wrote or a read saw; empty is absent), client, invoke and return in nanoseconds. A call
// without a return may take effect at any time after its invocation, or never. The verdict goes
// to standard output as JSON; for each CID whose history is not linearisable, porcupine's drawing
// goes to a file in the folder -html.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

type call struct {
	Kind   string `json:"kind"`
	CID    string `json:"cid"`
	Value  string `json:"value"`
	Client int    `json:"client"`
	Invoke int64  `json:"invoke"`
	Return *int64 `json:"return"`
}

type verdict struct {
	Operations int      `json:"operations"`
	CIDs       int      `json:"cids"`
	Illegal    []string `json:"illegal"`
	Undecided  []string `json:"undecided"` // the time ran out
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func run() error {
	history := flag.String("history", "", "file of JSON lines")
	html := flag.String("html", ".", "folder for the drawings")
	timeout := flag.Duration("timeout", time.Minute, "for each CID")
	flag.Parse()
	calls, err := read(*history)
	if err != nil {
		return err
	}
	byCID := map[string][]call{}
	for _, c := range calls {
		byCID[c.CID] = append(byCID[c.CID], c)
	}
	found := verdict{Operations: len(calls), CIDs: len(byCID), Illegal: []string{}, Undecided: []string{}}
	for cid, its := range byCID {
		result, info := porcupine.CheckOperationsVerbose(pinned, operations(its), *timeout)
		switch result {
		case porcupine.Ok:
			continue
		case porcupine.Illegal:
			found.Illegal = append(found.Illegal, cid)
		default:
			found.Undecided = append(found.Undecided, cid)
		}
		if err := porcupine.VisualizePath(pinned, info, filepath.Join(*html, cid+".html")); err != nil {
			return err
		}
	}
	sort.Strings(found.Illegal)
	sort.Strings(found.Undecided)
	return json.NewEncoder(os.Stdout).Encode(found)
}

func read(path string) ([]call, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var calls []call
	for lines := bufio.NewScanner(file); ; {
		if !lines.Scan() {
			return calls, lines.Err()
		}
		var c call
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return nil, fmt.Errorf("line %d: %w", len(calls)+1, err)
		}
		calls = append(calls, c)
	}
}

// operations gives calls without a return the end of the history for one: they overlap all that
// follows, and each other.
func operations(calls []call) []porcupine.Operation {
	var end int64
	for _, c := range calls {
		end = max(end, c.Invoke)
		if c.Return != nil {
			end = max(end, *c.Return)
		}
	}
	end++
	list := make([]porcupine.Operation, len(calls))
	for i, c := range calls {
		returned := end
		if c.Return != nil {
			returned = *c.Return
		}
		list[i] = porcupine.Operation{ClientId: c.Client, Input: c, Call: c.Invoke, Return: returned}
	}
	return list
}

// pinned is the model of one CID: the value of its pin, or empty.
var pinned = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, _ any) (bool, any) {
		switch c := input.(call); c.Kind {
		case "pin":
			return true, c.Value
		case "unpin":
			return true, ""
		case "read":
			return state == c.Value, state
		default:
			return false, state
		}
	},
	DescribeOperation: func(input, _ any) string {
		c := input.(call)
		if c.Kind == "read" {
			return fmt.Sprintf("read -> %q", c.Value)
		}
		return fmt.Sprintf("%s %s", c.Kind, c.Value)
	},
	DescribeState: func(state any) string { return fmt.Sprintf("%q", state) },
}
