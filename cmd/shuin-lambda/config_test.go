package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/webstate"
)

// pkg is a package directory with a policy, and an environment that names it.
func pkg(t *testing.T, files map[string]string) func(string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return envOf(map[string]string{envPackage: dir})
}

func envOf(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func with(env func(string) string, more ...string) func(string) string {
	return func(name string) string {
		for i := 0; i+1 < len(more); i += 2 {
			if more[i] == name {
				return more[i+1]
			}
		}
		return env(name)
	}
}

const somePolicy = "apiVersion: shuin.dev/v1\nkind: PipelinePolicy\nrules: [{name: none, match: {images: [\"none.example/**\"]}, allow: {digests: [\"sha256:abababababababababababababababababababababababababababababababab\"]}}]\ndefault: deny\n"

func TestEveryFaultOfAConfigurationIsToldWithItsLine(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string // in order
	}{
		{"nothing at all", "", []string{"policy: it is missing"}},
		{"unknown keys, at every depth", "policy: {file: pipeline.yaml}\nhoks: {}\nhook: {Retries: 1}\n", []string{
			"line 2: hoks: unknown key", "line 3: hook.Retries: unknown key: it is written retries"}},
		{"a key twice", "mode: warn\nmode: enforce\npolicy: {file: pipeline.yaml}\n", []string{"line 2"}},
		{"two documents", "policy: {file: pipeline.yaml}\n---\nmode: warn\n", []string{"a second document"}},
		{"wrong types", "mode: [warn]\npolicy: pipeline.yaml\nremind: 7\nhook:\n  retries: many\n  retryAfter: soon\ntell: {}\nreact: {dangerouslyStopTasks: \"yes\"}\n", []string{
			"line 1: mode: a text", "line 2: policy: keys and values are wanted here, not a text", "line 2: policy: it is missing", "line 3: remind: a duration", "line 5: hook.retries: a whole number",
			"line 6: hook.retryAfter: a duration", "line 7: tell: a list is wanted", "line 8: react.dangerouslyStopTasks: true or false"}},
		{"a mode that is none", "mode: audit\npolicy: {file: pipeline.yaml}\n", []string{`line 1: mode: it is enforce or warn, not "audit"`}},
		{"two policies, and a bad pin", "policy:\n  file: pipeline.yaml\n  s3: s3://bucket/key\n  sha256: abc\n", []string{"line 1: policy: ", "line 4: policy.sha256: 64 hexadecimal digits"}},
		{"an address that is none of S3", "policy: {s3: https://bucket/key}\n", []string{"line 1: policy.s3"}},
		{"a policy and a trust directory that are not there", "policy: {file: gone.yaml}\ntrust: gone\n", []string{"line 1: policy.file", "line 2: trust"}},
		{"a file in a directory's place", "policy: {file: pipeline.yaml}\ntrust: pipeline.yaml\n", []string{"line 2: trust: "}},
		{"bounds of hooks", "policy: {file: pipeline.yaml}\nhook: {retries: -1, retryAfter: 2h, margin: 0s}\nsweep: {interval: 0s}\n", []string{"sweep.interval", "hook.retries: between", "hook.retryAfter: between", "hook.margin: above 0"}},
		{"places that say nothing, or two things", "policy: {file: pipeline.yaml}\ntell:\n  - {}\n  - {sns: \"arn:aws:sns:ap-northeast-1:111122223333:a\", log: true}\n", []string{
			"line 3: tell[0]: exactly one", "line 4: tell[1]: exactly one"}},
		{"places of one name", "policy: {file: pipeline.yaml}\ntell:\n  - log: true\n  - {log: true, outcomes: [deny]}\n", []string{`line 4: tell[1]: another place is called "log"`}},
		{"filters that select nothing", "policy: {file: pipeline.yaml}\ntell:\n  - {log: true, outcomes: [Deny], kinds: [x], severities: [loud], rules: [\"\"]}\n", []string{
			"tell[0].rules[0]", "tell[0].outcomes[0]", "tell[0].kinds[0]", "tell[0].severities[0]"}},
		{"a secret in the configuration itself", "policy: {file: pipeline.yaml}\ntell:\n  - chat: {env: \"slack://hook:secret@webhook\"}\n", []string{"tell[0].chat.env: the name of an environment variable"}},
		{"a server's address with a password", "policy: {file: pipeline.yaml}\ntell:\n  - server: {url: \"https://u:p@shuin.example.com\", token: {env: T}}\n", []string{"tell[0].server.url"}},
		{"what was told is remembered in two places", "policy: {file: pipeline.yaml}\nstate: {dynamodb: shuin, server: {url: \"https://shuin.example.com\", token: {env: T}}}\n", []string{"line 2: state: either dynamodb or server"}},
		{"a server without TLS, and without a token, keeps the state", "policy: {file: pipeline.yaml}\nstate: {server: {url: \"http://shuin.example.com\"}}\n", []string{"state.server.url", "without TLS", "state.server.token: exactly one of"}},
		{"a region goes with a table", "policy: {file: pipeline.yaml}\nstate: {region: eu-west-1, server: {url: \"https://shuin.example.com\", token: {env: T}}}\n", []string{"state.region: it goes with state.dynamodb"}},
		{"a region beside an ARN of another", "policy: {file: pipeline.yaml}\nstate: {dynamodb: \"arn:aws:dynamodb:eu-west-1:111122223333:table/shuin\", region: us-east-1}\ntell:\n  - {sns: \"arn:aws:sns:eu-west-1:111122223333:a\", region: us-east-1}\n  - {eventBus: \"arn:aws:events:eu-west-1:111122223333:event-bus/a\", region: us-east-1}\n", []string{
			"line 2: state.region: the ARN says eu-west-1", "line 4: tell[0].region: the ARN says eu-west-1", "line 5: tell[1].region: the ARN says eu-west-1"}},
		{"a region of a server", "policy: {bundle: \"https://shuin.example.com/v1/policy\", region: eu-west-1, signedBy: {identities: [\"x509.subject: C=JP, ST=Tokyo, O=Example, CN=policy\"], trustStores: [\"ca:policy\"]}}\n", []string{"line 1: policy.region: it goes with a bucket"}},
		{"reactions of which there are to be none", "policy: {file: pipeline.yaml}\nstate: {dynamodb: shuin}\nreact: {dangerouslyStopTasks: true, perMinute: 0, perHour: 0, perGroup: 0}\n", []string{
			"react.perMinute: between 1 and 1000", "react.perHour: between 1", "react.perGroup: between 1"}},
		{"reactions without a table", "policy: {file: pipeline.yaml}\nreact: {dangerouslyStopTasks: true}\n", []string{"line 2: react: it needs state.dynamodb"}},
		{"targets twice, and no role", "policy: {file: pipeline.yaml}\nsweep:\n  targets:\n    - {role: nobody}\n    - {externalId: x, region: nowhere}\n    - {region: nowhere}\n", []string{
			"sweep.targets[0].role", "sweep.targets[1].externalId", "sweep.targets[1].region", "sweep.targets[2].region", "sweep.targets[2]: the same"}},
		{"no YAML", "policy: [\n", []string{"line"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := with(pkg(t, map[string]string{"pipeline.yaml": somePolicy}), envConfig, c.text+" ")
			_, err := loadSettings(env)
			if err == nil {
				t.Fatal("it was accepted")
			}
			text := err.Error()
			for _, w := range c.want {
				if !strings.Contains(text, w) {
					t.Errorf("no %q in\n%s", w, text)
				}
			}
		})
	}
}

