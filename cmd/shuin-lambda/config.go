package main

import (
	"time"

	"github.com/shuin/shuin/internal/limits"
)

// Modes of the function.
const (
	modeEnforce = "enforce"
	modeWarn    = "warn"
)

// config is the function's configuration, field by field as it is written.
// What is left out gets the default that newConfig fills in. docs/lambda.md
// says the same for people.
type config struct {
	// Mode is enforce (the default) or warn. In warn mode hooks answer
	// SUCCEEDED whatever happens, nothing is stopped, and all is told. The
	// environment's SHUIN_MODE goes before it.
	Mode string `yaml:"mode"`
	// Policy is where the pipeline policy is, or a Notary trust policy in its
	// place.
	Policy policyConfig `yaml:"policy"`
	// Trust is a notation configuration directory in the package: trust stores
	// under truststore/x509, config.json for registries. AWS Signer's own
	// stores are built in.
	Trust string `yaml:"trust"`
	// Registries says how registries are reached, beside ECR.
	Registries registriesConfig `yaml:"registries"`
	Revocation revocationConfig `yaml:"revocation"`
	Hook       hookConfig       `yaml:"hook"`
	Events     eventsConfig     `yaml:"events"`
	State      stateConfig      `yaml:"state"`
	// Remind: a finding that is still so is told again after this time; 0s:
	// never.
	Remind time.Duration `yaml:"remind"`
	// Tell are the places that findings are sent to.
	Tell  []tellConfig `yaml:"tell"`
	React reactConfig  `yaml:"react"`
	Sweep sweepConfig  `yaml:"sweep"`
}

// policyConfig is where the policy is: exactly one of File, S3 and Bundle.
type policyConfig struct {
	// File is a path in the package.
	File string `yaml:"file"`
	// S3 is an object, s3://BUCKET/KEY.
	S3 string `yaml:"s3"`
	// Bundle is a policy bundle, with the trust stores that the policy names: a
	// path in the package, an object of S3, s3://BUCKET/KEY, or what a Shuin
	// server hands out, https://HOST/v1/policy.
	Bundle string `yaml:"bundle"`
	// Token is where the bearer token for that server is kept.
	Token secretConfig `yaml:"token"`
	// SignedBy is who may sign the bundle.
	SignedBy signedByConfig `yaml:"signedBy"`
	// Region is the bucket's; empty: the function's own.
	Region string `yaml:"region"`
	// SHA256 pins the policy or bundle: 64 hexadecimal digits of its SHA-256. Another is
	// not used.
	SHA256 string `yaml:"sha256"`
	// Refresh is the least time between two looks at S3.
	Refresh time.Duration `yaml:"refresh"`
}

// registriesConfig is how registries are reached.
type registriesConfig struct {
	// DockerConfig is a Docker config.json in the package, for registries
	// other than ECR. It holds secrets: prefer ECR.
	DockerConfig string `yaml:"dockerConfig"`
	// DangerouslyUsePlainHTTP names registries (host, with its port) that are
	// spoken to without TLS. For tests.
	DangerouslyUsePlainHTTP []string `yaml:"dangerouslyUsePlainHTTP"`
}

// revocationConfig is how revocation is checked.
type revocationConfig struct {
	// AllowPrivateAddresses lets CRLs and OCSP responders on private addresses
	// be asked: a company's own, in the function's VPC.
	AllowPrivateAddresses bool `yaml:"allowPrivateAddresses"`
}

// hookConfig is how lifecycle hooks are answered.
type hookConfig struct {
	// Retries is how often what could not be checked is answered with
	// IN_PROGRESS before it is FAILED; 0: never.
	Retries int `yaml:"retries"`
	// RetryAfter is until ECS asks again.
	RetryAfter time.Duration `yaml:"retryAfter"`
	// Margin is kept of an invocation's time for the answer.
	Margin time.Duration `yaml:"margin"`
}

// eventsConfig is how events are taken.
type eventsConfig struct {
	// Receives is how often a queue hands a message out before what still
	// cannot be checked is told as that, and done with. Fewer than the
	// maxReceiveCount of the queue's redrive policy.
	Receives int `yaml:"receives"`
}

// stateConfig is where it is kept what was decided and told: one of DynamoDB
// and Server. Neither: the function remembers while it is warm, and tells again
// what another instance told.
type stateConfig struct {
	// DynamoDB is a table.
	DynamoDB string `yaml:"dynamodb"`
	// Region is the table's; empty: the function's own.
	Region string `yaml:"region"`
	// Server is a Shuin server that keeps findings; its principal reports.
	Server serverConfig `yaml:"server"`
}

