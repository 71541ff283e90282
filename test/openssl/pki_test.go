//go:build e2e

package openssl

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/shuintest"
)

// pki is a directory in which openssl is a certificate authority.
type pki struct {
	tb  testing.TB
	dir string
	// ocsp is the address certificates name as responder; nothing answers
	// there before respond is called. crl is where the CRL is served once
	// gencrl was called.
	ocsp, crl string
}

const caConfig = `
[ca]
default_ca = authority
[authority]
database = index.txt
new_certs_dir = .
serial = serial
crlnumber = crlnumber
certificate = ca.pem
private_key = ca.key
default_md = sha256
default_days = 365
default_crl_days = 1
unique_subject = no
policy = names
[names]
countryName = optional
stateOrProvinceName = optional
organizationName = optional
commonName = supplied
[req]
distinguished_name = empty
[empty]
[root]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[plain]
keyUsage = critical,digitalSignature
extendedKeyUsage = codeSigning
[named_ocsp]
keyUsage = critical,digitalSignature
extendedKeyUsage = codeSigning
authorityInfoAccess = OCSP;URI:%[1]s
[named_crl]
keyUsage = critical,digitalSignature
extendedKeyUsage = codeSigning
crlDistributionPoints = URI:%[2]s
[named_both]
keyUsage = critical,digitalSignature
extendedKeyUsage = codeSigning
authorityInfoAccess = OCSP;URI:%[1]s
crlDistributionPoints = URI:%[2]s
[responder]
keyUsage = critical,digitalSignature
extendedKeyUsage = OCSPSigning
noCheck = ignored
[stamper]
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[tsa]
default_tsa = authority_of_time
[authority_of_time]
serial = tsaserial
signer_cert = tsa.pem
signer_key = tsa.key
certs = ca.pem
signer_digest = sha256
default_policy = 1.3.6.1.4.1.32473.1
digests = sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = sha256
`

// newPKI makes a root with openssl, which is valid for ten years.
func newPKI(tb testing.TB) *pki {
	tb.Helper()
	shuintest.OpenSSLPath(tb)
	p := &pki{tb: tb, dir: tb.TempDir(), ocsp: "http://" + freeAddress(tb)}
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		data, err := os.ReadFile(filepath.Join(p.dir, "ca.crl"))
		if err != nil {
			http.Error(w, "no list yet", http.StatusNotFound)
			return
		}
		_, _ = w.Write(data)
	}))
	tb.Cleanup(files.Close)
	p.crl = files.URL + "/ca.crl"
	shuintest.WriteFile(tb, p.dir, "ca.cnf", fmt.Appendf(nil, caConfig, p.ocsp, p.crl))
	for name, text := range map[string]string{"index.txt": "", "serial": "1000\n", "crlnumber": "01\n", "tsaserial": "01\n"} {
		shuintest.WriteFile(tb, p.dir, name, []byte(text))
	}
	p.run("req", "-new", "-config", "ca.cnf", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes",
		"-subj", "/C=JP/ST=Tokyo/O=Example/CN=OpenSSL Root", "-keyout", "ca.key", "-out", "ca.csr")
	p.run("ca", "-batch", "-notext", "-config", "ca.cnf", "-selfsign", "-extensions", "root", "-md", "sha384",
		"-startdate", anHourAgo(), "-days", "3650", "-in", "ca.csr", "-out", "ca.pem")
	return p
}

// anHourAgo is when certificates begin: the accuracy of a timestamp reaches
// back a second, and openssl would begin them now.
func anHourAgo() string { return time.Now().Add(-time.Hour).UTC().Format("20060102150405Z") }

// freeAddress is a loopback address that nobody listens on.
func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (p *pki) run(args ...string) { p.tb.Helper(); shuintest.OpenSSL(p.tb, p.dir, args...) }

func (p *pki) path(name string) string { return filepath.Join(p.dir, name) }

// newKeys are the arguments of openssl req for a new key.
var newKeys = map[string][]string{
	"p256":    {"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"},
	"rsa2048": {"-newkey", "rsa:2048"},
}

