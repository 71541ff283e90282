package notationdir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/shuin/shuin/internal/limits"
)

// Config is what notation reads of config.json. Names it does not know, such
// as Docker's, are left alone.
type Config struct {
	InsecureRegistries []string          `json:"insecureRegistries"`
	CredentialsStore   string            `json:"credsStore"`
	CredentialHelpers  map[string]string `json:"credHelpers"`
	SignatureFormat    string            `json:"signatureFormat"`
	// Auths names the servers with an entry under "auths"; the entries, which
	// are secrets, are not read here.
	Auths authNames `json:"auths"`
}

// CredentialsConfigured reports whether config.json says where credentials
// are, so that Docker's config is not asked.
func (c *Config) CredentialsConfigured() bool {
	return c.CredentialsStore != "" || len(c.CredentialHelpers) > 0 || len(c.Auths) > 0
}

// authNames reads the names of an object and drops its values.
type authNames []string

// UnmarshalJSON implements json.Unmarshaler.
func (a *authNames) UnmarshalJSON(data []byte) error {
	var m map[string]jsontext.Value
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	*a = slices.Sorted(maps.Keys(m))
	return nil
}

// Config reads config.json: the empty Config when there is none. Names are
// case-sensitive, and a name twice is refused.
func (d Dir) Config() (*Config, error) {
	var c Config
	data, err := readFile(d.ConfigPath(), limits.ConfigBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return &c, nil
	}
	if err != nil {
		return nil, invalid(err, "")
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return &c, nil
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, invalidf("malformed %s: %w", d.ConfigPath(), err)
	}
	return &c, nil
}

// EditConfig changes config.json under a lock: fn gets its members as raw JSON
// and may set, replace or delete some. Those it leaves keep their bytes and
// their order, whatever they mean; new ones are added at the end by name. When
// fn fails, or changes nothing, the file is not written.
func (d Dir) EditConfig(ctx context.Context, fn func(members map[string]jsontext.Value) error) error {
	path := d.ConfigPath()
	return locked(ctx, path, func() error {
		data, err := readFile(path, limits.ConfigBytes)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return invalid(err, "")
		}
		order, members, err := objectMembers(data)
		if err != nil {
			return invalidf("malformed %s: %w", path, err)
		}
		before := maps.Clone(members)
		if err := fn(members); err != nil {
			return err
		}
		if maps.EqualFunc(before, members, func(a, b jsontext.Value) bool { return bytes.Equal(a, b) }) {
			return nil
		}
		out, err := formatObject(order, members)
		if err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		return writeFile(path, out, filePerm)
	})
}

// objectMembers splits a JSON object into its members and their order. No data
// is the empty object.
func objectMembers(data []byte) (order []string, members map[string]jsontext.Value, err error) {
	members = make(map[string]jsontext.Value)
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, members, nil
	}
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, nil, err
	}
	dec := jsontext.NewDecoder(bytes.NewReader(data))
	if _, err := dec.ReadToken(); err != nil {
		return nil, nil, err
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, nil, err
		}
		order = append(order, name.String())
		if err := dec.SkipValue(); err != nil {
			return nil, nil, err
		}
	}
	return order, members, nil
}

// formatObject is the JSON of members: first those in order, then the others by name.
func formatObject(order []string, members map[string]jsontext.Value) ([]byte, error) {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(order, name) {
			order = append(order, name)
		}
	}
	var buf bytes.Buffer
	enc := jsontext.NewEncoder(&buf, jsontext.WithIndent("    "))
	if err := enc.WriteToken(jsontext.BeginObject); err != nil {
		return nil, err
	}
	for _, name := range order {
		v, ok := members[name]
		if !ok {
			continue
		}
		if err := enc.WriteToken(jsontext.String(name)); err != nil {
			return nil, err
		}
		if err := enc.WriteValue(v); err != nil {
			return nil, err
		}
	}
	if err := enc.WriteToken(jsontext.EndObject); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
