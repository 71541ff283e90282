package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/keys/file"
	"github.com/shuin/shuin/internal/notationdir"
	"github.com/shuin/shuin/sign"
)

// signerFlags choose the key and the envelope.
type signerFlags struct {
	key    string
	id     string
	plugin string
	format string
}

func (s *signerFlags) add(a *app, cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVarP(&s.key, "key", "k", "", "name of a key of the key list. Not with --id and --plugin")
	fs.StringVar(&s.format, "signature-format", a.settings().SignatureFormat, "signature envelope format, options: \"jws\", \"cose\"")
	fs.StringVar(&s.id, "id", "", "key id (required if --plugin is set). Not with --key")
	fs.StringVar(&s.plugin, "plugin", "", "name of a signing plugin (required if --id is set). Not with --key")
	cmd.MarkFlagsRequiredTogether("id", "plugin")
	cmd.MarkFlagsMutuallyExclusive("key", "id")
	cmd.MarkFlagsMutuallyExclusive("key", "plugin")
}

// newSigner makes a signer of the key that the flags choose. config is what
// the key list says to hand to the key's plugin.
func (a *app) newSigner(ctx context.Context, s *signerFlags) (signer *sign.Signer, config map[string]string, err error) {
	key := notationdir.SigningKey{ID: s.id, PluginName: s.plugin}
	if s.id == "" || s.plugin == "" {
		if key, err = a.listedKey(s.key); err != nil {
			return nil, nil, err
		}
	}
	signer = &sign.Signer{Agent: a.userAgent()}
	if key.Local() {
		signer.Key, err = file.Load(key.KeyPath, key.CertPath)
		return signer, nil, err
	}
	return nil, nil, invalid("unsupported key, either provide a local key and certificate file paths, or a key name in config.json, check https://notaryproject.dev/docs/user-guides/how-to/notation-config-file/ for details")
}

// listedKey is a key of the key list; without a name the default one.
func (a *app) listedKey(name string) (notationdir.SigningKey, error) {
	keys, err := a.dir().SigningKeys()
	if err != nil {
		return notationdir.SigningKey{}, err
	}
	if name == "" {
		return keys.GetDefault()
	}
	return keys.Get(name)
}
