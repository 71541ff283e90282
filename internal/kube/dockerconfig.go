package kube

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/shuin/shuin/internal/limits"
)

// Credential is a user name and password for a registry. It cannot be printed or
// logged: every form it takes as text is the same.
type Credential struct {
	Username, Password string
}

// String hides everything.
func (c Credential) String() string { return "credential(***)" }

// GoString hides everything from %#v.
func (c Credential) GoString() string { return c.String() }

// LogValue hides everything from logs.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText hides everything from encoders.
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// registryEntry is one registry's credential of a Docker configuration: the
// place as the kubelet reads it, and who is to be logged in there.
type registryEntry struct {
	place      string   // what entries are ordered by: host, port and path
	host       []string // its labels, with * in any of them
	port, path string
	credential Credential
}

// errDockerConfig is all that is said of a configuration that cannot be read:
// its text holds secrets.
var errDockerConfig = errors.New("it is no Docker configuration that can be read")

// parseDockerConfig reads {"auths": {PLACE: {…}}}, the value of a Secret of the
// type kubernetes.io/dockerconfigjson. No error has any of data in it.
func parseDockerConfig(data []byte) ([]registryEntry, error) {
	var out []registryEntry
	err := dockerObject(data, func(key string, d *jsontext.Decoder) (err error) {
		if key != "auths" {
			return d.SkipValue()
		}
		out, err = readAuths(d)
		return err
	})
	return out, err
}

// parseDockerCfg reads {PLACE: {…}}, the older form: the value of a Secret of the
// type kubernetes.io/dockercfg.
func parseDockerCfg(data []byte) (out []registryEntry, err error) {
	if len(data) > limits.KubePullSecretBytes {
		return nil, errTooLong
	}
	d := jsontext.NewDecoder(strings.NewReader(string(data)))
	if out, err = readAuths(d); err != nil {
		return nil, err
	}
	return out, ended(d)
}

var errTooLong = fmt.Errorf("it is longer than %d bytes (limit KubePullSecretBytes)", limits.KubePullSecretBytes)

// dockerObject reads data as one JSON object, at most KubePullSecretFields
// members, no name twice.
func dockerObject(data []byte, member func(key string, d *jsontext.Decoder) error) error {
	if len(data) > limits.KubePullSecretBytes {
		return errTooLong
	}
	d := jsontext.NewDecoder(strings.NewReader(string(data)))
	if err := members(d, limits.KubePullSecretFields, member); err != nil {
		return err
	}
	return ended(d)
}

// ended: nothing follows what was read.
func ended(d *jsontext.Decoder) error {
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return errDockerConfig
	}
	return nil
}

// members reads the object that comes next, at most n members.
func members(d *jsontext.Decoder, n int, member func(key string, d *jsontext.Decoder) error) error {
	open, err := d.ReadToken()
	if err != nil || open.Kind() != '{' {
		return errDockerConfig
	}
	for count := 0; d.PeekKind() != '}'; count++ {
		if count == n {
			return fmt.Errorf("it has more than %d members in one place", n)
		}
		key, err := d.ReadToken()
		if err != nil {
			return errDockerConfig
		}
		name := key.String()
		if err := member(name, d); err != nil {
			return hidden(err)
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return errDockerConfig
	}
	return nil
}

// hidden is err, unless it is the decoder's own, which may quote what it read.
func hidden(err error) error {
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return errDockerConfig
	}
	return err
}

// readAuths reads the places of a configuration.
func readAuths(d *jsontext.Decoder) ([]registryEntry, error) {
	if d.PeekKind() == 'n' {
		return nil, hidden(d.SkipValue())
	}
	var out []registryEntry
	err := members(d, limits.KubePullSecretEntries, func(key string, d *jsontext.Decoder) error {
		credential, err := readAuth(d)
		if err != nil {
			return err
		}
		// A place that is none is passed over, as the kubelet does.
		if e, ok := entryOf(key); ok {
			e.credential = credential
			out = append(out, e)
		}
		return nil
	})
	return out, err
}

