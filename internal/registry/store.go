package registry

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/renameio/v2/maybe"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// Store finds registry credentials where notation does (reference section 7):
// in notation's config.json if that configures any (credsStore, credHelpers or
// auths), else in Docker's if that does, else in the platform's own helper;
// else there are none. Files are read at each use. It never writes a password
// into a file.
type Store struct {
	// NotationConfig is the path of notation's config.json; it need not exist.
	NotationConfig string
	// DockerConfig is the path of Docker's config.json; empty: none.
	DockerConfig string
	// NativeHelper is the suffix of the platform's own credential helper
	// ("osxkeychain"), see [DefaultHelper]; empty: none.
	NativeHelper string
	// Environment of the helpers; nil: the process's. Names starting with
	// NOTATION_ are left out in any case.
	Environment []string
}

// ErrPlaintext is the reason why a credential was not saved: no helper is
// configured, and a file would hold it in plain text.
var ErrPlaintext = errors.New("putting plaintext credentials is disabled")

// credentialFile is what a config.json (Docker's or notation's) says about
// credentials.
type credentialFile struct {
	path    string
	content map[string]jsontext.Value
	auths   map[string]jsontext.Value
	store   string
	helpers map[string]string
}

// authEntry is one entry of auths.
type authEntry struct {
	Auth          string `json:"auth,omitempty"` // base64 of "user:password"
	IdentityToken string `json:"identitytoken,omitempty"`
	RegistryToken string `json:"registrytoken,omitempty"`
	Username      string `json:"username,omitempty"`
	Password      string `json:"password,omitempty"`
}

func loadCredentialFile(name string) (*credentialFile, error) {
	c := &credentialFile{path: name, content: map[string]jsontext.Value{}, auths: map[string]jsontext.Value{}}
	if name == "" {
		return c, nil
	}
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil && !info.Mode().IsRegular() { // opening a pipe would wait for a writer
		err = fmt.Errorf("%s is not a regular file", name)
	}
	if err != nil {
		return nil, fmt.Errorf("read credential configuration: %w", err)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read credential configuration: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limits.ConfigBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read credential configuration: %w", err)
	}
	if len(b) > limits.ConfigBytes {
		return nil, exceeded("read credential configuration", "ConfigBytes", "%s has more than %d bytes", name, limits.ConfigBytes)
	}
	if strings.TrimSpace(string(b)) == "" {
		return c, nil
	}
	if err := c.parse(b); err != nil {
		return nil, fmt.Errorf("%s: invalid config format: %w", name, err)
	}
	return c, nil
}

// parse keeps values it does not understand as they are. Its errors name
// fields and never quote their content.
func (c *credentialFile) parse(b []byte) error {
	if err := decode(b, &c.content); err != nil {
		return errors.New("not a JSON object")
	}
	for field, into := range map[string]any{"auths": &c.auths, "credsStore": &c.store, "credHelpers": &c.helpers} {
		if v, ok := c.content[field]; ok && json.Unmarshal(v, into) != nil {
			return fmt.Errorf("field %q is malformed", field)
		}
	}
	if c.content == nil {
		c.content = map[string]jsontext.Value{}
	}
	if c.auths == nil {
		c.auths = map[string]jsontext.Value{}
	}
	return nil
}

func (c *credentialFile) configured() bool {
	return c.store != "" || len(c.helpers) > 0 || len(c.auths) > 0
}

// helper is the suffix of the helper for a server; empty: the file itself.
func (c *credentialFile) helper(server string) string {
	if h := c.helpers[server]; h != "" {
		return h
	}
	return c.store
}

