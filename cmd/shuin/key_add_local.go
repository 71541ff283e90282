package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/keys/file"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/notationdir"
	"github.com/shuin/shuin/sign"
)

// localKeyOptions are what "key add" takes of a key in a file, which notation
// adds to its list by hand.
type localKeyOptions struct {
	keyPath    string
	certPaths  []string
	passphrase passphraseFlags
}

// add declares the flags, in place of the demand for --plugin.
func (l *localKeyOptions) add(a *app, cmd *cobra.Command) {
	cmd.Use = "add (--plugin <plugin_name> | --key-file <key_file>) [flags] <key_name>"
	cmd.Long = a.help(`Add a key to the list of signing keys: a plugin's, or one in a file.

The chain of a key in a file is completed, put in order and checked once, here. The key stays where it is; the chain is
written beside the list where the file given does not hold it as it has to be.

Example - Add a key that a plugin holds:
  {} key add --plugin <plugin_name> --id <key_id> <key_name>

Example - Add a key in a file, with the files that hold its chain:
  {} key add --key-file <key_file> --certificate-chain <leaf_file> --certificate-chain <ca_file> <key_name>

Example - Add an encrypted key; its passphrase is asked for, now and whenever it signs:
  {} key add --key-file <encrypted_key_file> --certificate-chain <chain_file> <key_name>
`)
	fs := cmd.Flags()
	fs.StringVar(&l.keyPath, "key-file", "", "file with the private key, PEM; it may be encrypted (PKCS#8)")
	fs.StringArrayVar(&l.certPaths, "certificate-chain", nil, "file with certificates of the key's chain, in any order (default: those in the key file); may be given more than once")
	l.passphrase.add(fs)
	for _, plugins := range []string{"plugin", "id", "plugin-config"} {
		cmd.MarkFlagsMutuallyExclusive("key-file", plugins)
	}
	for _, own := range []string{"certificate-chain", "key-passphrase-env", "key-passphrase-fd"} {
		cmd.MarkFlagsMutuallyExclusive("plugin", own)
	}
	cmd.PreRunE = func(*cobra.Command, []string) error {
		switch {
		case fs.Changed("key-file"):
			return refuseEmpty(fs)
		case !fs.Changed("plugin"): // notation's words
			return &shuin.Error{Code: shuin.CodeInvalidInput, Message: `required flag(s) "plugin" not set`, Hint: "or name a key in a file: --key-file"}
		}
		return nil
	}
}

// keyAddLocal adds a key in a file, once it is known that it can sign.
func (a *app) keyAddLocal(ctx context.Context, o *keyAddOptions) error {
	keyPath, err := filepath.Abs(o.local.keyPath)
	if err != nil {
		return err
	}
	p, err := newPassphrases(o.local.passphrase)
	if err != nil {
		return err
	}
	a.warnWritable(keyPath)
	key, err := file.LoadArranged(keyPath, o.local.certPaths, a.passphraseOf(ctx, p, o.name))
	if err != nil {
		return err
	}
	if err := p.check(o.name); err != nil {
		return err
	}
	certs, err := key.Certificates()
	if err != nil {
		return err
	}
	if err := sign.CheckValid(certs, a.now()); err != nil {
		return err
	}
	if err := a.nameIsNew(o.name); err != nil {
		return err
	}
	certPath, made, err := a.chainFile(ctx, o, keyPath, key)
	if err != nil {
		return err
	}
	err = a.listKey(ctx, o, notationdir.SigningKey{Name: o.name, KeyPath: keyPath, CertPath: certPath})
	if err != nil && made {
		_ = a.dir().RemoveLocalFile(o.name, certPath)
	}
	if err != nil {
		return err
	}
	for _, c := range certs {
		fmt.Fprintf(a.stdout, "  %s, until %s\n", printable(c.Subject.String()), c.NotAfter.UTC().Format("2006-01-02"))
	}
	return nil
}

// nameIsNew looks before anything is written.
func (a *app) nameIsNew(name string) error {
	keys, err := a.dir().SigningKeys()
	if err != nil {
		return err
	}
	return keys.Add(notationdir.SigningKey{Name: name}, false) // to a copy in memory
}

// chainFile is the file that holds the key's chain, leaf first, and nothing
// else: the one given where it does, else a new one.
func (a *app) chainFile(ctx context.Context, o *keyAddOptions, keyPath string, key *file.Key) (path string, made bool, err error) {
	paths := o.local.certPaths
	if len(paths) == 0 {
		paths = []string{keyPath}
	}
	if len(paths) == 1 {
		data, err := readFile(ctx, paths[0], limits.KeyFileBytes, "KeyFileBytes")
		if err != nil {
			return "", false, err
		}
		defer clear(data)
		if chain, err := file.ChainOf(data); err == nil && bytes.Equal(chain, key.ChainPEM()) {
			path, err = filepath.Abs(paths[0])
			return path, false, err
		}
	}
	if path, err = a.dir().CreateLocalCertificate(o.name, key.ChainPEM()); errors.Is(err, fs.ErrExist) {
		return "", false, &shuin.Error{Code: shuin.CodeInvalidInput, Err: err, Message: "write the completed certificate chain",
			Hint: "give the key another name, or remove that file"}
	}
	return path, err == nil, err
}
