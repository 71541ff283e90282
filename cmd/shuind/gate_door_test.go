package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/registry"
)

// clientPair is a CA of client certificates, and a certificate of it.
func clientPair(t *testing.T, uri string) (ca []byte, client tls.Certificate) {
	t.Helper()
	make := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signer == nil {
			signer = key
		}
		template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(1), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		return der, key
	}
	root := &x509.Certificate{Subject: pkix.Name{CommonName: "clients"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, key := make(root, root, nil)
	parent, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	id, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	leaf, own := make(&x509.Certificate{Subject: pkix.Name{CommonName: "ci"}, URIs: []*url.URL{id}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, parent, key)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), tls.Certificate{Certificate: [][]byte{leaf}, PrivateKey: own}
}

// TestClientCertificatesBesideASigner: on the signer's own address, which does
// without for the signer's clients.
func TestClientCertificatesBesideASigner(t *testing.T) {
	s, b := newBench(t), newGateBench(t)
	if err := os.Remove(b.path("c.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(s.dir, os.DirFS(b.dir)); err != nil {
		t.Fatal(err)
	}
	ca, client := clientPair(t, "spiffe://example.com/ci")
	if err := os.WriteFile(filepath.Join(s.dir, "clients.pem"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
	s.certificate(t, "localhost", "data-localhost", "verification.localhost")
	s.config(t, `tls: {certificate: tls.pem, key: tls.key}
crl: {base: 'http://crl.test/crl'}
gate:
  policy: pipeline.yaml
  trust: notation
  clientCA: clients.pem
  records: decisions.jsonl
  principals: [{name: ci, certificate: {uri: "spiffe://example.com/ci"}, clusters: [prod]}]
`)
	n := s.node(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.listener = ln
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.addGate(t.Context(), s.app, s.path()); err != nil {
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
	ask := func(c *tls.Config, method, path, cluster string) (int, string) {
		c.InsecureSkipVerify = true
		h := &http.Client{Transport: &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}}
		req, err := http.NewRequestWithContext(ctx, method, "https://"+ln.Addr().String()+path, strings.NewReader(`{"images":[{"image":"`+openImage+`"}],"cluster":"`+cluster+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := h.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	with := func() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{client}} }
	for _, c := range []struct {
		tls                   *tls.Config
		method, path, cluster string
		status                int
		want                  string
	}{
		{with(), "POST", "/v1/decide", "prod", 200, `"outcome":"admit"`},
		{with(), "POST", "/v1/decide", "lab", 403, "place-not-allowed"},
		{&tls.Config{}, "POST", "/v1/decide", "prod", 401, "unauthenticated"},
		{&tls.Config{}, "GET", "/v1/openapi.json", "", 200, "3.1.0"},
		{&tls.Config{}, "GET", "/readyz", "", 200, "records: ok"},
		{&tls.Config{}, "GET", "/signing-profiles", "", 403, "InvalidSignatureException"},
		{with(), "GET", "/signing-profiles", "", 403, "InvalidSignatureException"},
	} {
		if status, text := ask(c.tls, c.method, c.path, c.cluster); status != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%s %s in %q: %d %s", c.method, c.path, c.cluster, status, text)
		}
	}
	// Another CA of clients is taken over.
	other, stranger := clientPair(t, "spiffe://example.com/ci")
	if status, text := ask(&tls.Config{Certificates: []tls.Certificate{stranger}}, "POST", "/v1/decide", "prod"); status != 401 || !strings.Contains(text, "no CA that is trusted here issued it") {
		t.Errorf("a stranger: %d %s", status, text)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "clients.pem"), other, 0o600); err != nil {
		t.Fatal(err)
	}
	n.gate.look(ctx, true)
	if status, text := ask(&tls.Config{Certificates: []tls.Certificate{stranger}}, "POST", "/v1/decide", "prod"); status != 200 {
		t.Errorf("after its CA was added: %d %s", status, text)
	}
	if status, _ := ask(with(), "POST", "/v1/decide", "prod"); status != 401 {
		t.Errorf("after its CA was removed: %d", status)
	}
}

type otherStatus struct{ asked int }

func (o *otherStatus) RevocationStatus(context.Context, awsprofile.StatusQuery, map[string]string) ([]string, error) {
	o.asked++
	return nil, errors.New("another signer")
}

// TestOwnSignaturesAreAskedOfTheSignerInTheProcess: and others' are not.
func TestOwnSignaturesAreAskedOfTheSignerInTheProcess(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	others := &otherStatus{}
	status, err := newOwnStatus(t.Context(), n, others)
	if err != nil {
		t.Fatal(err)
	}
	profile, err := awsprofile.ParseProfile("arn:aws:signer:ap-northeast-1:111122223333:/signing-profiles/build/0123456789")
	if err != nil {
		t.Fatal(err)
	}
	job, err := awsprofile.ParseJob("arn:aws:signer:ap-northeast-1:111122223333:/signing-jobs/0193a1b2-0000-7000-8000-000000000000")
	if err != nil {
		t.Fatal(err)
	}
	ids := awsprofile.CertificateIDs(n.service.Intermediate.Chain())
	leaf := strings.Repeat("0a", 96)
	q := awsprofile.StatusQuery{Profile: profile, Job: job, SignedAt: b.at, CertificateIDs: append([]string{leaf}, ids...)}
	revoked, err := status.RevocationStatus(t.Context(), q, nil)
	if err != nil || !slices.Contains(revoked, job.String()) || others.asked != 0 {
		t.Errorf("a job that was never made: revoked %v, %v", revoked, err)
	}
	q.CertificateIDs = []string{leaf, ids[1]} // the root alone may be a company's
	if _, err := status.RevocationStatus(t.Context(), q, nil); err == nil || others.asked != 1 {
		t.Errorf("another signer's: %v, asked %d times", err, others.asked)
	}
	if err := n.store.Close(); err != nil {
		t.Fatal(err)
	}
	q.CertificateIDs = ids
	if _, err := status.RevocationStatus(t.Context(), q, nil); shuin.CodeOf(err) != shuin.CodeRevocationUnavailable {
		t.Errorf("without a store: %v", err)
	}
}

// TestAProxyThatDoesNotConnectIsNoBadAnswer: it could not be checked, as on
// the command line.
func TestAProxyThatDoesNotConnectIsNoBadAnswer(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer proxy.Close()
	transport := registryTransport()
	transport.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }
	defer transport.CloseIdleConnections()
	counts := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "x"}, []string{"status"})
	client := &registry.Client{HTTP: &http.Client{Transport: &countingTransport{transport, counts}}}
	ref, err := shuin.ParseReference("registry.example/shop/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	source, err := (&clients{client: client}).Open("", ref)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.Resolve(t.Context(), ref); shuin.CodeOf(err) != shuin.CodeUnavailable || !strings.Contains(err.Error(), "the proxy answers 403") {
		t.Errorf("%s: %v", shuin.CodeOf(err), err)
	}
	if _, err := (&clients{client: client}).Open("another", ref); err == nil {
		t.Error("there is another access")
	}
}
