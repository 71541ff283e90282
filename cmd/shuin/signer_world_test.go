//go:build unix

package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/awssigner"
	"github.com/shuin/shuin/internal/keys/age"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/internal/sqlstore"
	"github.com/shuin/shuin/issue"
	"github.com/shuin/shuin/signing"
	"github.com/shuin/shuin/trust"
	"github.com/shuin/shuin/verify"
)

// A signer of our own stands in for AWS in the scripts, on a loopback port.

const (
	signerRegion  = "us-west-2"
	signerAccount = "111122223333"
	// envTestRoot names the root that these tests' binary pins in place of
	// AWS Signer's. The product does not look at it.
	envTestRoot = "SHUIN_TEST_SIGNER_ROOT"
)

// scriptMain is main with the test's root pinned, where the script says so.
func scriptMain() {
	a := newApp(programName(os.Args[0]))
	if path := os.Getenv(envTestRoot); path != "" {
		a.stores = func(found verify.Stores) verify.Stores { return pinned{found, a, path} }
	}
	os.Exit(execute(a))
}

// pinned is the trust stores with another root in the one that is built in.
type pinned struct {
	verify.Stores
	a    *app
	path string
}

func (p pinned) Store(ctx context.Context, name trust.StoreName) (*trust.Store, error) {
	s, err := p.Stores.Store(ctx, name)
	if err != nil {
		return s, err
	}
	if _, err := os.Stat(p.a.dir().StorePath(name)); err == nil {
		return s, nil // a directory of that name wins
	}
	if _, ok := trust.BuiltIn(name); !ok {
		return s, nil
	}
	text, err := os.ReadFile(p.path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	return trust.NewStore(name, []*x509.Certificate{root}, nil)
}

// noAWS keeps the machine's own AWS settings, and the network, out of scripts.
func noAWS(env *testscript.Env) {
	for name, value := range map[string]string{
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": filepath.Join(env.WorkDir, "aws-config"),
		"AWS_SHARED_CREDENTIALS_FILE": filepath.Join(env.WorkDir, "aws-credentials"), "AWS_MAX_ATTEMPTS": "1",
		"LONG": strings.Repeat("x", 4000),
	} {
		env.Setenv(name, value)
	}
}

// scriptSigner is the signer of one script.
type scriptSigner struct {
	service *signing.Service
	server  *http.Server
	addr    string
	chains  map[string]*shuintest.Chain      // of the certificates that were imported, by name
	fail    atomic.Int64                     // status to answer everything with; 0: serve
	forge   atomic.Pointer[http.HandlerFunc] // answers SignPayload; nil: the signer does
}

// cmdSigner starts the script's signer, with credentials in the environment
// and its root in signer.root.crt, pinned as AWS Signer's: signer start [unpinned].
// signer stop ends it; signer serve starts it again at the same address;
// signer credential VAR action[,action] profile[,profile] makes an access key
// (VAR_ID, VAR_SECRET); signer import NAME VAR ACCOUNT imports a company's signing
// certificate, whose ARN is in VAR and whose chain is NAME.crt, its root
// NAME.root.crt, the CA below that NAME.ca.crt; signer withdraw NAME revokes that; signer forge NAME JOB VERSION has signatures made
// with another certificate below NAME's CA, with these ARNs in them; signer fail STATUS has it answer that, 0 ends that.
func cmdSigner(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	switch args[0] {
	case "start":
		startSigner(ts, w)
		if len(args) < 2 {
			ts.Setenv(envTestRoot, ts.MkAbs("signer.root.crt"))
		}
	case "stop":
		check(ts, w.signer.server.Close())
	case "serve":
		ln, err := net.Listen("tcp", w.signer.addr)
		check(ts, err)
		w.signer.serve(ln)
	case "fail":
		status, err := strconv.Atoi(args[1])
		check(ts, err)
		w.signer.fail.Store(int64(status))
	case "credential":
		made, secret, err := w.signer.service.NewCredential(context.Background(), "script", signing.Credential{
			Account: signerAccount, Principal: "arn:aws:iam::" + signerAccount + ":user/" + strings.ToLower(args[1]),
			Actions: strings.Split(args[2], ","), Profiles: strings.Split(args[3], ","),
		})
		check(ts, err)
		ts.Setenv(args[1]+"_ID", made.AccessKeyID)
		ts.Setenv(args[1]+"_SECRET", secret)
	case "import":
		c := shuintest.MustChain(shuintest.ChainOptions{Key: shuintest.P384, CAKey: shuintest.P384, CA: args[1]})
		made, err := w.signer.service.ImportCertificate(context.Background(), "script", args[3], c.DER, c.Key())
		check(ts, err)
		w.signer.chains[args[1]] = c
		ts.Setenv(args[2], made.ARN.String())
		check(ts, os.WriteFile(ts.MkAbs(args[1]+".crt"), c.PEM(), 0o600))
		check(ts, os.WriteFile(ts.MkAbs(args[1]+".root.crt"), c.RootPEM(), 0o600))
		check(ts, os.WriteFile(ts.MkAbs(args[1]+".ca.crt"), shuintest.CertsPEM(c.Certs[1]), 0o600))
	case "withdraw":
		chain, err := issue.ParseChain([]byte(ts.ReadFile(args[1] + ".crt")))
		check(ts, err)
		_, err = w.signer.service.RevokeCertificate(context.Background(), "script", awsprofile.CertificateIDs(chain)[0], "stolen")
		check(ts, err)
	case "forge":
		job, err := awsprofile.ParseJob(args[2])
		check(ts, err)
		answer, err := forger(w.signer.chains[args[1]], job, args[3])
		check(ts, err)
		w.signer.forge.Store(&answer)
	default:
		ts.Fatalf("signer: unknown %q", args[0])
	}
}

func startSigner(ts *testscript.TestScript, w *scriptWorld) {
	ctx := context.Background()
	from := time.Now().Add(-time.Hour).Truncate(time.Second)
	subject := issue.Subject{Country: "JP", Province: "Tokyo", Organization: "Example", CommonName: "Root"}
	rootKey, err := issue.NewKey(issue.P384)
	check(ts, err)
	serial, err := issue.NewSerial()
	check(ts, err)
	root, err := issue.NewRoot(subject, rootKey, serial, from, from.AddDate(20, 0, 0))
	check(ts, err)
	key, err := issue.NewKey(issue.P384)
	check(ts, err)
	serial, err = issue.NewSerial()
	check(ts, err)
	subject.CommonName = "Intermediate"
	intermediate, err := root.NewCA(ctx, issue.Request{MaxPathLen: 1, Subject: subject, Serial: serial, NotBefore: from, NotAfter: from.AddDate(15, 0, 0)}, key)
	check(ts, err)
	chain := root.Chain()
	check(ts, os.WriteFile(ts.MkAbs("signer.root.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain[len(chain)-1].Raw}), 0o600))

	dir := ts.MkAbs("signer-data")
	check(ts, os.Mkdir(dir, 0o700))
	identity, err := age.NewIdentity(filepath.Join(dir, "identity"))
	check(ts, err)
	store, err := sqlstore.Open(ctx, sqlstore.Options{Path: filepath.Join(dir, "shuin.db")})
	check(ts, err)
	ts.Defer(func() { store.Close() })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(ts, err)
	addr := ln.Addr().String()
	w.signer = &scriptSigner{addr: addr, chains: map[string]*shuintest.Chain{}, service: &signing.Service{
		Partition: "aws", Region: signerRegion, Store: store, Sealer: identity, Intermediate: intermediate,
		Subject: issue.Subject{Country: "JP", Province: "Tokyo", Organization: "Example"},
		CRLBase: &url.URL{Scheme: "http", Host: addr, Path: "/crl"}, IssuingKey: issue.P256, Now: time.Now,
	}}
	w.signer.serve(ln)
	ts.Defer(func() { w.signer.server.Close() })
	ts.Setenv("SIGNER", "http://"+addr)
	ts.Setenv("AWS_ENDPOINT_URL_SIGNER", "http://"+addr)
	cmdSigner(ts, false, []string{"credential", "ADMIN", "signer:*", "*"})
	ts.Setenv("AWS_ACCESS_KEY_ID", ts.Getenv("ADMIN_ID"))
	ts.Setenv("AWS_SECRET_ACCESS_KEY", ts.Getenv("ADMIN_SECRET"))
}

func (s *scriptSigner) serve(ln net.Listener) {
	api := (&awssigner.Server{Service: s.service, Region: signerRegion, Host: s.addr, Now: time.Now, Log: slog.New(slog.DiscardHandler)}).Handler()
	s.server = &http.Server{Handler: http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if status := s.fail.Load(); status != 0 {
			out.Header().Set("x-amzn-RequestId", "failing-on-purpose")
			out.WriteHeader(int(status))
			return
		}
		if forge := s.forge.Load(); forge != nil && strings.HasSuffix(r.URL.Path, "/with-payload") {
			(*forge)(out, r)
			return
		}
		name, ok := strings.CutPrefix(r.URL.Path, "/crl/")
		if !ok {
			api.ServeHTTP(out, r)
			return
		}
		if _, err := s.service.RefreshCRLs(r.Context()); err != nil { // what the server does by the hour
			http.Error(out, err.Error(), http.StatusInternalServerError)
			return
		}
		der, _, err := s.service.CRL(r.Context(), strings.TrimSuffix(name, ".crl"))
		if err != nil {
			http.Error(out, err.Error(), http.StatusNotFound)
			return
		}
		_, _ = out.Write(der)
	})}
	go s.server.Serve(ln)
	// A signer refuses changes that were signed before it started, and
	// signatures of requests name whole seconds.
	started := time.Now()
	time.Sleep(time.Until(started.Truncate(time.Second).Add(time.Second)))
}

// cmdJob sets a variable to the n-th signing job's ARN, or with "version" the
// profile version's, in the last command's stdout: job VAR n [version].
func cmdJob(ts *testscript.TestScript, _ bool, args []string) {
	prefix := "com.amazonaws.signer.signingJob: "
	if len(args) > 2 {
		prefix = "com.amazonaws.signer.signingProfileVersion: "
	}
	var n int
	_, err := fmt.Sscan(args[1], &n)
	check(ts, err)
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		_, arn, ok := strings.Cut(strings.TrimSpace(line), prefix)
		if !ok {
			continue
		}
		if n--; n == 0 {
			if _, err := awsprofile.ParseJob(arn); err != nil && len(args) < 3 {
				check(ts, err)
			}
			ts.Setenv(args[0], arn)
			return
		}
	}
	ts.Fatalf("stdout names no such %s", prefix)
}

// cmdVersion sets a variable to the profile version that the last command's
// stdout shows: version VAR.
func cmdVersion(ts *testscript.TestScript, _ bool, args []string) {
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		if v, ok := strings.CutPrefix(line, "Version:"); ok {
			ts.Setenv(args[0], strings.TrimSpace(v))
			return
		}
	}
	ts.Fatalf("stdout shows no version")
}

// cmdJobID sets a variable to the first job id in the JSON of the last
// command's stdout: jobid VAR.
func cmdJobID(ts *testscript.TestScript, _ bool, args []string) {
	_, rest, _ := strings.Cut(ts.ReadFile("stdout"), `"jobId": "`)
	id, _, ok := strings.Cut(rest, `"`)
	if !ok {
		ts.Fatalf("stdout shows no job")
	}
	ts.Setenv(args[0], id)
}
