package main

import (
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/issue"
	"github.com/shuin/shuin/signing"
)

var (
	dnsName       = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	regionName    = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$`)
	partitionName = regexp.MustCompile(`^aws(-[a-z]+)*$`)
	countryName   = regexp.MustCompile(`^[A-Z]{2}$`)
)

// validate adds every reason why c, completed by defaults, cannot be used.
func (c *config) validate(f *faults, lookupEnv func(string) (string, bool)) {
	if !c.gates() && c.nothing() {
		f.list = append(f.list, fault{text: "it configures neither a signer (name, region, data, identity, ca) nor a gate (gate, kubernetes)"})
		return
	}
	c.validateAddresses(f)
	c.validateTLS(f)
	if c.signs() {
		c.validateNames(f)
		c.validateFiles(f, lookupEnv)
		c.validateCRL(f)
		c.validateSigning(f)
		c.validateOrigin(f)
	} else {
		signersKeys(f)
	}
	if c.gates() {
		c.validateGate(f, lookupEnv)
	}
	if c.admits() {
		c.validateKubernetes(f)
	}
	for _, n := range []struct {
		path  string
		value int
	}{{"requests.perSecond", c.Requests.PerSecond}, {"requests.burst", c.Requests.Burst}, {"requests.connections", c.Requests.Connections}} {
		if n.value < 0 || n.value > limits.ServerRate {
			f.at(n.path, "between 1 and %d is possible (0: the default), not %d", limits.ServerRate, n.value)
		}
	}
	var level slog.Level
	if level.UnmarshalText([]byte(c.Log.Level)) != nil {
		f.at("log.level", "debug, info, warn or error, not %q", c.Log.Level)
	}
	oneOf(f, "log.format", c.Log.Format, formatText, formatJSON)
}

func oneOf(f *faults, path, value string, allowed ...string) {
	for _, one := range allowed {
		if value == one {
			return
		}
	}
	f.at(path, "%s, not %q", strings.Join(allowed, " or "), value)
}

func (c *config) validateAddresses(f *faults) {
	c.validateListen(f, "listen", c.Listen)
	if c.CRL.Listen != "" {
		c.validateListen(f, "crl.listen", c.CRL.Listen)
	}
	if c.Operations.Listen != "" {
		c.validateListen(f, "operations.listen", c.Operations.Listen)
	}
}

func (c *config) validateNames(f *faults) {
	host := c.hostname()
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	switch {
	case c.Name == "":
		f.at("name", "it is missing: the DNS name that clients reach the API by, with the port where it is not the scheme's own")
	case err == nil:
		f.at("name", "an address cannot be used: clients ask for verification.%s and data-%s, which have to be names", host, host)
	case !dnsName.MatchString(host) || len(host) > 240:
		f.at("name", "%q is not a DNS name in lower case, host or host:port", c.Name)
	case host != c.Name && !validPort(c.Name[len(host)+1:]):
		f.at("name", "%q is neither a name nor name:port", c.Name)
	}
	switch {
	case c.Region == "":
		f.at("region", "it is missing: the region in ARNs, and the one that requests are signed for")
	case !regionName.MatchString(c.Region):
		f.at("region", "%q does not look like a region, as ap-northeast-1 does", c.Region)
	}
	if !partitionName.MatchString(c.Partition) {
		f.at("partition", "aws, aws-cn, aws-us-gov, …, not %q", c.Partition)
	}
}

// validateListen wants host:port; without TLS only loopback is served, unless
// that was asked for in so many words. CRLs and health are public or inside.
func (c *config) validateListen(f *faults, path, address string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !validPort(port) && port != "0" {
		f.at(path, "%q is not host:port", address)
		return
	}
	if path == "listen" && c.TLS.Certificate == "" && !c.TLS.PlaintextBehindProxy && !loopback(host) {
		f.at(path, "plain HTTP is served on loopback only: set tls.certificate and tls.key, or tls.plaintextBehindProxy where a proxy ends TLS")
	}
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

func validPort(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n > 0 && n < 1<<16
}

func (c *config) validateTLS(f *faults) {
	switch {
	case (c.TLS.Certificate == "") != (c.TLS.Key == ""):
		f.at("tls", "certificate and key go together")
	case c.TLS.Certificate != "" && c.TLS.PlaintextBehindProxy:
		f.at("tls.plaintextBehindProxy", "it does not go with a certificate")
	}
	validateFile(f, "tls.certificate", c.TLS.Certificate)
	validateFile(f, "tls.key", c.TLS.Key)
}

// validateFile wants a file there, if one is named.
func validateFile(f *faults, path, file string) {
	if file == "" {
		return
	}
	if info, err := os.Stat(file); err != nil {
		f.at(path, "%v", err)
	} else if info.IsDir() {
		f.at(path, "%s is a directory", file)
	}
}

func (c *config) validateFiles(f *faults, lookupEnv func(string) (string, bool)) {
	if c.Data == "" {
		f.at("data", "it is missing: the directory that keeps the database, the CA and the CRLs")
	}
	switch value, set := lookupEnv(c.Identity.Env); {
	case strings.HasPrefix(strings.ToUpper(c.Identity.Env), "AGE-SECRET-KEY-"):
		f.at("identity.env", "this is an identity, not the name of a variable that holds one: secrets have no place in the configuration")
	case c.Identity.File != "" && c.Identity.Env != "":
		f.at("identity", "either file or env, not both")
	case c.Identity.File == "" && c.Identity.Env == "":
		f.at("identity", "file or env is missing: where the age identity is that opens the keys at rest")
	case c.Identity.Env != "" && (!set || value == ""):
		f.at("identity.env", "the environment variable %s is not set", c.Identity.Env)
	}
	validateFile(f, "identity.file", c.Identity.File)
	s := c.CA.Subject
	for _, part := range []struct{ path, value string }{
		{"ca.subject.country", s.Country}, {"ca.subject.province", s.Province}, {"ca.subject.organization", s.Organization},
	} {
		switch {
		case part.value == "":
			f.at(part.path, "it is missing: Notary identities (x509.subject) need C, ST and O")
		case len(part.value) > 64 || printable(part.value) != part.value || strings.ContainsAny(part.value, "\n\t"):
			f.at(part.path, "at most 64 characters that can be seen, not %q", part.value)
		}
	}
	if s.Country != "" && !countryName.MatchString(s.Country) {
		f.at("ca.subject.country", "two capital letters (ISO 3166), not %q", s.Country)
	}
	oneOf(f, "ca.issuingKey", c.CA.IssuingKey, string(issue.P256), string(issue.P384))
}

func (c *config) validateCRL(f *faults) {
	u, err := url.Parse(c.CRL.Base)
	switch {
	case c.CRL.Base == "":
		f.at("crl.base", "it is missing: with TLS, say under which http address the CRLs are (crl.listen can serve them)")
	case err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		f.at("crl.base", "%q is not an address such as http://crl.example.com/crl", c.CRL.Base)
	case u.Scheme != "http":
		f.at("crl.base", "it has to be http: notation fetches CRLs over nothing else (a CRL is signed; TLS adds no protection)")
	}
	between(f, "crl.life", c.CRL.Life, 10*time.Minute, limits.CRLLifeMax)
	between(f, "crl.refresh", c.CRL.Refresh, time.Minute, limits.CRLLifeMax)
	if c.CRL.Refresh > c.CRL.Life/2 {
		f.at("crl.refresh", "%v is more than half of crl.life (%v): a CRL could end before the next one is there", c.CRL.Refresh, c.CRL.Life)
	}
}

func (c *config) validateSigning(f *faults) {
	oneOf(f, "signing.defaultKind", c.Signing.DefaultKind, string(signing.KindAWS), string(signing.KindStandard))
	oneOf(f, "signing.selfCheck", c.Signing.SelfCheck, selfCheckSampled, selfCheckAlways)
	between(f, "signing.leafLife", c.Signing.LeafLife, 10*time.Minute, limits.LeafLifeMax)
	between(f, "signing.maxClockStep", c.Signing.MaxClockStep, time.Second, time.Hour)
}

func (c *config) validateOrigin(f *faults) {
	switch origin := c.Checkpoint.Origin; {
	case origin == "" && c.Name != "" && !audit.ValidOrigin(c.newOrigin()):
		f.at("checkpoint.origin", "it is missing: %q is too long to name a log after (at most %d bytes)", c.newOrigin(), limits.LogOriginBytes)
	case origin != "" && !audit.ValidOrigin(origin):
		f.at("checkpoint.origin", "a name such as signer.example.com/log, of at most %d bytes, without white space and plus signs, not %q", limits.LogOriginBytes, origin)
	}
}

func between(f *faults, path string, d, low, high time.Duration) {
	if d < low || d > high {
		f.at(path, "between %v and %v, not %v", low, high, d)
	}
}
