package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/notationdir"
	"github.com/shuin/shuin/internal/plugin"
	"github.com/shuin/shuin/sign"
)

// signerFlags choose the key and the envelope.
type signerFlags struct {
	key    string
	id     string
	plugin string
	format string
	// profile is the ARN of a signing profile: a short way to say the plugin
	// of AWS Signer and an id.
	profile string
	// installed asks for AWS Signer's installed plugin in place of what is built in.
	installed bool
	// chain are files with certificates of a key that --key hands over itself.
	chain      []string
	passphrase passphraseFlags
	// blobs: the key is to sign blobs. It is no flag.
	blobs bool
}

func (s *signerFlags) add(a *app, cmd *cobra.Command) {
	fs := cmd.Flags()
	usage := "name of a key of the key list. Not with --id and --plugin"
	if !a.asNotation() { // notation has none of these
		usage = "name of a key of the key list, or env://NAME or fd://N for a PEM key that an environment variable or an open file descriptor holds. Not with --id and --plugin"
		fs.StringArrayVar(&s.chain, "certificate-chain", nil, "file with the certificate chain of the key that --key env:// or fd:// hands over, where it is not behind the key; may be given more than once")
		s.passphrase.add(fs)
		cmd.Long += givenKeyHelp
	}
	fs.StringVarP(&s.key, "key", "k", "", usage)
	fs.StringVar(&s.format, "signature-format", a.settings().signatureFormat, "signature envelope format, options: \"jws\", \"cose\"")
	fs.StringVar(&s.id, "id", "", "key id (required if --plugin is set). Not with --key")
	fs.StringVar(&s.plugin, "plugin", "", "name of a signing plugin (required if --id is set). Not with --key")
	fs.StringVar(&s.profile, "profile", "", "ARN of a signing profile of AWS Signer, or of a signer that speaks its API. Not with --key, --id and --plugin")
	installedPluginFlag(fs, &s.installed)
	cmd.MarkFlagsRequiredTogether("id", "plugin")
	cmd.MarkFlagsMutuallyExclusive("profile", "key")
	cmd.MarkFlagsMutuallyExclusive("profile", "id")
	cmd.MarkFlagsMutuallyExclusive("profile", "plugin")
	cmd.MarkFlagsMutuallyExclusive("key", "id")
	cmd.MarkFlagsMutuallyExclusive("key", "plugin")
}

// check refuses flags that were given and are empty, as an unset variable of a
// script makes them: another key than the one meant would sign.
func (s *signerFlags) check(fs *pflag.FlagSet) error {
	for _, f := range []struct{ flag, value string }{{"key", s.key}, {"id", s.id}, {"plugin", s.plugin}, {"profile", s.profile},
		{"key-passphrase-env", s.passphrase.env}, {"key-passphrase-fd", s.passphrase.fd}} {
		if fs.Changed(f.flag) && f.value == "" {
			return invalidf("flag --%s cannot be empty", f.flag)
		}
	}
	if slices.Contains(s.chain, "") {
		return invalid("flag --certificate-chain cannot be empty")
	}
	return nil
}

// newSigner makes a signer of the key that the flags choose. config is what
// the flags say to hand to a plugin; it counts before what the key list says.
// The whole of it is returned.
func (a *app) newSigner(ctx context.Context, s *signerFlags, config map[string]string) (*sign.Signer, map[string]string, error) {
	from, given, err := a.keySource(s.key)
	if err != nil {
		return nil, nil, err
	}
	if given {
		key, err := a.givenKey(ctx, s, from)
		if err != nil {
			return nil, nil, err
		}
		return &sign.Signer{Agent: a.signingAgent(), Key: key}, config, nil
	}
	key := notationdir.SigningKey{ID: s.id, PluginName: s.plugin}
	if s.profile != "" {
		key = notationdir.SigningKey{ID: s.profile, PluginName: awsprofile.PluginName}
	}
	if key.ID == "" || key.PluginName == "" {
		if key, err = a.listedKey(s.key); err != nil {
			return nil, nil, err
		}
	}
	if err := s.checkKeyFlags(key.Local()); err != nil {
		return nil, nil, err
	}
	signer := &sign.Signer{Agent: a.signingAgent()}
	switch {
	case key.Local():
		signer.Key, err = a.localKey(ctx, s, key)
	case key.External() && key.PluginName == awsprofile.PluginName && !s.installed:
		config = merged(key.PluginConfig, config)
		err = a.useSigner(signer, key.ID, config)
	case key.External():
		config = merged(key.PluginConfig, config)
		err = a.usePlugin(ctx, signer, key, config, s.blobs)
	default:
		err = invalid("unsupported key, either provide a local key and certificate file paths, or a key name in config.json, check https://notaryproject.dev/docs/user-guides/how-to/notation-config-file/ for details")
	}
	if err != nil {
		return nil, nil, err
	}
	return signer, config, nil
}

// warnWritable warns of a key file that every user of the machine may replace.
func (a *app) warnWritable(path string) {
	if runtime.GOOS == "windows" { // whose permission bits say nothing
		return
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o002 != 0 {
		a.warnf("everybody may write to the key file %s", path)
	}
}

// usePlugin lets a plugin sign: the bytes where it can, else the whole envelope;
// over blobs where it says that it can (PLG-08).
func (a *app) usePlugin(ctx context.Context, signer *sign.Signer, key notationdir.SigningKey, config map[string]string, blobs bool) error {
	p, err := a.plugins().Open(ctx, key.PluginName, config)
	if err != nil {
		return err
	}
	switch {
	case p.Has(plugin.CapabilityRaw):
		signer.Key, err = p.RawKey(key.ID, config)
	case blobs && p.Has(plugin.CapabilityEnvelopeForBlob):
		signer.Enveloper, err = p.BlobEnveloper(key.ID, config)
	case blobs:
		err = p.SignsNoBlobs()
	case p.Has(plugin.CapabilityEnvelope):
		signer.Enveloper, err = p.Enveloper(key.ID, config)
	default:
		err = &shuin.Error{Code: shuin.CodePluginFailed, Message: fmt.Sprintf("plugin %q does not have signing capabilities", key.PluginName)}
	}
	return err
}

// merged is all of maps in one; a later one counts.
func merged(all ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range all {
		maps.Copy(out, m)
	}
	return out
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
