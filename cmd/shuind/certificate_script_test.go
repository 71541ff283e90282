//go:build unix

package main

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"os"
	"regexp"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/shuin/shuin/internal/keys/age"
	"github.com/shuin/shuin/internal/shuintest"
)

// signingChain is a company's signing certificate; what names what is wrong
// with it, and its subject.
func signingChain(what string) *shuintest.Chain {
	now := time.Now().UTC().Truncate(time.Second)
	o := shuintest.ChainOptions{Key: shuintest.P384, CAKey: shuintest.P384, CA: "Company",
		Subject: pkix.Name{Country: []string{"JP"}, Province: []string{"Tokyo"}, Organization: []string{"Company"}, CommonName: what}}
	for _, c := range what {
		o.Family += int(c) // keys of their own
	}
	switch what {
	case "p256":
		o.Key = shuintest.P256
	case "rsa":
		o.Key = shuintest.RSA3072
	}
	o.Mutate = func(level int, t *x509.Certificate) {
		switch {
		case level != 0:
		case what == "expired":
			t.NotBefore, t.NotAfter = now.Add(-2*time.Hour), now.Add(-time.Hour)
		case what == "future":
			t.NotBefore = now.Add(time.Hour)
		case what == "server":
			t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		case what == "ca":
			t.IsCA, t.KeyUsage = true, x509.KeyUsageCertSign
		}
	}
	return shuintest.MustChain(o)
}

// cmdSignCert makes NAME.pem and NAME.key of signingChain(NAME), and
// NAME.reissued.pem with another edition of its CA above it: signcert NAME.
func cmdSignCert(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: signcert NAME")
	}
	c := signingChain(args[0])
	certs := c.Certs
	if args[0] == "noroot" {
		certs = certs[:len(certs)-1]
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".pem"), shuintest.CertsPEM(certs...), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".key"), c.KeyPEM(), 0o600))
	edition := signingChain(args[0]) // with serial numbers of its own
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".reissued.pem"), shuintest.CertsPEM(c.Certs[0], edition.Certs[1], edition.Certs[2]), 0o600))
}

// cmdARN sets a variable to the first ARN of a certificate in the last command's stdout: arn VAR.
func cmdARN(ts *testscript.TestScript, neg bool, args []string) {
	arn := regexp.MustCompile(`arn:aws:acm:\S+`).FindString(ts.ReadFile("stdout"))
	if neg || len(args) != 1 || arn == "" {
		ts.Fatalf("usage: arn VAR, after a command that prints one")
	}
	ts.Setenv(args[0], arn)
}

// cmdAgeKey encrypts a key to an identity, or with a passphrase: agekey KEY IDENTITY|PASSPHRASE OUT.
func cmdAgeKey(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: agekey KEY IDENTITY|PASSPHRASE OUT")
	}
	block, _ := pem.Decode([]byte(ts.ReadFile(args[0])))
	key, err := parsePrivateKey(block)
	ts.Check(err)
	secret := []byte(ts.ReadFile(args[1]))
	var lock *age.Lock
	if bytes.Contains(secret, []byte("AGE-SECRET-KEY")) {
		identity, err := age.ParseIdentity(secret)
		ts.Check(err)
		lock = identity.Lock()
	} else {
		lock, err = age.Passphrase(secret)
		ts.Check(err)
	}
	ts.Check(age.WriteKey(ts.MkAbs(args[2]), key, lock))
}

// cmdDeleteAll deletes all certificates that the last command listed: deleteall CONFIG.
func cmdDeleteAll(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: deleteall CONFIG")
	}
	ts.Check(ts.Exec("shuind", "certificate", "list", "--config", args[0]))
	all := regexp.MustCompile(`arn:aws:acm:\S+`).FindAllString(ts.ReadFile("stdout"), -1)
	if len(all) == 0 {
		ts.Fatalf("there is none")
	}
	for _, arn := range all {
		ts.Check(ts.Exec("shuind", "certificate", "delete", "--config", args[0], arn))
	}
}
