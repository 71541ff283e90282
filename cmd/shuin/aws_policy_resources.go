package main

import (
	"regexp"
	"strings"

	"github.com/spf13/pflag"

	"github.com/shuin/shuin/bundle"
)

// functionResources are what the function that gates ECS works on, for
// --for hook, events, sweep and stop.
type functionResources struct {
	clusters, roles             []string
	policy, queue, table, topic string
	bundle, signature           string
	eventBus                    string
	secrets                     []string
	deploymentGroups            []string
	codePipeline                bool

	// others are the ARNs that the other flags name.
	others []string
}

func (f *functionResources) add(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.clusters, "cluster", nil, "with --for hook, events, sweep or stop: ARN of a cluster; may be given several times (default: every cluster)")
	fs.StringArrayVar(&f.roles, "assume-role", nil, "with --for sweep: ARN of a role that is assumed to see another account; may be given several times")
	fs.StringVar(&f.policy, "policy-object", "", "with --for hook, events, sweep, verify or check: object with the pipeline policy, s3://BUCKET/KEY or s3://BUCKET/KEY?versionId=ID")
	fs.StringVar(&f.bundle, "policy-bundle", "", "with --for hook, events or sweep: object with a signed policy bundle, s3://BUCKET/KEY, in place of --policy-object; its signature is read too")
	fs.StringVar(&f.signature, "policy-signature", "", "with --policy-bundle: object with its signature (default: the bundle's with .jws.sig behind it, or its digest and .jws.sig)")
	fs.StringArrayVar(&f.deploymentGroups, "deployment-group", nil, "with --for hook: ARN of a deployment group of CodeDeploy whose hooks are answered too; may be given several times")
	fs.BoolVar(&f.codePipeline, "codepipeline", false, "with --for hook: answer as a Lambda action of CodePipeline too")
	fs.StringVar(&f.queue, "queue", "", "with --for events: ARN of the queue that hands events over")
	fs.StringVar(&f.table, "table", "", "with --for events or sweep: ARN of the table that remembers what was told")
	fs.StringVar(&f.topic, "topic", "", "with --for events or sweep: ARN of the topic that findings are sent to")
	fs.StringVar(&f.eventBus, "event-bus", "", "with --for events or sweep: ARN of the event bus that findings are put on")
	fs.StringArrayVar(&f.secrets, "secret", nil, "with --for hook, events or sweep: ARN of a secret (Secrets Manager) or parameter (Systems Manager) with a chat's address or a server's token; may be given several times")
}

func (a *app) functionHelp() string {
	if a.asNotation() {
		return ""
	}
	return `
For the function that gates ECS: hook is what it takes to answer lifecycle hooks, events to judge what EventBridge reports,
sweep to look at all that runs, and stop to stop tasks and deregister task definitions, which is off unless it is configured.
Writing its log is not among it.
`
}

func (a *app) functionExamples() string {
	if a.asNotation() {
		return ""
	}
	return `
Example - What the function needs to answer the hooks of one cluster's services:
  {} aws iam-policy --for hook --cluster <cluster_ARN> --policy-object s3://<bucket>/<key> --registry 111122223333.dkr.ecr.us-west-2.amazonaws.com
`
}

// arnOf are the shapes of the ARNs that the flags take. A "*" would be more
// than the least.
func arnOf() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		"cluster":          regexp.MustCompile(`^arn:[a-z0-9-]+:ecs:[a-z0-9-]+:[0-9]{12}:cluster/[A-Za-z0-9_-]{1,255}$`),
		"assume-role":      regexp.MustCompile(`^arn:[a-z0-9-]+:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]{1,512}$`),
		"queue":            regexp.MustCompile(`^arn:[a-z0-9-]+:sqs:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,80}(\.fifo)?$`),
		"table":            regexp.MustCompile(`^arn:[a-z0-9-]+:dynamodb:[a-z0-9-]+:[0-9]{12}:table/[A-Za-z0-9_.-]{3,255}$`),
		"topic":            regexp.MustCompile(`^arn:[a-z0-9-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?$`),
		"event-bus":        regexp.MustCompile(`^arn:[a-z0-9-]+:events:[a-z0-9-]+:[0-9]{12}:event-bus/[A-Za-z0-9._/-]{1,256}$`),
		"policy-object":    regexp.MustCompile(`^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[A-Za-z0-9!_.()/-]+(\?versionId=[A-Za-z0-9._-]+)?$`),
		"deployment-group": regexp.MustCompile(`^arn:[a-z0-9-]+:codedeploy:[a-z0-9-]+:[0-9]{12}:deploymentgroup:[A-Za-z0-9_+=,.@-]{1,100}/[A-Za-z0-9_+=,.@-]{1,100}$`),
		"secret":           regexp.MustCompile(`^arn:[a-z0-9-]+:(secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]{1,512}|ssm:[a-z0-9-]+:[0-9]{12}:parameter/[A-Za-z0-9_./-]{1,1000})$`),
	}
}

