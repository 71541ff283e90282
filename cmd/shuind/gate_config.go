package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/shuin/shuin/internal/gateapi"
	"github.com/shuin/shuin/internal/limits"
)

// gateConfig is the gate: who may ask whether images may run, and by which
// policy and trust that is decided. Left out: this server has no gate.
type gateConfig struct {
	// Listen is an address of its own for the gate's API, host:port; empty:
	// it is served on the server's address, beside the signer if there is one.
	Listen string `yaml:"listen"`
	// TLS is the certificate of that address; left out: the server's own.
	TLS tlsConfig `yaml:"tls"`
	// ClientCA is a file of CA certificates (PEM) of client certificates.
	ClientCA string `yaml:"clientCA"`
	// Policy is the pipeline policy, or a Notary trust policy in its place.
	Policy string `yaml:"policy"`
	// Bundle is a policy bundle, in place of Policy: the policy with the trust
	// stores that it names.
	Bundle string `yaml:"bundle"`
	// SignedBy is who may sign the bundle; left out: the file is trusted as a
	// policy file is.
	SignedBy signedByConfig `yaml:"signedBy"`
	// Trust is a notation configuration directory: trust stores under
	// truststore/x509, plugins under plugins, config.json for registries.
	Trust string `yaml:"trust"`
	// Records is the file that every decision is written to, a line of JSON each;
	// "-": the standard output.
	Records string `yaml:"records"`
	// Findings is the database of findings that principals tell of; empty: they
	// are not taken.
	Findings string `yaml:"findings"`
	// Cache is the directory for signatures and CRLs; empty: none are kept on disk.
	Cache string `yaml:"cache"`

	Credentials credentialsConfig  `yaml:"credentials"`
	Requests    gateRequestsConfig `yaml:"requests"`
	Revocation  revocationConfig   `yaml:"revocation"`
	Principals  []principalConfig  `yaml:"principals"`
	// AnyoneOnLoopbackMayAsk lets every process of this machine ask about
	// every place, without principals. For trials, on a loopback address.
	AnyoneOnLoopbackMayAsk bool `yaml:"anyoneOnLoopbackMayAsk"`
}

// credentialsConfig is where the gate finds credentials of registries, beside
// config.json of the trust directory and the AWS credentials of the process.
type credentialsConfig struct {
	DockerConfig string `yaml:"dockerConfig"`
}

// gateRequestsConfig is about how many images one principal may ask, per second
// and at once.
type gateRequestsConfig struct {
	PerSecond int `yaml:"perSecond"`
	Burst     int `yaml:"burst"`
}

// revocationConfig is how revocation is checked.
type revocationConfig struct {
	AllowPrivateAddresses bool `yaml:"allowPrivateAddresses"`
}

// principalConfig is somebody who may ask, and about which places.
type principalConfig struct {
	Name        string            `yaml:"name"`
	Token       tokenConfig       `yaml:"token"`
	Certificate certificateConfig `yaml:"certificate"`
	Clusters    []string          `yaml:"clusters"`
	Namespaces  []string          `yaml:"namespaces"`
	Anywhere    bool              `yaml:"anywhere"`
	// ReadsPolicy: it may fetch the policy bundle in use.
	ReadsPolicy bool `yaml:"readsPolicy"`
	// Reports: it may tell of findings, of the clusters it may ask about.
	Reports bool `yaml:"reports"`
}

// tokenConfig says where a bearer token is: in a file, which is read again
// when it changes, or in an environment variable; never in the configuration.
type tokenConfig struct {
	File string `yaml:"file"`
	Env  string `yaml:"env"`
}

// certificateConfig is what a client certificate says: one of the three.
type certificateConfig struct {
	URI     string `yaml:"uri"`
	DNS     string `yaml:"dns"`
	Subject string `yaml:"subject"`
}

// gates says whether this server has a gate, signs whether it has a signer.
func (c *config) gates() bool { return c.admits() || !reflect.DeepEqual(c.Gate, gateConfig{}) }

func (c *config) signs() bool { return !c.gates() || !c.nothing() }