// readAuth reads one place's credential: username and password, or both in auth,
// which then counts. What else stands there (email, tokens) the kubelet does not
// use either.
func readAuth(d *jsontext.Decoder) (Credential, error) {
	var c Credential
	auth := ""
	if d.PeekKind() == 'n' {
		return c, hidden(d.SkipValue())
	}
	err := members(d, limits.KubePullSecretFields, func(key string, d *jsontext.Decoder) error {
		into := map[string]*string{"username": &c.Username, "password": &c.Password, "auth": &auth}[key]
		if into == nil || d.PeekKind() == 'n' {
			return d.SkipValue()
		}
		value, err := d.ReadToken()
		if err != nil || value.Kind() != '"' {
			return errDockerConfig
		}
		*into = value.String()
		return nil
	})
	if err != nil || auth == "" {
		return c, err
	}
	return decodeAuth(auth)
}

// decodeAuth reads base64 of "username:password", with padding or without.
func decodeAuth(text string) (Credential, error) {
	encoding := base64.RawStdEncoding
	if strings.HasSuffix(strings.TrimSpace(text), "=") {
		encoding = base64.StdEncoding
	}
	plain, err := encoding.DecodeString(text)
	if err != nil {
		return Credential{}, errors.New("the auth of a registry is no base64")
	}
	name, password, ok := strings.Cut(string(plain), ":")
	if !ok {
		return Credential{}, errors.New("the auth of a registry is no user name and password with a colon between them")
	}
	return Credential{name, password}, nil
}

// entryOf reads a place: a host with or without a scheme, a port, a path; of
// "/v1/" and "/v2/" at its beginning only what follows counts
// (https://index.docker.io/v1/).
func entryOf(key string) (registryEntry, bool) {
	if !strings.HasPrefix(key, "https://") && !strings.HasPrefix(key, "http://") {
		key = "https://" + key
	}
	u, err := url.Parse(key)
	if err != nil {
		return registryEntry{}, false
	}
	place := u.Host
	rest := u.Path
	if strings.HasPrefix(rest, "/v1/") || strings.HasPrefix(rest, "/v2/") {
		rest = rest[len("/v1"):]
	}
	if rest != "/" {
		place += rest
	}
	// The kubelet reads what it has put together once more, as it reads the image.
	if u, err = url.Parse("https://" + place); err != nil {
		return registryEntry{}, false
	}
	e := registryEntry{place: place, path: u.Path}
	e.host, e.port = hostLabels(u.Host)
	return e, true
}

// hostLabels are the labels of a host, and its port.
func hostLabels(hostport string) (labels []string, port string) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		host, port = hostport, ""
	}
	return strings.Split(host, "."), port
}

// The two names of Docker Hub in configurations.
const (
	dockerHub       = "docker.io"
	dockerHubLegacy = "index.docker.io"
)

// matching are the credentials for a repository in the order in which the kubelet
// tries them: those of longer places first, and in the order of the secrets where
// places are equal.
func matching(entries []registryEntry, registry, repository string) []Credential {
	labels, port := hostLabels(registry)
	var found []registryEntry
	for _, e := range entries {
		if e.matches(labels, port, "/"+repository) {
			found = append(found, e)
		}
	}
	if len(found) == 0 && (registry == dockerHub || registry == dockerHubLegacy) {
		for _, e := range entries {
			if e.place == dockerHubLegacy {
				found = append(found, e)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b registryEntry) int { return strings.Compare(b.place, a.place) })
	var out []Credential
	for _, e := range found {
		if !slices.Contains(out, e.credential) {
			out = append(out, e.credential)
		}
	}
	return out
}

// matches: the same port, as many labels that match each, and the path a prefix,
// also within a word, as the kubelet has it.
func (e *registryEntry) matches(labels []string, port, repository string) bool {
	if e.port != port || len(e.host) != len(labels) || !strings.HasPrefix(repository, e.path) {
		return false
	}
	for i, glob := range e.host {
		if ok, err := path.Match(glob, labels[i]); err != nil || !ok {
			return false
		}
	}
	return true
}
