package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/shuin/shuin"
)

func TestTheNameIsTheOneInvoked(t *testing.T) {
	for argv0, want := range map[string]string{
		"shuin": "shuin", "/usr/bin/notation": "notation", "notation.exe": "notation", "notation.EXE": "notation",
		"./shuin-v1": "shuin", "notation-x": "shuin", "": "shuin",
	} {
		if got := programName(argv0); got != want {
			t.Errorf("%q: got %q, want %q", argv0, got, want)
		}
	}
}

func TestTextFromOutsideCannotSteerTheTerminal(t *testing.T) {
	got := oneLine("good\x1b[2K\rsha256:0: verified\nnext\x07\u009b31m")
	if strings.ContainsAny(got, "\x1b\r\n\x07\u009b") {
		t.Errorf("control characters are left in %q", got)
	}
	if got := printable("two\nlines\tand a tab, 日本"); got != "two\nlines\tand a tab, 日本" {
		t.Errorf("ordinary text was changed to %q", got)
	}
}

func TestATreeHasOneLineForEachNode(t *testing.T) {
	root := &node{text: "root"}
	root.pair("agent", "x\n└── forged\x1b[0m").add("child")
	root.add("last")
	var b strings.Builder
	if err := root.write(&b); err != nil {
		t.Fatal(err)
	}
	want := "root\n├── agent: x\ufffd└── forged\ufffd[0m\n│   └── child\n└── last\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestEveryReasonOfAVerificationHasAHint(t *testing.T) {
	a := &app{name: "shuin"}
	for _, code := range []shuin.Code{
		shuin.CodeUnsigned, shuin.CodeUntrusted, shuin.CodeExpired, shuin.CodeRevoked, shuin.CodeTampered, shuin.CodeNoPolicy,
		shuin.CodeMetadataMismatch, shuin.CodePluginFailed, shuin.CodeTooOld, shuin.CodeLimit, shuin.CodeMalformed,
		shuin.CodeUnauthorized, shuin.CodeForbidden, shuin.CodeNotFound, shuin.CodeThrottled, shuin.CodeUnavailable,
		shuin.CodeRevocationUnavailable, shuin.CodeDeadline,
	} {
		hint := a.hint(code, &shuin.Error{Code: code, Message: "m"})
		if hint == "" || strings.Contains(hint, "{}") || strings.Contains(hint, "\n") {
			t.Errorf("%s: hint %q", code, hint)
		}
	}
}

func TestExitStatuses(t *testing.T) {
	bad := &shuin.Error{Code: shuin.CodeUntrusted, Message: "m", Hint: "h"}
	unsure := &shuin.Error{Code: shuin.CodeThrottled, Message: "m", Hint: "h"}
	for _, c := range []struct {
		does             string
		err              error
		shuin, asNotaton int
	}{
		{"succeeds", nil, 0, 0},
		{"finds it bad", &verdictError{err: bad}, 1, 1},
		{"cannot decide", &verdictError{err: unsure, undecided: true}, 2, 1},
		{"fails at anything else, whatever the reason", unsure, 1, 1},
		{"fails for no known reason", errors.New("x"), 1, 1},
	} {
		var out strings.Builder
		if got := (&app{name: "shuin", stderr: &out}).exit(c.err); got != c.shuin {
			t.Errorf("a command that %s: exit status %d, want %d", c.does, got, c.shuin)
		}
		if n := strings.Count(out.String(), "Hint: "); n > 1 {
			t.Errorf("a command that %s: %d hints", c.does, n)
		}
		out.Reset()
		if got := (&app{name: "notation", stderr: &out}).exit(c.err); got != c.asNotaton || out.Len() > 0 {
			t.Errorf("a command that %s, as notation: exit status %d, want %d; printed %q", c.does, got, c.asNotaton, out.String())
		}
	}
}

func TestPairsNeedKeyAndValue(t *testing.T) {
	for _, bad := range []string{"", "k", "=", "k=", "=v"} {
		if _, err := parsePairs("user-metadata", []string{bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	m, err := parsePairs("user-metadata", []string{"k=a=b,c", "k2=x"})
	if err != nil || m["k"] != "a=b,c" || m["k2"] != "x" {
		t.Errorf("got %v, %v", m, err)
	}
}
