// What Go's decoders say of given bytes: hashicorp/raft's own (go-msgpack v2, as its network
// transport has it), and IPFS Cluster's types by ugorji's codec, as go-libp2p-raft has it.
//
// Asked on standard input: the target's number (1 byte), a length (4 bytes, big-endian), so many
// bytes. Answered on standard output, one line of JSON each: {"error": ...}, or {"value": ...,
// "consumed": ...}, where bytes and strings are in hexadecimal and nil is null.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxInput bounds one question: the tests ask about some KiB.
const maxInput = 16 << 20

func main() {
	if err := serve(bufio.NewReader(os.Stdin), os.Stdout); err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(in io.Reader, out io.Writer) error {
	header := make([]byte, 1+4)
	for {
		if _, err := io.ReadFull(in, header); err != nil {
			return err
		}
		size := binary.BigEndian.Uint32(header[1:])
		if size > maxInput {
			return fmt.Errorf("%d bytes are more than %d", size, maxInput)
		}
		data := make([]byte, size)
		if _, err := io.ReadFull(in, data); err != nil {
			return err
		}
		if int(header[0]) >= len(targets) {
			return fmt.Errorf("there is no target %d", header[0])
		}
		line, err := json.Marshal(answer(targets[header[0]], data))
		if err != nil {
			return err
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return err
		}
	}
}

// input is what a decoder reads from, as a connection gives it: in no order but its own.
type input struct {
	*bufio.Reader
	rest *bytes.Reader
}

func (i input) unread() int { return i.Buffered() + i.rest.Len() }

func answer(decode func(in input) (any, error), data []byte) (said map[string]any) {
	defer func() {
		if panicked := recover(); panicked != nil {
			said = map[string]any{"error": fmt.Sprint(panicked), "panicked": true}
		}
	}()
	rest := bytes.NewReader(data)
	in := input{bufio.NewReader(rest), rest}
	value, err := decode(in)
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	return map[string]any{"value": value, "consumed": len(data) - in.unread()}
}
