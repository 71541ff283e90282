package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/shuin/shuin/internal/limits"
)

// Docker's credential helper protocol: a program docker-credential-NAME, one
// word as its argument, the input on its standard input, so that no secret is
// ever in an argument or an environment variable.

const (
	helperPrefix    = "docker-credential-"
	tokenUser       = "<token>" // stands for "the secret is a refresh token"
	helperNotFound  = "credentials not found in native keychain"
	helperNoAddress = "no credentials server URL"
	helperNameBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
)

// DefaultHelper is the suffix of the platform's own credential helper, empty
// where it is not installed.
func DefaultHelper() string {
	var name string
	switch runtime.GOOS {
	case "linux":
		name = "secretservice"
		if _, err := exec.LookPath("pass"); err == nil {
			name = "pass"
		}
	case "darwin":
		name = "osxkeychain"
	case "windows":
		name = "wincred"
	default:
		return ""
	}
	if _, err := exec.LookPath(helperPrefix + name); err != nil {
		return ""
	}
	return name
}

// helperMessage is the input and output of helpers.
type helperMessage struct {
	ServerURL string `json:"ServerURL"`
	Username  string `json:"Username"`
	Secret    string `json:"Secret"`
}

func (s *Store) helperGet(ctx context.Context, helper, server string) (Credential, error) {
	out, err := s.run(ctx, helper, "get", []byte(server))
	if err != nil {
		var said *helperError
		if errors.As(err, &said) && (said.text == helperNotFound || said.text == helperNoAddress) {
			return Credential{}, nil
		}
		return Credential{}, err
	}
	var m helperMessage
	if json.Unmarshal(out, &m) != nil {
		return Credential{}, fmt.Errorf("%s%s get: the answer is not what the protocol says", helperPrefix, helper)
	}
	if m.Username == tokenUser {
		return Credential{RefreshToken: m.Secret}, nil
	}
	return Credential{Username: m.Username, Password: m.Secret}, nil
}

func (s *Store) helperStore(ctx context.Context, helper, server string, c Credential) error {
	m := helperMessage{ServerURL: server, Username: c.Username, Secret: c.Password}
	if c.RefreshToken != "" {
		m.Username, m.Secret = tokenUser, c.RefreshToken
	}
	in, err := json.Marshal(m)
	if err != nil {
		return errors.New("the credential cannot be written as JSON")
	}
	_, err = s.run(ctx, helper, "store", in)
	return err
}

func (s *Store) helperErase(ctx context.Context, helper, server string) error {
	_, err := s.run(ctx, helper, "erase", []byte(server))
	var said *helperError
	if errors.As(err, &said) && said.text == helperNotFound {
		return nil
	}
	return err
}

// helperError is a helper's own message. It is shown only where it is one of
// those that the protocol knows: any other may hold a secret, such as the answer
// of a helper that fails after it printed it.
type helperError struct {
	program, action, text string
	err                   error
}

func (e *helperError) Error() string {
	if e.text == helperNotFound || e.text == helperNoAddress {
		return fmt.Sprintf("%s %s: %s", e.program, e.action, e.text)
	}
	return fmt.Sprintf("%s %s failed: %v", e.program, e.action, e.err)
}

func (e *helperError) Unwrap() error { return e.err }

// run runs a helper within limits.HelperTime and limits.HelperOutput.
func (s *Store) run(ctx context.Context, helper, action string, in []byte) ([]byte, error) {
	program := helperPrefix + helper
	if strings.Trim(helper, helperNameBytes) != "" || helper == "" {
		return nil, fmt.Errorf("%q is no name of a credential helper", helper)
	}
	limited, cancel := context.WithTimeout(ctx, limits.HelperTime)
	defer cancel()
	out := &boundedBuffer{max: limits.HelperOutput, stop: cancel}
	cmd := exec.CommandContext(limited, program, action)
	cmd.Stdin = bytes.NewReader(in)
	cmd.Stdout = out
	cmd.Env = s.environment()
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case out.full:
		return nil, exceeded(program+" "+action, "HelperOutput", "more than %d bytes of output", limits.HelperOutput)
	case err == nil:
		return out.b, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s %s: %w", program, action, ctx.Err())
	case limited.Err() != nil:
		return nil, fmt.Errorf("%s %s: no answer within %v (limit HelperTime)", program, action, limits.HelperTime)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, &helperError{program: program, action: action, text: printable(strings.TrimSpace(string(out.b))), err: err}
	}
	return nil, fmt.Errorf("%s %s: %w", program, action, err)
}

// environment leaves out what could hold our own secrets (NOTATION_PASSWORD).
func (s *Store) environment() []string {
	env := s.Environment
	if env == nil {
		env = os.Environ()
	}
	out := make([]string, 0, len(env))
	for _, v := range env {
		if !strings.HasPrefix(v, "NOTATION_") {
			out = append(out, v)
		}
	}
	return out
}

// boundedBuffer stops its writer when it is full. It embeds no bytes.Buffer,
// whose ReadFrom io.Copy would use instead of Write.
type boundedBuffer struct {
	b    []byte
	max  int
	full bool
	stop func()
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if len(b.b)+len(p) > b.max {
		b.full = true
		b.stop()
		return 0, errors.New("output is too long")
	}
	b.b = append(b.b, p...)
	return len(p), nil
}