// nothing says whether no key of the signer is there that it cannot do without.
func (c *config) nothing() bool {
	return c.Name == "" && c.Region == "" && c.Data == "" && c.Identity == (identityConfig{}) && c.CA.Subject == (subjectConfig{})
}

// gateListen and gateTLS are where the gate is served, and how.
func (c *config) gateListen() string {
	if c.Gate.Listen == "" {
		return c.Listen
	}
	return c.Gate.Listen
}

func (c *config) gateTLS() tlsConfig {
	if c.Gate.Listen == "" || c.Gate.TLS == (tlsConfig{}) {
		return c.TLS
	}
	return c.Gate.TLS
}

// signersKeys refuses what would have no effect without a signer.
func signersKeys(f *faults) {
	for _, key := range []string{"partition", "crl", "signing", "checkpoint", "requests.perSecond", "requests.burst", "requests.emptyRegion"} {
		if f.lines[key] > 0 {
			f.at(key, "it is the signer's, and there is no signer here (name, region, data, identity, ca)")
		}
	}
}

// paths are those of the gate, to be made absolute.
func (g *gateConfig) paths() []*string {
	paths := []*string{&g.TLS.Certificate, &g.TLS.Key, &g.ClientCA, &g.Policy, &g.Bundle, &g.SignedBy.Signature, &g.Trust, &g.Findings, &g.Cache, &g.Credentials.DockerConfig}
	if g.Records != recordsToStdout {
		paths = append(paths, &g.Records)
	}
	for i := range g.Principals {
		paths = append(paths, &g.Principals[i].Token.File)
	}
	return paths
}

func (c *config) validateGate(f *faults, lookupEnv func(string) (string, bool)) {
	g := &c.Gate
	c.validateGateListen(f)
	g.validateBundle(f)
	policyMissing := "the pipeline policy (or a Notary trust policy) that decides; or gate.bundle, a policy bundle"
	if g.Bundle != "" || c.Kubernetes.policyInCluster() {
		policyMissing = ""
	}
	trustMissing := "the notation configuration directory whose trust stores the policy names"
	if c.Kubernetes.trustInCluster() {
		trustMissing = ""
	}
	for _, one := range []struct {
		path, file, missing string
		dir                 bool
	}{
		{"gate.policy", g.Policy, policyMissing, false},
		{"gate.bundle", g.Bundle, "", false},
		{"gate.trust", g.Trust, trustMissing, true},
		{"gate.clientCA", g.ClientCA, "", false},
		{"gate.credentials.dockerConfig", g.Credentials.DockerConfig, "", false},
		{"gate.tls.certificate", g.TLS.Certificate, "", false},
		{"gate.tls.key", g.TLS.Key, "", false},
	} {
		info, err := os.Stat(one.file)
		switch {
		case one.file == "" && one.missing != "":
			f.at(one.path, "it is missing: %s", one.missing)
		case one.file == "":
		case err != nil:
			f.at(one.path, "%v", err)
		case info.IsDir() != one.dir && one.dir:
			f.at(one.path, "%s is no directory", one.file)
		case info.IsDir() != one.dir:
			f.at(one.path, "%s is a directory", one.file)
		}
	}
	if g.Records != "" && g.Records != recordsToStdout {
		if info, err := os.Stat(filepath.Dir(g.Records)); err != nil || !info.IsDir() {
			f.at("gate.records", "there is no directory %s", filepath.Dir(g.Records))
		}
	}
	for _, n := range []struct {
		path  string
		value int
	}{{"gate.requests.perSecond", g.Requests.PerSecond}, {"gate.requests.burst", g.Requests.Burst}} {
		if n.value < 0 || n.value > limits.ServerRate {
			f.at(n.path, "between 1 and %d is possible (0: the default), not %d", limits.ServerRate, n.value)
		}
	}
	c.validateFindings(f)
	c.validatePrincipals(f, lookupEnv)
}