// issue makes name.key and name.pem, with the extensions of a section of the
// configuration, valid since an hour ago, and name-chain.pem with the root
// behind it.
func (p *pki) issue(name, section, key string, more ...string) {
	p.tb.Helper()
	args := append([]string{"req", "-new", "-config", "ca.cnf"}, newKeys[key]...)
	p.run(append(args, "-nodes", "-subj", "/C=JP/ST=Tokyo/O=Example/CN="+name, "-keyout", name+".key", "-out", name+".csr")...)
	p.run(append([]string{"ca", "-batch", "-notext", "-config", "ca.cnf", "-extensions", section, "-startdate", anHourAgo(), "-in", name + ".csr", "-out", name + ".pem"}, more...)...)
	var chain []byte
	for _, file := range []string{name + ".pem", "ca.pem"} {
		data, err := os.ReadFile(p.path(file))
		if err != nil {
			p.tb.Fatal(err)
		}
		chain = append(chain, data...)
	}
	shuintest.WriteFile(p.tb, p.dir, name+"-chain.pem", chain)
}

func (p *pki) cert(name string) *x509.Certificate {
	p.tb.Helper()
	data, err := os.ReadFile(p.path(name + ".pem"))
	if err != nil {
		p.tb.Fatal(err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		p.tb.Fatalf("%s.pem holds no PEM", name)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		p.tb.Fatal(err)
	}
	return cert
}

// revoke puts a certificate into the authority's database.
func (p *pki) revoke(name string) {
	p.tb.Helper()
	p.run("ca", "-config", "ca.cnf", "-revoke", name+".pem", "-crl_reason", "keyCompromise")
}

// gencrl publishes the authority's CRL, DER.
func (p *pki) gencrl() {
	p.tb.Helper()
	p.run("ca", "-config", "ca.cnf", "-gencrl", "-out", "crl.pem")
	p.run("crl", "-in", "crl.pem", "-outform", "DER", "-out", "ca.crl")
}

// respond puts "openssl ocsp", with a delegated certificate, behind a web
// server at the address that certificates name as their responder. openssl's
// own server (-port) would listen on every interface.
func (p *pki) respond() {
	p.tb.Helper()
	p.issue("responder", "responder", "p256")
	l, err := net.Listen("tcp", p.ocsp[len("http://"):])
	if err != nil {
		p.tb.Fatal(err)
	}
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: p.behind("application/ocsp-response", "ocsp",
		"-index", "index.txt", "-CA", "ca.pem", "-rsigner", "responder.pem", "-rkey", "responder.key", "-nmin", "60",
		"-reqin", queryFile, "-respout", replyFile)}}
	srv.Start()
	p.tb.Cleanup(srv.Close)
}

// tsa puts "openssl ts -reply" behind a web server and returns its address.
func (p *pki) tsa() string {
	p.tb.Helper()
	p.issue("tsa", "stamper", "rsa2048")
	srv := httptest.NewServer(p.behind(shuintest.TimestampReply, "ts", "-reply", "-config", "ca.cnf", "-queryfile", queryFile, "-out", replyFile))
	p.tb.Cleanup(srv.Close)
	return srv.URL
}

// Files that a query is handed to openssl in, and its answer comes from.
const (
	queryFile = "query.der"
	replyFile = "reply.der"
)

// behind answers each request with what one openssl process makes of its body.
func (p *pki) behind(contentType string, args ...string) http.Handler {
	var one sync.Mutex // the files have fixed names
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one.Lock()
		defer one.Unlock()
		query, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err == nil {
			err = os.WriteFile(p.path(queryFile), query, 0o600)
		}
		if err == nil {
			cmd := exec.CommandContext(r.Context(), shuintest.OpenSSLPath(p.tb), args...)
			cmd.Dir = p.dir
			var out []byte
			if out, err = cmd.CombinedOutput(); err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
		}
		var reply []byte
		if err == nil {
			reply, err = os.ReadFile(p.path(replyFile))
		}
		if err != nil {
			p.tb.Logf("openssl %s: %v", args[0], err)
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(reply)
	})
}
