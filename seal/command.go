package seal

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/shuin/shuin/internal/limits"
)

// Command is a command as it is told of: its words as a shell would read them,
// with quotes where they are needed.
type Command struct {
	// Text is the command's beginning where SHA256 is set, else all of it.
	Text string
	// SHA256 is the lower-case hex hash of the whole text, set when Text was cut.
	SHA256 string
}

// cutMark ends a text that was cut.
const cutMark = " …"

// NewCommand tells of argv, cut to what an evidence file may hold.
func NewCommand(argv []string) Command {
	words := make([]string, len(argv))
	for i, w := range argv {
		words[i] = quote(w)
	}
	c := Command{Text: strings.Join(words, " ")}
	if len(c.Text) > limits.EvidenceCommand {
		c = c.cut(limits.EvidenceCommand)
	}
	return c
}

// cut is c with a text of at most max bytes, the mark included; with no room
// for it the hash alone is left.
func (c Command) cut(max int) Command {
	if c.SHA256 == "" {
		sum := sha256.Sum256([]byte(c.Text))
		c.SHA256 = hex.EncodeToString(sum[:])
	}
	text := strings.TrimSuffix(c.Text, cutMark)
	n := max - len(cutMark)
	if n <= 0 {
		c.Text = ""
		return c
	}
	for n = min(n, len(text)); n > 0 && n < len(text) && !utf8.RuneStart(text[n]); n-- {
	}
	c.Text = text[:n] + cutMark
	return c
}

func (c Command) check(stage string) error {
	switch {
	case len(c.Text) > limits.EvidenceCommand:
		return fmt.Errorf("stage %s: the command has %d bytes, more than %d", stage, len(c.Text), limits.EvidenceCommand)
	case !graphic(c.Text):
		return fmt.Errorf("stage %s: the command has characters that are not seen", stage)
	case c.SHA256 == "":
		return nil
	}
	if b, err := hex.DecodeString(c.SHA256); err != nil || len(b) != sha256.Size || strings.ToLower(c.SHA256) != c.SHA256 {
		return fmt.Errorf("stage %s: commandSHA256 is not 64 lower-case hexadecimal digits", stage)
	}
	if c.Text != "" && !strings.HasSuffix(c.Text, cutMark) {
		return fmt.Errorf("stage %s: commandSHA256 goes with a command that was cut, and this one does not end in %q", stage, cutMark)
	}
	return nil
}

// quote writes a word so that a shell reads it back, and a person sees all of
// it: plain, in single quotes, or with escapes ($'…', as in bash).
func quote(word string) string {
	plain, seen := word != "", true
	for i, r := range word {
		if r == utf8.RuneError && !strings.HasPrefix(word[i:], string(utf8.RuneError)) || !unicode.IsGraphic(r) {
			seen = false
		}
		if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("_@%+=:,./-", r)) {
			plain = false
		}
	}
	switch {
	case plain:
		return word
	case seen:
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return escape(word)
}

func escape(word string) string {
	var b strings.Builder
	b.WriteString("$'")
	for len(word) > 0 {
		r, n := utf8.DecodeRuneInString(word)
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\'' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == utf8.RuneError && n == 1 || !unicode.IsGraphic(r):
			for i := range n {
				fmt.Fprintf(&b, `\x%02x`, word[i])
			}
		default:
			b.WriteString(word[:n])
		}
		word = word[n:]
	}
	b.WriteString("'")
	return b.String()
}
