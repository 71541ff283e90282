package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/keys/file"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/notationdir"
)

// givenKeyHelp ends the help of every command that signs.
const givenKeyHelp = `
Example - Flags for a PEM key that CI hands over in a variable, its certificate chain behind it:
  --key env://<variable_name>

Example - Flags for a key from an open file descriptor, its chain in a file:
  --key fd://3 --certificate-chain <chain_file> 3< <(<command_that_prints_the_key>)

Example - Flags for an encrypted key, whose passphrase is not asked for at the terminal:
  --key <key_name> --key-passphrase-env <variable_name>
`

// passphraseFlags say where the passphrase of an encrypted key is.
type passphraseFlags struct {
	env, fd string
}

func (p *passphraseFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&p.env, "key-passphrase-env", "", "name of the environment variable that holds the passphrase of the encrypted key (default: asked for at the terminal)")
	fs.StringVar(&p.fd, "key-passphrase-fd", "", "number of the open file descriptor to read the passphrase of the encrypted key from")
}

// source is where the passphrase is; given is false where it is asked for.
func (p passphraseFlags) source() (s secretSource, given bool, err error) {
	switch {
	case p.env != "" && p.fd != "":
		return s, false, invalid("--key-passphrase-env and --key-passphrase-fd exclude each other")
	case p.env != "":
		s, err = envSource("--key-passphrase-env", p.env)
	case p.fd != "":
		s, err = fdSource("--key-passphrase-fd", p.fd)
	default:
		return s, false, nil
	}
	return s, err == nil, err
}

// passphrases answer for one key, and know whether they were asked.
type passphrases struct {
	source secretSource
	given  bool
	asked  bool
}

func newPassphrases(p passphraseFlags) (*passphrases, error) {
	s, given, err := p.source()
	return &passphrases{source: s, given: given}, err
}

// passphraseOf is what opens the key named what. Under the name notation it is nil:
// notation opens no encrypted key.
func (a *app) passphraseOf(ctx context.Context, p *passphrases, what string) file.Passphrase {
	if a.asNotation() {
		return nil
	}
	return func() ([]byte, error) {
		p.asked = true
		if p.given {
			secret, err := a.takeSecret(ctx, p.source, limits.SecretBytes, "SecretBytes")
			return trimLineBreak(secret), err
		}
		return a.promptPassphrase(ctx, what)
	}
}

// check refuses a passphrase that opened nothing: it is not the key that was meant.
func (p *passphrases) check(what string) error {
	if p.given && !p.asked {
		return &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("the private key of %s is not encrypted, but %s says what opens it", what, p.source.flag),
			Hint: "leave the flag out, or name the encrypted key"}
	}
	return nil
}

// trimLineBreak drops one line break at the end, which echo and editors leave.
func trimLineBreak(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
		if n := len(b); n > 0 && b[n-1] == '\r' {
			b = b[:n-1]
		}
	}
	return b
}

// promptPassphrase asks at the terminal, without echo.
func (a *app) promptPassphrase(ctx context.Context, what string) ([]byte, error) {
	in, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "the private key is encrypted, and stdin is no terminal to ask for its passphrase at",
			Hint: "name where it is: --key-passphrase-env NAME, or --key-passphrase-fd N"}
	}
	fmt.Fprint(a.stderr, printable(fmt.Sprintf("Passphrase of the private key of %s: ", what)))
	passphrase, err := a.readPassword(ctx, nil)
	fmt.Fprintln(a.stderr)
	if err != nil {
		return nil, fmt.Errorf("read the passphrase: %w", err)
	}
	return []byte(passphrase), nil
}

// givenKey is a key that --key says to take from a variable or descriptor.
func (a *app) givenKey(ctx context.Context, s *signerFlags, from secretSource) (*file.Key, error) {
	p, err := newPassphrases(s.passphrase)
	if err != nil {
		return nil, err
	}
	if p.given && p.source.env == from.env && p.source.fd == from.fd {
		return nil, invalidf("--key and %s name the same place: one holds the key, another one its passphrase", p.source.flag)
	}
	text, err := a.takeSecret(ctx, from, parsedKeyBytes, parsedKeyLimit)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	key, err := file.Parse(from.String(), text, s.chain, a.passphraseOf(ctx, p, from.String()))
	if err != nil {
		return nil, err
	}
	return key, p.check(from.String())
}

// localKey is a key of the key list that is in files.
func (a *app) localKey(ctx context.Context, s *signerFlags, key notationdir.SigningKey) (*file.Key, error) {
	a.warnWritable(key.KeyPath)
	p, err := newPassphrases(s.passphrase)
	if err != nil {
		return nil, err
	}
	loaded, err := file.LoadEncrypted(key.KeyPath, key.CertPath, a.passphraseOf(ctx, p, key.Name))
	if err != nil {
		return nil, err
	}
	return loaded, p.check(key.Name)
}

// checkKeyFlags refuses flags that say something of another key than the one
// that signs, which is a listed or a plugin's one.
func (s *signerFlags) checkKeyFlags(local bool) error {
	switch {
	case len(s.chain) > 0:
		return invalidf("--certificate-chain goes with --key %sNAME or --key %sN", envScheme, fdScheme)
	case s.passphrase != (passphraseFlags{}) && !local:
		return invalid("--key-passphrase-env and --key-passphrase-fd are for a private key of ours: here another's signs")
	}
	return nil
}
