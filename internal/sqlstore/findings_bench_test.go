package sqlstore

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// fillFindings keeps as many findings as may be, every tenth of them open.
func fillFindings(b *testing.B) *Findings {
	b.Helper()
	s := openFindingsTest(b, FindingsOptions{})
	if err := s.write(b.Context(), func(c *conn) error {
		for i := range limits.FindingsKept {
			f := about(fmt.Sprintf("prod-%d", i%100), i)
			text, err := json.Marshal(f)
			if err != nil {
				return err
			}
			if err := c.exec(`INSERT INTO findings (cluster, id, state, kind, rule, account, outcome, first, last, over, because, open, told, by, finding)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, '', ?, ?, ?, ?)`,
				f.Subject.Cluster, f.ID, string(f.State), string(f.Kind), f.Rule, f.Subject.Account, f.Outcome.String(), f.Time, f.Time, i%10 == 0, f.Time, "lambda", string(text)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkFindings is of a store that is full.
func BenchmarkFindings(b *testing.B) {
	s := fillFindings(b)
	b.Run("keep a new one", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := s.Keep(b.Context(), about("prod-new", i), "lambda", told0); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("keep a known one", func(b *testing.B) {
		f := about("prod-0", 0)
		for b.Loop() {
			if _, err := s.Keep(b.Context(), f, "lambda", told0); err != nil {
				b.Fatal(err)
			}
		}
	})
	for name, q := range map[string]watch.Query{
		"find the newest": {}, "find a cluster's open ones": {Open: true, Cluster: "prod-50"}, "find none": {ID: digest.FromString("none").Encoded()[:32]},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Find(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("count", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Count(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
