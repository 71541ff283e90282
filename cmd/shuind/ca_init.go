package main

import (
	"context"
	"crypto/x509"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/keys/age"
	"github.com/shuin/shuin/issue"
)

// backdate is how much earlier than now certificates begin, for verifiers
// whose clocks are behind.
const backdate = 10 * time.Minute

// certificateYears are how long the CAs are good for, at first.
const (
	rootYears         = 30
	intermediateYears = 15
)

type caInitOptions struct {
	configFlag
	lock              lockFlags
	rootYears         int
	intermediateYears int
}

func newCAInitCmd(a *app) *cobra.Command {
	var o caInitOptions
	cmd := &cobra.Command{
		Use:   "init --config FILE",
		Short: "Make a root and an intermediate, and the root's CRL",
		Long: `Make a root and an intermediate in the data directory, and the root's CRL for 180 days. The root's key is encrypted
with a passphrase or an age identity of your choice, the intermediate's with the configuration's identity.
Export the root's key afterwards (shuind ca root export), keep it off-line, and remove it from this machine (shuind ca root remove).

Example:
  shuind identity new /etc/shuind/identity.txt
  shuind ca init --config /etc/shuind/shuind.yaml --root-passphrase-file ./passphrase
`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.caInit(cmd.Context(), &o) },
	}
	o.configFlag.add(cmd)
	o.lock.add(cmd, "root-", "the root's key")
	cmd.Flags().IntVar(&o.rootYears, "root-years", rootYears, "years the root is valid for")
	cmd.Flags().IntVar(&o.intermediateYears, "intermediate-years", intermediateYears, "years the intermediate is valid for; not beyond the root")
	return cmd
}

func (a *app) caInit(ctx context.Context, o *caInitOptions) error {
	c, err := o.load(a)
	if err != nil {
		return err
	}
	if o.intermediateYears < 1 || o.rootYears < o.intermediateYears || o.rootYears > 100 {
		return invalid("", "--root-years %d and --intermediate-years %d: want 1 ≤ intermediate ≤ root ≤ 100", o.rootYears, o.intermediateYears)
	}
	identity, err := a.identity(c.Identity)
	if err != nil {
		return err
	}
	lock, err := o.lock.lock(a)
	if err != nil {
		return err
	}
	if err := a.makeCA(ctx, c, identity, lock, o.rootYears, o.intermediateYears); err != nil {
		return err
	}
	return a.printCA(c)
}

// makeCA makes root, intermediate and the root's CRL.
func (a *app) makeCA(ctx context.Context, c *config, identity *age.Identity, lock *age.Lock, rootYears, intermediateYears int) error {
	files := c.caFiles()
	now := a.now()
	return staged(files.dir, func(tmp string) error {
		made := caFiles{tmp}
		rootKey, err := issue.NewKey(issue.P384)
		if err != nil {
			return err
		}
		serial, err := issue.NewSerial()
		if err != nil {
			return err
		}
		root, err := issue.NewRoot(c.caSubject("Signing Root CA"), rootKey, serial, now.Add(-backdate), now.AddDate(rootYears, 0, 0))
		if err != nil {
			return err
		}
		if err := age.WriteKey(made.rootKey(), rootKey, lock); err != nil {
			return err
		}
		if err := createFile(made.root(), issue.EncodeChain(root.Chain()), publicPerm); err != nil {
			return err
		}
		if err := c.makeIntermediate(ctx, made, root, identity, now, intermediateYears); err != nil {
			return err
		}
		return c.makeRootCRL(ctx, root, nil, now)
	})
}

// makeIntermediate makes an intermediate below root, with its key.
func (c *config) makeIntermediate(ctx context.Context, files caFiles, root *issue.Authority, identity *age.Identity, now time.Time, years int) error {
	key, err := issue.NewKey(issue.P384)
	if err != nil {
		return err
	}
	serial, err := issue.NewSerial()
	if err != nil {
		return err
	}
	_, rootEnd := root.Validity()
	end := now.AddDate(years, 0, 0)
	if end.After(rootEnd) {
		end = rootEnd
	}
	begin := now.Add(-backdate)
	if rootBegin, _ := root.Validity(); begin.Before(rootBegin) {
		begin = rootBegin
	}
	ca, err := root.NewCA(ctx, issue.Request{
		MaxPathLen: 1, // the issuing CAs
		Subject:    c.caSubject("Signing CA " + now.UTC().Format("2006-01-02")),
		Serial:     serial,
		NotBefore:  begin,
		NotAfter:   end,
		CRL:        c.crlAddress(crlID(root.Chain()[0])),
	}, key)
	if err != nil {
		return err
	}
	if err := age.WriteKey(files.intermediateKey(), key, identity.Lock()); err != nil {
		return err
	}
	return createFile(files.intermediate(), issue.EncodeChain(ca.Chain()), publicPerm)
}

func (c *config) caSubject(what string) issue.Subject {
	s := c.CA.Subject
	return issue.Subject{Country: s.Country, Province: s.Province, Organization: s.Organization, CommonName: s.Organization + " " + what}
}

// makeRootCRL writes the root's CRL; before is the one it follows, if any.
func (c *config) makeRootCRL(ctx context.Context, root *issue.Authority, before *x509.RevocationList, now time.Time, revoke ...issue.Revoked) error {
	number := big.NewInt(1)
	var revoked []issue.Revoked
	if before != nil {
		number.Add(before.Number, number)
		for _, e := range before.RevokedCertificateEntries {
			revoked = append(revoked, issue.Revoked{Serial: e.SerialNumber, At: e.RevocationTime, Reason: e.ReasonCode})
		}
	}
	der, err := root.CRL(ctx, append(revoked, revoke...), number, now, now.Add(issue.RootCRLLife))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.CRL.Directory, 0o755); err != nil {
		return err
	}
	return replaceFile(c.rootCRLPath(root.Chain()[0]), der, publicPerm)
}

func (c *config) rootCRLPath(root *x509.Certificate) string {
	return filepath.Join(c.CRL.Directory, crlID(root)+".crl")
}
