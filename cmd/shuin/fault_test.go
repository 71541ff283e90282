package main

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin"
)

// testApp is an app without a process around it.
func testApp(t *testing.T, stdout, stderr io.Writer) *app {
	t.Helper()
	return &app{name: "shuin", stdin: strings.NewReader(""), stdout: stdout, stderr: stderr, getenv: func(string) string { return "" },
		now: time.Now, userConfig: t.TempDir(), userCache: t.TempDir()}
}

// panicWriter fails as no writer should.
type panicWriter struct{}

func (panicWriter) Write([]byte) (int, error) { panic("oh\nno") }

func TestAFaultOfOursIsAFailureAndNotUndecided(t *testing.T) {
	var stderr strings.Builder
	if status := run(t.Context(), testApp(t, panicWriter{}, &stderr), []string{"version"}); status != exitFailed {
		t.Errorf("exit status %d", status)
	}
	if stderr.String() != "Error: internal error: oh no\n" {
		t.Errorf("printed %q", stderr.String())
	}
}

func TestAFaultWhileReadingReachesTheCaller(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	_, _ = interruptible(t.Context(), func() (int, error) { panic("oh") })
}

func TestAnErrorLineCannotSteerTheTerminal(t *testing.T) {
	var stderr strings.Builder
	if status := run(t.Context(), testApp(t, io.Discard, &stderr), []string{"cert", "show", "-t", "ca", "-s", "acme", "x\x1b[2J\u202e\u2028y.crt"}); status != exitFailed {
		t.Errorf("exit status %d", status)
	}
	if s := stderr.String(); !strings.HasPrefix(s, "Error: ") || strings.ContainsAny(s, "\x1b\u202e\u2028") {
		t.Errorf("printed %q", s)
	}
	e := lineError{errors.Join(errors.New("a"), &shuin.Error{Code: shuin.CodeLimit, Message: "b"})}
	if e.Error() != "a b" || shuin.CodeOf(e) != shuin.CodeLimit {
		t.Errorf("%q with code %s", e, shuin.CodeOf(e))
	}
}

func TestDirectionMarksAndLineBreaksDoNotForgeText(t *testing.T) {
	for _, bad := range []string{"a\nb", "a\tb", "a\u202eb", "a\u2066b", "a\u2028b", "a\u200bb", "a\x1b[2Jb"} {
		if got := visible(bad); strings.ContainsAny(got, "\n\t\u202e\u2066\u2028\u200b\x1b") {
			t.Errorf("%q stays %q", bad, got)
		}
	}
	for _, good := range []string{"日本\u3000語", "é à", "✔ ok"} {
		if got := visible(good); got != good {
			t.Errorf("%q became %q", good, got)
		}
	}
	var out strings.Builder
	cert := &x509.Certificate{Subject: pkix.Name{CommonName: "a\nIsCA: true\u202e"}, Issuer: pkix.Name{CommonName: "b\nSubject: CN=good"}}
	if err := testApp(t, &out, io.Discard).printCertificates([]*x509.Certificate{cert}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "\nIsCA: true") || strings.Contains(out.String(), "\nSubject: CN=good") || strings.Contains(out.String(), "\u202e") {
		t.Errorf("forged:\n%s", out.String())
	}
}

func TestReadingEndsWithTheContext(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("interrupted")
	cancel(stop)
	if _, err := readSecret(ctx, r); !errors.Is(err, stop) {
		t.Errorf("a silent pipe: %v", err)
	}
}
