package seal

import (
	"net/url"
	"strings"
	"unicode"

	"github.com/shuin/shuin/internal/limits"
)

// Origin is where a stage's work was done.
type Origin struct {
	Commit string // of the source; empty: not known
	Run    string // address of the CI run; empty: not known
}

// system is a CI system: the variable by which it is known and where it tells
// commit and run.
type system struct {
	variable, value string // value empty: any
	commit          string
	run             func(getenv func(string) string) string
}

// systems are known by the environment variables that they document.
func systems() []system {
	return []system{
		{"GITHUB_ACTIONS", "true", "GITHUB_SHA", githubRun},
		{"GITLAB_CI", "true", "CI_COMMIT_SHA", variable("CI_JOB_URL")},
		// CodePipeline runs its build and command actions in CodeBuild.
		{"CODEBUILD_BUILD_ARN", "", "CODEBUILD_RESOLVED_SOURCE_VERSION", variable("CODEBUILD_BUILD_ARN")},
		{"TF_BUILD", "True", "BUILD_SOURCEVERSION", azureRun},
		{"BUILDKITE", "true", "BUILDKITE_COMMIT", buildkiteRun},
		{"CIRCLECI", "true", "CIRCLE_SHA1", variable("CIRCLE_BUILD_URL")},
		{"BITBUCKET_BUILD_NUMBER", "", "BITBUCKET_COMMIT", bitbucketRun},
		{"TRAVIS", "true", "TRAVIS_COMMIT", variable("TRAVIS_BUILD_WEB_URL")},
		{"DRONE", "true", "DRONE_COMMIT_SHA", variable("DRONE_BUILD_LINK")},
		{"JENKINS_URL", "", "GIT_COMMIT", variable("BUILD_URL")},
	}
}

// OriginOf reads commit and run address from the environment of the CI system
// that it knows by it: GitHub Actions, GitLab CI, CodeBuild (and CodePipeline),
// Azure Pipelines, Buildkite, CircleCI, Bitbucket Pipelines, Travis CI, Drone,
// Jenkins. It reads no variable that holds a secret, and takes user and
// password out of an address. What is not of the form it should be is left out.
func OriginOf(getenv func(string) string) Origin {
	for _, s := range systems() {
		v := getenv(s.variable)
		if v == "" || s.value != "" && v != s.value {
			continue
		}
		return Origin{Commit: commit(getenv(s.commit)), Run: address(s.run(getenv))}
	}
	return Origin{}
}

func variable(name string) func(func(string) string) string {
	return func(getenv func(string) string) string { return getenv(name) }
}

func githubRun(getenv func(string) string) string {
	run := joined(getenv("GITHUB_SERVER_URL"), "/", getenv("GITHUB_REPOSITORY"), "/actions/runs/", getenv("GITHUB_RUN_ID"))
	if attempt := getenv("GITHUB_RUN_ATTEMPT"); run != "" && attempt != "" {
		run += "/attempts/" + attempt
	}
	return run
}

func azureRun(getenv func(string) string) string {
	return joined(getenv("SYSTEM_COLLECTIONURI"), "", url.PathEscape(getenv("SYSTEM_TEAMPROJECT")), "/_build/results?buildId=", getenv("BUILD_BUILDID"))
}

func buildkiteRun(getenv func(string) string) string {
	if job := getenv("BUILDKITE_JOB_ID"); job != "" {
		return joined(getenv("BUILDKITE_BUILD_URL"), "#", job)
	}
	return getenv("BUILDKITE_BUILD_URL")
}

func bitbucketRun(getenv func(string) string) string {
	return joined(getenv("BITBUCKET_GIT_HTTP_ORIGIN"), "/pipelines/results/", getenv("BITBUCKET_BUILD_NUMBER"))
}

// joined is the parts in one, empty where one of the values (every second
// part, from the first) is.
func joined(parts ...string) string {
	for i := 0; i < len(parts); i += 2 {
		if parts[i] == "" {
			return ""
		}
	}
	return strings.Join(parts, "")
}

// commit takes an identifier without white space. Buildkite says HEAD before
// it knows.
func commit(s string) string {
	if len(s) > limits.SealFieldBytes || !graphic(s) || strings.ContainsFunc(s, unicode.IsSpace) || s == "HEAD" {
		return ""
	}
	return s
}

// address takes an http or https address, without user and password, or an ARN.
func address(s string) string {
	if len(s) > limits.SealFieldBytes || !graphic(s) || strings.ContainsFunc(s, unicode.IsSpace) {
		return ""
	}
	if strings.HasPrefix(s, "arn:") {
		return s
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return ""
	}
	u.User = nil
	return u.String()
}
