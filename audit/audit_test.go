package audit

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	hexA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	hexB = "00000000000000000000000000000000000000000000000000000000000000ff"
)

func fullEntry() Entry {
	return Entry{
		Kind: SignResult, Time: time.Date(2026, 11, 22, 4, 5, 6, 700, time.UTC),
		Principal: "arn:aws:iam::111122223333:user/ci", RequestID: "r-1", Action: "signer:SignPayload",
		Outcome: "ok", Reason: "because \"quoted\" <&> \u2028 日本", Attempt: 7,
		ProfileVersion: "arn:aws:signer:us-west-2:111122223333:/signing-profiles/build/abcdefghij",
		Job:            "arn:aws:signer:us-west-2:111122223333:/signing-jobs/0b7b", PayloadSHA256: hexA,
		SigningInput: hexB, Certificate: hexA, Serial: "0f", PublicKey: hexB, Detail: "line\nline",
	}
}

func TestALeafReadsBackAsItsEntry(t *testing.T) {
	entries := []Entry{
		fullEntry(),
		{Kind: SignAttempt, Time: time.Unix(1, 0).UTC()},
		{Kind: SignResult, Time: time.Unix(1, 0).UTC(), Attempt: 0},
		{Kind: IssueResult, Time: time.Unix(1, 999).UTC(), Attempt: -1},
		{Kind: Revocation, Time: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), Detail: "x"},
	}
	for _, e := range entries {
		leaf, err := e.Leaf()
		if err != nil {
			t.Fatalf("%+v: %v", e, err)
		}
		got, err := ParseLeaf(leaf)
		if err != nil {
			t.Fatalf("%s: %v", leaf, err)
		}
		if d := cmp.Diff(e, got); d != "" {
			t.Errorf("%s:\n%s", leaf, d)
		}
	}
}

func TestTheEncodingOfALeafStaysAsItIs(t *testing.T) {
	leaf, err := fullEntry().Leaf()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"v":1,"kind":"sign-result","time":"2026-11-22T04:05:06.0000007Z",` +
		`"principal":"arn:aws:iam::111122223333:user/ci","requestId":"r-1","action":"signer:SignPayload",` +
		`"outcome":"ok","reason":"because \"quoted\" <&> ` + "\u2028" + ` 日本","attempt":7,` +
		`"profileVersion":"arn:aws:signer:us-west-2:111122223333:/signing-profiles/build/abcdefghij",` +
		`"job":"arn:aws:signer:us-west-2:111122223333:/signing-jobs/0b7b","payloadSha256":"` + hexA + `",` +
		`"signingInputSha256":"` + hexB + `","certificateSha256":"` + hexA + `","serial":"0f",` +
		`"publicKeySha256":"` + hexB + `","detail":"line\nline"}`
	if string(leaf) != want {
		t.Errorf("leaf\n%s\nwant\n%s", leaf, want)
	}
}

// Leaves of every kind that a log may have, as they were first written: kinds
// are added at the end, and none of these changes.
func TestLeavesOfOldLogsReadBackAsTheyAre(t *testing.T) {
	const head, tail = `{"v":1,"kind":"`, `","time":"2026-11-22T04:05:06Z","principal":"local:op","action":"signer:Act","outcome":"ok"`
	for kind, want := range map[string]Kind{
		"sign-attempt": SignAttempt, "sign-result": SignResult, "issue-attempt": IssueAttempt, "issue-result": IssueResult,
		"profile-change": ProfileChange, "permission-change": PermissionChange, "revocation": Revocation,
		"credential-change": CredentialChange, "tag-change": TagChange, "certificate-revocation": CertificateRevocation,
		"checkpoint-acceptance": CheckpointAcceptance, "clock-acceptance": ClockAcceptance, "decision": Decision, "certificate-change": CertificateChange,
	} {
		text := head + kind + tail
		if want.result() {
			text += `,"attempt":3`
		}
		text += "}"
		e, err := ParseLeaf([]byte(text))
		if err != nil || e.Kind != want {
			t.Errorf("%s: %q, %v", kind, e.Kind, err)
		}
	}
	// What has a kind of its own now was a revocation once.
	for _, old := range []string{
		head + "revocation" + strings.Replace(tail, "Act", "RevokeCertificate", 1) + `,"detail":"certificate id ` + hexA + `; lost"}`,
		head + "revocation" + `","time":"2026-11-22T04:05:06Z","principal":"local:op","action":"shuind:AcceptMissingCheckpoint","detail":"x"}`,
	} {
		e, err := ParseLeaf([]byte(old))
		if err != nil || e.Kind != Revocation {
			t.Errorf("%s: %v", old, err)
		}
	}
}

