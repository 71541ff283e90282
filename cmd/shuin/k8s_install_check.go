package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/bundle"
	chart "github.com/shuin/shuin/deploy/kubernetes"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/trust"
)

// checkK8sValues refuses what the chart's schema cannot see and the gate would
// not start with: a policy, trust stores and a signer of bundles that stand in
// the values. What other objects of the cluster hold is not looked at.
func checkK8sValues(given chart.Values) error {
	values := chart.Defaults().Merge(given)
	var faults []error
	stores, err := valuesStores(valueAt[map[string]any](values, "trust", "certificates"))
	if err != nil {
		faults = append(faults, err)
	} else if err := valuesPolicy(values, stores); err != nil {
		faults = append(faults, fmt.Errorf("policy.text: %w", err))
	}
	if err := valuesSigner(values, stores); err != nil {
		faults = append(faults, fmt.Errorf("bundle.signedBy: %w", err))
	}
	if len(faults) == 0 {
		return nil
	}
	return &shuin.Error{Code: shuin.CodeInvalidInput, Message: "the gate would not start with these values; nothing was applied", Err: errors.Join(faults...),
		Hint: "\"shuin policy lint FILE\" shows every fault of a policy with its line"}
}

// valueAt is a value; its zero where there is none of its type.
func valueAt[T any](values chart.Values, names ...string) (out T) {
	m := map[string]any(values)
	for _, name := range names[:len(names)-1] {
		m, _ = m[name].(map[string]any)
	}
	out, _ = m[names[len(names)-1]].(T)
	return out
}

// valuesStores are the trust stores of trust.certificates, held to the rules by
// which the gate takes them.
func valuesStores(certificates map[string]any) (map[trust.StoreName]*trust.Store, error) {
	all := map[trust.StoreName][]*x509.Certificate{}
	for _, key := range slices.Sorted(maps.Keys(certificates)) {
		parts := strings.SplitN(strings.TrimSuffix(key, ".pem"), ".", 3)
		text, _ := certificates[key].(string)
		if len(parts) < 2 { // the schema says so
			continue
		}
		name := trust.StoreName{Type: trust.StoreType(parts[0]), Name: parts[1]}
		list, err := valuesCertificates(name.Type, []byte(text))
		if err != nil {
			return nil, fmt.Errorf("trust.certificates.%s: %w", visible(key), err)
		}
		all[name] = append(all[name], list...)
	}
	out := map[trust.StoreName]*trust.Store{}
	for name, list := range all {
		store, err := trust.NewStore(name, list, nil)
		if err != nil {
			return nil, fmt.Errorf("trust.certificates: %w", err)
		}
		out[name] = store
	}
	return out, nil
}

func valuesCertificates(t trust.StoreType, data []byte) (out []*x509.Certificate, err error) {
	if len(data) > limits.TrustStoreFile {
		return nil, fmt.Errorf("it is longer than %d bytes (limit TrustStoreFile)", limits.TrustStoreFile)
	}
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it holds %s, and only certificates are allowed", visible(block.Type))
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("it holds a certificate that cannot be read")
		}
		if err := trust.CheckCertificate(t, c); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	if len(out) == 0 || strings.TrimSpace(string(data)) != "" {
		return nil, errors.New("certificates in PEM are wanted, and nothing else")
	}
	return out, nil
}

// valuesPolicy is what is wrong with the policy that stands in the values, and
// with the trust stores that it names where they do, too.
func valuesPolicy(values chart.Values, stores map[trust.StoreName]*trust.Store) error {
	text := valueAt[string](values, "policy", "text")
	if text == "" {
		return nil
	}
	p, err := pipeline.ParseEither([]byte(text))
	if err != nil || elsewhere(values) {
		return err
	}
	for _, s := range p.Signers() {
		if err := known(s.Statement.TrustStores, stores); err != nil {
			return err
		}
	}
	return nil
}

// valuesSigner is what is wrong with who signs a bundle.
func valuesSigner(values chart.Values, stores map[trust.StoreName]*trust.Store) error {
	s := bundle.Signer{SigningProfile: valueAt[string](values, "bundle", "signedBy", "signingProfile")}
	for _, one := range valueAt[[]any](values, "bundle", "signedBy", "identities") {
		s.Identities = append(s.Identities, fmt.Sprint(one))
	}
	for _, one := range valueAt[[]any](values, "bundle", "signedBy", "trustStores") {
		s.TrustStores = append(s.TrustStores, fmt.Sprint(one))
	}
	if s.SigningProfile == "" && len(s.Identities) == 0 {
		return nil
	}
	statement, err := s.Statement()
	if err != nil {
		return err
	}
	return known(statement.TrustStores, stores)
}

// elsewhere: the trust stores are in an object that somebody else keeps.
func elsewhere(values chart.Values) bool {
	return valueAt[string](values, "trust", "configMap") != "" || valueAt[string](values, "trust", "secret") != ""
}

// known wants every store to be there, or built in.
func known(names []trust.StoreName, stores map[trust.StoreName]*trust.Store) error {
	for _, name := range names {
		if _, ok := trust.BuiltIn(name); !ok && stores[name] == nil {
			return fmt.Errorf("there is no trust store %s: its certificates belong to trust.certificates, under %s.%s.pem", name, name.Type, name.Name)
		}
	}
	return nil
}
