package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// Schemes of --key: where a key is that is on no list and in no file.
const (
	envScheme = "env://"
	fdScheme  = "fd://"
)

// secretSource is where a secret is handed over: an environment variable, or
// an open file descriptor. It is taken from there once.
type secretSource struct {
	flag string // that names it, for errors
	env  string // empty: fd
	fd   int
}

// String is how errors name it; the flag has to be one whose value was checked.
func (s secretSource) String() string {
	if s.env != "" {
		return "the environment variable " + s.env
	}
	return fmt.Sprintf("file descriptor %d", s.fd)
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,254}$`)

// keySource reads a value of --key that is no name of the key list. The
// drop-in knows names alone.
func (a *app) keySource(key string) (s secretSource, ok bool, err error) {
	if a.asNotation() {
		return s, false, nil
	}
	if name, is := strings.CutPrefix(key, envScheme); is {
		s, err = envSource("--key", name)
		return s, true, err
	}
	if n, is := strings.CutPrefix(key, fdScheme); is {
		s, err = fdSource("--key", n)
		return s, true, err
	}
	return s, false, nil
}

// envSource checks a variable's name. Errors do not repeat it: who wrote $NAME
// for NAME gave the secret itself.
func envSource(flag, name string) (secretSource, error) {
	if !envName.MatchString(name) {
		return secretSource{}, &shuin.Error{Code: shuin.CodeInvalidInput, Message: flag + " names no environment variable: a name has letters, digits and _",
			Hint: "give the variable's name, without $"}
	}
	return secretSource{flag: flag, env: name}, nil
}

// fdSource checks a descriptor's number: 0 (stdin), or one that was opened for
// us, 3 and above.
func fdSource(flag, number string) (secretSource, error) {
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 1 || n == 2 || strconv.FormatUint(n, 10) != number {
		return secretSource{}, &shuin.Error{Code: shuin.CodeInvalidInput, Message: flag + " names no file descriptor to read: it is 0 (stdin), or 3 and above",
			Hint: "open it with the shell, as in: 3< <(command that prints the secret)"}
	}
	return secretSource{flag: flag, fd: int(n)}, nil
}

// takeSecret reads all of what s holds, at most max bytes (limit name), and
// takes it away: processes that are started later find neither the variable nor
// the descriptor, and other processes cannot read our environment.
func (a *app) takeSecret(ctx context.Context, s secretSource, max int, name string) ([]byte, error) {
	var secret []byte
	if s.env != "" {
		value, set := os.LookupEnv(s.env)
		if !set {
			return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "the environment variable that " + s.flag + " names is not set"}
		}
		hideEnvironment()
		if err := os.Unsetenv(s.env); err != nil {
			return nil, invalidf("%s cannot be taken out of the environment", s)
		}
		secret = []byte(value)
	} else {
		var err error
		if secret, err = readDescriptor(ctx, s, max); err != nil {
			return nil, err
		}
	}
	switch {
	case len(secret) > max:
		clear(secret)
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%s, which %s names, holds more than %d bytes (limit %s)", s, s.flag, max, name)}
	case len(secret) == 0:
		return nil, invalidf("%s, which %s names, is empty", s, s.flag)
	}
	return secret, nil
}

// readDescriptor reads up to a byte more than max, and closes.
func readDescriptor(ctx context.Context, s secretSource, max int) ([]byte, error) {
	f, err := openDescriptor(s.fd)
	if err != nil {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("%s, which %s names, cannot be read", s, s.flag), Err: err,
			Hint: "open it with the shell, as in: 3< <(command that prints the secret)"}
	}
	hideEnvironment() // and what is in memory
	secret, err := interruptible(ctx, func() ([]byte, error) {
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, int64(max)+1))
	})
	if err != nil {
		return nil, fmt.Errorf("read %s, which %s names: %w", s, s.flag, err)
	}
	return secret, nil
}

// parsedKeyBytes is how large a key with its certificates may be.
const parsedKeyBytes, parsedKeyLimit = limits.KeyFileBytes, "KeyFileBytes"
