package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func noEnv(string) (string, bool) { return "", false }

// keys are the paths of all keys of a configuration.
func keys(prefix string, t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		path := strings.TrimPrefix(prefix+"."+t.Field(i).Tag.Get("yaml"), ".")
		typ := t.Field(i).Type
		if typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Struct {
			typ = typ.Elem()
		}
		if typ.Kind() == reflect.Struct {
			out = append(out, keys(path, typ)...)
			continue
		}
		out = append(out, path)
	}
	return out
}

func TestEveryKeyIsInTheExampleAndInTheDocs(t *testing.T) {
	docs, err := os.ReadFile(filepath.Join("..", "..", "docs", "shuind.md"))
	if err != nil {
		t.Fatal(err)
	}
	about, err := os.ReadFile(filepath.Join("..", "..", "docs", "gate.md"))
	if err != nil {
		t.Fatal(err)
	}
	docs = append(docs, about...)
	inCluster, err := os.ReadFile(filepath.Join("..", "..", "docs", "kubernetes.md"))
	if err != nil {
		t.Fatal(err)
	}
	docs = append(docs, inCluster...)
	all := keys("", reflect.TypeFor[config]())
	if len(all) < 25 {
		t.Fatalf("only %d keys found: the walk is broken", len(all))
	}
	for _, path := range all {
		name := path[strings.LastIndexByte(path, '.')+1:]
		if !strings.Contains(exampleConfig, name+": ") {
			t.Errorf("the example does not say what %s means", path)
		}
		if !strings.Contains(string(docs), "`"+path+"`") {
			t.Errorf("none of docs/shuind.md, docs/gate.md and docs/kubernetes.md says what %s means", path)
		}
	}
}