func TestWhatCannotBeReadBackIsNoEntry(t *testing.T) {
	tests := map[string]func(*Entry){
		"no kind":                   func(e *Entry) { e.Kind = "" },
		"an unknown kind":           func(e *Entry) { e.Kind = "other" },
		"text that is not UTF-8":    func(e *Entry) { e.Reason = "\xff" },
		"no time":                   func(e *Entry) { e.Time = time.Time{} },
		"a year of five digits":     func(e *Entry) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"a short digest":            func(e *Entry) { e.PayloadSHA256 = "aa" },
		"an upper-case digest":      func(e *Entry) { e.Certificate = strings.ToUpper(hexA) },
		"a serial number too long":  func(e *Entry) { e.Serial = strings.Repeat("a", 41) },
		"a serial number in colons": func(e *Entry) { e.Serial = "aa:bb" },
		"a negative attempt":        func(e *Entry) { e.Attempt = -2 },
		"an attempt of an attempt":  func(e *Entry) { e.Kind, e.Attempt = SignAttempt, 3 },
		"too much text":             func(e *Entry) { e.Detail = strings.Repeat("x", 40<<10) },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			e := fullEntry()
			change(&e)
			if leaf, err := e.Leaf(); err == nil {
				t.Errorf("encoded as %s", leaf)
			}
		})
	}
}

func TestALeafInAnotherFormIsRefused(t *testing.T) {
	const head = `{"v":1,"kind":"sign-attempt","time":"1970-01-01T00:00:01Z"`
	if _, err := ParseLeaf([]byte(head + "}")); err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"empty":                         "",
		"white space":                   head + " }",
		"something after":               head + "}\n",
		"an unknown member":             head + `,"x":1}`,
		"a member twice":                head + `,"detail":"a","detail":"a"}`,
		"another order":                 `{"kind":"sign-attempt","v":1,"time":"1970-01-01T00:00:01Z"}`,
		"an empty member":               head + `,"detail":""}`,
		"another case":                  head + `,"Detail":"a"}`,
		"an escape that is not needed":  head + `,"detail":"\u0061"}`,
		"another zone":                  `{"v":1,"kind":"sign-attempt","time":"1970-01-01T01:00:01+01:00"}`,
		"a fraction that is not needed": `{"v":1,"kind":"sign-attempt","time":"1970-01-01T00:00:01.0Z"}`,
		"an attempt where none belongs": head + `,"attempt":0}`,
		"no attempt where one belongs":  `{"v":1,"kind":"sign-result","time":"1970-01-01T00:00:01Z"}`,
		"no version":                    `{"kind":"sign-attempt","time":"1970-01-01T00:00:01Z"}`,
		"version 0":                     `{"v":0,"kind":"sign-attempt","time":"1970-01-01T00:00:01Z"}`,
		"null":                          "null",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			if e, err := ParseLeaf([]byte(text)); err == nil {
				t.Errorf("read as %+v", e)
			}
		})
	}
	_, err := ParseLeaf([]byte(`{"v":2,"kind":"sign-attempt","time":"1970-01-01T00:00:01Z","new":"x"}`))
	if err == nil || !strings.Contains(err.Error(), "newer than this program") {
		t.Errorf("a newer version: %v", err)
	}
}

// log keeps all hashes, as a store does.
type memory struct {
	tree   Tree
	hashes []tlog.Hash
	leaves [][]byte
}

