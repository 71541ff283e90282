package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/keys/age"
	"github.com/shuin/shuin/internal/limits"
)

func newCACmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Make and keep the certificate authority: root, intermediate, the root's CRL",
		Long: `Make and keep the certificate authority. The root signs the intermediate and its own CRL, and can be kept off-line;
the intermediate signs one issuing CA for each version of a profile. Files that exist are never replaced.
Profiles of the kind aws may sign with a certificate and key of your own instead: shuind certificate import.`,
	}
	cmd.AddCommand(newCAInitCmd(a), newCAShowCmd(a), newCARootCmd(a), newCAIntermediateCmd(a), newCAImportCmd(a))
	return cmd
}

// lockFlags say what a key file is encrypted with: one of them.
type lockFlags struct {
	passphraseFile, passphraseEnv, identity string
}

func (l *lockFlags) addOptional(cmd *cobra.Command, prefix, what string) {
	fs := cmd.Flags()
	fs.StringVar(&l.passphraseFile, prefix+"passphrase-file", "", "file with the passphrase of "+what)
	fs.StringVar(&l.passphraseEnv, prefix+"passphrase-env", "", "name of an environment variable with the passphrase of "+what)
	fs.StringVar(&l.identity, prefix+"identity", "", "file with the age identity of "+what)
	cmd.MarkFlagsMutuallyExclusive(prefix+"passphrase-file", prefix+"passphrase-env", prefix+"identity")
}

// add is addOptional for a file that is encrypted always.
func (l *lockFlags) add(cmd *cobra.Command, prefix, what string) {
	l.addOptional(cmd, prefix, what)
	cmd.MarkFlagsOneRequired(prefix+"passphrase-file", prefix+"passphrase-env", prefix+"identity")
}

// lock reads the passphrase or identity.
func (l *lockFlags) lock(a *app) (*age.Lock, error) {
	switch {
	case l.identity != "":
		identity, err := age.LoadIdentity(l.identity)
		if err != nil {
			return nil, err
		}
		return identity.Lock(), nil
	case l.passphraseFile != "":
		secret, err := readFile(l.passphraseFile, limits.SecretBytes, "SecretBytes")
		if err != nil {
			return nil, fmt.Errorf("read passphrase: %w", err)
		}
		return age.Passphrase(secret)
	}
	secret, set := a.lookupEnv(l.passphraseEnv)
	if !set {
		return nil, invalid("", "the environment variable %s is not set", l.passphraseEnv)
	}
	return age.Passphrase([]byte(secret))
}

// identity opens what is sealed at rest, from where the configuration says.
func (a *app) identity(c identityConfig) (*age.Identity, error) {
	if c.File != "" {
		return age.LoadIdentity(c.File)
	}
	text, set := a.lookupEnv(c.Env)
	if !set {
		return nil, invalid("", "the environment variable %s is not set", c.Env)
	}
	return age.ParseIdentity([]byte(text))
}

func newIdentityCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "identity", Short: "Make the age identity that opens keys and secrets at rest"}
	cmd.AddCommand(&cobra.Command{
		Use:   "new FILE",
		Short: "Make a new identity in a new file",
		Long: `Make a new age identity in a new file, readable by its owner alone. Keep a copy elsewhere: without it the
intermediate's key and all access keys are lost.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			identity, err := age.NewIdentity(args[0])
			if err != nil {
				return err
			}
			return a.printf("wrote %s; its public key is %s", args[0], identity.Recipient())
		},
	})
	return cmd
}

// keyHint says what to look for when a key file could not be opened.
func keyHint(err error) error {
	switch {
	case errors.Is(err, age.ErrWrongKey):
		return invalid("it was encrypted to another identity or passphrase than the one given", "%w", err)
	case errors.Is(err, age.ErrDamaged):
		return invalid("the file was changed or cut; take the copy you exported", "%w", err)
	}
	return err
}