func (c *config) validateGateListen(f *faults) {
	g := &c.Gate
	t := g.TLS
	switch {
	case (t.Certificate == "") != (t.Key == ""):
		f.at("gate.tls", "certificate and key go together")
	case t.Certificate != "" && t.PlaintextBehindProxy:
		f.at("gate.tls.plaintextBehindProxy", "it does not go with a certificate")
	case t != (tlsConfig{}) && g.Listen == "":
		f.at("gate.tls", "it is for an address of the gate's own (gate.listen); without one the server's tls counts")
	}
	host, port, err := net.SplitHostPort(c.gateListen())
	if g.Listen != "" {
		switch {
		case err != nil || !validPort(port) && port != "0":
			f.at("gate.listen", "%q is not host:port", g.Listen)
			return
		case c.gateTLS().Certificate == "" && !c.gateTLS().PlaintextBehindProxy && !loopback(host):
			f.at("gate.listen", "plain HTTP is served on loopback only: set gate.tls, or the server's tls")
		}
	}
	if g.AnyoneOnLoopbackMayAsk {
		switch {
		case err != nil || !loopback(host) || c.gateTLS().PlaintextBehindProxy:
			f.at("gate.anyoneOnLoopbackMayAsk", "it is for a loopback address without a proxy before it")
		case len(g.Principals) > 0:
			f.at("gate.anyoneOnLoopbackMayAsk", "it does not go with principals")
		}
	}
	if g.ClientCA != "" && c.gateTLS().Certificate == "" {
		f.at("gate.clientCA", "client certificates need TLS: set gate.tls.certificate, or the server's tls.certificate")
	}
}

func (c *config) validatePrincipals(f *faults, lookupEnv func(string) (string, bool)) {
	g := &c.Gate
	switch {
	case !c.gateAPI():
		for _, key := range []string{"gate.listen", "gate.tls", "gate.clientCA", "gate.requests"} {
			if f.lines[key] > 0 {
				f.at(key, "it is the gate's own API's, and nobody may ask there: there are no gate.principals")
			}
		}
		if f.lines["listen"] > 0 && !c.signs() {
			f.at("listen", "nothing would be served there: the webhooks are at kubernetes.listen, health at operations.listen, and there are no gate.principals")
		}
		return
	case len(g.Principals) == 0 && !g.AnyoneOnLoopbackMayAsk:
		f.at("gate.principals", "there are none: nobody could ask. Name those who may, each with a token or a certificate and its places")
	case len(g.Principals) > limits.GatePrincipals:
		f.at("gate.principals", "more than %d (limit GatePrincipals)", limits.GatePrincipals)
		return
	}
	for i := range g.Principals {
		g.Principals[i].validate(f, "gate.principals["+strconv.Itoa(i)+"]", g.ClientCA != "", lookupEnv)
	}
}

func (p *principalConfig) validate(f *faults, at string, clientCA bool, lookupEnv func(string) (string, bool)) {
	if p.Name == "" || len(p.Name) > limits.GateAPINameBytes || strings.ContainsFunc(p.Name, func(r rune) bool { return !unicode.IsGraphic(r) || r == ' ' }) {
		f.at(at+".name", "a name without spaces is wanted, not %q: it is in logs, records and metrics", p.Name)
	}
	cert := 0
	for _, s := range []string{p.Certificate.URI, p.Certificate.DNS, p.Certificate.Subject} {
		if s != "" {
			cert++
		}
	}
	value, set := lookupEnv(p.Token.Env)
	_, noToken := gateapi.HashToken(p.Token.Env)
	switch {
	case p.Token.Env != "" && noToken == nil:
		f.at(at+".token.env", "this is a token, not the name of a variable that holds one: secrets have no place in the configuration")
	case p.Token.File != "" && p.Token.Env != "":
		f.at(at+".token", "either file or env, not both")
	case p.Token == (tokenConfig{}) && cert == 0:
		f.at(at, "neither a token nor a certificate: say how it is known")
	case p.Token.Env != "" && (!set || value == ""):
		f.at(at+".token.env", "the environment variable %s is not set", p.Token.Env)
	}
	switch u, err := url.Parse(p.Certificate.URI); {
	case cert > 1:
		f.at(at+".certificate", "one of uri, dns and subject, not several")
	case cert == 1 && !clientCA:
		f.at(at+".certificate", "there is no CA of client certificates: set gate.clientCA")
	case p.Certificate.URI != "" && (err != nil || u.Scheme == "" || u.String() != p.Certificate.URI):
		f.at(at+".certificate.uri", "%q is not a URI such as spiffe://example.com/ci", p.Certificate.URI)
	case p.Certificate.DNS != "" && !dnsName.MatchString(p.Certificate.DNS):
		f.at(at+".certificate.dns", "%q is not a DNS name in lower case", p.Certificate.DNS)
	}
	placed := len(p.Clusters)+len(p.Namespaces) > 0
	switch {
	case placed && p.Anywhere:
		f.at(at+".anywhere", "it does not go with clusters or namespaces")
	case !placed && !p.Anywhere:
		f.at(at, "it has no places: name its clusters, its namespaces, or set anywhere to true")
	}
	for path, list := range map[string][]string{at + ".clusters": p.Clusters, at + ".namespaces": p.Namespaces} {
		if len(list) > limits.GatePlacePatterns {
			f.at(path, "more than %d (limit GatePlacePatterns)", limits.GatePlacePatterns)
		}
		if slices.ContainsFunc(list, func(s string) bool { return s == "" || len(s) > limits.GateAPINameBytes }) {
			f.at(path, "a name is empty or too long")
		}
	}
}

