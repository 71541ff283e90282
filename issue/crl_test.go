package issue_test

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/issue"
)

func TestACRLSaysWhatItWasAsked(t *testing.T) {
	w := newWorld(t, issue.P256)
	invalid := now.Add(-3 * day)
	der, err := w.issuing.CRL(t.Context(), []issue.Revoked{
		{Serial: big.NewInt(11), At: now.Add(-time.Hour)},
		{Serial: big.NewInt(12), At: now, Reason: 1, InvalidityDate: invalid},
		{Serial: big.NewInt(13), At: now.Add(200 * time.Millisecond), Reason: 4},
	}, big.NewInt(77), now.Add(900*time.Millisecond), now.Add(day))
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := list.CheckSignatureFrom(w.issuing.Chain()[0]); err != nil {
		t.Error(err)
	}
	if list.Number.Int64() != 77 || !list.ThisUpdate.Equal(now) || !list.NextUpdate.Equal(now.Add(day)) {
		t.Errorf("number %s, %s to %s", list.Number, list.ThisUpdate, list.NextUpdate)
	}
	var publish time.Time
	for _, e := range list.Extensions {
		if e.Critical {
			t.Errorf("critical extension %s, which a checker may not know", e.Id)
		}
		if e.Id.String() == "1.3.6.1.4.1.311.21.4" {
			if _, err := asn1.Unmarshal(e.Value, &publish); err != nil {
				t.Error(err)
			}
		}
	}
	if !publish.Equal(now.Add(time.Hour)) {
		t.Errorf("the next list of a day's is announced for %s", publish)
	}
	entries := list.RevokedCertificateEntries
	if len(entries) != 3 || len(entries[0].Extensions) != 0 || entries[1].ReasonCode != 1 || entries[2].ReasonCode != 4 {
		t.Fatalf("entries %+v", entries)
	}
	var got time.Time
	for _, e := range entries[1].Extensions {
		if e.Id.String() != "2.5.29.24" {
			continue
		}
		if _, err := asn1.UnmarshalWithParams(e.Value, &got, "generalized"); err != nil || e.Critical {
			t.Errorf("invalidity date: %v, critical %v", err, e.Critical)
		}
	}
	if !got.Equal(invalid) {
		t.Errorf("invalidity date %s, want %s", got, invalid)
	}
}

func TestCRLsRefused(t *testing.T) {
	w := newWorld(t, issue.P256)
	one := func(r issue.Revoked) []issue.Revoked { return []issue.Revoked{r} }
	good := issue.Revoked{Serial: big.NewInt(5), At: now}
	for _, c := range []struct {
		name, want string
		list       []issue.Revoked
		number     *big.Int
		next       time.Time
	}{
		{"no number", "CRL number", nil, nil, now.Add(day)},
		{"negative number", "CRL number", nil, big.NewInt(-1), now.Add(day)},
		{"number of 21 octets", "CRL number", nil, new(big.Int).Lsh(big.NewInt(1), 160), now.Add(day)},
		{"next update now", "next update", nil, big.NewInt(1), now},
		{"next update in the past", "next update", nil, big.NewInt(1), now.Add(-day)},
		{"no serial number", "serial number is missing", one(issue.Revoked{At: now}), big.NewInt(1), now.Add(day)},
		{"serial number zero", "not positive", one(issue.Revoked{Serial: new(big.Int), At: now}), big.NewInt(1), now.Add(day)},
		{"no time", "no time of revocation", one(issue.Revoked{Serial: big.NewInt(5)}), big.NewInt(1), now.Add(day)},
		{"a reason that does not exist", "reason 7", one(issue.Revoked{Serial: big.NewInt(5), At: now, Reason: 7}), big.NewInt(1), now.Add(day)},
		{"taken back, which only a delta CRL says", "reason 8", one(issue.Revoked{Serial: big.NewInt(5), At: now, Reason: 8}), big.NewInt(1), now.Add(day)},
		{"twice the same", "twice", []issue.Revoked{good, good}, big.NewInt(1), now.Add(day)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := w.issuing.CRL(t.Context(), c.list, c.number, now, c.next); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	if _, err := w.issuing.CRL(t.Context(), one(good), big.NewInt(0), now, now.Add(day)); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}

// meddler changes what was asked while it signs.
type meddler struct {
	crypto.Signer
	meddle func()
}

func (m *meddler) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if m.meddle != nil {
		m.meddle()
	}
	return m.Signer.Sign(random, digest, opts)
}

func TestACRLThatIsNotWhatWasAskedIsRefused(t *testing.T) {
	key := &meddler{Signer: mustKey(t, issue.P256)}
	a, err := issue.NewRoot(subject("Example Root"), key, mustSerial(t), now, now.Add(year))
	if err != nil {
		t.Fatal(err)
	}
	serial, number := big.NewInt(5), big.NewInt(1)
	list := func() error {
		_, err := a.CRL(t.Context(), []issue.Revoked{{Serial: serial, At: now}}, number, now, now.Add(day))
		return err
	}
	if err := list(); err != nil {
		t.Fatal(err)
	}
	for name, meddle := range map[string]func(){
		"another serial number": func() { serial.SetInt64(6) },
		"another CRL number":    func() { number.SetInt64(2) },
	} {
		serial.SetInt64(5)
		number.SetInt64(1)
		key.meddle = meddle
		if err := list(); err == nil || !strings.Contains(err.Error(), "not what was asked") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
