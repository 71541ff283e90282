// Command gen writes the conformance vectors of package vectors: JSON files
// that say what a Notary Project verifier must accept and must refuse.
//
// It shares no code with what the vectors test. Envelopes are put together
// here from text, CBOR items and the standard library's cryptography, so that
// a mistake in Shuin's (or anybody's) builder cannot hide the same mistake in
// its parser. Its output is the same on every run: keys come from keys.pem or
// from a name, signatures take no randomness, times are fixed.
package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// expect says why a vector must be refused.
type expect struct {
	// Rows that state the requirement; the first is the vector's own.
	Rows []string `json:"rows"`
	// Check is the verification step that fails, where the kind has steps.
	Check string `json:"check,omitempty"`
	// Codes are the reasons that are right for it.
	Codes []string `json:"codes,omitempty"`
}

// vector is one file.
type vector struct {
	Version int        `json:"version"`
	ID      string     `json:"id"`
	Row     string     `json:"row"`
	Title   string     `json:"title"`
	Kind    string     `json:"kind"`
	Valid   bool       `json:"valid"`
	Expect  *expect    `json:"expect,omitempty"`
	Now     *time.Time `json:"now,omitempty"`
	Input   any        `json:"input"`
}

type book struct{ vectors map[string]*vector }

func (b *book) add(v *vector) {
	v.Version = 1
	v.Row, _, _ = strings.Cut(v.ID, "/")
	if _, ok := b.vectors[v.ID]; ok {
		log.Fatalf("two vectors are named %s", v.ID)
	}
	if v.Valid == (v.Expect != nil) {
		log.Fatalf("%s: a reason is for refusals, and for each of them", v.ID)
	}
	if v.Expect != nil && (len(v.Expect.Rows) == 0 || v.Expect.Rows[0] != v.Row) {
		v.Expect.Rows = append([]string{v.Row}, v.Expect.Rows...)
	}
	b.vectors[v.ID] = v
}

func (b *book) write(dir string) error {
	want := map[string]bool{}
	var ids []string
	for id := range b.vectors {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	for _, id := range ids {
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", " ")
		if err := enc.Encode(b.vectors[id]); err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		path := filepath.Join(dir, filepath.FromSlash(id)+".json")
		want[path] = true
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, buf.Bytes(), 0o644); err != nil {
			return err
		}
	}
	old, err := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if !want[path] {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

func main() {
	out := flag.String("out", "vectors/v1", "directory to write to; vectors no longer made are removed from it")
	flag.BoolVar(&protectChain, "protected-chain", false, "put the chain of COSE envelopes into the protected header (for tests; not for v1)")
	flag.Parse()
	log.SetFlags(0)
	b := &book{vectors: map[string]*vector{}}
	payloadCases(b)
	attributeCases(b)
	algorithmCases(b)
	certificateCases(b)
	jwsCases(b)
	coseCases(b)
	schemeCases(b)
	policyCases(b)
	identityCases(b)
	verifyCases(b)
	timestampCases(b)
	revocationCases(b)
	manifestCases(b)
	storeCases(b)
	signCases(b)
	pluginCases(b)
	signPluginCases(b)
	policyFileCases(b)
	referrersCases(b)
	timestampingCases(b)
	boundCases(b)
	scopeCases(b)
	linkCases(b)
	lenientCases(b)
	if err := b.write(*out); err != nil {
		log.Fatal(err)
	}
	if err := writeKeys(filepath.Join(*out, "keys.pem")); err != nil {
		log.Fatal(err)
	}
}

// writeKeys writes every private key that was used, so that others can sign
// what they change.
func writeKeys(path string) error {
	var names []string
	for n := range keyCache {
		names = append(names, n)
	}
	sort.Strings(names)
	var b bytes.Buffer
	for _, n := range names {
		if err := pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(keyCache[n].Signer))}); err != nil {
			return err
		}
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}
