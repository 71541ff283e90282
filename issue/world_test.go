package issue_test

import (
	"crypto"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/shuin/shuin/issue"
)

const hashOf384 = crypto.SHA384

var now = time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)

const (
	day  = 24 * time.Hour
	year = 365 * day
	arn  = "arn:aws:signer:eu-central-1:111122223333:/signing-profiles/build/Ab12Cd34Ef"
)

func subject(cn string) issue.Subject {
	return issue.Subject{Country: "JP", Province: "Tokyo", Organization: "Example", CommonName: cn}
}

func mustKey(t testing.TB, kind issue.KeyType) crypto.Signer {
	t.Helper()
	key, err := issue.NewKey(kind)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func mustSerial(t testing.TB) *big.Int {
	t.Helper()
	s, err := issue.NewSerial()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// world is the tree that the ceremony and the service make.
type world struct{ root, intermediate, issuing *issue.Authority }

func newWorld(t testing.TB, issuing issue.KeyType) world {
	t.Helper()
	var w world
	var err error
	if w.root, err = issue.NewRoot(subject("Example Root"), mustKey(t, issue.P384), mustSerial(t), now.Add(-time.Hour), now.Add(30*year)); err != nil {
		t.Fatal(err)
	}
	w.intermediate, err = w.root.NewCA(t.Context(), issue.Request{
		MaxPathLen: 1, Subject: subject("Example Intermediate"), Serial: mustSerial(t),
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(20 * year), CRL: "http://signer.example.com/crl/root.crl",
	}, mustKey(t, issue.P384))
	if err != nil {
		t.Fatal(err)
	}
	w.issuing, err = w.intermediate.NewCA(t.Context(), issue.Request{
		Subject: subject("build Ab12Cd34Ef"), Serial: mustSerial(t),
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(2 * year), CRL: "http://signer.example.com/crl/0102.crl",
	}, mustKey(t, issuing))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func leafRequest(pub crypto.PublicKey) issue.Request {
	uri, err := url.Parse(arn)
	if err != nil {
		panic(err)
	}
	s := subject("build")
	s.OrganizationalUnit = "111122223333"
	return issue.Request{
		Subject: s, PublicKey: pub, Serial: big.NewInt(0x5eed), URI: uri, CRL: "http://signer.example.com/crl/0304.crl",
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(day),
	}
}
