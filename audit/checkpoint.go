package audit

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/shuin/shuin/internal/limits"
)

// Checkpoint is a size and the root hash of the tree of that size.
type Checkpoint struct {
	Origin string // name of the log, see [ValidOrigin]
	Size   int64
	Root   tlog.Hash
}

// ValidOrigin tells whether a log can be named so: a URL without a scheme is
// usual; no white space, no control characters, no plus sign (C2SP
// tlog-checkpoint), bounded.
func ValidOrigin(s string) bool {
	return s != "" && len(s) <= limits.LogOriginBytes && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r == '+' || r == utf8.RuneError || unicode.IsSpace(r) || unicode.IsControl(r)
	})
}

// Marshal is the body of a C2SP tlog-checkpoint, unsigned; ParseCheckpoint
// reads it: three lines, the origin, the size in decimal, the root in base64.
func (c Checkpoint) Marshal() []byte {
	out := make([]byte, 0, len(c.Origin)+20+44+3)
	out = append(out, c.Origin...)
	out = append(out, '\n')
	out = strconv.AppendInt(out, c.Size, 10)
	out = append(out, '\n')
	out = append(out, c.Root.String()...)
	return append(out, '\n')
}

// ParseCheckpoint reads what Marshal wrote, strictly: extension lines, which
// the format allows and we never write, are refused.
func ParseCheckpoint(text []byte) (Checkpoint, error) {
	if len(text) > limits.LogOriginBytes+128 {
		return Checkpoint{}, errors.New("checkpoint: too long")
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, errors.New("checkpoint: not three lines")
	}
	if !ValidOrigin(lines[0]) {
		return Checkpoint{}, fmt.Errorf("checkpoint: %q is no name of a log", lines[0])
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 {
		return Checkpoint{}, fmt.Errorf("checkpoint: %q is no size", lines[1])
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %q is no root hash", lines[2])
	}
	c := Checkpoint{Origin: lines[0], Size: size, Root: root}
	if !bytes.Equal(c.Marshal(), text) {
		return Checkpoint{}, errors.New("checkpoint: not in its canonical form")
	}
	return c, nil
}
