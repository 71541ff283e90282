package gate

import (
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/awsclient"
	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/fetch"
	"github.com/shuin/shuin/internal/registry"
	"github.com/shuin/shuin/internal/revocation"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/verify"
)

// sources are registries, asked without credentials.
type sources struct{ client *registry.Client }

func newSources() sources {
	return sources{&registry.Client{PlainHTTP: func(host string) bool { return registry.PlainHTTP(host, false, nil) }}}
}

func (s sources) Open(_ string, ref shuin.Reference) (gate.Source, error) {
	return s.client.Repository(ref)
}

// readPolicy reads either kind of policy file.
func readPolicy(tb testing.TB, data []byte) *pipeline.Policy {
	tb.Helper()
	docs, err := document.Read(data, document.Limits{})
	if err == nil && docs[0].Field("trustPolicies") != nil {
		doc, err := policy.ParseOCI(data)
		if err != nil {
			tb.Fatal(err)
		}
		return pipeline.FromTrustPolicy(doc, data)
	}
	p, err := pipeline.Parse(data)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// newGate is a gate in this process, as the server has it where remember is set.
func newGate(tb testing.TB, policyText []byte, remember bool) *gate.Gate {
	tb.Helper()
	rules, err := gate.NewRules(tb.Context(), readPolicy(tb, policyText), heldStores{})
	if err != nil {
		tb.Fatal(err)
	}
	return gate.New(gate.Options{
		Sources: newSources(), Now: time.Now, Engine: "test", Remember: remember,
		Verifier: verify.Verifier{
			Chains:       verify.NewChainCache(0),
			Revocation:   &revocation.Checker{HTTP: &fetch.Client{AllowPrivateAddresses: true}},
			SignerStatus: &awsclient.Status{Client: &awsclient.Client{Caller: &awscall.Caller{UserAgent: "test", Now: time.Now}, NoHostPrefix: true}},
		},
	}, rules)
}

func (q *asked) workload() gate.Workload {
	return gate.Workload{
		Images: []gate.Image{{Name: "app", Written: q.written, Running: q.running}},
		Where:  pipeline.Where{Cluster: q.Where.Cluster, Namespace: q.Where.Namespace},
		Pins:   q.Pins != nil && *q.Pins,
	}
}
