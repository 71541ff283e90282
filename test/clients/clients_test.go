//go:build e2e

package clients

import (
	"crypto"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/awssigner"
	"github.com/shuin/shuin/internal/keys/age"
	"github.com/shuin/shuin/internal/sqlstore"
	"github.com/shuin/shuin/issue"
	"github.com/shuin/shuin/signing"
)

const (
	region  = "eu-central-1"
	account = "111122223333"
	host    = "signer.example.test" // no name server knows it: the clients dial the address
)

func TestOfficialSDKsForGo(t *testing.T) {
	s := start(t)
	for _, module := range []string{"sdk-old", "sdk-new"} {
		t.Run(module, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "./...")
			cmd.Dir = module
			cmd.Env = append(withoutAWS(os.Environ()),
				"AWS_EC2_METADATA_DISABLED=true",
				"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull,
				"SHUIN_TEST_ENDPOINT=http://"+s.name, "SHUIN_TEST_ADDRESS="+s.address,
				"SHUIN_TEST_REGION="+region, "SHUIN_TEST_ACCOUNT="+account,
				"SHUIN_TEST_ACCESS_KEY="+s.key, "SHUIN_TEST_SECRET="+s.secret,
				"SHUIN_TEST_NAME="+strings.ReplaceAll(module, "-", "_"),
			)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			if !strings.Contains(string(out), "--- PASS: TestSDK") {
				t.Errorf("the SDK's test did not run:\n%s", out)
			}
			if strings.Contains(string(out), s.secret) {
				t.Error("the secret is in the output")
			}
		})
	}
}

// withoutAWS keeps what an operator has set for AWS out of the clients.
func withoutAWS(env []string) []string {
	var out []string
	for _, v := range env {
		if !strings.HasPrefix(v, "AWS_") {
			out = append(out, v)
		}
	}
	return out
}

// service is a whole signing service on loopback.
type service struct{ name, address, key, secret string }

func start(t *testing.T) service {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := service{name: net.JoinHostPort(host, port), address: listener.Addr().String()}
	signer := newSigner(t, "http://"+s.name+"/crl/")
	made, secret, err := signer.NewCredential(t.Context(), "test", signing.Credential{
		Account: account, Principal: "arn:aws:iam::" + account + ":user/ci", Actions: []string{"signer:*"}, Profiles: []string{"*"},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.key, s.secret = made.AccessKeyID, secret
	api := &awssigner.Server{Service: signer, Region: region, Host: s.name, Now: time.Now, Log: slog.New(slog.DiscardHandler), Rate: 1e6, Burst: 1e6}
	server := &http.Server{Handler: api.Handler(), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return s
}

func newSigner(t *testing.T, crlBase string) *signing.Service {
	t.Helper()
	dir := t.TempDir()
	store, err := sqlstore.Open(t.Context(), sqlstore.Options{Path: filepath.Join(dir, "shuin.db"), Checkpoint: filepath.Join(dir, "checkpoint")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	identity, err := age.NewIdentity(filepath.Join(dir, "identity"))
	if err != nil {
		t.Fatal(err)
	}
	base, err := url.Parse(crlBase)
	if err != nil {
		t.Fatal(err)
	}
	subject := issue.Subject{Country: "JP", Province: "Tokyo", Organization: "Example"}
	return &signing.Service{
		Partition: "aws", Region: region, Store: store, Sealer: identity, Intermediate: newIntermediate(t, subject),
		Subject: subject, CRLBase: base, Now: time.Now, SelfCheck: signing.SelfCheckAlways,
	}
}

func newIntermediate(t *testing.T, subject issue.Subject) *issue.Authority {
	t.Helper()
	begin := time.Now().Add(-time.Hour)
	key := func() crypto.Signer {
		k, err := issue.NewKey(issue.P384)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	serial, err := issue.NewSerial()
	if err != nil {
		t.Fatal(err)
	}
	subject.CommonName = "Example Root"
	root, err := issue.NewRoot(subject, key(), serial, begin, begin.AddDate(30, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	subject.CommonName = "Example Intermediate"
	intermediate, err := root.NewCA(t.Context(), issue.Request{
		MaxPathLen: 1, Subject: subject, Serial: serial, NotBefore: begin, NotAfter: begin.AddDate(20, 0, 0),
	}, key())
	if err != nil {
		t.Fatal(err)
	}
	return intermediate
}