func TestAConfigurationIsWhatItSays(t *testing.T) {
	text := `# all keys
mode: warn
policy: {s3: "s3://bucket/shuin/pipeline.yaml", region: eu-central-1, sha256: "` + strings.Repeat("ab", 32) + `", refresh: 5m}
trust: notation
registries: {dockerConfig: docker.json, dangerouslyUsePlainHTTP: ["localhost:5000"]}
revocation: {allowPrivateAddresses: true}
hook: {retries: 0, retryAfter: 1m, margin: 3s}
events: {receives: 3}
state: {dynamodb: shuin, region: eu-central-1}
remind: 7d
tell:
  - log: true
  - {name: oncall, chat: {parameter: /shuin/chat}, outcomes: [deny], severities: [high], rules: ["shop-*"], kinds: [image-not-admitted]}
  - {sns: "arn:aws:sns:eu-central-1:111122223333:shuin", role: "arn:aws:iam::111122223333:role/tell"}
  - {eventBus: "arn:aws:events:eu-central-1:111122223333:event-bus/security"}
  - {server: {url: "https://shuin.example.com", token: {secret: shuin/token}}}
react: {dangerouslyStopTasks: true, dangerouslyDeregisterTaskDefinitions: true, perMinute: 2, perHour: 9, perGroup: 4, calm: 0s}
sweep: {targets: [{taskDefinitions: true}, {role: "arn:aws:iam::444455556666:role/sweep", externalId: x, region: us-east-1, clusters: ["prod-*"]}]}
`
	env := with(pkg(t, map[string]string{"docker.json": "{}", "notation/truststore/x509/ca/.keep": "", "shuin-lambda.yaml": text}))
	s, err := loadSettings(env)
	if err != nil {
		t.Fatal(err)
	}
	if !s.warns() || s.Hook.Retries != 0 || s.Remind != 7*24*time.Hour || s.Policy.Refresh != 5*time.Minute || len(s.Tell) != 5 || s.Tell[1].Chat.Parameter != "/shuin/chat" ||
		s.roles()["444455556666"].ExternalID != "x" || !s.Sweep.Targets[0].TaskDefinitions || s.React.PerHour != 9 || s.React.PerGroup != 4 || s.React.Calm != 0 || s.reactionsOff {
		t.Errorf("%+v", s.config)
	}
	var out, complaints bytes.Buffer
	if code := run([]string{"--check-config", filepath.Join(env(envPackage), "shuin-lambda.yaml")}, env, &out, &complaints); code != 0 || !strings.Contains(out.String(), "STOPS TASKS") {
		t.Errorf("--check-config ends with %d:\n%s%s", code, out.String(), complaints.String())
	}
}

