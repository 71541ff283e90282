package main

import (
	_ "embed"
	"net"
	"net/url"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/issue"
	"github.com/shuin/shuin/signing"
)

// config is shuind's configuration, field by field as it is written. What is
// left out gets the default that defaults fills in. docs/shuind.md and
// example.yaml say the same for people.
type config struct {
	// Listen is the address the API is served on, host:port.
	Listen string `yaml:"listen"`
	// Name is the API's name H, with the port where it is not the scheme's
	// own. The server answers to H, verification.H and data-H.
	Name string `yaml:"name"`
	// Region and Partition are those of the ARNs, and the region that
	// requests must be signed for.
	Region    string `yaml:"region"`
	Partition string `yaml:"partition"`
	// Data is the directory of the database, the checkpoint, the CA and the CRLs.
	Data string `yaml:"data"`

	Identity   identityConfig   `yaml:"identity"`
	TLS        tlsConfig        `yaml:"tls"`
	CA         caConfig         `yaml:"ca"`
	CRL        crlConfig        `yaml:"crl"`
	Signing    signingConfig    `yaml:"signing"`
	Requests   requestsConfig   `yaml:"requests"`
	Operations operationsConfig `yaml:"operations"`
	Checkpoint checkpointConfig `yaml:"checkpoint"`
	Gate       gateConfig       `yaml:"gate"`
	Kubernetes kubernetesConfig `yaml:"kubernetes"`
	Log        logConfig        `yaml:"log"`
}

// identityConfig says where the age identity is that opens the keys at rest:
// in a file or in an environment variable, never in the configuration.
type identityConfig struct {
	File string `yaml:"file"`
	Env  string `yaml:"env"`
}

// tlsConfig is the certificate of the API's three names. It is read again
// when the files change, and on SIGHUP.
type tlsConfig struct {
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
	// PlaintextBehindProxy serves plain HTTP on an address that is not
	// loopback: for a proxy that ends TLS and leaves Host as it is.
	PlaintextBehindProxy bool `yaml:"plaintextBehindProxy"`
}

// caConfig is what certificates say and what the issuing CAs are made of.
type caConfig struct {
	Subject    subjectConfig `yaml:"subject"`
	IssuingKey string        `yaml:"issuingKey"`
}

type subjectConfig struct {
	Country      string `yaml:"country"`
	Province     string `yaml:"province"`
	Organization string `yaml:"organization"`
}

// crlConfig is about revocation lists.
type crlConfig struct {
	// Base is the address written into certificates: BASE/ID.crl, http.
	Base string `yaml:"base"`
	// Listen is a second, plain HTTP address that serves CRLs and nothing
	// else; empty: none (the API's address serves them always).
	Listen string `yaml:"listen"`
	// Directory is where each CRL is also written as a file.
	Directory string `yaml:"directory"`
	// Life is from thisUpdate to nextUpdate; Refresh is when a CRL is made
	// anew although nothing was revoked.
	Life    time.Duration `yaml:"life"`
	Refresh time.Duration `yaml:"refresh"`
}

// signingConfig is how signatures are made.
type signingConfig struct {
	DefaultKind  string        `yaml:"defaultKind"`
	SelfCheck    string        `yaml:"selfCheck"`
	LeafLife     time.Duration `yaml:"leafLife"`
	MaxClockStep time.Duration `yaml:"maxClockStep"`
}

// requestsConfig is what clients may do.
type requestsConfig struct {
	PerSecond   int  `yaml:"perSecond"`
	Burst       int  `yaml:"burst"`
	Connections int  `yaml:"connections"`
	EmptyRegion bool `yaml:"emptyRegion"`
}

// operationsConfig is where /healthz, /readyz and /metrics are served; empty:
// health on the API's address only, metrics nowhere.
type operationsConfig struct {
	Listen string `yaml:"listen"`
}

// checkpointConfig is about the checkpoints of the append-only log.
type checkpointConfig struct {
	// Origin is the log's name in them, no other log's; empty: as the log there
	// is was named, a new one NAME/log without the port.
	Origin string `yaml:"origin"`
}

