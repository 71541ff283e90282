package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"unicode"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// Secret says where an address or token is kept. Exactly one field is set.
type Secret struct {
	File string // path of a file that holds nothing else
	Env  string // name of an environment variable
	// Parameter is the name or ARN of a parameter of AWS Systems Manager,
	// SecureString or not (needs ssm:GetParameter, and kms:Decrypt where a key
	// of the account's own encrypts it).
	Parameter string
	// SecretID is the name or ARN of a secret of AWS Secrets Manager whose
	// SecretString is the value (needs secretsmanager:GetSecretValue).
	SecretID string
}

// Check refuses a Secret that names no place, or two.
func (s Secret) Check() error {
	n := 0
	for _, v := range []string{s.File, s.Env, s.Parameter, s.SecretID} {
		if v != "" {
			n++
		}
	}
	if n != 1 {
		return &shuin.Error{
			Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("an address or token is kept in %d places", n),
			Hint: "name one: a file, an environment variable, a parameter of Systems Manager, or a secret of Secrets Manager",
		}
	}
	return nil
}

// String says where it is kept, never what it is.
func (s Secret) String() string {
	switch {
	case s.File != "":
		return "file " + s.File
	case s.Env != "":
		return "environment variable " + s.Env
	case s.Parameter != "":
		return "parameter " + s.Parameter
	case s.SecretID != "":
		return "secret " + s.SecretID
	}
	return "nowhere"
}

// value is a secret in memory: nothing prints it.
type value string

func (value) String() string               { return "[secret]" }
func (value) GoString() string             { return "[secret]" }
func (value) LogValue() slog.Value         { return slog.StringValue("[secret]") }
func (value) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// Secrets reads what Secret names. The zero value knows files only.
type Secrets struct {
	// Getenv is os.Getenv; nil: no variable is set.
	Getenv func(string) string
	// Cloud reads parameters and secrets of AWS; nil: they are refused.
	Cloud *Cloud
}

// read gives the value that s names. The error names the place alone.
func (r *Secrets) read(ctx context.Context, s Secret) (value, error) {
	if err := s.Check(); err != nil {
		return "", err
	}
	var got string
	var err error
	switch {
	case s.File != "":
		got, err = readSmall(s.File)
	case s.Env != "":
		if r.Getenv != nil {
			got = r.Getenv(s.Env)
		}
		if got == "" {
			err = errors.New("it is not set")
		}
	case r.Cloud == nil:
		err = errors.New("nothing here asks AWS for it")
	default:
		got, err = r.Cloud.read(ctx, s)
	}
	if err == nil {
		got, err = tidy(got)
	}
	if err != nil {
		code := shuin.CodeInvalidInput
		var known *shuin.Error
		if errors.As(err, &known) {
			code = known.Code
		}
		return "", &shuin.Error{Code: code, Message: "read " + s.String(), Err: err, Hint: shuin.HintOf(err)}
	}
	return value(got), nil
}

// forget drops what is kept of s: it was refused, and may have been replaced.
func (r *Secrets) forget(s Secret) {
	if r.Cloud != nil {
		r.Cloud.forget(s)
	}
}

// readSmall reads a file of at most limits.NotifySecretBytes.
func readSmall(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limits.NotifySecretBytes+1))
	return string(data), err
}

// tidy takes the line end off, and refuses what cannot be an address or token.
func tidy(s string) (string, error) {
	if len(s) > limits.NotifySecretBytes {
		return "", &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("it has more than %d bytes (limit NotifySecretBytes)", limits.NotifySecretBytes)}
	}
	s = strings.TrimRight(s, "\r\n")
	switch {
	case s == "":
		return "", errors.New("it is empty")
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == unicode.ReplacementChar }):
		return "", errors.New("it holds white space or control characters")
	}
	return s, nil
}