func TestTheCheckOfAConfigurationFailsWhereTheFunctionCannotStart(t *testing.T) {
	const file = "policy: {file: pipeline.yaml}\n"
	for name, files := range map[string]map[string]string{
		"a server without TLS":                  {configName: file + "tell: [{server: {url: \"http://shuin.example.com\", token: {env: T}}}]\n"},
		"a server's address with a fragment":    {configName: file + "tell: [{server: {url: \"https://shuin.example.com/#x\", token: {env: T}}}]\n"},
		"a notation configuration that is none": {configName: file, "notation/config.json": "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			files["pipeline.yaml"] = somePolicy
			env := pkg(t, files)
			s, err := loadSettings(env)
			if err == nil {
				_, err = newFunction(s, env, newLogger(io.Discard), io.Discard)
			}
			var out, complaints bytes.Buffer
			if code := run([]string{"--check-config", filepath.Join(env(envPackage), configName)}, env, &out, &complaints); err == nil || code != 1 || complaints.Len() == 0 {
				t.Errorf("--check-config ends with %d (%s); the function: %v", code, complaints.String(), err)
			}
		})
	}
}

func TestAModeThatIsMisspeltFailsTheCheckOfAConfiguration(t *testing.T) {
	env := with(pkg(t, map[string]string{"pipeline.yaml": somePolicy, "shuin-lambda.yaml": "policy: {file: pipeline.yaml}\n"}), envMode, "wran")
	var out, complaints bytes.Buffer
	if code := run([]string{"--check-config", filepath.Join(env(envPackage), "shuin-lambda.yaml")}, env, &out, &complaints); code != 1 || !strings.Contains(complaints.String(), `SHUIN_MODE is "wran"`) {
		t.Errorf("--check-config ends with %d:\n%s%s", code, out.String(), complaints.String())
	}
}

func TestWhatCannotBeReadIsNotCalledMissing(t *testing.T) {
	_, err := loadSettings(with(pkg(t, nil), envConfig, "policy: {file: pipeline.yaml}\nremind: 7d\nremind: 8d\n"))
	if err == nil || strings.Contains(err.Error(), "missing") || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("%v", err)
	}
}

func TestAServerKeepsTheState(t *testing.T) {
	const text = "policy: {file: pipeline.yaml}\nreact: {dangerouslyStopTasks: true}\nstate: {server: {url: \"https://shuin.example.com\", token: {secret: shuin/token}}}\n"
	s, err := loadSettings(with(pkg(t, map[string]string{"pipeline.yaml": somePolicy}), envConfig, text))
	if err != nil {
		t.Fatal(err)
	}
	if said := strings.Join(s.describe(), "\n"); !strings.Contains(said, "is kept by the server https://shuin.example.com.") {
		t.Errorf("--check-config says\n%s", said)
	}
	caller := newCaller(slog.New(slog.DiscardHandler))
	store, is := s.store(caller, newTeller(s, caller, s.path, io.Discard)).(*webstate.Store)
	if !is || store.URL != "https://shuin.example.com" || store.Token == nil || store.Refused == nil || len(store.Random()) != 32 || store.Check() != nil {
		t.Errorf("%+v", store)
	}
}

