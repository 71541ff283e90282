package gate

import (
	_ "embed"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/shuin/shuin/internal/shuintest"
)

//go:embed testdata/cases.yaml
var cases []byte

// The golden table as testdata/cases.yaml has it; its header says what the
// members mean.
type table struct {
	Policies map[string]string `yaml:"policies"`
	Cases    []testCase        `yaml:"cases"`
}

type testCase struct {
	Name     string      `yaml:"name"`
	Policy   string      `yaml:"policy"`
	Image    string      `yaml:"image"`
	Kind     string      `yaml:"kind"`    // "", "single" or "index"
	Written  string      `yaml:"written"` // "", "digest", "tag" or "both"
	Pins     *bool       `yaml:"pins"`
	Running  string      `yaml:"running"` // "", "self", "amd64", "arm64" or "other"
	Other    bool        `yaml:"other"`   // asked about another image of the repository than DIGEST names
	Invalid  string      `yaml:"invalid"` // why the reference is none
	Registry string      `yaml:"registry"`
	Junk     int         `yaml:"junk"`
	Where    place       `yaml:"where"`
	Seals    []sealed    `yaml:"seals"`
	Want     expectation `yaml:"want"`
}

type place struct {
	Cluster   string `yaml:"cluster"`
	Namespace string `yaml:"namespace"`
}

type sealed struct {
	By       string            `yaml:"by"`
	Stage    string            `yaml:"stage"`
	Age      time.Duration     `yaml:"age"`
	Metadata map[string]string `yaml:"metadata"`
	Fault    string            `yaml:"fault"`
	On       string            `yaml:"on"` // "", "index", "amd64" or "arm64"

	chain *shuintest.Chain // another certificate of the signer's
}

type expectation struct {
	Outcome   string   `yaml:"outcome"`
	Allowed   *bool    `yaml:"allowed"`
	Rule      string   `yaml:"rule"`
	Code      string   `yaml:"code"`
	Exception string   `yaml:"exception"`
	Sealed    []string `yaml:"sealed"`
	Missing   []string `yaml:"missing"`
	Unpinned  bool     `yaml:"unpinned"`
}

func (e *expectation) allowed() bool {
	if e.Allowed != nil {
		return *e.Allowed
	}
	return e.Outcome == "admit"
}

// readTable reads the table strictly: a member that is misspelt would be a
// question nobody asks.
func readTable(tb testing.TB) *table {
	tb.Helper()
	var t table
	if err := yaml.UnmarshalWithOptions(cases, &t, yaml.Strict()); err != nil {
		tb.Fatal(err)
	}
	return &t
}