func (m *memory) append(t *testing.T, leaf []byte) {
	t.Helper()
	i, done := m.tree.Append(leaf)
	if i != int64(len(m.leaves)) || tlog.StoredHashIndex(0, i) != int64(len(m.hashes)) {
		t.Fatalf("record %d stored at %d, want %d", i, len(m.hashes), tlog.StoredHashIndex(0, i))
	}
	m.leaves = append(m.leaves, leaf)
	m.hashes = append(m.hashes, done...)
}

func (m *memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x >= int64(len(m.hashes)) {
			return nil, fmt.Errorf("no hash %d", x)
		}
		out[i] = m.hashes[x]
	}
	return out, nil
}

// rfc6962 is the tree hash straight from its definition.
func rfc6962(leaves [][]byte) tlog.Hash {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0]...))
	}
	k := 1
	for k*2 < len(leaves) {
		k *= 2
	}
	l, r := rfc6962(leaves[:k]), rfc6962(leaves[k:])
	return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
}

func TestTheTreeAgreesWithRFC6962AndWithTlogAtEverySize(t *testing.T) {
	var m memory
	var old []Checkpoint
	for n := range 70 {
		c := m.tree.Checkpoint("log.test")
		if want := rfc6962(m.leaves); c.Root != want || c.Size != int64(n) {
			t.Fatalf("size %d: root %v, want %v", c.Size, c.Root, want)
		}
		again, err := NewTree(int64(n), &m)
		if err != nil {
			t.Fatal(err)
		}
		if again.Root() != c.Root || again.Last() != m.tree.Last() || again.Size() != c.Size {
			t.Fatalf("size %d: rebuilt differently", n)
		}
		i1, h1 := again.Append([]byte("next"))
		kept := m.tree
		i2, h2 := kept.Append([]byte("next"))
		if i1 != i2 || !cmp.Equal(h1, h2) || kept.Root() != again.Root() {
			t.Fatalf("size %d: the rebuilt tree appends differently", n)
		}
		old = append(old, c)
		for _, o := range old {
			p, err := ProveConsistency(o, c, &m)
			if err != nil {
				t.Fatal(err)
			}
			if err := CheckConsistency(p, o, c); err != nil {
				t.Fatalf("%d against %d: %v", o.Size, c.Size, err)
			}
			bad := o
			bad.Root[3] ^= 1
			if err := CheckConsistency(p, bad, c); !errors.Is(err, ErrInconsistent) {
				t.Fatalf("%d against %d with another root: %v", o.Size, c.Size, err)
			}
		}
		for i := range int64(n) {
			p, err := ProveInclusion(c, i, &m)
			if err != nil {
				t.Fatal(err)
			}
			if err := CheckInclusion(p, c, i, m.leaves[i]); err != nil {
				t.Fatal(err)
			}
			if CheckInclusion(p, c, i, []byte("other")) == nil {
				t.Fatal("another leaf is included")
			}
		}
		m.append(t, fmt.Appendf(nil, "leaf %d", n))
	}
}

func TestAShorterLogOrOneOfAnotherNameIsInconsistent(t *testing.T) {
	var tr Tree
	tr.Append([]byte("a"))
	one := tr.Checkpoint("log.test")
	tr.Append([]byte("b"))
	two := tr.Checkpoint("log.test")
	other := tr.Checkpoint("other.test")
	for name, pair := range map[string][2]Checkpoint{"shorter": {two, one}, "other name": {one, other}} {
		if _, err := ProveConsistency(pair[0], pair[1], nil); !errors.Is(err, ErrInconsistent) {
			t.Errorf("%s: proof: %v", name, err)
		}
		if err := CheckConsistency(nil, pair[0], pair[1]); !errors.Is(err, ErrInconsistent) {
			t.Errorf("%s: check: %v", name, err)
		}
	}
}

