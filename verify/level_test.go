package verify_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/shuin/shuin"
)

// TestLevelsEnforceAndLogExactlyWhatTheTableSays holds TP-04: one failure per
// check, under each level and each override.
func TestLevelsEnforceAndLogExactlyWhatTheTableSays(t *testing.T) {
	spoilt := map[shuin.CheckName]func(s *scene){
		shuin.CheckIntegrity: func(s *scene) { s.env.Key = otherChain.Key() },
		shuin.CheckAuthenticity: func(s *scene) {
			s.stores.certs["ca:acme"] = []*x509.Certificate{otherChain.Root()}
		},
		shuin.CheckAuthenticTimestamp: func(s *scene) {
			s.issue(leaf(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) }))
		},
		shuin.CheckExpiry:       func(s *scene) { s.env.Expiry = now },
		shuin.CheckRevocation:   func(s *scene) { s.withSources(all(revoked)) },
		shuin.CheckUserMetadata: func(s *scene) { s.options.Metadata = map[string]string{"a": "b"} },
		shuin.CheckPlugin:       func(s *scene) { s.env.Critical = map[string]any{"com.example.must": "know"} },
	}
	logged := map[string][]shuin.CheckName{
		"strict":     nil,
		"permissive": {shuin.CheckAuthenticTimestamp, shuin.CheckExpiry, shuin.CheckRevocation},
		"audit":      {shuin.CheckAuthenticity, shuin.CheckAuthenticTimestamp, shuin.CheckExpiry, shuin.CheckRevocation},
	}
	overridable := map[shuin.CheckName]bool{
		shuin.CheckAuthenticity: true, shuin.CheckAuthenticTimestamp: true, shuin.CheckExpiry: true, shuin.CheckRevocation: true,
	}
	for level, list := range logged {
		for name, spoil := range spoilt {
			fails := true
			for _, l := range list {
				fails = fails && l != name
			}
			try := func(what string, override map[string]string, fails bool) {
				t.Run("TP-04 "+level+" "+string(name)+what, func(t *testing.T) {
					s := newScene(t)
					s.level, s.override = level, override
					spoil(s)
					r := s.run(t.Context())
					if c := check(t, r, name); c.Outcome != shuin.Failed || c.Enforced != fails {
						t.Errorf("check is %s, enforced %t", c.Outcome, c.Enforced)
					}
					if (r.Result == shuin.NotVerified) != fails {
						t.Errorf("result %s (%v)", r.Result, r.Err)
					}
					if !fails && len(r.Accepted().Warnings()) != 1 {
						t.Errorf("warnings %v, want one", r.Accepted().Warnings())
					}
				})
			}
			try("", nil, fails)
			if overridable[name] {
				try(", overridden to log", map[string]string{string(name): "log"}, false)
				try(", overridden to enforce", map[string]string{string(name): "enforce"}, true)
			}
		}
	}
}

// TestOtherChecksGoOnAfterALoggedFailure holds TP-13.
func TestOtherChecksGoOnAfterALoggedFailure(t *testing.T) {
	s := newScene(t)
	s.level, s.override = "audit", map[string]string{"expiry": "enforce"}
	s.stores.certs["ca:acme"] = []*x509.Certificate{otherChain.Root()}
	s.env.Expiry = now
	r := s.run(t.Context())
	want(t, r, shuin.NotVerified, shuin.CodeExpired, shuin.CheckExpiry)
	if c := check(t, r, shuin.CheckAuthenticity); c.Outcome != shuin.Failed || c.Enforced {
		t.Errorf("authenticity is %s, enforced %t", c.Outcome, c.Enforced)
	}
}
