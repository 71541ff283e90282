package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/keys/age"
	"github.com/shuin/shuin/issue"
	"github.com/shuin/shuin/signing"
)

// bench is a data directory with a CA, and a clock that can be set.
type bench struct {
	*app
	dir  string
	at   time.Time // the clock stands still
	logs *bytes.Buffer
}

// newBench makes one whose CA was made at the clock's first time.
func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{dir: t.TempDir(), at: time.Now().Truncate(time.Second), logs: &bytes.Buffer{}}
	b.app = &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: b.logs, lookupEnv: noEnv, now: func() time.Time { return b.at },
		resolve: func(_ context.Context, host string) ([]string, error) {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}}
	b.config(t, "")
	if _, err := age.NewIdentity(filepath.Join(b.dir, "identity.txt")); err != nil {
		t.Fatal(err)
	}
	if status := run(t.Context(), b.app, []string{"ca", "init", "--config", b.path(), "--root-identity", filepath.Join(b.dir, "identity.txt")}); status != 0 {
		t.Fatalf("ca init: %s", b.logs)
	}
	return b
}

func (b *bench) path() string { return filepath.Join(b.dir, "c.yaml") }

func (b *bench) config(t *testing.T, more string) {
	t.Helper()
	text := "listen: 127.0.0.1:0\nname: signer.test\nregion: ap-northeast-1\ndata: data\nidentity: {file: identity.txt}\n" +
		"ca: {subject: {country: JP, province: Tokyo, organization: Example}}\n" + more
	if err := os.WriteFile(b.path(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// node opens what serve opens.
func (b *bench) node(t *testing.T) *node {
	t.Helper()
	c, err := b.loadConfig(b.path())
	if err != nil {
		t.Fatal(err)
	}
	n, err := b.newNode(t.Context(), c, c.storeOptions(), silent)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// unready is what readiness complains about, by probe.
func unready(n *node) map[string]string {
	results, _ := n.ready.look(context.Background())
	out := map[string]string{}
	for i, err := range results {
		if err != nil {
			out[n.ready.probes[i].name] = err.Error()
		}
	}
	return out
}

func TestReadiness(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := unready(n); len(got) != 0 {
		t.Fatalf("not ready at first: %v", got)
	}
	only := func(what, probe, text string) {
		t.Helper()
		got := unready(n)
		if len(got) != 1 || !strings.Contains(got[probe], text) {
			t.Errorf("%s: %v, want %s with %q alone", what, got, probe, text)
		}
	}
	begin := b.at

	b.at = begin.Add(25 * time.Hour)
	only("a day later without upkeep", "crls", "ended on")
	if _, err := n.service.RefreshCRLs(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.at = b.at.Add(time.Minute)
	if got := unready(n); len(got) != 0 {
		t.Errorf("not ready after the CRLs were made anew: %v", got)
	}

	b.at = b.at.Add(time.Minute)
	if err := n.service.Store.Update(t.Context(), func(tx signing.Tx) error { return tx.SetClock(b.at.Add(time.Minute)) }); err != nil {
		t.Fatal(err)
	}
	only("the clock behind the newest signing time", "clock", "1m0s behind")

	b.at = b.at.Add(2 * time.Hour)
	root := n.c.rootCRLPath(n.service.Intermediate.Chain()[1])
	must(t, os.Rename(root, root+".away"))
	only("without the root's CRL", "crls", "shuind ca root crl")
	must(t, os.Rename(root+".away", root))

	for end := begin.Add(issue.RootCRLLife + time.Hour); b.at.Before(end); b.at = b.at.AddDate(0, 0, 20) {
		if _, err := n.service.RefreshCRLs(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	n.tend(t.Context())
	only("after the root's CRL ended", "crls", "the CRL of the root ended on")
}

func TestReadinessTellsOfACAThatIssuesNoMore(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	_, end := n.service.Intermediate.Validity()
	b.at = end.Add(-time.Hour) // valid still
	if got := unready(n)["ca"]; !strings.Contains(got, "too soon to issue") {
		t.Errorf("got %q", got)
	}
}

func TestReadinessOfAStoreThatIsAway(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.store.Close(); err != nil {
		t.Fatal(err)
	}
	got := unready(n)
	for _, probe := range []string{"store", "clock", "crls"} {
		if got[probe] == "" {
			t.Errorf("%s is fine without a store", probe)
		}
	}
	if _, ok := got["ca"]; ok {
		t.Errorf("the CA: %s", got["ca"])
	}
}

func TestAServerWhoseCAHasEndedDoesNotStart(t *testing.T) {
	b := newBench(t)
	for what, c := range map[string]struct {
		at   time.Time
		want string
	}{
		"ended": {b.at.AddDate(16, 0, 0), "ended on"}, "not yet begun": {b.at.AddDate(-1, 0, 0), "is valid from"},
	} {
		keep := b.at
		b.at = c.at
		b.logs.Reset()
		if status := run(t.Context(), b.app, []string{"serve", "--config", b.path()}); status != exitFailed || !strings.Contains(b.logs.String(), c.want) {
			t.Errorf("%s: status %d: %s", what, status, b.logs)
		}
		b.at = keep
	}
}

// TestTheStaticFilesAreTheCRLsThatAreServed: at the start, and of an
// intermediate that was replaced too.
func TestTheStaticFilesAreTheCRLsThatAreServed(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	old := n.service.Intermediate.Chain()[0]
	if status := run(t.Context(), b.app, []string{"ca", "intermediate", "new", "--config", b.path(), "--root-identity", filepath.Join(b.dir, "identity.txt")}); status != 0 {
		t.Fatalf("ca intermediate new: %s", b.logs)
	}
	b.at = b.at.Add(48 * time.Hour) // the last CRL outlives the usual ones
	n = b.node(t)
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(n.c.CRL.Directory, "*.crl"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%d files, want those of the root and two intermediates: %v", len(files), err)
	}
	of := map[string]bool{}
	for _, path := range files {
		der, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		for what, cert := range map[string]*x509.Certificate{"old": old, "new": n.service.Intermediate.Chain()[0], "root": n.service.Intermediate.Chain()[1]} {
			if list.CheckSignatureFrom(cert) == nil {
				of[what] = true
				if !list.NextUpdate.After(b.at) {
					t.Errorf("the CRL of the %s one ended on %v", what, list.NextUpdate)
				}
			}
		}
		served, err := n.served.find(t.Context(), strings.TrimSuffix(filepath.Base(path), ".crl"))
		if err != nil || !bytes.Equal(served.der, der) {
			t.Errorf("%s is not what is served: %v", path, err)
		}
	}
	if len(of) != 3 {
		t.Errorf("CRLs of %v, want of old, new and root", of)
	}
	if got := unready(n); len(got) != 0 {
		t.Errorf("not ready with a replaced intermediate: %v", got)
	}
}

// certificate writes a server certificate for names.
func (b *bench) certificate(t *testing.T, names ...string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Duration(serial.Int64()%1000) * time.Second) // a changed file, whatever the clock's grain
	for name, block := range map[string]*pem.Block{"tls.pem": {Type: "CERTIFICATE", Bytes: der}, "tls.key": {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		path := filepath.Join(b.dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, later, later); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTLS: the version, the names that are covered, a certificate that is
// replaced and one that cannot be used.
func TestTLS(t *testing.T) {
	b := newBench(t)
	b.certificate(t, "localhost", "data-localhost")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	b.config(t, "tls: {certificate: tls.pem, key: tls.key}\ncrl: {base: 'http://crl.test/crl'}\n")
	n := b.node(t)
	n.listener, n.c.Name = ln, "localhost:"+port
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	entrances, err := n.entrances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- n.serve(ctx, entrances, nil) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	check := nameCheck{scheme: "https", instance: n.instance, leaf: n.pair.leaf(), resolve: func(_ context.Context, host string) ([]string, error) {
		if host == "verification.localhost" {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		return []string{"127.0.0.1"}, nil
	}}
	reports := check.check(ctx, []string{"localhost:" + port, "verification.localhost:" + port, "other.localhost:" + port})
	for i, want := range []string{"reaches this server", "does not resolve here", "does not cover the name"} {
		if !strings.Contains(reports[i].String(), want) {
			t.Errorf("%s, want %q", reports[i], want)
		}
	}
	check.instance = "another"
	if got := check.one(ctx, "localhost:"+port).String(); !strings.Contains(got, "another server answers") {
		t.Error(got)
	}

	dial := func(c *tls.Config) (tls.ConnectionState, error) {
		c.InsecureSkipVerify = true
		conn, err := tls.Dial("tcp", ln.Addr().String(), c)
		if err != nil {
			return tls.ConnectionState{}, err
		}
		defer conn.Close()
		return conn.ConnectionState(), nil
	}
	if _, err := dial(&tls.Config{MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	state, err := dial(&tls.Config{NextProtos: []string{"h2", "http/1.1"}})
	if err != nil || state.NegotiatedProtocol != "http/1.1" {
		t.Fatalf("protocol %q: %v", state.NegotiatedProtocol, err)
	}
	before := state.PeerCertificates[0].SerialNumber
	b.certificate(t, "localhost", "data-localhost", "verification.localhost")
	n.reloadTLS(false)
	if state, err = dial(&tls.Config{}); err != nil || state.PeerCertificates[0].SerialNumber.Cmp(before) == 0 {
		t.Errorf("the old certificate is still in use: %v", err)
	}
	if err := os.WriteFile(filepath.Join(b.dir, "tls.key"), []byte("half a ke"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.reloadTLS(true)
	if _, err := dial(&tls.Config{}); err != nil {
		t.Errorf("a broken file ended TLS: %v", err)
	}
	res, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}).Get("https://" + ln.Addr().String() + "/readyz")
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("readiness over TLS: %v %v", res, err)
	}
	res.Body.Close()
	if res, err := http.Get("http://" + ln.Addr().String() + "/readyz"); err == nil {
		res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("plain HTTP on the TLS address got %d", res.StatusCode)
		}
	}
}

func TestAServerWhoseNamesDoNotLeadToItEndsIfItIsAskedTo(t *testing.T) {
	b := newBench(t)
	if status := run(t.Context(), b.app, []string{"serve", "--config", b.path(), "--require-names"}); status != exitFailed ||
		!strings.Contains(b.logs.String(), "not every name of the API leads to this server") ||
		!strings.Contains(b.logs.String(), "verification.signer.test") {
		t.Errorf("status %d: %s", status, b.logs)
	}
}
