package main

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/internal/awsstate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/webfile"
	"github.com/shuin/shuin/internal/webstate"
)

// validate finds what is wrong with values, after decoding.
func (s *settings) validate(d *decoder) {
	if s.Mode != modeEnforce && s.Mode != modeWarn {
		d.at("mode", "it is %s or %s, not %s", modeEnforce, modeWarn, shown(s.Mode))
	}
	s.validatePolicy(d)
	s.validatePackage(d)
	s.validateHook(d)
	s.validateState(d)
	if s.Remind < 0 {
		d.at("remind", "a time of 0s (never) or more is wanted")
	}
	between(d, "events.receives", s.Events.Receives, 1, 1000)
	s.validateTell(d)
	s.validateReact(d)
	s.validateSweep(d)
}

func (s *settings) validateState(d *decoder) {
	at := &s.State
	if at.DynamoDB != "" && !tableName.matches(at.DynamoDB) {
		d.at("state.dynamodb", "%s is no table's name", shown(at.DynamoDB))
	}
	if at.Region != "" && at.DynamoDB == "" {
		d.at("state.region", "it goes with state.dynamodb")
	}
	region(d, "state.region", at.Region, at.DynamoDB)
	if at.Server == (serverConfig{}) {
		return
	}
	if at.DynamoDB != "" {
		d.at("state", "either dynamodb or server, not both: what was told is remembered in one place")
	}
	at.Server.validate(d, "state.server")
}

// pattern is a regular expression that is compiled when it is used: most
// configurations use few of them, and the start of every process would pay for
// all.
type pattern string

func (p pattern) matches(s string) bool {
	return len(s) <= limits.EventStringBytes && regexp.MustCompile(string(p)).MatchString(s)
}

const (
	tableName  pattern = `^(arn:[a-z0-9-]+:dynamodb:[a-z0-9-]+:[0-9]{12}:table/)?[A-Za-z0-9_.-]+$`
	regionName pattern = `^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$`
	tellName   pattern = `^[A-Za-z0-9_.-]+$`
	busName    pattern = `^(arn:[a-z0-9-]+:events:[a-z0-9-]+:[0-9]{12}:event-bus/)?[/.A-Za-z0-9_-]+$`
	roleARN    pattern = `^arn:[a-z0-9-]+:iam::[0-9]{12}:role/[\w+=,.@/-]+$`
	topicARN   pattern = `^arn:[a-z0-9-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+(\.fifo)?$`
	envName    pattern = `^[A-Za-z_][A-Za-z0-9_]*$`
	plainWord  pattern = `^[A-Za-z0-9_.-]{0,24}$`
	// A cluster's name (CreateCluster: up to 255 letters, digits, "_" and "-"),
	// "*" standing for any run of characters.
	clusterName pattern = `^[A-Za-z0-9_*-]{1,255}$`
)

func between(d *decoder, path string, value, least, most int) {
	if value < least || value > most {
		d.at(path, "between %d and %d is possible, not %d", least, most, value)
	}
}

// region holds the name of one to its form, and to the region that an ARN says
// already: it would be taken and not used.
func region(d *decoder, path, name, arn string) {
	if said := regionOf(arn); name != "" && said != "" && name != said {
		d.at(path, "the ARN says %s: leave one of them out", said)
	}
	if name != "" && !regionName.matches(name) {
		d.at(path, "%s is no region of AWS", shown(name))
	}
}

// shown is a value in a text about it: an ARN, or a plain word. What has
// another form may be the address of a chat that somebody wrote into the wrong
// line, and that is a secret.
func shown(value string) string {
	if strings.HasPrefix(value, "arn:") || plainWord.matches(value) {
		return strconv.Quote(value)
	}
	return "what is written there (" + strconv.Itoa(len(value)) + " bytes, not shown: it may be a secret)"
}

