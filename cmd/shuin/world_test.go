//go:build unix

package main

import (
	"context"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/shuin/shuin/internal/notationdir"
	"github.com/shuin/shuin/internal/shuintest"
)

// cmdUnprivileged runs a program as a user that file permissions stop:
// unprivileged STATUS program args. As root it becomes nobody.
func cmdUnprivileged(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: unprivileged STATUS program [args]")
	}
	want, err := strconv.Atoi(args[0])
	check(ts, err)
	if os.Geteuid() != 0 {
		runAs(context.Background(), ts, want, nil, args[1:])
		return
	}
	const nobody = 65534
	path, err := exec.LookPath(args[1])
	check(ts, err)
	path, err = filepath.Abs(path)
	check(ts, err)
	for _, p := range []string{path, ts.MkAbs(".")} {
		for dir := p; len(dir) > len(os.TempDir()); dir = filepath.Dir(dir) {
			if info, err := os.Stat(dir); err == nil {
				check(ts, os.Chmod(dir, info.Mode().Perm()|0o055))
			}
		}
	}
	home := ts.Getenv("HOME")
	check(ts, filepath.WalkDir(home, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, nobody, nobody)
	}))
	runAs(context.Background(), ts, want, func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}, args[1:])
}

// chains of a script by name: the same keys each time, so that making them is cheap.
func chainOptions(name string, args []string) shuintest.ChainOptions {
	o := shuintest.ChainOptions{Length: 3, Key: shuintest.P256, CAKey: shuintest.P256}
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "length":
			fmt.Sscan(value, &o.Length)
		case "family":
			fmt.Sscan(value, &o.Family)
		case "expired":
			o.NotBefore, o.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
		case "timestamping":
			o.Timestamping = true
		}
	}
	o.Subject = pkix.Name{Country: []string{"JP"}, Province: []string{"Tokyo"}, Organization: []string{"Example"}, CommonName: name}
	return o
}

// cmdChain writes NAME.key, NAME.crt (the chain) and NAME.root.crt: chain NAME [option...].
func cmdChain(ts *testscript.TestScript, _ bool, args []string) {
	c, err := shuintest.NewChain(chainOptions(args[0], args[1:]))
	check(ts, err)
	writeChain(ts, args[0], c)
}

// cmdPKI is chain for certificates that name CRLs or OCSP responders of the
// script's own, with the leaf revoked if asked: pki NAME crl|ocsp [revoked].
func cmdPKI(ts *testscript.TestScript, _ bool, args []string) {
	names := shuintest.NameCRL
	if args[1] == "ocsp" {
		names = shuintest.NameOCSP
	}
	p, err := worldOf(ts).world.NewPKI(args[0], names, chainOptions(args[0], nil))
	check(ts, err)
	if len(args) > 2 {
		at := time.Now().Add(-time.Hour)
		p.CRL[0].Revoke(p.Leaf().SerialNumber, at, 1, time.Time{})
		p.OCSP[0].Revoke(p.Leaf().SerialNumber, at, 1, time.Time{})
	}
	writeChain(ts, args[0], p.Chain)
}

func writeChain(ts *testscript.TestScript, prefix string, c *shuintest.Chain) {
	for name, data := range map[string][]byte{
		".key": c.KeyPEM(), ".crt": c.PEM(), ".root.crt": c.RootPEM(),
		".leaf.crt": shuintest.CertsPEM(c.Leaf()), ".ca.crt": shuintest.CertsPEM(c.Certs[min(1, len(c.Certs)-1)]),
	} {
		check(ts, os.WriteFile(ts.MkAbs(prefix+name), data, 0o600))
	}
}

// cmdLocalKey puts NAME.key and NAME.crt on the key list: localkey NAME [default].
func cmdLocalKey(ts *testscript.TestScript, _ bool, args []string) {
	dir := notationdir.New(ts.Getenv("CONFIG"), ts.Getenv("CACHE"), "")
	check(ts, dir.UpdateSigningKeys(context.Background(), func(keys *notationdir.SigningKeys) error {
		return keys.Add(notationdir.SigningKey{
			Name: args[0], KeyPath: ts.MkAbs(args[0] + ".key"), CertPath: ts.MkAbs(args[0] + ".crt"),
		}, len(args) > 1)
	}))
}

// cmdTSA starts a timestamping authority: $TSA is its address, tsa.root.crt its root.
func cmdTSA(ts *testscript.TestScript, _ bool, _ []string) {
	w := worldOf(ts)
	c, err := shuintest.NewChain(chainOptions("tsa", []string{"timestamping", "family=7"}))
	check(ts, err)
	ts.Setenv("TSA", w.world.Handle("tsa", &shuintest.TSA{Chain: c, Accuracy: time.Second}))
	check(ts, os.WriteFile(ts.MkAbs("tsa.root.crt"), c.RootPEM(), 0o600))
	check(ts, os.WriteFile(ts.MkAbs("tsa.chain.crt"), c.PEM(), 0o600))
	check(ts, os.WriteFile(ts.MkAbs("tsa.ca.crt"), shuintest.CertsPEM(c.Certs[1]), 0o600))
}

// cmdTamper stores a copy of a signature beside it whose payload was changed:
// tamper repo digest. $TAMPERED is its digest.
func cmdTamper(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv("TAMPERED", spoil(ts, args[0], args[1], shuintest.TamperPayload))
}

// cmdGarble stores a copy of a signature beside it that is no envelope at all:
// garble repo digest. $GARBLED is its digest.
func cmdGarble(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv("GARBLED", spoil(ts, args[0], args[1], func(string, []byte) ([]byte, error) { return []byte("{}"), nil }))
}

func spoil(ts *testscript.TestScript, repo, sig string, change func(mediaType string, envelope []byte) ([]byte, error)) string {
	reg := worldOf(ts).registry
	mediaType, body, ok := reg.Manifest(repo, sig)
	if !ok {
		ts.Fatalf("no manifest %s", sig)
	}
	var m map[string]any
	check(ts, json.Unmarshal(body, &m))
	layer := m["layers"].([]any)[0].(map[string]any)
	spoiled, err := change(layer["mediaType"].(string), blob(ts, repo, layer["digest"].(string)))
	check(ts, err)
	d, err := reg.PutBlob(repo, spoiled)
	check(ts, err)
	layer["digest"], layer["size"] = d.String(), len(spoiled)
	body, err = json.Marshal(m)
	check(ts, err)
	_, err = reg.PutManifest(repo, mediaType, body)
	check(ts, err)
	return digest.FromBytes(body).String()
}

// cmdLayout makes an OCI image layout with one tagged image and sets a
// variable to its digest: layout VAR dir tag.
func cmdLayout(ts *testscript.TestScript, _ bool, args []string) {
	root := ts.MkAbs(args[1])
	put := func(b []byte) string {
		d := digest.FromBytes(b)
		check(ts, os.MkdirAll(filepath.Join(root, "blobs", "sha256"), 0o755))
		check(ts, os.WriteFile(filepath.Join(root, "blobs", "sha256", d.Encoded()), b, 0o644))
		return d.String()
	}
	config := []byte(`{"architecture":"amd64","os":"linux"}`)
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":%d},"layers":[]}`, put(config), len(config))
	d := put(manifest)
	index := fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"%s","size":%d,"annotations":{"org.opencontainers.image.ref.name":"%s"}}]}`, d, len(manifest), args[2])
	check(ts, os.WriteFile(filepath.Join(root, "index.json"), index, 0o644))
	check(ts, os.WriteFile(filepath.Join(root, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
	ts.Setenv(args[0], d)
}