// principals reads tokens and CAs: who may ask by this configuration.
func (a *app) principals(g *gateConfig) (*gateapi.Principals, error) {
	if g.AnyoneOnLoopbackMayAsk {
		return gateapi.Anonymous(), nil
	}
	var faults []error
	cas, err := clientCAs(g.ClientCA)
	if err != nil {
		faults = append(faults, fmt.Errorf("gate.clientCA: %w", err))
	}
	list := make([]gateapi.Principal, len(g.Principals))
	for i, p := range g.Principals {
		list[i] = gateapi.Principal{Name: p.Name, Clusters: p.Clusters, Namespaces: p.Namespaces, Anywhere: p.Anywhere, ReadsPolicy: p.ReadsPolicy, Reports: p.Reports,
			Certificate: gateapi.Identity{URI: p.Certificate.URI, DNS: p.Certificate.DNS, Subject: p.Certificate.Subject}}
		if p.Token == (tokenConfig{}) {
			continue
		}
		if list[i].Tokens, err = a.tokens(p.Token); err != nil {
			faults = append(faults, fmt.Errorf("token of principal %q: %w", p.Name, err))
		}
	}
	if len(faults) > 0 {
		return nil, invalid("a token file holds a token alone, or several during a change, one in a line", "%w", errors.Join(faults...))
	}
	out, err := gateapi.NewPrincipals(list, cas)
	if err != nil {
		return nil, invalid("", "gate.principals: %w", err)
	}
	return out, nil
}

// tokens reads the tokens of one principal: the lines of a file, or a variable.
func (a *app) tokens(t tokenConfig) (out [][sha256.Size]byte, err error) {
	text, where := "", t.Env
	if t.File != "" {
		data, err := readFile(t.File, limits.SecretBytes, "SecretBytes")
		if err != nil {
			return nil, err
		}
		text, where = string(data), t.File
	} else {
		text, _ = a.lookupEnv(t.Env)
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			continue
		}
		sum, err := gateapi.HashToken(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		out = append(out, sum)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s holds no token", where)
	}
	return out, nil
}

// clientCAs reads the certificates of a PEM file; none for no file.
func clientCAs(path string) (list []*x509.Certificate, err error) {
	if path == "" {
		return nil, nil
	}
	data, err := readFile(path, limits.GateClientCABytes, "GateClientCABytes")
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s holds a %s: CA certificates alone belong there", path, oneLine(block.Type))
		}
		c, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", path, err)
		case !c.IsCA:
			return nil, fmt.Errorf("%s: %s is no CA's certificate", path, oneLine(c.Subject.String()))
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s holds no certificate in PEM", path)
	}
	return list, nil
}
