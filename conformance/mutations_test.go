package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/fetch"
	"github.com/shuin/shuin/internal/revocation"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/verify"
)

// compare asks both sides about one mutant of a kind other than an envelope.
func compare(t *testing.T, classes []differenceClass, ours, theirs error, mutant string) {
	t.Helper()
	if (ours == nil) == (theirs == nil) {
		return
	}
	message := ""
	if ours != nil {
		message = withoutPaths(reasonFor("", ours).Row + ": " + ours.Error())
	} else {
		message = theirs.Error()
	}
	for _, c := range classes {
		if c.Shuin == decision(ours != nil) && c.Message != "" && regexp.MustCompile(c.Message).MatchString(message) {
			return
		}
	}
	t.Errorf("Shuin %s (%v), notation-go %s (%v); no class in %s has %q\n%s", decision(ours != nil), ours, decision(theirs != nil), theirs, differencesFile, message, mutant)
}

func classesOf(t *testing.T, kind string) []differenceClass {
	var list differences
	loadJSON(t, differencesFile, &list)
	var out []differenceClass
	for _, c := range list.Classes {
		if c.Kind == kind {
			out = append(out, c)
		}
	}
	return out
}

func vectorsOf(t *testing.T, kind string) []*vector {
	var out []*vector
	for _, v := range loadVectors(t) {
		if v.Kind == kind {
			out = append(out, v)
		}
	}
	return out
}

var (
	policyNames = []string{"version", "trustPolicies", "name", "registryScopes", "signatureVerification", "trustStores", "trustedIdentities", "level", "override",
		"verifyTimestamp", "globalPolicy", "Level", "authenticity", "expiry", "integrity", "revocation", "authenticTimestamp", "comment", ""}
	policyValues = []string{`null`, `""`, `"1.0"`, `1`, `[]`, `{}`, `[null]`, `"strict"`, `"permissive"`, `"audit"`, `"skip"`, `"log"`, `"enforce"`, `"always"`, `"afterCertExpiry"`, `"*"`, `["*"]`,
		`["*","registry.example/a"]`, `["registry.example/a"]`, `["localhost:5000/a/b"]`, `["registry.example"]`, `["REGISTRY.example/a"]`, `["-a.example/b"]`, `["registry.example:99999/a"]`, `["[::1]:5000/a"]`,
		`["registry.example/a//b"]`, `["registry.example/a.-b"]`, `["registry.example/a___b"]`, `["registry.example/a_-b"]`, `["a/b","a/b"]`, `["registry.example/A"]`, `["/a"]`, `["a/"]`,
		`["ca:a"]`, `["ca:a","ca:a"]`, `["tsa:a"]`, `["signingAuthority:a","ca:b"]`, `["ca:"]`, `["ca:a:b"]`, `["CA:a"]`, `["ca: a"]`, `["ca:.."]`, `["ca:."]`, `["ca:a/b"]`, `["ca:é"]`,
		`["x509.subject:C=JP,ST=Tokyo,O=Example"]`, `["x509.subject:C=JP,ST=Tokyo,O=Example","*"]`, `["other:thing"]`, `["other:"]`, `[":"]`, `["x509.Subject:C=JP"]`, `true`, `{"expiry":"log"}`, `{"revocation":"skip"}`,
		`{"expiry":"skip"}`, `{"integrity":"enforce"}`, `{"":"log"}`, `{"expiry":""}`, `{"expiry":"log","expiry":"enforce"}`, `{"level":"strict"}`, `{"level":"audit","override":{}}`, `{"level":"strict","override":null}`}
)

