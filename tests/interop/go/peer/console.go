package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
)

const maxCommandBytes = 16 << 20

// request is one command: {"id": 7, "cmd": "apply", ...arguments of the command}.
// Its answer is {"id": 7, "result": ...} or {"id": 7, "error": "why not"}.
type request struct {
	ID  uint64 `json:"id"`
	Cmd string `json:"cmd"`
}

// command reads its arguments from the request's line and gives the result.
type command func(p *peerNode, line []byte) (any, error)

// console reads commands and writes answers. Each command runs by itself: a long one holds up
// no other.
type console struct {
	peer *peerNode
	in   io.Reader
	mu   sync.Mutex
	out  *json.Encoder
}

func newConsole(p *peerNode, in io.Reader, out io.Writer) *console {
	return &console{peer: p, in: in, out: json.NewEncoder(out)}
}

// serve returns at the end of input, without a word to the other peers: as after a kill.
func (c *console) serve() error {
	lines := bufio.NewScanner(c.in)
	lines.Buffer(nil, maxCommandBytes)
	for lines.Scan() {
		line := append([]byte(nil), lines.Bytes()...)
		var r request
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("command %q: %w", line, err)
		}
		go c.run(r, line)
	}
	return lines.Err()
}

func (c *console) run(r request, line []byte) {
	if r.Cmd == "quit" {
		err := c.peer.close()
		c.answer(r, nil, err)
		os.Exit(0)
	}
	do, known := commands[r.Cmd]
	if !known {
		c.answer(r, nil, fmt.Errorf("unknown command %q", r.Cmd))
		return
	}
	result, err := do(c.peer, line)
	c.answer(r, result, err)
}

func (c *console) answer(r request, result any, err error) {
	if err != nil {
		c.send(map[string]any{"id": r.ID, "error": err.Error()})
		return
	}
	c.send(map[string]any{"id": r.ID, "result": result})
}

func (c *console) send(message any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.out.Encode(message); err != nil {
		fmt.Fprintln(os.Stderr, "peer: answer lost:", err)
		os.Exit(1)
	}
}

// hexBytes is written and read as hex text; null is nil.
type hexBytes []byte

func (b hexBytes) MarshalJSON() ([]byte, error) {
	if b == nil {
		return []byte("null"), nil
	}
	return json.Marshal(hex.EncodeToString(b))
}

func (b *hexBytes) UnmarshalJSON(text []byte) error {
	var s *string
	if err := json.Unmarshal(text, &s); err != nil || s == nil {
		return err
	}
	raw, err := hex.DecodeString(*s)
	*b = raw
	return err
}
