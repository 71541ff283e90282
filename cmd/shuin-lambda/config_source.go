package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// Variables of the function's environment.
const (
	envMode       = "SHUIN_MODE"        // enforce or warn; goes before the configuration's
	envConfig     = "SHUIN_CONFIG"      // the configuration itself
	envConfigFile = "SHUIN_CONFIG_FILE" // its path, from the package's directory
	envReactions  = "SHUIN_REACTIONS"   // off: nothing is stopped or deregistered
	envPackage    = "LAMBDA_TASK_ROOT"  // set by Lambda: where the package is

	configName = "shuin-lambda.yaml" // in the package, where no variable says more
)

// checkHint is pointless where it is just what is done.
const checkHint = "\"shuin-lambda --check-config FILE\" shows every fault with its line"

// settings are the configuration with what the environment says.
type settings struct {
	*config
	source       string // what the configuration was read from, for texts
	dir          string // of the package: relative paths begin here
	reactionsOff bool
	region       string // the function's own; empty: not known
	// modeFault: SHUIN_MODE says nothing that is known, and counts for nothing.
	modeFault error
}

// loadSettings reads the configuration. Where that fails, what is returned
// beside the error tells at least whether the function warns or enforces.
func loadSettings(env func(string) string) (*settings, error) {
	s := &settings{config: newConfig(), dir: packageDir(env), region: env("AWS_REGION")}
	text, err := s.read(env)
	if err == nil {
		err = s.parse(text, env)
	}
	// First and last: whatever else is unreadable, and whatever the
	// configuration says. Who misspelt it did not mean to change the mode.
	configured := modeOf(s.Mode)
	s.Mode = cmp.Or(modeOf(env(envMode)), configured, modeEnforce)
	if mode := env(envMode); strings.TrimSpace(mode) != "" && modeOf(mode) == "" {
		s.modeFault = invalid("the environment variable %s is %q; it is %s or %s: it counts for nothing", envMode, mode, modeEnforce, modeWarn)
	}
	return s, err
}

// modeOf is the mode that somebody wrote, whatever its case; empty: none.
func modeOf(written string) string {
	switch mode := strings.ToLower(strings.TrimSpace(written)); mode {
	case modeEnforce, modeWarn:
		return mode
	}
	return ""
}

// packageDir is where the function's package was unpacked.
func packageDir(env func(string) string) string {
	if dir := env(envPackage); dir != "" {
		return dir
	}
	if self, err := os.Executable(); err == nil {
		return filepath.Dir(self)
	}
	return "."
}

// path is a path of the configuration; empty stays empty.
func (s *settings) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(s.dir, p)
}

// read finds the configuration's text.
func (s *settings) read(env func(string) string) ([]byte, error) {
	if text := env(envConfig); text != "" {
		s.source = "the environment variable " + envConfig
		return []byte(text), nil
	}
	s.source = s.path(env(envConfigFile))
	if s.source == "" {
		s.source = filepath.Join(s.dir, configName)
	}
	text, err := readFile(s.source, limits.LambdaConfigBytes, "LambdaConfigBytes")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "there is no configuration", Err: err,
			Hint: fmt.Sprintf("put it into %s, name its file with %s, or put a %s into the package", envConfig, envConfigFile, configName)}
	}
	if err != nil {
		return nil, invalid("the configuration cannot be read: %w", err)
	}
	return text, nil
}

// parse reads the text, and says all that is wrong with it.
func (s *settings) parse(text []byte, env func(string) string) error {
	d := decodeConfig(text, s.config)
	s.reactionsOff = env(envReactions) != "" && env(envReactions) != "on"
	if !d.unreadable { // else what is missing was not read
		s.validate(d)
	}
	if err := d.faults.Err(); err != nil {
		return &shuin.Error{Code: shuin.CodeInvalidInput, Message: "the configuration (" + s.source + ") cannot be used", Err: err,
			Hint: checkHint}
	}
	return nil
}

// readFile reads a file of at most max bytes; name is of that limit.
func readFile(path string, most int64, name string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%s is larger than %d bytes (limit %s)", path, most, name)}
	}
	return data, nil
}

func invalid(format string, args ...any) error {
	return &shuin.Error{Code: shuin.CodeInvalidInput, Err: fmt.Errorf(format, args...)}
}
