package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/notationdir"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/trust"
)

// bundledStores are the certificates of the trust stores that the policy
// names. Those of AWS Signer stay built in where the directory has none.
func (a *app) bundledStores(ctx context.Context, p *pipeline.Policy, dir string) (map[trust.StoreName][]*x509.Certificate, error) {
	from := a.trustStores()
	if dir != "" {
		d := notationdir.New(dir, "", "")
		d.Warn = func(message string) { a.warnf("%s", message) }
		from = d
	}
	stores := map[trust.StoreName][]*x509.Certificate{}
	for _, s := range p.Signers() {
		for _, name := range s.Statement.TrustStores {
			if _, known := stores[name]; known {
				continue
			}
			if _, builtIn := trust.BuiltIn(name); dir == "" && !builtIn {
				if err := a.checkDirs(); err != nil {
					return nil, err
				}
			}
			store, err := from.Store(ctx, name)
			switch {
			case err != nil:
				return nil, &shuin.Error{Code: inputCode(err), Message: fmt.Sprintf("load trust store %s, which the policy names", name), Err: err, Hint: shuin.HintOf(err)}
			case store == nil:
				return nil, &shuin.Error{Code: shuin.CodeInternal, Err: errors.New("there is no trust store, and no reason why")}
			case len(store.Certificates()) > 0:
				stores[name] = store.Certificates()
			}
		}
	}
	return stores, nil
}

// sequenceTime tells a person what a sequence is, where it is a time of this
// century.
func sequenceTime(n int64) string {
	if n < 946684800 || n > 4102444800 {
		return "as it was given"
	}
	return time.Unix(n, 0).UTC().Format(time.RFC3339)
}
