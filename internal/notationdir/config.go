package notationdir

import (
	"bytes"
	"errors"
	"io/fs"

	"github.com/go-json-experiment/json"
	"github.com/shuin/shuin/internal/limits"
)

// Config is what notation reads of config.json. Other names, such as Docker's,
// are passed over. The credentials under "auths" are internal/registry's to
// read and write; nothing here writes the file.
type Config struct {
	InsecureRegistries []string          `json:"insecureRegistries"`
	CredentialsStore   string            `json:"credsStore"`
	CredentialHelpers  map[string]string `json:"credHelpers"`
	SignatureFormat    string            `json:"signatureFormat"`
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