// check refuses what is no such ARN, and what the purpose has no use for.
func (f *functionResources) check(purpose string) error {
	given := []struct {
		flag   string
		values []string
		of     string // the purposes it goes with
	}{
		{"cluster", f.clusters, "hook events sweep stop"},
		{"assume-role", f.roles, "sweep"},
		{"policy-object", one(f.policy), "hook events sweep verify check"},
		{"policy-bundle", one(f.bundle), "hook events sweep"},
		{"policy-signature", one(f.signature), "hook events sweep"},
		{"queue", one(f.queue), "events"},
		{"table", one(f.table), "events sweep"},
		{"topic", one(f.topic), "events sweep"},
		{"event-bus", one(f.eventBus), "events sweep"},
		{"secret", f.secrets, "hook events sweep"},
		{"deployment-group", f.deploymentGroups, "hook"},
	}
	if f.codePipeline && purpose != forHook {
		return invalidf("flag --codepipeline does not go with --for %s", purpose)
	}
	shapes := arnOf()
	shapes["policy-bundle"], shapes["policy-signature"] = shapes["policy-object"], shapes["policy-object"]
	for _, g := range given {
		if len(g.values) > 0 && !strings.Contains(" "+g.of+" ", " "+purpose+" ") {
			return invalidf("flag --%s does not go with --for %s", g.flag, purpose)
		}
		for _, v := range g.values {
			if !shapes[g.flag].MatchString(v) {
				return invalidf("flag --%s is %q, which has not the form of one", g.flag, v)
			}
		}
	}
	return f.checkBundle()
}

// checkBundle holds the flags about a bundle to each other.
func (f *functionResources) checkBundle() error {
	switch {
	case f.policy != "" && f.bundle != "":
		return invalidf("flags --policy-object and --policy-bundle do not go together: the function reads one of them")
	case f.signature != "" && f.bundle == "":
		return invalidf("flag --policy-signature goes with --policy-bundle")
	case strings.Contains(f.bundle, "?") && f.signature == "":
		return invalidf("flag --policy-bundle names one version: say with --policy-signature where its signature is")
	case f.signature != "" && bundle.SignatureType(withoutVersion(f.signature)) == "":
		return invalidf("flag --policy-signature is %q, which does not end in %s or %s", f.signature, bundle.JWSSuffix, bundle.COSESuffix)
	}
	return nil
}

// policyObjects are the objects that the policy is read from.
func (f *functionResources) policyObjects() []string {
	if f.bundle == "" {
		return one(f.policy)
	}
	if f.signature != "" {
		return []string{f.bundle, f.signature}
	}
	return []string{f.bundle, f.bundle + bundle.JWSSuffix, f.bundle + ".sha256-*" + bundle.JWSSuffix}
}

func withoutVersion(object string) string {
	object, _, _ = strings.Cut(object, "?versionId=")
	return object
}

func one(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// of are resources of ECS of that kind in the clusters, or everywhere.
func (f *functionResources) of(kinds ...string) []string {
	if len(f.clusters) == 0 {
		return []string{"*"}
	}
	var all []string
	for _, kind := range kinds {
		for _, c := range f.clusters {
			all = append(all, strings.Replace(c, ":cluster/", ":"+kind+"/", 1)+"/*")
		}
	}
	return all
}

// inClusters narrows an action on "*" to the clusters.
func (f *functionResources) inClusters() map[string]iamEqual {
	if len(f.clusters) == 0 {
		return nil
	}
	return map[string]iamEqual{"ArnEquals": {"ecs:cluster": f.clusters}}
}