// credential reads the entry of a server from the file. Old files have the key
// as an address ("https://host/").
func (c *credentialFile) credential(server string) (Credential, error) {
	v, ok := c.auths[server]
	if !ok {
		for k, candidate := range c.auths {
			if bareHost(k) == server {
				v, ok = candidate, true
				break
			}
		}
	}
	if !ok {
		return Credential{}, nil
	}
	var e authEntry
	if json.Unmarshal(v, &e) != nil {
		return Credential{}, fmt.Errorf("%s: the entry of %s in auths is malformed", c.path, server)
	}
	cred := Credential{Username: e.Username, Password: e.Password, RefreshToken: e.IdentityToken, AccessToken: e.RegistryToken}
	if e.Auth == "" {
		return cred, nil
	}
	pair, err := base64.StdEncoding.DecodeString(e.Auth)
	user, password, ok := strings.Cut(string(pair), ":")
	if err != nil || !ok {
		return Credential{}, fmt.Errorf("%s: auth of %s is not base64 of user:password", c.path, server)
	}
	cred.Username, cred.Password = user, password
	return cred, nil
}

func bareHost(address string) string {
	address = strings.TrimPrefix(strings.TrimPrefix(address, "http://"), "https://")
	host, _, _ := strings.Cut(address, "/")
	return host
}

// remove deletes the entry of a server and keeps all else.
func (c *credentialFile) remove(server string) error {
	if _, ok := c.auths[server]; !ok {
		return nil
	}
	delete(c.auths, server)
	auths, err := json.Marshal(c.auths, json.Deterministic(true))
	if err != nil {
		return errors.New("auths cannot be written")
	}
	c.content["auths"] = auths
	b, err := json.Marshal(c.content, json.Deterministic(true), jsontext.WithIndent("\t"))
	if err != nil {
		return errors.New("the configuration cannot be written")
	}
	mode := fs.FileMode(0o600)
	if info, err := os.Stat(c.path); err == nil {
		mode = info.Mode().Perm()
	}
	name, err := filepath.EvalSymlinks(c.path)
	if err != nil {
		return err
	}
	return maybe.WriteFile(name, b, mode)
}

// source is the file that decides, and the helper for a server if one does.
func (s *Store) source(server string) (*credentialFile, string, error) {
	own, err := loadCredentialFile(s.NotationConfig)
	if err != nil {
		return nil, "", err
	}
	if own.configured() {
		return own, own.helper(server), nil
	}
	docker, err := loadCredentialFile(s.DockerConfig)
	if err != nil {
		return nil, "", err
	}
	if docker.configured() {
		return docker, docker.helper(server), nil
	}
	return own, s.NativeHelper, nil
}

// Credential is the credential for a registry host; it has the form that
// [Client].Credential wants. The zero Credential: there is none.
func (s *Store) Credential(ctx context.Context, host string) (Credential, error) {
	server := serverAddress(host)
	file, helper, err := s.source(server)
	if err != nil {
		return Credential{}, err
	}
	if helper == "" {
		return file.credential(server)
	}
	return s.helperGet(ctx, helper, server)
}

// HasOwnHelper reports whether the configuration that decides names a helper
// for just this host (credHelpers): then what it answers counts, also that
// there is nothing.
func (s *Store) HasOwnHelper(host string) bool {
	server := serverAddress(host)
	file, _, err := s.source(server)
	return err == nil && file.helpers[server] != ""
}

// save gives the credential to the helper that is configured for the server;
// [ErrPlaintext] when there is none.
func (s *Store) save(ctx context.Context, registry string, c Credential) error {
	server := serverAddress(registry)
	_, helper, err := s.source(server)
	if err != nil {
		return err
	}
	if helper == "" {
		return ErrPlaintext
	}
	return s.helperStore(ctx, helper, server, c)
}

// Delete forgets the credential of a registry: in the helper that is configured
// for it, else in the file that decides. Nothing there is no error.
func (s *Store) Delete(ctx context.Context, registry string) error {
	server := serverAddress(registry)
	file, helper, err := s.source(server)
	if err == nil {
		if helper == "" {
			err = file.remove(server)
		} else {
			err = s.helperErase(ctx, helper, server)
		}
	}
	if err != nil {
		return &shuin.Error{Code: shuin.CodeInvalidInput, Message: "failed to delete the credential for " + server, Err: err}
	}
	return nil
}

// serverAddress is the key of a registry in credential stores. Docker Hub has
// one of its own.
func serverAddress(registry string) string {
	if registry == "docker.io" || registry == "registry-1.docker.io" {
		return "https://index.docker.io/v1/"
	}
	return registry
}
