package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	kit "github.com/shuin/shuin/deploy/aws"
)

// templates are all templates of the kit, by name, and the example of a pipeline.
func templates(t *testing.T) map[string]template {
	t.Helper()
	out := map[string]template{}
	text, err := os.ReadFile(filepath.Join(root, "deploy", "codepipeline", "pipeline.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if out["pipeline"], err = parseTemplate(text); err != nil {
		t.Fatalf("deploy/codepipeline/pipeline.yaml: %v", err)
	}
	for _, one := range kit.Templates() {
		text, ok := kit.Read(one.Name)
		if !ok {
			t.Fatalf("template %s is not embedded", one.Name)
		}
		parsed, err := parseTemplate(text)
		if err != nil {
			t.Fatalf("template %s: %v", one.Name, err)
		}
		out[one.Name] = parsed
	}
	return out
}

func TestTemplatesAreOfPlainCloudFormation(t *testing.T) {
	for name, tmpl := range templates(t) {
		for key := range tmpl {
			if !slices.Contains([]string{"AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Mappings", "Rules", "Conditions", "Resources", "Outputs"}, key) {
				t.Errorf("%s: section %s", name, key)
			}
		}
		for logical, r := range tmpl["Resources"].(map[string]any) {
			kind, _ := at(r, "Type").(string)
			if !strings.HasPrefix(kind, "AWS::") || strings.HasPrefix(kind, "AWS::Serverless::") {
				t.Errorf("%s: %s is of type %q", name, logical, kind)
			}
		}
		text, _ := kit.Read(name)
		if len(text) > 51_200 {
			t.Errorf("%s has %d bytes; CloudFormation takes 51200 without a bucket", name, len(text))
		}
	}
}

var subVariable = regexp.MustCompile(`\$\{([^!}][^}]*)\}`)

// names are what a template declares and what it names.
type names struct {
	declared map[string]string // name → parameter, resource or condition
	used     map[string]bool
	faults   []string
}

func (n *names) use(name, kind string) {
	name, _, _ = strings.Cut(name, ".")
	n.used[name] = true
	found := n.declared[name]
	ok := found == kind || kind == "value" && (found == "parameter" || found == "resource")
	if !ok && !strings.HasPrefix(name, "AWS::") {
		n.faults = append(n.faults, fmt.Sprintf("%s is no %s of the template", name, kind))
	}
}

// sub notes what a text of Fn::Sub names, but for the variables it brings.
func (n *names) sub(v any) {
	text, own := v, map[string]any{}
	if list, ok := v.([]any); ok {
		text, own = list[0], list[1].(map[string]any)
	}
	for _, m := range subVariable.FindAllStringSubmatch(text.(string), -1) {
		if _, ok := own[m[1]]; !ok {
			n.use(m[1], "value")
		}
	}
	for name := range own {
		if !strings.Contains(text.(string), "${"+name+"}") {
			n.faults = append(n.faults, "Fn::Sub has no use for "+name)
		}
	}
}

func (n *names) read(tmpl template, v any) {
	m, ok := v.(map[string]any)
	if !ok {
		return
	}
	for key, value := range m {
		switch key {
		case "Ref":
			n.use(value.(string), "value")
		case "Fn::GetAtt":
			n.use(value.(string), "resource")
		case "Fn::Sub":
			n.sub(value)
		case "Fn::If":
			n.use(value.([]any)[0].(string), "condition")
		case "Condition", "RuleCondition":
			if name, ok := value.(string); ok {
				n.use(name, "condition")
			}
		case "DependsOn":
			list, ok := value.([]any)
			if !ok {
				list = []any{value}
			}
			for _, one := range list {
				n.use(one.(string), "resource")
			}
		case "Fn::FindInMap":
			list := value.([]any)
			if at(map[string]any(tmpl), "Mappings", list[0].(string), list[1].(string)) == nil {
				n.faults = append(n.faults, fmt.Sprintf("there is no mapping %v", list))
			}
		}
	}
}

func TestEveryNameInATemplateIsDeclaredAndUsed(t *testing.T) {
	for name, tmpl := range templates(t) {
		n := &names{declared: map[string]string{}, used: map[string]bool{}}
		for section, kind := range map[string]string{"Parameters": "parameter", "Resources": "resource", "Conditions": "condition"} {
			m, _ := tmpl[section].(map[string]any)
			for declared := range m {
				n.declared[declared] = kind
			}
		}
		each(map[string]any(tmpl), func(v any) { n.read(tmpl, v) })
		for _, fault := range n.faults {
			t.Errorf("%s: %s", name, fault)
		}
		for declared, kind := range n.declared {
			if kind != "resource" && !n.used[declared] {
				t.Errorf("%s: nothing uses the %s %s", name, kind, declared)
			}
		}
	}
}

func TestWhatAConditionalResourceGivesIsNamedUnderItsCondition(t *testing.T) {
	for name, tmpl := range templates(t) {
		for output, v := range tmpl["Outputs"].(map[string]any) {
			n := &names{declared: map[string]string{}, used: map[string]bool{}}
			each(v, func(v any) { n.read(tmpl, v) })
			for used := range n.used {
				under := at(tmpl["Resources"], used, "Condition")
				if under != nil && at(v, "Condition") == nil {
					t.Errorf("%s: output %s names %s, which is there only under %v", name, output, used, under)
				}
			}
		}
	}
}

func TestEveryParameterSaysWhatItTakes(t *testing.T) {
	for name, tmpl := range templates(t) {
		for param, v := range tmpl["Parameters"].(map[string]any) {
			bounded := at(v, "AllowedValues") != nil || at(v, "AllowedPattern") != nil || at(v, "MinValue") != nil && at(v, "MaxValue") != nil
			if !bounded {
				t.Errorf("%s: parameter %s takes anything", name, param)
			}
			pattern, ok := at(v, "AllowedPattern").(string)
			if !ok {
				continue
			}
			re, err := regexp.Compile("^(?:" + boundOfJava.ReplaceAllString(pattern, "{${1},1000}") + ")$")
			if err != nil {
				t.Errorf("%s: parameter %s: %v", name, param, err)
				continue
			}
			if def, ok := at(v, "Default").(string); ok && !re.MatchString(def) {
				t.Errorf("%s: the default %q of %s is not of its own pattern", name, def, param)
			}
			// Values go into JSON, patterns and ARNs: nothing may close a text.
			for _, bad := range []string{`a"b`, "a\nb", `a\b`, "a${b}", "a b\""} {
				if re.MatchString(bad) && param != "CodeKey" && param != "TestCommand" { // which go into nothing
					t.Errorf("%s: parameter %s takes %q", name, param, bad)
				}
			}
		}
	}
}

// A stack that is rolled back cancels its profiles, and a name is used once.
func TestProfilesAreMadeOnceRolesAre(t *testing.T) {
	profiles := 0
	for logical, r := range templates(t)["signing"]["Resources"].(map[string]any) {
		if at(r, "Type") != "AWS::Signer::SigningProfile" {
			continue
		}
		profiles++
		var want any = []any{"BuildRole", strings.TrimSuffix(logical, "Profile") + "Role"}
		if logical == "BuildProfile" {
			want = "BuildRole"
		}
		if got := at(r, "DependsOn"); !reflect.DeepEqual(got, want) {
			t.Errorf("%s waits for %v, want %v", logical, got, want)
		}
	}
	if profiles != 4 {
		t.Errorf("%d profiles", profiles)
	}
}

// boundOfJava are repetitions that Java's expressions take and Go's do not.
var boundOfJava = regexp.MustCompile(`\{([01]),1024\}`)

func TestTheQueueHidesAMessageLongerThanOneCallTakes(t *testing.T) {
	tmpl := templates(t)["shuin"]
	seconds := at(tmpl["Mappings"], "Visibility", "Seconds").(map[string]any)
	for _, timeout := range at(tmpl["Parameters"], "Timeout", "AllowedValues").([]any) {
		if hidden, ok := seconds[timeout.(string)].(string); !ok || len(hidden) < len(timeout.(string)) || len(hidden) == len(timeout.(string)) && hidden <= timeout.(string) {
			t.Errorf("a call of %v s, a message hidden %v s", timeout, seconds[timeout.(string)])
		}
	}
	receives := at(tmpl["Mappings"], "Redrive", "Receives").(map[string]any)
	for _, gives := range at(tmpl["Parameters"], "UndecidedReceives", "AllowedValues").([]any) {
		var own, queue int
		_, _ = fmt.Sscan(gives.(string), &own)
		_, _ = fmt.Sscan(fmt.Sprint(receives[gives.(string)]), &queue)
		if queue <= own {
			t.Errorf("the function gives up after %d receives, the queue after %d: what was not checked would be a dead letter", own, queue)
		}
	}
}

func TestEveryRuleHasAConditionAndItsDeadLetters(t *testing.T) {
	rules := 0
	for logical, r := range templates(t)["shuin"]["Resources"].(map[string]any) {
		if at(r, "Type") != "AWS::Events::Rule" {
			continue
		}
		rules++
		if at(r, "Condition") == nil {
			t.Errorf("%s cannot be left out", logical)
		}
		for _, target := range at(r, "Properties", "Targets").([]any) {
			if at(target, "DeadLetterConfig", "Arn") == nil {
				t.Errorf("%s loses what it cannot deliver", logical)
			}
			if at(target, "Arn", "Fn::GetAtt") != "Queue.Arn" {
				t.Errorf("%s sends to %v, not to the queue", logical, at(target, "Arn"))
			}
		}
	}
	if rules != 5 {
		t.Errorf("%d rules, want 5", rules)
	}
}

// A key that ECS is not documented to send must not be wanted unless somebody
// says so: no hook could be called, and every deployment would be rolled back.
func TestTheHooksRoleWantsNoMoreThanECSIsDocumentedToSay(t *testing.T) {
	tmpl := templates(t)["shuin"]
	if def := at(tmpl["Parameters"], "HookRoleSourceAccount", "Default"); def != "if-given" {
		t.Errorf("HookRoleSourceAccount is %v by default", def)
	}
	trust := at(tmpl["Resources"], "HookRole", "Properties", "AssumeRolePolicyDocument", "Statement").([]any)
	choice := at(trust[0], "Condition", "Fn::If").([]any)
	account := map[string]any{"Ref": "AWS::AccountId"}
	want := []any{"HookSaysAccount", map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": account}}, map[string]any{"StringEqualsIfExists": map[string]any{"aws:SourceAccount": account}}}
	if len(trust) != 1 || !reflect.DeepEqual(choice, want) {
		t.Errorf("the role is assumed under %v", choice)
	}
}

func TestWhatStaysAfterTheStackIsMeantTo(t *testing.T) {
	stays := []string{}
	for name, tmpl := range templates(t) {
		for logical, r := range tmpl["Resources"].(map[string]any) {
			if policy, _ := at(r, "DeletionPolicy").(string); strings.HasPrefix(policy, "Retain") {
				stays = append(stays, name+"/"+logical)
			}
		}
	}
	slices.Sort(stays)
	if want := []string{"ecr/Repository", "pipeline/Artifacts", "shuin/LogGroup"}; !slices.Equal(stays, want) {
		t.Errorf("%v stay after their stacks, want %v: docs/deploy-aws.md says what does", stays, want)
	}
}

func TestTheParserOfTemplatesRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, c := range []struct{ name, text string }{
		{"a key twice", "a: 1\na: 2\n"},
		{"a function that is none", "a: !Reff b\n"},
		{"two documents", "a: 1\n---\nb: 2\n"},
		{"a list", "- a\n"},
	} {
		if _, err := parseTemplate([]byte(c.text)); err == nil {
			t.Errorf("%s: no error", c.name)
		}
	}
	n := &names{declared: map[string]string{"A": "parameter"}, used: map[string]bool{}}
	tmpl, err := parseTemplate([]byte("x: [!Ref A, !Ref B, !GetAtt A.Arn, !Sub 'a${C}${A}', !If [D, 1, 2]]\n"))
	if err != nil {
		t.Fatal(err)
	}
	each(map[string]any(tmpl), func(v any) { n.read(tmpl, v) })
	if len(n.faults) != 4 {
		t.Errorf("faults %q, want those of B, A.Arn, C and D", n.faults)
	}
}