func (s *settings) validatePolicy(d *decoder) {
	p := &s.Policy
	where := 0
	for _, one := range []string{p.File, p.S3, p.Bundle} {
		if one != "" {
			where++
		}
	}
	switch {
	case where == 0:
		d.at("policy", "it is missing: say where the pipeline policy is, with policy.file, policy.s3 or policy.bundle")
	case where > 1:
		d.at("policy", "either file or s3 or bundle, not several")
	}
	s.validateBundle(d)
	if p.S3 != "" {
		if _, err := awsstate.ParseAddress(p.S3); err != nil {
			d.at("policy.s3", "%v", err)
		}
	} else if !remote(p.Bundle) && (d.lines["policy.region"] > 0 || d.lines["policy.refresh"] > 0) {
		d.at("policy", "region and refresh go with s3, or a bundle elsewhere than in the package")
	} else if webfile.IsAddress(p.Bundle) && p.Region != "" {
		d.at("policy.region", "it goes with a bucket, and not with a server")
	}
	region(d, "policy.region", p.Region, "")
	if p.SHA256 != "" && digest.NewDigestFromEncoded(digest.SHA256, strings.TrimPrefix(p.SHA256, "sha256:")).Validate() != nil {
		d.at("policy.sha256", "64 hexadecimal digits (lower case) are wanted, as sha256sum prints them")
	}
	if p.Refresh <= 0 {
		d.at("policy.refresh", "a time above 0 is wanted, such as 1m")
	}
}

// pin is the digest that the policy has to have; empty: any.
func (p *policyConfig) pin() digest.Digest {
	if p.SHA256 == "" {
		return ""
	}
	return digest.NewDigestFromEncoded(digest.SHA256, strings.TrimPrefix(p.SHA256, "sha256:"))
}

// validatePackage looks at what is in the package.
func (s *settings) validatePackage(d *decoder) {
	for _, one := range []struct {
		key, path string
		dir       bool
	}{
		{"policy.file", s.Policy.File, false},
		{"trust", s.Trust, true},
		{"registries.dockerConfig", s.Registries.DockerConfig, false},
	} {
		if one.path == "" {
			continue
		}
		info, err := os.Stat(s.path(one.path))
		switch {
		case err != nil:
			d.at(one.key, "%v", err)
		case info.IsDir() != one.dir && one.dir:
			d.at(one.key, "%s is no directory", s.path(one.path))
		case info.IsDir() != one.dir:
			d.at(one.key, "%s is a directory", s.path(one.path))
		}
	}
	for i, host := range s.Registries.DangerouslyUsePlainHTTP {
		if u, err := url.Parse("//" + host); err != nil || u.Host != host || host == "" {
			d.at(fmt.Sprintf("registries.dangerouslyUsePlainHTTP[%d]", i), "%s is no host, with its port", shown(host))
		}
	}
}

func (s *settings) validateHook(d *decoder) {
	h := &s.Hook
	between(d, "hook.retries", h.Retries, 0, limits.HookRetriesMost)
	if h.RetryAfter < limits.HookDelayLeast || h.RetryAfter > limits.HookDelayMost {
		d.at("hook.retryAfter", "between %s and %s is possible", limits.HookDelayLeast, limits.HookDelayMost)
	}
	if h.Margin <= 0 || h.Margin > limits.LambdaMarginMost {
		d.at("hook.margin", "above 0 and up to %s is possible", limits.LambdaMarginMost)
	}
}

func (s *settings) validateReact(d *decoder) {
	r := &s.React
	between(d, "react.perMinute", r.PerMinute, 1, 1000)
	between(d, "react.perHour", r.PerHour, 1, 10_000)
	between(d, "react.perGroup", r.PerGroup, 1, 10_000)
	if r.Calm < 0 {
		d.at("react.calm", "a time is wanted, such as 30m; 0s: none")
	}
	if (r.DangerouslyStopTasks || r.DangerouslyDeregisterTaskDefinitions) && !s.State.shared() {
		d.at("react", "it needs state.dynamodb or state.server: without either several instances of the function cannot keep to one rate, nor be switched off together")
	}
}

func (s *settings) validateSweep(d *decoder) {
	if s.Sweep.Interval <= 0 {
		d.at("sweep.interval", "a time above 0s is wanted, such as 6h")
	}
	if len(s.Sweep.Targets) > limits.LambdaTargets {
		d.at("sweep.targets", "more than %d (limit LambdaTargets)", limits.LambdaTargets)
		return
	}
	seen, roles := map[string]bool{}, map[string]*targetConfig{}
	for i := range s.Sweep.Targets {
		t := &s.Sweep.Targets[i]
		at := fmt.Sprintf("sweep.targets[%d]", i)
		if t.Role != "" && !roleARN.matches(t.Role) {
			d.at(at+".role", "%s is no role's ARN", shown(t.Role))
		}
		if t.ExternalID != "" && t.Role == "" {
			d.at(at+".externalId", "it goes with a role")
		}
		region(d, at+".region", t.Region, "")
		for j, name := range t.Clusters {
			if !clusterName.matches(name) {
				d.at(fmt.Sprintf("%s.clusters[%d]", at, j), "%s is no cluster's name, and no pattern of one", shown(name))
			}
		}
		key := t.Role + " " + cmp.Or(t.Region, s.region)
		if seen[key] {
			d.at(at, "the same role and region are there twice")
		}
		seen[key] = true
		if account := accountOf(t.Role); account != "" {
			if other := roles[account]; other != nil && (other.Role != t.Role || other.ExternalID != t.ExternalID) {
				d.at(at+".role", "another target has another role (or external ID) of the account %s: an account is read by one", account)
			} else {
				roles[account] = t
			}
		}
	}
}

