//go:build unix

package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/shuin/shuin/issue"
)

// The scripts run main itself in processes of their own.

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"shuind": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":    cmdStatus,
			"ownca":     cmdOwnCA,
			"mode":      cmdMode,
			"signcert":  cmdSignCert,
			"agekey":    cmdAgeKey,
			"deleteall": cmdDeleteAll,
			"arn":       cmdARN,
		},
	})
}

// cmdStatus runs a program and wants that exit status: status N program args.
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N program [args]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
}

// cmdMode wants a file's permissions: mode 600 FILE.
func cmdMode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode OCTAL file")
	}
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := strconv.FormatUint(uint64(info.Mode().Perm()), 8); got != args[0] {
		ts.Fatalf("%s has the mode %s, want %s", args[1], got, args[0])
	}
}

// cmdOwnCA makes a CA as a company has it: NAME.pem is a chain with a root,
// NAME.key the key of its first certificate. DEPTH is how many CAs may follow
// below that one: ownca NAME DEPTH.
func cmdOwnCA(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ownca NAME DEPTH")
	}
	depth, err := strconv.Atoi(args[1])
	ts.Check(err)
	now := time.Now()
	subject := issue.Subject{Country: "JP", Province: "Tokyo", Organization: "Company", CommonName: "Company Root"}
	newKey := func() crypto.Signer {
		key, err := issue.NewKey(issue.P256)
		ts.Check(err)
		return key
	}
	serial, err := issue.NewSerial()
	ts.Check(err)
	root, err := issue.NewRoot(subject, newKey(), serial, now.Add(-time.Hour), now.AddDate(20, 0, 0))
	ts.Check(err)
	serial, err = issue.NewSerial()
	ts.Check(err)
	key := newKey()
	subject.CommonName = "Company Intermediate"
	ca, err := root.NewCA(context.Background(), issue.Request{Subject: subject, MaxPathLen: depth, Serial: serial, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0)}, key)
	ts.Check(err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".pem"), issue.EncodeChain(ca.Chain()), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
}
