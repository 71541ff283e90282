package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/timestamp"
	"github.com/shuin/shuin/sign"
	"github.com/shuin/shuin/verify"
)

// timestampFlags are --timestamp-url and --timestamp-root-cert.
type timestampFlags struct {
	url        string
	rootCert   string
	revocation revocationFlags
}

func (t *timestampFlags) add(a *app, fs *pflag.FlagSet) {
	fs.StringVar(&t.url, "timestamp-url", "", "address of an RFC 3161 timestamping authority (TSA)")
	fs.StringVar(&t.rootCert, "timestamp-root-cert", "", "file with the root certificate of the timestamping authority")
	t.revocation.add(a, fs)
}

func (t *timestampFlags) check(fs *pflag.FlagSet) error {
	if !fs.Changed("timestamp-url") {
		return nil
	}
	if t.url == "" {
		return invalid("timestamping: tsa url cannot be empty")
	}
	if t.rootCert == "" {
		return invalid("timestamping: tsa root certificate path cannot be empty")
	}
	return nil
}

// addTimestamper makes signer countersign where the flags ask for it. The
// root certificate is checked here, before any use of the network.
func (a *app) addTimestamper(ctx context.Context, signer *sign.Signer, t *timestampFlags) error {
	if t.url == "" {
		return nil
	}
	if signer.Enveloper != nil {
		return invalid("timestamping: this key's plugin makes whole envelopes: only the plugin can add a timestamp")
	}
	a.debug().Info(fmt.Sprintf("Configured to timestamp with TSA %q", t.url))
	root, err := readTSARoot(ctx, t.rootCert)
	if err != nil {
		return err
	}
	signer.Timestamper = &timestamp.Client{
		URL:       t.url,
		RootCerts: []*x509.Certificate{root},
		HTTP:      a.fetchClient(true), // the address is the user's own
	}
	checker := a.revocationChecker(&t.revocation)
	signer.TSARevocation = func(ctx context.Context, chain []*x509.Certificate) error {
		return notRevoked(chain, checker.Check(ctx, chain, envelope.Timestamping, a.now(), time.Time{}))
	}
	return nil
}

// notRevoked is nil when every certificate of a TSA's chain is known to be good.
func notRevoked(chain []*x509.Certificate, statuses []verify.Revocation) error {
	for i, r := range statuses {
		switch r.Status {
		case verify.StatusGood, verify.StatusNoSource:
		case verify.StatusRevoked:
			return &shuin.Error{Code: shuin.CodeRevoked, Message: fmt.Sprintf("certificate %q of the timestamping authority is revoked", chain[i].Subject)}
		default:
			return &shuin.Error{Code: shuin.CodeRevocationUnavailable,
				Message: fmt.Sprintf("revocation of the timestamping authority's certificate %q could not be checked", chain[i].Subject), Err: r.Err}
		}
	}
	return nil
}

// readTSARoot reads the one root certificate in a PEM or DER file. A root is
// signed and issued by itself.
func readTSARoot(ctx context.Context, path string) (*x509.Certificate, error) {
	const expecting = "Expecting single x509 root certificate in PEM or DER format from the file"
	data, err := readFile(ctx, path, limits.TrustStoreFile, "TrustStoreFile")
	if err != nil {
		return nil, err
	}
	certs, err := parseCertificates(data)
	switch {
	case err != nil:
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Err: err}
	case len(certs) == 0:
		return nil, invalidf("cannot find any certificate from %q. %s", path, expecting)
	case len(certs) > 1:
		return nil, invalidf("found more than one certificates from %q. %s", path, expecting)
	}
	root := certs[0]
	if err := root.CheckSignatureFrom(root); err != nil {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "failed to check root certificate with error", Err: err}
	}
	if !bytes.Equal(root.RawSubject, root.RawIssuer) {
		return nil, invalidf("certificate from %q is not a root certificate. %s", path, expecting)
	}
	return root, nil
}

// parseCertificates reads PEM or DER; an empty file holds none.
func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	block, rest := pem.Decode(data)
	if block == nil {
		return x509.ParseCertificates(data)
	}
	var certs []*x509.Certificate
	for ; block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	return certs, nil
}
