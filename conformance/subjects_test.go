package conformance

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/policy"
)

var (
	subjectTypes = []asn1.ObjectIdentifier{{2, 5, 4, 6}, {2, 5, 4, 8}, {2, 5, 4, 10}, {2, 5, 4, 3}, {2, 5, 4, 11}, {2, 5, 4, 7}, {2, 5, 4, 5}, {2, 5, 4, 9}, {2, 5, 4, 17},
		{2, 5, 4, 12}, {1, 2, 840, 113549, 1, 9, 1}, {0, 9, 2342, 19200300, 100, 1, 25}, {2, 5, 4}, {2, 5, 4, 6, 1}}
	subjectNames  = []string{"C", "ST", "O", "CN", "OU", "L", "SERIALNUMBER", "STREET", "POSTALCODE", "TITLE", "E", "DC", "X", "Y"}
	subjectValues = []string{"JP", "Tokyo", "Example", "a", "", " ", "  ", " a", "a ", "  a", "a  ", "#04", "#", "=#", "a=#b", "=", "a=b", "a,b", "a+b", "a;b", `a\b`, `\`, `a\`, `a\ `, `"a"`, "<a>",
		"\u00e9", "\x00", "a\nb", "\u3000a", "\u200ba", "\u00a0", "A", "example", "a,CN=b", `\,`, `\2c`, "\u00e9 ", strings.Repeat("x", 300)}
)

// escaped writes a value as RFC 4514 section 2.4 wants it, or a little otherwise.
func escaped(r *rand.Rand, s string) string {
	if r.IntN(8) == 0 {
		return s
	}
	var b strings.Builder
	for i, c := range s {
		switch {
		case strings.ContainsRune(`,+"\<>;`, c), c == ' ' && (i == 0 || i == len(s)-1), c == '#' && i == 0, c == '=' && r.IntN(2) == 0:
			b.WriteByte('\\')
			b.WriteRune(c)
		case c < 0x20 || r.IntN(16) == 0:
			for _, o := range []byte(string(c)) {
				fmt.Fprintf(&b, `\%02x`, o)
			}
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// Subjects made of odd values match an identity for both sides or for neither.
func TestSubjectMutationsAreDecidedAlike(t *testing.T) {
	a := newArena(t)
	r := rand.New(rand.NewPCG(*seed, 6))
	base := newStage(t, loadVector(t, "CERT-10/signer-is-its-own-root-jws"))
	matched := 0
	for range *mutations / 5 {
		var rdns pkix.RDNSequence
		var identity []string
		for i := range 3 + r.IntN(3) {
			n, value := i, []string{"JP", "Tokyo", "Example"}[i%3]
			if i >= 3 {
				n = r.IntN(len(subjectTypes))
			}
			if i >= 3 || r.IntN(4) == 0 {
				value = subjectValues[r.IntN(len(subjectValues))]
			}
			atv := pkix.AttributeTypeAndValue{Type: subjectTypes[n], Value: value}
			if last := len(rdns) - 1; last >= 0 && r.IntN(24) == 0 {
				rdns[last] = append(rdns[last], atv)
			} else {
				rdns = append(rdns, pkix.RelativeDistinguishedNameSET{atv})
			}
			if r.IntN(16) == 0 {
				value = subjectValues[r.IntN(len(subjectValues))]
			}
			if i < 3 || r.IntN(2) == 0 {
				identity = append(identity, subjectNames[n]+"="+escaped(r, value))
			}
		}
		r.Shuffle(len(rdns), func(i, j int) { rdns[i], rdns[j] = rdns[j], rdns[i] })
		subject, err := asn1.Marshal(rdns)
		if err != nil {
			continue
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), RawSubject: subject, NotBefore: base.now.Add(-time.Hour), NotAfter: base.now.Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature}
		cert, err := x509.CreateCertificate(nil, template, template, a.key.Public(), a.key.PrivateKey)
		if err != nil {
			continue
		}
		if _, err := x509.ParseCertificate(cert); err != nil {
			continue
		}
		id, _ := json.Marshal("x509.subject:" + strings.Join(identity, ","))
		in := base.in
		in.TrustPolicy = bytes.Replace(bytes.Clone(in.TrustPolicy), []byte(`"*"`), id, 1)
		in.TrustStores = map[string][][]byte{}
		for name := range base.in.TrustStores {
			in.TrustStores[name] = [][]byte{cert}
		}
		if _, err := policy.ParseOCI(in.TrustPolicy); err != nil {
			continue // TestIdentityMutationsAreDecidedAlike
		}
		if _, err := newUpstream(in); err != nil {
			continue
		}
		s := stageOf(t, in, base.now)
		m, _ := openJWS(base.envelope)
		m.header = split(changeList(join(m.header), "x5c", func([]string) []string { return []string{base64.StdEncoding.EncodeToString(cert)} }))
		e := m.seal(a.key)
		ours, message, theirs := s.decide(t, e)
		if theirs == nil {
			matched++
		}
		if ours != decision(theirs != nil) && len(a.classesOf(s.media, e, ours, message)) == 0 {
			t.Errorf("Shuin %s (%s), notation-go %s (%v): identity %s, subject %q", ours, message, decision(theirs != nil), theirs, id, rdns)
		}
	}
	if matched < *mutations/100 {
		t.Errorf("only %d subjects matched", matched)
	}
}