func (s *settings) validateTell(d *decoder) {
	if len(s.Tell) > limits.LambdaTells {
		d.at("tell", "more than %d (limit LambdaTells)", limits.LambdaTells)
		return
	}
	seen := map[string]bool{}
	for i := range s.Tell {
		at := fmt.Sprintf("tell[%d]", i)
		name := s.Tell[i].validate(d, at)
		if name != "" && seen[name] {
			d.at(at, "another place is called %q: give one of them a name", name)
		}
		seen[name] = true
	}
}

// kinds are those of the place's five that are set.
func (t *tellConfig) kinds() []string {
	var out []string
	for _, k := range []struct {
		name string
		set  bool
	}{{"sns", t.SNS != ""}, {"eventBus", t.EventBus != ""}, {"chat", t.Chat != secretConfig{}}, {"server", t.Server != serverConfig{}}, {"log", t.Log}} {
		if k.set {
			out = append(out, k.name)
		}
	}
	return out
}

// validate looks at one place, and gives the name it goes by.
func (t *tellConfig) validate(d *decoder, at string) string {
	kinds := t.kinds()
	if len(kinds) != 1 {
		d.at(at, "exactly one of sns, eventBus, chat, server and log is wanted, not %d", len(kinds))
		return ""
	}
	switch {
	case t.SNS != "" && !topicARN.matches(t.SNS):
		d.at(at+".sns", "%s is no topic's ARN", shown(t.SNS))
	case t.EventBus != "" && !busName.matches(t.EventBus):
		d.at(at+".eventBus", "%s is no event bus", shown(t.EventBus))
	}
	t.validateSecrets(d, at)
	if t.Role != "" && !roleARN.matches(t.Role) {
		d.at(at+".role", "%s is no role's ARN", shown(t.Role))
	}
	if (t.Role != "" || t.Region != "") && t.SNS == "" && t.EventBus == "" {
		d.at(at, "role and region go with sns and eventBus")
	}
	region(d, at+".region", t.Region, t.SNS+t.EventBus)
	t.validateFilters(d, at)
	name := t.Name
	if name == "" {
		name = kinds[0]
	}
	if len(name) > 48 || !tellName.matches(name) {
		d.at(at+".name", "1 to 48 letters, digits, \"-\", \"_\" and \".\" are wanted, not %s", shown(t.Name))
	}
	return name
}

func (t *tellConfig) validateSecrets(d *decoder, at string) {
	if t.Chat != (secretConfig{}) {
		t.Chat.validate(d, at+".chat")
	}
	if t.Server != (serverConfig{}) {
		t.Server.validate(d, at+".server")
	}
}

// validate looks at a server: https, but for one on this machine.
func (c *serverConfig) validate(d *decoder, at string) {
	if err := (&webstate.Store{URL: c.URL}).Check(); err != nil {
		d.at(at+".url", "%v: an address such as https://shuin.example.com is wanted; the token is apart", err)
	}
	c.Token.validate(d, at+".token")
}

func (c *secretConfig) validate(d *decoder, at string) {
	set := 0
	for _, v := range []string{c.File, c.Env, c.Parameter, c.Secret} {
		if v != "" {
			set++
		}
	}
	switch {
	case set != 1:
		d.at(at, "exactly one of file, env, parameter and secret is wanted: where the value is kept, never the value itself")
	case c.Env != "" && !envName.matches(c.Env):
		d.at(at+".env", "the name of an environment variable is wanted")
	case c.File != "" && filepath.Clean(c.File) == ".":
		d.at(at+".file", "a file is wanted")
	}
}
