package issue_test

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/shuintest"
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

// TestOpenSSLVerifiesChainAndCRLs: three levels of CRLs, as openssl reads
// them: a good leaf, one revoked by its issuing CA, one whose issuing CA is.
func TestOpenSSLVerifiesChainAndCRLs(t *testing.T) {
	openssl, dir := shuintest.OpenSSLPath(t), t.TempDir()
	for _, kind := range []issue.KeyType{issue.P256, issue.P384} {
		w := newWorld(t, kind)
		made := mustIssue(t, w.issuing, leafRequest(mustKey(t, issue.P384).Public()))
		crls := func(leaf, issuing []issue.Revoked) []byte {
			var out []byte
			for _, c := range []struct {
				by   *issue.Authority
				list []issue.Revoked
				life time.Duration
			}{{w.issuing, leaf, day}, {w.intermediate, issuing, day}, {w.root, nil, issue.RootCRLLife}} {
				der, err := c.by.CRL(t.Context(), c.list, big.NewInt(1), now.Add(-time.Hour), now.Add(c.life))
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...)
			}
			return out
		}
		write := func(name string, data []byte) string { return shuintest.WriteFile(t, dir, string(kind)+name, data) }
		root := write("root.pem", issue.EncodeChain(made.Chain[3:]))
		between := write("between.pem", issue.EncodeChain(made.Chain[1:3]))
		leaf := write("leaf.pem", issue.EncodeChain(made.Chain[:1]))
		at := fmt.Sprint(now.Unix())
		for _, c := range []struct {
			name, want string
			crls       []byte
		}{
			{"good", ": OK", crls(nil, nil)},
			{"leaf revoked", "certificate revoked", crls([]issue.Revoked{{Serial: made.Certificate.SerialNumber, At: now}}, nil)},
			{"issuing CA revoked", "certificate revoked", crls(nil, []issue.Revoked{{Serial: made.Chain[1].SerialNumber, At: now, Reason: 1, InvalidityDate: now}})},
		} {
			t.Run(string(kind)+" "+c.name, func(t *testing.T) {
				list := write("crls.pem", c.crls)
				out, err := exec.CommandContext(t.Context(), openssl, "verify", "-attime", at, "-x509_strict", "-purpose", "any",
					"-crl_check_all", "-CRLfile", list, "-CAfile", root, "-untrusted", between, leaf).CombinedOutput()
				if !strings.Contains(string(out), c.want) || (err == nil) != (c.want == ": OK") {
					t.Errorf("openssl verify: %v\n%s", err, out)
				}
			})
		}
		crl := write("one.pem", crls(nil, nil))
		ca := write("issuing.pem", issue.EncodeChain(made.Chain[1:2]))
		if out := shuintest.OpenSSL(t, dir, "crl", "-in", crl, "-CAfile", ca, "-noout", "-verify"); !strings.Contains(string(out), "verify OK") {
			t.Errorf("openssl crl: %s", out)
		}
	}
}
