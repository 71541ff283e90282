package notationdir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/shuin/shuin/internal/limits"
)

// SigningKey is one entry of signingkeys.json: a local key (KeyPath and
// CertPath) or a plugin's (ID, PluginName, PluginConfig).
type SigningKey struct {
	Name         string            `json:"name"`
	KeyPath      string            `json:"keyPath,omitzero"`
	CertPath     string            `json:"certPath,omitzero"`
	ID           string            `json:"id,omitzero"`
	PluginName   string            `json:"pluginName,omitzero"`
	PluginConfig map[string]string `json:"pluginConfig,omitempty"`
	Unknown      jsontext.Value    `json:",embed"` // members of newer versions, kept as they are
}

// Local reports whether k names a key file and a certificate file.
func (k SigningKey) Local() bool { return k.KeyPath != "" || k.CertPath != "" }

// External reports whether k belongs to a plugin.
func (k SigningKey) External() bool {
	return k.ID != "" || k.PluginName != "" || len(k.PluginConfig) > 0
}

// SigningKeys is signingkeys.json. Names are unique and Default, if set, is
// one of them.
type SigningKeys struct {
	Default string         // empty: none
	Keys    []SigningKey   // in the order they were added
	unknown jsontext.Value // members of newer versions, kept as they are
}

// signingKeysJSON is the file's form; Default is a pointer since an empty one
// is malformed and an absent one is not.
type signingKeysJSON struct {
	Default *string        `json:"default,omitempty"`
	Keys    []SigningKey   `json:"keys"`
	Unknown jsontext.Value `json:",embed"`
}

// ErrKeyNameEmpty is an empty key name.
var ErrKeyNameEmpty = errors.New("key name cannot be empty")

// KeyNotFoundError is a name that no signing key has.
type KeyNotFoundError struct{ Name string }

func (e KeyNotFoundError) Error() string { return fmt.Sprintf("signing key %s not found", e.Name) }

// SigningKeys reads signingkeys.json: no keys when there is no file. Duplicate
// names and a default that names no key are refused.
func (d Dir) SigningKeys() (*SigningKeys, error) {
	data, err := readFile(d.SigningKeysPath(), limits.ConfigBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return &SigningKeys{}, nil
	}
	if err != nil {
		return nil, invalid(err, "")
	}
	return parseSigningKeys(data, d.SigningKeysPath())
}

func parseSigningKeys(data []byte, path string) (*SigningKeys, error) {
	var f signingKeysJSON
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, invalidf("malformed %s: %w", path, err)
	}
	if f.Default != nil && *f.Default == "" {
		return nil, invalidf("malformed %s: default key name cannot be empty", signingKeysFile)
	}
	k := &SigningKeys{Keys: f.Keys, unknown: f.Unknown}
	if f.Default != nil {
		k.Default = *f.Default
	}
	if err := k.validate(); err != nil {
		return nil, err
	}
	return k, nil
}

// validate checks names.
func (k *SigningKeys) validate() error {
	seen := make(map[string]bool, len(k.Keys))
	for _, key := range k.Keys {
		if key.Name == "" {
			return invalidf("malformed %s: %w", signingKeysFile, ErrKeyNameEmpty)
		}
		if seen[key.Name] {
			return invalidf("malformed %s: multiple keys with name '%s' found", signingKeysFile, key.Name)
		}
		seen[key.Name] = true
	}
	if k.Default != "" && !seen[k.Default] {
		return invalidf("malformed %s: default key '%s' not found", signingKeysFile, k.Default)
	}
	return nil
}

// UpdateSigningKeys reads signingkeys.json, lets fn change it, and writes it,
// under a lock, so that of several processes that add keys at once none is
// lost. When fn fails, nothing is written.
func (d Dir) UpdateSigningKeys(ctx context.Context, fn func(*SigningKeys) error) error {
	path := d.SigningKeysPath()
	return locked(ctx, path, func() error {
		keys, err := d.SigningKeys()
		if err != nil {
			return err
		}
		if err := fn(keys); err != nil {
			return err
		}
		if err := keys.validate(); err != nil {
			return err
		}
		data, err := keys.marshal()
		if err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		return writeFile(path, data, filePerm)
	})
}