// shared says whether all instances of the function remember together.
func (s *stateConfig) shared() bool { return s.DynamoDB != "" || s.Server != (serverConfig{}) }

// tellConfig is one place that findings are sent to, and which: exactly one of
// SNS, EventBus, Chat, Server and Log. Empty lists are everything.
type tellConfig struct {
	// Name tells it from others of its kind, and does not change: what was told
	// is remembered under it. Empty: its kind.
	Name string `yaml:"name"`

	// SNS is a topic's ARN.
	SNS string `yaml:"sns"`
	// EventBus is the name or ARN of an EventBridge bus.
	EventBus string `yaml:"eventBus"`
	// Chat is where the address of a chat or pager is kept, in shoutrrr's form.
	Chat secretConfig `yaml:"chat"`
	// Server is a Shuin server.
	Server serverConfig `yaml:"server"`
	// Log writes findings to the function's log.
	Log bool `yaml:"log"`

	// Role is assumed for SNS and EventBus, Region theirs where the ARN does
	// not say it.
	Role   string `yaml:"role"`
	Region string `yaml:"region"`

	Rules      []string `yaml:"rules"`
	Outcomes   []string `yaml:"outcomes"`
	Kinds      []string `yaml:"kinds"`
	Severities []string `yaml:"severities"`
}

// secretConfig says where a secret is kept; never what it is. One of them.
type secretConfig struct {
	// File is in the package, Env a variable of the environment, Parameter one
	// of AWS Systems Manager, Secret one of AWS Secrets Manager.
	File      string `yaml:"file"`
	Env       string `yaml:"env"`
	Parameter string `yaml:"parameter"`
	Secret    string `yaml:"secret"`
}

// serverConfig is a Shuin server that findings are posted to, or that keeps
// what was decided and told.
type serverConfig struct {
	URL   string       `yaml:"url"`
	Token secretConfig `yaml:"token"`
}

// reactConfig is what is done beside telling. All off unless named.
type reactConfig struct {
	// DangerouslyStopTasks stops tasks whose image a rule that enforces denies.
	DangerouslyStopTasks bool `yaml:"dangerouslyStopTasks"`
	// DangerouslyDeregisterTaskDefinitions makes revisions inactive that a rule
	// that enforces denies, so that nothing new starts from them.
	DangerouslyDeregisterTaskDefinitions bool `yaml:"dangerouslyDeregisterTaskDefinitions"`
	// PerMinute and PerHour bound both; PerGroup bounds what is done to the
	// tasks of one service, or of one family, in an hour. 1 at least.
	PerMinute int `yaml:"perMinute"`
	PerHour   int `yaml:"perHour"`
	PerGroup  int `yaml:"perGroup"`
	// Calm is how long nothing is done after the policy or a trust store
	// changed; 0s: no time.
	Calm time.Duration `yaml:"calm"`
}

// sweepConfig is what a scheduled event looks at.
type sweepConfig struct {
	// Interval is the time between two sweeps, as the schedule has it: what was
	// not seen for longer may count as over.
	Interval time.Duration `yaml:"interval"`
	// Targets are accounts and regions; none: the function's own.
	Targets []targetConfig `yaml:"targets"`
}

// targetConfig is one place to sweep.
type targetConfig struct {
	// Role is assumed there; empty: the function's own.
	Role       string `yaml:"role"`
	ExternalID string `yaml:"externalId"`
	// Region; empty: the function's own.
	Region string `yaml:"region"`
	// Clusters are names, "*" standing for any run of characters; none: all.
	Clusters []string `yaml:"clusters"`
	// TaskDefinitions has the newest active revision of each family looked at
	// too, whether anything runs from it or not.
	TaskDefinitions bool `yaml:"taskDefinitions"`
}

// newConfig is all defaults.
func newConfig() *config {
	return &config{
		Mode:   modeEnforce,
		Policy: policyConfig{Refresh: limits.LambdaRefresh},
		Hook:   hookConfig{Retries: limits.HookRetries, RetryAfter: limits.HookDelay, Margin: limits.LambdaMargin},
		Events: eventsConfig{Receives: limits.LambdaReceives},
		Remind: limits.WatchRemind,
		React: reactConfig{
			PerMinute: limits.WatchReactionsPerMinute, PerHour: limits.WatchReactionsPerHour, PerGroup: limits.WatchReactionsPerGroup, Calm: limits.WatchCalm,
		},
		Sweep: sweepConfig{Interval: limits.LambdaSweepEvery},
	}
}

func (c *config) warns() bool { return c.Mode == modeWarn }
