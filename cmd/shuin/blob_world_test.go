//go:build unix

package main

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/shuin/shuin/internal/shuintest"
)

// blobCmds are the script commands for signatures of blobs that no command of
// ours makes.
func blobCmds(cmds map[string]func(*testscript.TestScript, bool, []string)) map[string]func(*testscript.TestScript, bool, []string) {
	cmds["blobsig"] = cmdBlobSignature
	cmds["sparse"] = cmdSparse
	return cmds
}

// Times of the signatures that blobsig makes.
var (
	blobSigned  = time.Date(2025, 1, 7, 8, 42, 43, 0, time.UTC)
	blobExpires = time.Date(2095, 12, 31, 23, 59, 58, 0, time.UTC)
)

// cmdBlobSignature writes a signature of a blob, in the format that its name
// says: blobsig NAME BLOB [option...]. It is by a two-valued OU and of a fixed
// time; $LEAF, $ROOT, $TSALEAF, $TSACA, $TSAROOT are fingerprints,
// NAME.root.crt and NAME.tsa.crt the roots.
func cmdBlobSignature(ts *testscript.TestScript, _ bool, args []string) {
	data, err := os.ReadFile(ts.MkAbs(args[1]))
	check(ts, err)
	from, to := blobSigned.AddDate(-1, 0, 0), blobExpires
	chain, err := shuintest.NewChain(shuintest.ChainOptions{Length: 2, Family: 3, NotBefore: from, NotAfter: to, Mutate: func(level int, c *x509.Certificate) {
		if level == 0 {
			c.RawSubject, err = asn1.Marshal(twoUnits)
		}
	}})
	check(ts, err)
	tsaChain, err := shuintest.NewChain(shuintest.ChainOptions{Timestamping: true, Family: 7, NotBefore: from, NotAfter: to, CA: "TSA"})
	check(ts, err)
	o := shuintest.EnvelopeOptions{Chain: chain, Time: blobSigned, Agent: "agent/1"}
	if strings.HasSuffix(args[0], ".cose.sig") {
		o.MediaType = shuintest.MediaTypeCOSE
	}
	metadata := map[string]string{}
	for _, arg := range args[2:] {
		switch key, value, _ := strings.Cut(arg, "="); key {
		case "stamped":
			o.TSA = &shuintest.TSA{Chain: tsaChain, Accuracy: 500 * time.Millisecond, Now: func() time.Time { return blobSigned }}
		case "token":
			o.Token = []byte(value)
		case "expiry":
			o.Expiry = blobExpires
		case "metadata":
			metadata[value] = "of " + value
		case "extended":
			o.Plain = map[string]any{value: "extended"}
		case "payload":
			o.Payload = []byte(value)
		}
	}
	if o.Payload == nil {
		o.Payload = shuintest.Payload("text/plain", digest.FromBytes(data).String(), int64(len(data)), metadata)
	}
	envelope, err := shuintest.NewEnvelope(o)
	check(ts, err)
	check(ts, os.WriteFile(ts.MkAbs(args[0]), envelope, 0o600))
	check(ts, os.WriteFile(ts.MkAbs(args[0]+".root.crt"), chain.RootPEM(), 0o600))
	check(ts, os.WriteFile(ts.MkAbs(args[0]+".tsa.crt"), tsaChain.RootPEM(), 0o600))
	for name, cert := range map[string]*x509.Certificate{"LEAF": chain.Leaf(), "ROOT": chain.Root(),
		"TSALEAF": tsaChain.Leaf(), "TSACA": tsaChain.Certs[1], "TSAROOT": tsaChain.Root()} {
		sum := sha256.Sum256(cert.Raw)
		ts.Setenv(name, hex.EncodeToString(sum[:]))
	}
	ts.Setenv("DIGEST", digest.FromBytes(data).String())
}

// twoUnits is a subject with an RDN of two values.
var twoUnits = pkix.RDNSequence{
	{{Type: asn1.ObjectIdentifier{2, 5, 4, 6}, Value: "JP"}},
	{{Type: asn1.ObjectIdentifier{2, 5, 4, 8}, Value: "Tokyo"}},
	{{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: "Example"}},
	{{Type: asn1.ObjectIdentifier{2, 5, 4, 11}, Value: "a"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 11}, Value: "b"}},
	{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "signer"}},
}

// cmdSparse makes a file of zeros that is larger than it lies on disk:
// sparse NAME BYTES.
func cmdSparse(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.ParseInt(args[1], 10, 64)
	check(ts, err)
	check(ts, os.WriteFile(ts.MkAbs(args[0]), nil, 0o600))
	check(ts, os.Truncate(ts.MkAbs(args[0]), n))
}