// mutateJSON changes one member somewhere in the value.
func mutateJSON(t *tape, value string, depth int) string {
	value = strings.TrimSpace(value)
	switch {
	case depth > 4 || value == "":
		return pick(t, policyValues)
	case value[0] == '{':
		ps := split([]byte(value))
		if len(ps) > 0 && t.next()%3 != 0 {
			i := t.next() % len(ps)
			ps[i].value = mutateJSON(t, ps[i].value, depth+1)
			return string(join(ps))
		}
		switch i := t.next(); {
		case len(ps) == 0 || t.next()%4 == 0:
			ps = append(ps, pair{pick(t, policyNames), pick(t, policyValues)})
		case t.next()%3 == 0:
			ps = slices.Delete(ps, i%len(ps), i%len(ps)+1)
		case t.next()%2 == 0:
			ps[i%len(ps)].value = pick(t, policyValues)
		default:
			ps[i%len(ps)].name = pick(t, policyNames)
		}
		return string(join(ps))
	case value[0] == '[':
		var l []json.RawMessage
		_ = json.Unmarshal([]byte(value), &l)
		i := t.next()
		switch op := t.next() % 4; {
		case len(l) == 0 || op == 0:
			l = append(l, json.RawMessage(pick(t, policyValues)))
		case op == 1:
			l = append(l, l[i%len(l)])
		case op == 2:
			l = slices.Delete(l, i%len(l), i%len(l)+1)
		default:
			l[i%len(l)] = json.RawMessage(mutateJSON(t, string(l[i%len(l)]), depth+1))
		}
		parts := make([]string, len(l))
		for i := range l {
			parts[i] = string(l[i])
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	return pick(t, policyValues)
}

// Trust policy documents that were changed member by member are valid for both
// sides or for neither, and pick the same statement.
func TestPolicyMutationsAreDecidedAlike(t *testing.T) {
	classes, r := classesOf(t, "trustpolicy"), rand.New(rand.NewPCG(*seed, 2))
	var documents []string
	for _, v := range vectorsOf(t, "trustpolicy") {
		if in := input[policyCase](t, v); in.Type == "oci" {
			documents = append(documents, in.Document)
		}
	}
	for range *mutations {
		p := &tape{randomProgram(r)}
		doc := documents[r.IntN(len(documents))]
		for n := 0; n < 1+r.IntN(2); n++ {
			doc = mutateJSON(p, doc, 0)
		}
		in := policyCase{Document: doc, Type: "oci"}
		ours, theirs := shuinPolicy(in), upstreamPolicy(in)
		if ours == nil && theirs == nil {
			in.Reference = "registry.example/a@" + "sha256:73c803930ea3ba1e54bc25c2bdc53edd0284c62ed651fe7b00369da519a3c333"
			if d, err := policy.ParseOCI([]byte(doc)); err == nil {
				if s, _, err := d.Select("registry.example/a"); err == nil {
					in.Statement = s.Name
				}
			}
			ours, theirs = shuinPolicy(in), upstreamPolicy(in)
		}
		compare(t, classes, ours, theirs, doc)
	}
}

var nameParts = []string{"C=JP", "ST=Tokyo", "S=Tokyo", "O=Example", "CN=a", "c=JP", "st=Tokyo", "o=Example", "OU=b", "2.5.4.10=Example", ",", ",", ",", ", ", " ,", "+", ";", "=", "#", `\,`, `\+`, `\2C`, `\2c`,
	`\é`, `\c3\a9`, `\`, `"`, " ", "\\ ", "é", "x", "O=", "=x", "C = JP", "O=Exam ple", "O= Example", "O=Example ", `O=\ Example`, `O=Example\ `, `O=a\=b`, "O=a=b", `O=\23a`, "O=#04", "O==#", "DC=a", "L=", "\x00", "O=<a>", `O=a\"b`, "  "}

// Trusted identities made of pieces of distinguished names, escapes and
// separators are valid for both sides or for neither.
func TestIdentityMutationsAreDecidedAlike(t *testing.T) {
	classes, r := classesOf(t, "identity"), rand.New(rand.NewPCG(*seed, 3))
	for range *mutations {
		var ids []string
		for range 1 + r.IntN(2) {
			s := "x509.subject:C=JP,ST=Tokyo,O=Example"
			if r.IntN(3) == 0 {
				s = "x509.subject:"
			}
			for range r.IntN(5) {
				part := nameParts[r.IntN(len(nameParts))]
				if i := r.IntN(len(s) + 1); r.IntN(2) == 0 && i >= len("x509.subject:") {
					s = s[:i] + part + s[i:]
				} else {
					s += []string{",", ""}[r.IntN(2)] + part
				}
			}
			ids = append(ids, s)
		}
		_, ours := policy.ParseOCI(identityDocument(ids))
		compare(t, classes, ours, upstreamIdentity(identityCase{ids}), fmt.Sprintf("%q", ids))
	}
}

// Chains put together from the certificates of all chain vectors, some of
// which say something else and are signed again, are good for both sides or
// for neither.
func TestChainMutationsAreDecidedAlike(t *testing.T) {
	classes, r := classesOf(t, "chain"), rand.New(rand.NewPCG(*seed, 4))
	keys := publicKeys(t)
	var chains [][][]byte
	var pool [][]byte
	for _, v := range vectorsOf(t, "chain") {
		c := input[chainCase](t, v).Chain
		chains = append(chains, c)
		for _, der := range c {
			if !slices.ContainsFunc(pool, func(b []byte) bool { return bytes.Equal(b, der) }) {
				pool = append(pool, der)
			}
		}
	}
	for range *mutations {
		c := slices.Clone(chains[r.IntN(len(chains))])
		for range 1 + r.IntN(2) {
			switch i := r.IntN(len(c) + 1); r.IntN(8) {
			case 0:
				c = slices.Insert(c, i, pool[r.IntN(len(pool))])
			case 1:
				if i < len(c) {
					c = slices.Delete(c, i, i+1)
				}
			case 2:
				if i < len(c) {
					c[i] = pool[r.IntN(len(pool))]
				}
			default:
				if i < len(c) {
					c[i] = mutateCertificate(&tape{randomProgram(r)}, c[i], issuerKey(c, i, keys))
				}
			case 3:
				r.Shuffle(len(c), func(a, b int) { c[a], c[b] = c[b], c[a] })
			}
		}
		in := chainCase{Purpose: []string{"codeSigning", "timestamping"}[r.IntN(2)], Chain: c}
		certs, err := parseCertificates(c)
		var names []string
		for _, c := range certs {
			names = append(names, c.Subject.CommonName)
		}
		compare(t, classes, shuinChain(in), upstreamChain(in), fmt.Sprint(in.Purpose, names, err))
	}
}

// OCSP answers and CRLs with bytes changed, and CRLs that say something else and
// are signed again: both sides find the same status for each certificate.
func TestRevocationMutationsAreDecidedAlike(t *testing.T) {
	classes, r := classesOf(t, "revocation"), rand.New(rand.NewPCG(*seed, 5))
	var answers map[string]answerJSON
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveAnswer(w, r, answers) }))
	defer server.Close()
	proxy, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := &fetch.Client{AllowPrivateAddresses: true, Proxy: http.ProxyURL(proxy)}
	keys := publicKeys(t)
	var list differences
	loadJSON(t, differencesFile, &list)
	vectors := slices.DeleteFunc(vectorsOf(t, "revocation"), func(v *vector) bool {
		if _, ok := list.Vectors[v.ID]; ok {
			return true // differs already
		}
		in := input[revocationCase](t, v)
		return !slices.ContainsFunc(slices.Collect(maps.Values(in.Answers)), func(a answerJSON) bool { return len(a.Body) > 0 })
	})
	for range *mutations / 2 {
		v := vectors[r.IntN(len(vectors))]
		in := input[revocationCase](t, v)
		chain, err := parseCertificates(in.Chain)
		if err != nil {
			t.Fatal(err)
		}
		answers = map[string]answerJSON{}
		for _, address := range slices.Sorted(maps.Keys(in.Answers)) {
			a := in.Answers[address]
			switch how := r.IntN(6); {
			case len(a.Body) == 0:
			case how == 0:
				a.Body = mutateBytes(&tape{randomProgram(r)[:4]}, a.Body)
			case how < 4:
				a.Body = mutateCRL(&tape{randomProgram(r)}, a.Body, chain, keys)
			}
			answers[address] = a
		}
		in.Answers = answers
		checker := &revocation.Checker{HTTP: client}
		var ours, theirs error
		for i, f := range checker.Check(t.Context(), chain, envelope.CodeSigning, v.Now, in.At) {
			if f.Status == verify.StatusRevoked {
				ours = fmt.Errorf("certificate %d is revoked", i)
			} else if f.Status == verify.StatusUnavailable {
				ours = fmt.Errorf("certificate %d is unavailable: %w", i, f.Err)
			}
		}
		at(t, v.Now, func(t *testing.T) { theirs = upstreamRevocation(t.Context(), in) })
		compare(t, classes, ours, theirs, v.ID)
	}
}
