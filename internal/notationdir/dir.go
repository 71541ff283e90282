// Package notationdir is the door to notation's configuration directory: the
// same files under the same names, so that notation and shuin can share one
// directory. The three root paths are passed in; no environment variable is
// read here. Every read is bounded (internal/limits), every write is atomic,
// symlinks and other irregular files are refused (TS-02).
//
// It decides nothing about signatures, prints nothing, and neither reads nor
// writes credentials: internal/registry does, at the path given here.
package notationdir

import (
	"path/filepath"

	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/trust"
)

// Names inside the directories.
const (
	configFile      = "config.json"
	signingKeysFile = "signingkeys.json"
	ociPolicyFile   = "trustpolicy.oci.json"
	oldPolicyFile   = "trustpolicy.json"
	blobPolicyFile  = "trustpolicy.blob.json"
	localKeysDir    = "localkeys"
	trustStoreDir   = "truststore"
	x509Dir         = "x509"
	pluginsDir      = "plugins"
	crlCacheDir     = "crl"
)

// Dir is notation's configuration directory. Make one with [New]; copies share
// what was loaded. Safe for concurrent use, also by several processes.
type Dir struct {
	config, cache, libexec string
	stores                 *storeCache
	// Warn is told, one line each, about what is ignored: sub-directories of a
	// trust store (TS-03). Nil: not told. It may be called concurrently.
	Warn func(message string)
	// Policies reads trust policies; the zero value takes none that breaks a rule.
	Policies policy.Parser
}

// New is the directory with these roots: $NOTATION_CONFIG, $NOTATION_CACHE and
// $NOTATION_LIBEXEC or what stands for them. An empty libexec is config, as
// notation has it. Nothing is read or created until it is needed.
func New(config, cache, libexec string) Dir {
	if libexec == "" {
		libexec = config
	}
	return Dir{config: config, cache: cache, libexec: libexec, stores: &storeCache{}}
}

// Root is the configuration directory.
func (d Dir) Root() string { return d.config }

// ConfigPath is the path of config.json.
func (d Dir) ConfigPath() string { return filepath.Join(d.config, configFile) }

// SigningKeysPath is the path of signingkeys.json.
func (d Dir) SigningKeysPath() string { return filepath.Join(d.config, signingKeysFile) }

// Plugins is the directory that holds one directory for each plugin.
func (d Dir) Plugins() string { return filepath.Join(d.libexec, pluginsDir) }

// CRLCache is the directory of the CRL cache.
func (d Dir) CRLCache() string { return filepath.Join(d.cache, crlCacheDir) }

// LocalKey is where the test key called name and its certificate lie,
// whether they exist or not.
func (d Dir) LocalKey(name string) (keyPath, certPath string) {
	base := filepath.Join(d.config, localKeysDir, name)
	return base + ".key", base + ".crt"
}

// StorePath is the directory of a trust store, whether it exists or not (TS-01).
func (d Dir) StorePath(name trust.StoreName) string {
	return filepath.Join(d.config, trustStoreDir, x509Dir, string(name.Type), name.Name)
}

// warn passes a message on.
func (d Dir) warn(message string) {
	if d.Warn != nil {
		d.Warn(message)
	}
}