func TestATreeIsAValueThatACopyComesBackTo(t *testing.T) {
	var tr Tree
	for i := range 13 {
		tr.Append([]byte{byte(i)})
	}
	saved := tr
	root := tr.Root()
	for i := range 9 {
		tr.Append([]byte{byte(i), 1})
	}
	tr = saved
	if tr.Root() != root || tr.Size() != 13 {
		t.Errorf("the copy has size %d, root %v", tr.Size(), tr.Root())
	}
}

func TestACheckpointReadsBack(t *testing.T) {
	var tr Tree
	tr.Append([]byte("a"))
	c := tr.Checkpoint("signer.example/log")
	if got, want := string(c.Marshal()), "signer.example/log\n1\nAippeebat6pa5MPl5F9+l3ESp+Y1k4INvsHsc4ok+Tw=\n"; got != want {
		// The hash is SHA-256 of a zero byte and "a".
		t.Errorf("body %q, want %q", got, want)
	}
	got, err := ParseCheckpoint(c.Marshal())
	if err != nil || got != c {
		t.Errorf("read back %+v, %v", got, err)
	}
}

func TestAMalformedCheckpointIsRefused(t *testing.T) {
	root := tlog.RecordHash([]byte("a")).String()
	for name, text := range map[string]string{
		"empty":             "",
		"no last newline":   "o\n1\n" + root,
		"an extension line": "o\n1\n" + root + "\nmore\n",
		"no origin":         "\n1\n" + root + "\n",
		"a space in origin": "o o\n1\n" + root + "\n",
		"a plus in origin":  "o+o\n1\n" + root + "\n",
		"a negative size":   "o\n-1\n" + root + "\n",
		"a leading zero":    "o\n01\n" + root + "\n",
		"a plus sign":       "o\n+1\n" + root + "\n",
		"a size too large":  "o\n9223372036854775808\n" + root + "\n",
		"a short root":      "o\n1\nAAAA\n",
		"CR LF":             "o\r\n1\r\n" + root + "\r\n",
		"a loose last bit":  "o\n1\n" + root[:42] + "J=\n",
		"a very long name":  strings.Repeat("o", 1000) + "\n1\n" + root + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			if c, err := ParseCheckpoint([]byte(text)); err == nil {
				t.Errorf("read as %+v", c)
			}
		})
	}
}

func FuzzParseLeaf(f *testing.F) {
	leaf, err := fullEntry().Leaf()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(leaf)
	f.Add([]byte(`{"v":1,"kind":"sign-attempt","time":"1970-01-01T00:00:01Z"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ParseLeaf(data)
		if err != nil {
			return
		}
		again, err := e.Leaf()
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("%q was read and is written as %q, %v", data, again, err)
		}
	})
}

func FuzzLeafReadsBack(f *testing.F) {
	f.Add("sign-result", int64(1), int64(5), "p", "r", "détail\n", hexA, "0a")
	f.Fuzz(func(t *testing.T, kind string, ns, attempt int64, principal, reason, detail, digest, serial string) {
		e := Entry{
			Kind: Kind(kind), Time: time.Unix(0, ns).UTC(), Principal: principal, Reason: reason,
			Attempt: attempt, PayloadSHA256: digest, Serial: serial, Detail: detail,
		}
		leaf, err := e.Leaf()
		if err != nil {
			return
		}
		got, err := ParseLeaf(leaf)
		if !e.Kind.result() {
			e.Attempt = 0
		}
		if err != nil || got != e {
			t.Errorf("%s reads back as %+v, %v", leaf, got, err)
		}
	})
}

func FuzzParseCheckpoint(f *testing.F) {
	var tr Tree
	f.Add(tr.Checkpoint("o").Marshal())
	tr.Append([]byte("a"))
	f.Add(tr.Checkpoint("signer.example/log").Marshal())
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseCheckpoint(text)
		if err == nil && !bytes.Equal(c.Marshal(), text) {
			t.Errorf("%q was read and is written as %q", text, c.Marshal())
		}
	})
}

func BenchmarkLeaf(b *testing.B) {
	e := fullEntry()
	e.Reason, e.Detail = "", ""
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Leaf(); err != nil {
			b.Fatal(err)
		}
	}
}
