package bundle_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/bundle"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/verify"
)

func numbered(t *testing.T, sequence int64) []byte {
	c := content()
	c.Sequence = sequence
	return build(t, c)
}

func TestOnlyWhatIsSignedCountsAsSeen(t *testing.T) {
	g := bundle.Guard{Statement: statement(t), Verifier: verify.Verifier{Stores: stores{"ca:people": people.Root()}}}
	open := func(data []byte, change func(o *shuintest.EnvelopeOptions)) error {
		s := signed(t, data, change)
		b, by, err := g.Open(t.Context(), data, func(context.Context) (bundle.Signature, error) { return s, nil }, now)
		if (err == nil) != (b != nil && by != nil) {
			t.Fatalf("%v, %v beside %v", b, by, err)
		}
		return err
	}
	if err := open(numbered(t, 7), nil); err != nil {
		t.Fatal(err)
	}
	// A stranger's high number shuts nobody out.
	if err := open(numbered(t, 1_000_000), func(o *shuintest.EnvelopeOptions) { o.Chain = others }); shuin.CodeOf(err) != shuin.CodeUntrusted {
		t.Errorf("a stranger's: %v", err)
	}
	if err := open(numbered(t, 8), nil); err != nil {
		t.Errorf("the next one: %v", err)
	}
	if err := open(numbered(t, 7), nil); err == nil || !strings.Contains(err.Error(), "older") {
		t.Errorf("the one before: %v", err)
	}
	// Nothing in what is not signed is looked at: it would be no bundle.
	if err := open([]byte("no bundle"), func(o *shuintest.EnvelopeOptions) { o.Chain = others }); shuin.CodeOf(err) != shuin.CodeUntrusted {
		t.Errorf("what is no bundle, by a stranger: %v", err)
	}
	if err := open([]byte("no bundle"), nil); shuin.CodeOf(err) != shuin.CodeInvalidInput {
		t.Errorf("what is no bundle, signed: %v", err)
	}
}

func TestASignatureThatCannotBeReadIsNone(t *testing.T) {
	g := bundle.Guard{Statement: statement(t), Verifier: verify.Verifier{Stores: stores{"ca:people": people.Root()}}}
	gone := func(context.Context) (bundle.Signature, error) {
		return bundle.Signature{}, &shuin.Error{Code: shuin.CodeUnavailable, Err: errors.New("gone"), Hint: "look"}
	}
	b, _, err := g.Open(t.Context(), numbered(t, 7), gone, now)
	if b != nil || shuin.CodeOf(err) != shuin.CodeUnavailable || shuin.HintOf(err) != "look" || !strings.Contains(err.Error(), "unsigned") {
		t.Errorf("%v, %v", b, err)
	}
	// Where nobody has to sign, nobody is asked.
	g = bundle.Guard{}
	b, by, err := g.Open(t.Context(), numbered(t, 7), func(context.Context) (bundle.Signature, error) {
		t.Error("a signature was asked for")
		return bundle.Signature{}, nil
	}, now)
	if err != nil || by != nil || !bytes.Equal(b.PolicyText(), []byte(policyText)) {
		t.Errorf("%v, %v", by, err)
	}
}

func TestASignatureGrowsStale(t *testing.T) {
	var none *bundle.Signed
	for _, c := range []struct {
		name   string
		signed *bundle.Signed
		want   bool
	}{
		{"none", none, false},
		{"for ever", &bundle.Signed{}, false},
		{"later", &bundle.Signed{StaleUntil: now.Add(time.Second)}, false},
		{"now", &bundle.Signed{StaleUntil: now}, true},
		{"before", &bundle.Signed{StaleUntil: now.Add(-time.Second)}, true},
	} {
		if got := c.signed.Stale(now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