type logConfig struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

// The enumerations of the configuration.
const (
	selfCheckSampled = "sampled"
	selfCheckAlways  = "always"
	formatText       = "text"
	formatJSON       = "json"
)

// defaults fills in what was left out; paths are made relative to dir, the
// directory of the configuration file.
func (c *config) defaults(dir string) {
	set := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	set(&c.Listen, "127.0.0.1:8080")
	set(&c.Partition, "aws")
	set(&c.CA.IssuingKey, string(issue.P256))
	set(&c.Signing.DefaultKind, string(signing.KindAWS))
	set(&c.Signing.SelfCheck, selfCheckSampled)
	set(&c.Log.Level, "info")
	set(&c.Log.Format, formatText)
	if c.CRL.Base == "" && c.TLS.Certificate == "" && c.Name != "" {
		c.CRL.Base = "http://" + c.Name + crlPath
	}
	if c.CRL.Directory == "" && c.Data != "" {
		c.CRL.Directory = filepath.Join(c.Data, "crl")
	}
	for _, d := range []struct {
		at    *time.Duration
		value time.Duration
	}{
		{&c.CRL.Life, limits.CRLLife}, {&c.CRL.Refresh, limits.CRLRefresh},
		{&c.Signing.LeafLife, limits.LeafLife}, {&c.Signing.MaxClockStep, limits.ClockStep},
	} {
		if *d.at == 0 {
			*d.at = d.value
		}
	}
	if c.Requests.Connections == 0 {
		c.Requests.Connections = limits.ServerConnections
	}
	c.Kubernetes.defaults()
	for _, p := range append(append(c.Gate.paths(), c.Kubernetes.paths()...), &c.Data, &c.Identity.File, &c.TLS.Certificate, &c.TLS.Key, &c.CRL.Directory) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

// scheme is how the API is reached.
func (c *config) scheme() string {
	if c.TLS.Certificate != "" || c.TLS.PlaintextBehindProxy {
		return "https"
	}
	return "http"
}

// crlBase is CRL.Base, parsed by validate.
func (c *config) crlBase() *url.URL {
	u, err := url.Parse(c.CRL.Base)
	if err != nil {
		return nil
	}
	return u
}

// hostname is Name without its port.
func (c *config) hostname() string {
	if host, _, err := net.SplitHostPort(c.Name); err == nil {
		return host
	}
	return c.Name
}

//go:embed example.yaml
var exampleConfig string

// configFlag is the flag by which every command but dev is told its configuration.
type configFlag struct{ path string }

func (f *configFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.path, "config", "c", "", "configuration file (YAML)")
	if err := cmd.MarkFlagRequired("config"); err != nil {
		panic(err) // the flag was declared in the line above
	}
}

// load reads and validates the file of a signer.
func (f *configFlag) load(a *app) (*config, error) {
	c, err := a.loadConfig(f.path)
	if err == nil && !c.signs() {
		err = invalid("", "%s is the configuration of a gate alone: there is no signer to look after", f.path)
	}
	return c, err
}

// loadConfig reads, completes and validates a configuration.
func (a *app) loadConfig(path string) (*config, error) {
	text, err := readFile(path, limits.ConfigBytes, "ConfigBytes")
	if err != nil {
		return nil, invalid("shuind config example prints one to start from", "read configuration: %w", err)
	}
	var c config
	f := decodeConfig(path, text, &c)
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	c.defaults(dir)
	c.validate(f, a.lookupEnv)
	if err := f.err(); err != nil {
		return nil, err
	}
	return &c, nil
}

func newConfigCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check configuration files, and print an example",
	}
	cmd.AddCommand(newConfigCheckCmd(a), newConfigExampleCmd(a))
	return cmd
}

func newConfigExampleCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "example",
		Short: "Print a configuration with every key, what it means and its default",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.printf("%s", exampleConfig)
		},
	}
}
