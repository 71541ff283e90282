package gate

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/trust"
)

// awsSettings keep the machine's own AWS settings, and the network, out: the
// only signer there is answers at endpoint.
func awsSettings(endpoint string) map[string]string {
	return map[string]string{
		"AWS_ENDPOINT_URL_SIGNER": endpoint, "AWS_DISABLE_HOST_PREFIX_INJECTION": "true", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLEEXAMPLE00", "AWS_SECRET_ACCESS_KEY": "of no use", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_REGION": "ap-northeast-1", "AWS_MAX_ATTEMPTS": "1", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	}
}

// Signing jobs say in their id what is to be answered about them.
const (
	jobGood    = "good"
	jobRevoked = "revoked"
	jobDown    = "down"
)

// revocationStatus is GetRevocationStatus of AWS Signer's API.
func revocationStatus(w http.ResponseWriter, r *http.Request) {
	job := r.URL.Query().Get("jobArn")
	_, id, _ := strings.Cut(job, "/signing-jobs/")
	w.Header().Set("Content-Type", "application/json")
	switch kind, _, _ := strings.Cut(id, "-"); {
	case r.URL.Path != "/revocations":
		w.WriteHeader(http.StatusNotFound)
	case kind == jobGood:
		fmt.Fprint(w, `{"revokedEntities":[]}`)
	case kind == jobRevoked:
		fmt.Fprintf(w, `{"revokedEntities":[%q]}`, job)
	default:
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// profileARN is a signing profile of the tests' account.
func profileARN(name string) string {
	return "arn:aws:signer:ap-northeast-1:111122223333:/signing-profiles/" + name
}

// signer is somebody who seals.
type signer struct {
	chain *shuintest.Chain
	// past is the same signer's certificate that has expired.
	past    *shuintest.Chain
	profile string // name of a signing profile of the kind aws; empty: none
	scheme  string
	stamped bool
}

// The certificates' time: long enough before now for the oldest seal.
var (
	began = time.Now().Add(-60 * 24 * time.Hour)
	ends  = time.Now().Add(365 * 24 * time.Hour)
)

func subjectOf(cn string) pkix.Name {
	return pkix.Name{Country: []string{"JP"}, Province: []string{"Tokyo"}, Organization: []string{"Example"}, CommonName: cn}
}

// authority makes the certificates of one root. Each has a key of its own.
type authority struct {
	root  *shuintest.Chain
	leafs int
}

func newAuthority(name string, family int) *authority {
	return &authority{root: shuintest.MustChain(shuintest.ChainOptions{NotBefore: began, NotAfter: ends, Family: family, CA: name}), leafs: family}
}

func (a *authority) issue(cn, uri string, until time.Time) *shuintest.Chain {
	a.leafs += 100
	c, err := a.root.NewLeaf(shuintest.ChainOptions{NotBefore: began, NotAfter: until, Family: a.leafs, Subject: subjectOf(cn), Mutate: func(_ int, t *x509.Certificate) {
		if uri != "" {
			u, err := url.Parse(uri)
			if err != nil {
				panic(err)
			}
			t.URIs = []*url.URL{u}
		}
	}})
	if err != nil {
		panic(err)
	}
	return c
}

func (a *authority) signer(cn string) *signer {
	return &signer{chain: a.issue(cn, "", ends), past: a.issue(cn, "", time.Now().Add(-time.Hour)), scheme: shuintest.SchemeX509}
}

// standard is a signing profile of the kind standard: its certificate names it.
func (a *authority) standard(name string) *signer {
	uri := profileARN(name) + "/0123456789"
	return &signer{chain: a.issue(name, uri, ends), past: a.issue(name, uri, time.Now().Add(-time.Hour)), scheme: shuintest.SchemeSigningAuthority}
}

// aws is a signing profile as AWS Signer has them: its signatures name it.
func (a *authority) aws(name string) *signer {
	return &signer{chain: a.issue("signer", "", ends), profile: name, scheme: shuintest.SchemeSigningAuthority}
}

var authorities = sync.OnceValue(func() map[string]*authority {
	return map[string]*authority{
		"ca:ci": newAuthority("CI", 1), "ca:people": newAuthority("People", 2), "signingAuthority:own": newAuthority("Own", 3),
		"nobody": newAuthority("Nobody", 4), "foreign": newAuthority("Foreign", 5),
	}
})

// tsaChain is of the timestamping authority in the store tsa:corp.
var tsaChain = sync.OnceValue(func() *shuintest.Chain {
	return shuintest.MustChain(shuintest.ChainOptions{NotBefore: began, NotAfter: ends, Family: 6, CA: "Corp", Timestamping: true})
})

// signers are those that the table's header names.
var signers = sync.OnceValue(func() map[string]*signer {
	all := authorities()
	ci, people, own := all["ca:ci"], all["ca:people"], all["signingAuthority:own"]
	out := map[string]*signer{
		"build": ci.signer("ci-build"), "test": ci.signer("ci-test"), "scan": ci.signer("ci-scan"), "shared": ci.signer("ci-shared"),
		"alice": people.signer("alice"), "alice2": people.signer("alice"), "bob": people.signer("bob"), "carol": people.signer("carol"),
		"stranger": all["nobody"].signer("ci-build"),
		"p-build":  own.standard("build"), "p-test": own.standard("test"), "p-scan": own.standard("scan"),
		"a-build": own.aws("awsbuild"), "a-scan": own.aws("awsscan"),
		"foreign": all["foreign"].standard("build"),
	}
	stamped := *out["build"]
	stamped.stamped = true
	out["stamped"] = &stamped
	return out
})

// trustStores are the stores that the policies name.
func trustStores() map[string][]*x509.Certificate {
	out := map[string][]*x509.Certificate{"tsa:corp": {tsaChain().Root()}}
	for name, a := range authorities() {
		if strings.Contains(name, ":") {
			out[name] = []*x509.Certificate{a.root.Root()}
		}
	}
	return out
}

// WriteStores writes the trust stores into a configuration directory as notation
// has it.
func WriteStores(config string) error {
	for name, certs := range trustStores() {
		kind, store, _ := strings.Cut(name, ":")
		dir := filepath.Join(config, "truststore", "x509", kind, store)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "root.pem"), shuintest.CertsPEM(certs...), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// heldStores are the same for the gate in this process.
type heldStores struct{}

func (heldStores) Store(_ context.Context, name trust.StoreName) (*trust.Store, error) {
	certs := trustStores()[name.String()]
	if certs == nil {
		return nil, fmt.Errorf("no trust store %s", name)
	}
	return trust.NewStore(name, certs, nil)
}
