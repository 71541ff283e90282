package main

import (
	"context"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func newConfigCheckCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Check a configuration and print what the server would do with it",
		Long: `Check a configuration and print what the server would do with it. Nothing is started, made or changed.
All faults are reported at once, with their lines.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.configCheck(cmd.Context(), args[0]) },
	}
}

func (a *app) configCheck(ctx context.Context, path string) error {
	c, err := a.loadConfig(path)
	if err != nil {
		return err
	}
	if c.TLS.Certificate != "" {
		pair, err := newKeyPair(c.TLS)
		if err != nil {
			return err
		}
		for _, name := range c.servedNames() {
			if host := (&config{Name: name}).hostname(); pair.leaf().VerifyHostname(host) != nil {
				a.warnf("the TLS certificate does not cover %s", host)
			}
		}
	}
	var lines []string
	if c.signs() {
		lines = c.describe()
	}
	if c.gates() {
		about, err := a.checkGate(ctx, c)
		if err != nil {
			return err
		}
		lines = append(lines, about...)
	}
	return a.printf("%s", strings.Join(lines, "\n"))
}

// describe says in words what the server would do.
func (c *config) describe() []string {
	how := "plain HTTP"
	switch {
	case c.TLS.Certificate != "":
		how = "HTTPS with " + c.TLS.Certificate
	case c.TLS.PlaintextBehindProxy:
		how = "plain HTTP, behind a proxy that ends TLS"
	}
	lines := []string{
		"The API is served on " + c.Listen + " by " + how + ", under the names " + strings.Join(c.names(), ", ") + ".",
		"Clients use the endpoint " + c.scheme() + "://" + c.Name + " and the region " + c.Region + "; ARNs begin with arn:" + c.Partition + ":signer:" + c.Region + ":.",
		"Data is in " + c.Data + c.found(c.Data) + "; keys at rest are opened with the age identity in " + c.Identity.where() + ".",
		"Certificates name C=" + c.CA.Subject.Country + ", ST=" + c.CA.Subject.Province + ", O=" + c.CA.Subject.Organization +
			"; issuing CAs have " + c.CA.IssuingKey + " keys; shared leaves live " + c.Signing.LeafLife.String() + ".",
		"Profiles are of the kind " + c.Signing.DefaultKind + " unless they say otherwise; self-check: " + c.Signing.SelfCheck + ".",
		"CRLs are named " + strings.TrimSuffix(c.CRL.Base, "/") + "/ID.crl in certificates, live " + c.CRL.Life.String() + ", are made anew after " +
			c.CRL.Refresh.String() + ", and are also files in " + c.CRL.Directory + ".",
		"The log is named " + c.origin() + " in checkpoints.",
		"Signing stops when the clock steps ahead by more than " + c.Signing.MaxClockStep.String() + " at once.",
	}
	if c.CRL.Listen != "" {
		lines = append(lines, "CRLs alone are also served by plain HTTP on "+c.CRL.Listen+".")
	}
	if c.Operations.Listen == "" {
		lines = append(lines, "/healthz and /readyz are served beside the API; /metrics nowhere (operations.listen is not set).")
	} else {
		lines = append(lines, "/healthz, /readyz and /metrics are served on "+c.Operations.Listen+".")
	}
	if c.Requests.EmptyRegion {
		lines = append(lines, "Requests signed for an empty region are accepted (requests.emptyRegion).")
	}
	return lines
}

// servedNames are those that clients use; a gate alone has none in its configuration.
func (c *config) servedNames() []string {
	if !c.signs() {
		return nil
	}
	return c.names()
}

// names are H, verification.H and data-H.
func (c *config) names() []string {
	return []string{c.Name, "verification." + c.Name, "data-" + c.Name}
}

func (c *config) found(path string) string {
	if _, err := os.Stat(path); err != nil {
		return " (not there yet: shuind ca init makes it)"
	}
	return ""
}

func (i identityConfig) where() string {
	if i.File != "" {
		return i.File
	}
	return "the environment variable " + i.Env
}