func TestFaultsOfAConfigurationHoldNoSecrets(t *testing.T) {
	const secret = "https://hooks.slack.com/services/T0/B0/SECRETSECRETSECRET"
	text := strings.ReplaceAll(`policy: {s3: "s3://bucket/key"}
state: {dynamodb: "URL", server: {url: "https://user:SECRETSECRETSECRET@example.com", token: {env: "URL"}}}
tell:
  - {sns: "URL"}
  - {eventBus: "URL?x", name: "URL"}
  - {sns: "arn:aws:sns:eu-central-1:111122223333:shuin", name: b, role: "URL", region: "URL"}
  - {chat: {env: "URL"}, name: c}
  - {chat: "URL", name: d}
  - {log: true, name: f, outcomes: ["URL"], kinds: ["URL"], severities: ["URL"]}
  - {log: "URL", name: g}
  - {name: e, server: {url: "https://user:SECRETSECRETSECRET@example.com", token: "URL"}}
sweep: {targets: [{role: "URL", region: "URL", clusters: ["URL"]}]}
mode: "URL"
remind: "URL"
registries: {dangerouslyUsePlainHTTP: ["URL"]}
`, "URL", secret)
	_, err := loadSettings(with(pkg(t, nil), envConfig, text))
	if err == nil {
		t.Fatal("it was accepted")
	}
	if strings.Contains(err.Error(), "SECRET") {
		t.Errorf("a secret is told:\n%v", err)
	}
	for _, want := range []string{"line 4: tell[0].sns", "tell[1].eventBus", "tell[2].role", "tell[2].region", "tell[3].chat.env", "tell[4].chat", "tell[7].server", "sweep.targets[0].role", "state.dynamodb"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
}

func TestADocumentThatIsNoneIsNotToldWhole(t *testing.T) {
	for _, text := range []string{"tell: [{sns: \"https://hooks.slack.com/SECRETSECRET\n", "chat: https://x.example/SECRETSECRET: y\n\tz: 1", "a: {b: SECRETSECRET, b: SECRETSECRET"} {
		_, err := loadSettings(with(pkg(t, nil), envConfig, text))
		if err == nil || strings.Contains(err.Error(), "SECRETSECRET") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTargetsOfASweepAreDistinctPlaces(t *testing.T) {
	const a, b = "arn:aws:iam::111122223333:role/a", "arn:aws:iam::111122223333:role/b"
	for _, c := range []struct{ name, targets, want string }{
		{"one role in two regions", "[{role: '" + a + "'}, {role: '" + a + "', region: us-east-1}]", ""},
		{"roles of two accounts", "[{}, {role: '" + a + "'}, {role: 'arn:aws:iam::444455556666:role/a'}]", ""},
		{"patterns of clusters", "[{clusters: ['*', 'prod-*', blue_1]}]", ""},
		{"the function's own region, named and not", "[{}, {region: eu-west-1}]", "sweep.targets[1]: the same role and region"},
		{"two roles of one account", "[{role: '" + a + "'}, {role: '" + b + "', region: us-east-1}]", "sweep.targets[1].role: another target has another role"},
		{"two external IDs of one role", "[{role: '" + a + "'}, {role: '" + a + "', region: us-east-1, externalId: x}]", "sweep.targets[1].role: another"},
		{"a cluster that can be none", "[{clusters: ['prod a']}]", "sweep.targets[0].clusters[0]"},
		{"a pattern of another kind", "[{clusters: ['prod-?']}]", "sweep.targets[0].clusters[0]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := loadSettings(with(pkg(t, nil), "AWS_REGION", "eu-west-1", envConfig, "policy: {s3: 's3://bucket/key'}\nsweep: {targets: "+c.targets+"}\n"))
			if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestDefaultsAreTheSafeOnes(t *testing.T) {
	s, err := loadSettings(with(pkg(t, map[string]string{"pipeline.yaml": somePolicy}), envConfig, "policy: {file: pipeline.yaml}"))
	if err != nil {
		t.Fatal(err)
	}
	if s.warns() || s.React != (reactConfig{PerMinute: limits.WatchReactionsPerMinute, PerHour: limits.WatchReactionsPerHour, PerGroup: limits.WatchReactionsPerGroup, Calm: limits.WatchCalm}) || s.Hook.Retries != limits.HookRetries || s.Remind != limits.WatchRemind || s.Revocation.AllowPrivateAddresses || len(s.Registries.DangerouslyUsePlainHTTP) != 0 {
		t.Errorf("%+v", s.config)
	}
}

func TestTheModeIsKnownWhateverElseIsNot(t *testing.T) {
	good := "policy: {file: pipeline.yaml}\n"
	for _, c := range []struct {
		name, env, text string
		want            string
		fails           bool
	}{
		{"without a word it enforces", "", good, modeEnforce, false},
		{"the configuration says warn", "", "mode: warn\n" + good, modeWarn, false},
		{"the environment goes before it", modeEnforce, "mode: warn\n" + good, modeEnforce, false},
		{"the environment alone warns", modeWarn, good, modeWarn, false},
		{"warn holds where there is no configuration", modeWarn, "", modeWarn, true},
		{"warn holds where nothing can be read", modeWarn, "mode: [", modeWarn, true},
		{"warn of the configuration holds where another key is wrong", "", "mode: warn\nfoo: 1\n", modeWarn, true},
		{"warn holds where its line is all that can be read", "", "mode: warn\n  x: [", modeWarn, true},
		{"warn holds where a key is there twice", "", "mode: warn\n" + good + "remind: 7d\nremind: 8d\n", modeWarn, true},
		{"warn holds where a tab indents", "", "mode: warn # for now\r\n" + good + "\tx: 1\n", modeWarn, true},
		{"warn holds where an alias is used", "", "'mode': \"warn\"\nremind: *a\npolicy: &a {file: pipeline.yaml}\n", modeWarn, true},
		{"warn holds in JSON that is cut off", "", `{"policy": {"file": "pipeline.yaml"}, "mode": "warn", "remind"`, modeWarn, true},
		{"warn holds, and is a fault, in another case", "", "mode: WARN\n" + good, modeWarn, true},
		{"two modes enforce", "", "mode: warn\nmode: enforce\n" + good, modeEnforce, true},
		{"two modes of JSON enforce", "", `{"mode": "warn", "mode": "enforce"}`, modeEnforce, true},
		{"a mode that is not at the top is none", "", "tell:\n  mode: warn\n\tx: [", modeEnforce, true},
		{"what cannot be read enforces", "", "mode: [", modeEnforce, true},
		{"the environment's case does not count", "Warn", good, modeWarn, false},
		{"nor do spaces around it", " warn\n", good, modeWarn, false},
		{"blanks are no mode", "  ", "mode: warn\n" + good, modeWarn, false},
		{"a mode that is misspelt leaves the configuration's", "wran", "mode: warn\n" + good, modeWarn, false},
		{"a mode that is misspelt enforces where the configuration has none", "wran", good, modeEnforce, false},
		{"a mode that is misspelt enforces where nothing can be read", "wran", "mode: [", modeEnforce, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := loadSettings(with(pkg(t, map[string]string{"pipeline.yaml": somePolicy}), envMode, c.env, envConfig, c.text))
			if s.Mode != c.want || (err != nil) != c.fails {
				t.Errorf("mode %s (%v), want %s", s.Mode, err, c.want)
			}
			if (s.modeFault != nil) != (c.env == "wran") {
				t.Errorf("of %s=%q is told: %v", envMode, c.env, s.modeFault)
			}
		})
	}
}

func TestWhereAConfigurationIsReadFrom(t *testing.T) {
	files := map[string]string{"pipeline.yaml": somePolicy, "shuin-lambda.yaml": "policy: {file: pipeline.yaml}\nremind: 1h\n", "other.yaml": "policy: {file: pipeline.yaml}\nremind: 2h\n"}
	for _, c := range []struct {
		name string
		more []string
		want time.Duration
	}{
		{"the file in the package", nil, time.Hour},
		{"the file that the environment names", []string{envConfigFile, "other.yaml"}, 2 * time.Hour},
		{"the environment itself goes before both", []string{envConfigFile, "other.yaml", envConfig, "policy: {file: pipeline.yaml}\nremind: 3h"}, 3 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := loadSettings(with(pkg(t, files), c.more...))
			if err != nil || s.Remind != c.want {
				t.Errorf("remind %s (%v), want %s", s.Remind, err, c.want)
			}
		})
	}
}

func TestReactionsAreSwitchedOffByTheEnvironment(t *testing.T) {
	for value, want := range map[string]bool{"": false, "on": false, "off": true, "OFF": true, "of": true} {
		s, err := loadSettings(with(pkg(t, map[string]string{"pipeline.yaml": somePolicy}), envConfig, "policy: {file: pipeline.yaml}", envReactions, value))
		if err != nil || s.reactionsOff != want {
			t.Errorf("%s=%q: off %v (%v), want %v", envReactions, value, s.reactionsOff, err, want)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add("mode: warn\npolicy: {s3: s3://bucket/key}\ntell: [{log: true, kinds: [x]}]\nsweep: {targets: [{role: r}]}\n")
	f.Add("tell: [null, {}, [], 7]\nhook: {retries: 1e3}\n")
	f.Fuzz(func(t *testing.T, text string) {
		s := &settings{config: newConfig()}
		d := decodeConfig([]byte(text), s.config)
		s.validate(d)
		for _, one := range d.faults {
			if strings.ContainsAny(one.String(), "\n\x1b") {
				t.Errorf("a fault of several lines: %q", one)
			}
		}
	})
}
