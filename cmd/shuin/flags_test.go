package main

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shuin/shuin"
)

// Whatever flag with a value the commands have, and will have: an unset
// variable of a script must not mean the default.
func TestNoFlagOfTheSignersCommandsMayBeEmpty(t *testing.T) {
	var commands []*cobra.Command
	var collect func(*cobra.Command)
	collect = func(c *cobra.Command) {
		if c.Runnable() {
			commands = append(commands, c)
		}
		for _, sub := range c.Commands() {
			collect(sub)
		}
	}
	root := newRootCmd(newApp("shuin"))
	for _, c := range root.Commands() {
		if c.Name() == "signer" || c.Name() == "aws" {
			collect(c)
		}
	}
	seen := map[string]bool{}
	for _, c := range commands {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Value.Type() == "bool" || f.Value.Type() == "int" || f.Value.Type() == "duration" { // pflag refuses nothing for these
				return
			}
			seen[f.Name] = true
			args := append(strings.Fields(c.CommandPath())[1:], "--"+f.Name, "")
			if strings.Contains(c.Use, "<") {
				args = append(args, "arn:aws:signer:us-west-2:111122223333:/signing-profiles/build")
			}
			if strings.HasSuffix(c.CommandPath(), "permission remove") || strings.HasSuffix(c.CommandPath(), "tag add") || strings.HasSuffix(c.CommandPath(), "tag remove") {
				args = append(args, "k=v")
			}
			root := newRootCmd(newApp("shuin"))
			root.SetArgs(args)
			root.SetOut(io.Discard)
			root.SetErr(io.Discard)
			err := root.ExecuteContext(t.Context())
			if shuin.CodeOf(err) != shuin.CodeInvalidInput || !strings.Contains(err.Error(), "flag --"+f.Name+" cannot be empty") {
				t.Errorf("%q: %v", args, err)
			}
		})
	}
	for _, name := range []string{"endpoint-url", "region", "aws-profile", "effective-time", "status", "for", "profile", "registry", "tag", "validity"} {
		if !seen[name] {
			t.Errorf("no command has --%s", name)
		}
	}
}

func TestTheAWSCLIsVariableForHostNamesCounts(t *testing.T) {
	for value, want := range map[string]bool{"": false, "false": false, "true": true} {
		a := newApp("shuin")
		a.getenv = func(name string) string {
			if name == "AWS_DISABLE_HOST_PREFIX_INJECTION" {
				return value
			}
			return ""
		}
		if got := a.awsClient().NoHostPrefix; got != want {
			t.Errorf("%q: %t", value, got)
		}
	}
}