// TestTheExampleShowsTheDefaults takes the comment signs from the keys that
// are commented out: the result means the same.
func TestTheExampleShowsTheDefaults(t *testing.T) {
	load := func(text string) config {
		var c config
		if err := decodeConfig("example.yaml", []byte(text), &c).err(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	asItIs := load(exampleConfig)
	asItIs.defaults("/")
	var b strings.Builder
	for line := range strings.Lines(exampleConfig) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		name, commented := strings.CutPrefix(key, "# ")
		if ok && commented && !strings.Contains(name, " ") && name != "env" && name != "listen" && value[0] != ' ' && strings.ToLower(value[:1]) == value[:1] {
			line = strings.Replace(line, "# ", "", 1)
		}
		b.WriteString(line)
	}
	full := load(b.String())
	if full.Requests.Connections == 0 || full.Signing.LeafLife == 0 || full.Log.Format == "" {
		t.Fatalf("the keys were not found in the example: %+v", full)
	}
	full.defaults("/")
	if d := cmp.Diff(asItIs, full); d != "" {
		t.Errorf("the example tells other defaults than those there are (-are, +told):\n%s", d)
	}
}

func TestFaultsOfAConfiguration(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"id": "x", "tls.pem": "x", "tls.key": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const good = `
name: signer.example.com
region: ap-northeast-1
data: data
identity: {file: id}
ca: {subject: {country: JP, province: Tokyo, organization: Example}}
`
	for _, c := range []struct {
		name, more, replace, by string
		want                    string // empty: none
	}{
		{name: "none"},
		{name: "TLS on every address", more: "listen: 0.0.0.0:443\ntls: {certificate: tls.pem, key: tls.key}\ncrl: {base: 'http://crl.example.com'}\n"},
		{name: "an IPv6 loopback address", more: "listen: '[::1]:8080'\n"},
		{name: "a proxy that ends TLS", more: "listen: 0.0.0.0:80\ntls: {plaintextBehindProxy: true}\n"},
		{name: "plain HTTP for everybody", more: "listen: 0.0.0.0:80\n", want: "listen: plain HTTP is served on loopback only"},
		{name: "plain HTTP on a name", more: "listen: signer.example.com:80\n", want: "listen: plain HTTP is served on loopback only"},
		{name: "an address without a port", more: "listen: localhost\n", want: `listen: "localhost" is not host:port`},
		{name: "a name of the log", more: "checkpoint: {origin: signer.example.com/log-2}\n"},
		{name: "a name of the log with a space", more: "checkpoint: {origin: our log}\n", want: "checkpoint.origin: a name such as signer.example.com/log"},
		{name: "a name that is too long for the log", replace: "signer.example.com", by: strings.Repeat("a.", 110) + "com", want: "checkpoint.origin: it is missing"},
		{name: "a name in capital letters", replace: "signer.example.com", by: "Signer.example.com", want: "name: \"Signer.example.com\" is not a DNS name in lower case"},
		{name: "a URL instead of a name", replace: "signer.example.com", by: "https://signer.example.com", want: "is neither a name nor name:port"},
		{name: "an IPv6 address", replace: "signer.example.com", by: "'[::1]:80'", want: "name: an address cannot be used"},
		{name: "a bad port", replace: "signer.example.com", by: "signer.example.com:0", want: "is neither a name nor name:port"},
		{name: "no region", replace: "ap-northeast-1", by: "tokyo", want: `region: "tokyo" does not look like a region`},
		{name: "a partition of nobody", more: "partition: gcp\n", want: "partition: aws, aws-cn"},
		{name: "a certificate without a key", more: "tls: {certificate: tls.pem}\ncrl: {base: 'http://x.example'}\n", want: "tls: certificate and key go together"},
		{name: "TLS and no word about CRLs", more: "tls: {certificate: tls.pem, key: tls.key}\n", want: "crl.base: it is missing"},
		{name: "CRLs over https", more: "crl: {base: 'https://crl.example.com'}\n", want: "crl.base: it has to be http"},
		{name: "CRLs at no address", more: "crl: {base: crl}\n", want: "crl.base: \"crl\" is not an address"},
		{name: "a refresh that comes too late", more: "crl: {life: 2h, refresh: 90m}\n", want: "crl.refresh: 1h30m0s is more than half of crl.life"},
		{name: "a negative duration", more: "crl: {life: -1h}\n", want: "crl.life: between"},
		{name: "a kind of profile that there is not", more: "signing: {defaultKind: cosign}\n", want: `signing.defaultKind: aws or standard, not "cosign"`},
		{name: "an issuing key that there is not", replace: "ca: {", by: "ca: {issuingKey: rsa3072, ", want: "ca.issuingKey: p256 or p384"},
		{name: "a negative rate", more: "requests: {perSecond: -1}\n", want: "requests.perSecond: between"},
		{name: "a rate that is no number", more: "requests: {perSecond: many}\n", want: "requests.perSecond: a whole number is wanted"},
		{name: "a number that is too large", more: "requests: {burst: 99999999999999999999}\n", want: "requests.burst: "},
		{name: "a country in words", replace: "country: JP", by: "country: Japan", want: "ca.subject.country: two capital letters"},
		{name: "a country that YAML takes for false", replace: "country: JP", by: "country: no", want: "ca.subject.country: "},
		{name: "a list for a text", more: "listen: [a, b]\n", want: "listen: a text"},
		{name: "a text for keys", more: "crl: none\n", want: "crl: keys and values are wanted here"},
		{name: "a merge key", more: "<<: {region: x}\n", want: "unknown key <<"},
		{name: "a list of configurations", more: "- a\n", want: "not YAML"},
		{name: "control characters in a name", replace: "organization: Example", by: `organization: "Ex\u202eample"`, want: "ca.subject.organization: at most 64 characters that can be seen"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := good
			if c.replace != "" {
				text = strings.Replace(text, c.replace, c.by, 1)
			}
			var got config
			f := decodeConfig("c.yaml", []byte(text+c.more), &got)
			got.defaults(dir)
			got.validate(f, noEnv)
			err := f.err()
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestDurationsAndPathsAreRead(t *testing.T) {
	var c config
	f := decodeConfig("c.yaml", []byte("data: d\nidentity: {file: /abs}\ncrl: {life: 36h}\nsigning: {leafLife: 90m}\n"), &c)
	if err := f.err(); err != nil {
		t.Fatal(err)
	}
	c.defaults("/etc/shuind")
	if c.Data != "/etc/shuind/d" || c.Identity.File != "/abs" || c.CRL.Directory != "/etc/shuind/d/crl" {
		t.Errorf("paths %q %q %q", c.Data, c.Identity.File, c.CRL.Directory)
	}
	if c.CRL.Life != 36*time.Hour || c.Signing.LeafLife != 90*time.Minute {
		t.Errorf("durations %v %v", c.CRL.Life, c.Signing.LeafLife)
	}
}

// FuzzDecodeConfig: no text makes it panic, and what it accepts has the keys
// it says it has.
func FuzzDecodeConfig(f *testing.F) {
	f.Add(exampleConfig)
	f.Add("name: a\nname: b\n")
	f.Add("crl: {life: 5\n")
	f.Add("&a [*a]")
	f.Add("? {a: b}\n: c\n")
	f.Add("tls:\n  - a: 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		var c config
		faults := decodeConfig("f.yaml", []byte(text), &c)
		c.defaults("/")
		c.validate(faults, noEnv)
		_ = faults.err()
	})
}