// marshal is the file's text as notation writes it: four spaces, one newline.
func (k *SigningKeys) marshal() ([]byte, error) {
	f := signingKeysJSON{Keys: k.Keys, Unknown: k.unknown}
	if k.Default != "" {
		f.Default = &k.Default
	}
	data, err := json.Marshal(&f, json.Deterministic(true), jsontext.WithIndent("    "))
	if err != nil {
		return nil, err
	}
	return append(data, '\n'), nil
}

// Add appends a key whose name is new, and makes it the default if asked. It
// does not look whether the key works.
func (k *SigningKeys) Add(key SigningKey, markDefault bool) error {
	if key.Name == "" {
		return invalid(ErrKeyNameEmpty, "")
	}
	if k.index(key.Name) >= 0 {
		return invalidf("signing key with name %q already exists", key.Name)
	}
	k.Keys = append(k.Keys, key)
	if markDefault {
		k.Default = key.Name
	}
	return nil
}

// Get is the key called name. The error holds a [KeyNotFoundError].
func (k *SigningKeys) Get(name string) (SigningKey, error) {
	if name == "" {
		return SigningKey{}, invalid(ErrKeyNameEmpty, "")
	}
	i := k.index(name)
	if i < 0 {
		return SigningKey{}, invalid(KeyNotFoundError{name}, "")
	}
	return k.Keys[i], nil
}

// GetDefault is the default key.
func (k *SigningKeys) GetDefault() (SigningKey, error) {
	if k.Default == "" {
		return SigningKey{}, invalidf("default signing key not set. Please set default signing key or specify a key name")
	}
	return k.Get(k.Default)
}

// SetDefault makes the key called name the default.
func (k *SigningKeys) SetDefault(name string) error {
	if _, err := k.Get(name); err != nil {
		return err
	}
	k.Default = name
	return nil
}

// Remove removes the named keys; a default that goes leaves no default. It
// stops at the first name that is not there.
func (k *SigningKeys) Remove(names ...string) error {
	for _, name := range names {
		if _, err := k.Get(name); err != nil {
			return err
		}
		i := k.index(name)
		k.Keys = slices.Delete(k.Keys, i, i+1)
		if k.Default == name {
			k.Default = ""
		}
	}
	return nil
}

func (k *SigningKeys) index(name string) int {
	return slices.IndexFunc(k.Keys, func(key SigningKey) bool { return key.Name == name })
}

// CreateLocalKey writes the private key of the test key called name, readable
// by its owner alone, and returns where. An existing file is not replaced: the
// error then holds fs.ErrExist.
func (d Dir) CreateLocalKey(name string, keyPEM []byte) (path string, err error) {
	path, _ = d.LocalKey(name)
	return path, d.createLocal(name, path, keyPEM, filePerm)
}

// CreateLocalCertificate writes the certificate of the test key called name,
// as [Dir.CreateLocalKey] writes its key.
func (d Dir) CreateLocalCertificate(name string, certPEM []byte) (path string, err error) {
	_, path = d.LocalKey(name)
	return path, d.createLocal(name, path, certPEM, certPerm)
}

func (d Dir) createLocal(name, path string, data []byte, perm fs.FileMode) error {
	if err := checkName("name", name); err != nil {
		return err
	}
	if err := d.createFile(path, data, perm); err != nil {
		return invalid(err, "")
	}
	return nil
}

// RemoveLocalFile removes a file that [Dir.LocalKey] names for the test key
// called name. The error holds fs.ErrNotExist when there is none.
func (d Dir) RemoveLocalFile(name, path string) error {
	if err := checkName("name", name); err != nil {
		return err
	}
	if key, cert := d.LocalKey(name); path != key && path != cert {
		return invalidf("%s is not a file of the test key %q", path, name)
	}
	if err := os.Remove(path); err != nil {
		return invalid(err, "")
	}
	return nil
}
