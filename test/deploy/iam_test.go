package deploy

import (
	"slices"
	"strings"
	"testing"
)

// known are the IAM actions that templates may allow. Those with a reason are
// allowed on "*"; the reason is why no resource can be named. Source: Service
// Authorization Reference.
var known = map[string]string{
	"codedeploy:PutLifecycleEventHookExecutionStatus": "knows no resources",
	"codedeploy:GetDeployment":                        "",
	"codedeploy:GetDeploymentTarget":                  "knows no resources",
	"codedeploy:ListDeploymentTargets":                "knows no resources",
	"codepipeline:PutJobFailureResult":                "knows no resources",
	"codepipeline:PutJobSuccessResult":                "knows no resources",
	"codepipeline:StartPipelineExecution":             "",
	"codebuild:BatchGetBuilds":                        "",
	"codebuild:StartBuild":                            "",
	"ecr:DescribeImages":                              "",
	"ecs:RegisterTaskDefinition":                      "is about what is not there yet",
	"ecs:UpdateService":                               "",
	"iam:PassRole":                                    "",
	"s3:GetBucketVersioning":                          "",
	"s3:GetObjectVersion":                             "",
	"s3:PutObject":                                    "",
	"dynamodb:GetItem":                                "",
	"dynamodb:UpdateItem":                             "",
	"ecr:BatchCheckLayerAvailability":                 "",
	"ecr:BatchGetImage":                               "",
	"ecr:CompleteLayerUpload":                         "",
	"ecr:GetAuthorizationToken":                       "knows no resources",
	"ecr:GetDownloadUrlForLayer":                      "",
	"ecr:InitiateLayerUpload":                         "",
	"ecr:PutImage":                                    "",
	"ecr:UploadLayerPart":                             "",
	"ecs:DeregisterTaskDefinition":                    "knows no resources",
	"ecs:DescribeServiceRevisions":                    "",
	"ecs:DescribeServices":                            "",
	"ecs:DescribeTaskDefinition":                      "knows no resources",
	"ecs:DescribeTasks":                               "",
	"ecs:ListClusters":                                "knows no resources",
	"ecs:ListServices":                                "knows no resources",
	"ecs:ListTaskDefinitionFamilies":                  "knows no resources",
	"ecs:ListTasks":                                   "knows container instances only, and Fargate has none",
	"ecs:StopTask":                                    "",
	"events:PutEvents":                                "",
	"lambda:InvokeFunction":                           "",
	"logs:CreateLogGroup":                             "",
	"logs:CreateLogStream":                            "",
	"logs:PutLogEvents":                               "",
	"s3:GetObject":                                    "",
	"secretsmanager:GetSecretValue":                   "",
	"signer:GetRevocationStatus":                      "",
	"signer:SignPayload":                              "",
	"sns:Publish":                                     "",
	"sqs:DeleteMessage":                               "",
	"sqs:GetQueueAttributes":                          "",
	"sqs:ReceiveMessage":                              "",
	"sqs:SendMessage":                                 "",
	"sts:AssumeRole":                                  "",
	"sts:AssumeRoleWithWebIdentity":                   "",
}

// denied are actions that templates deny, on everything.
var denied = []string{
	"signer:AddProfilePermission", "signer:CancelSigningProfile", "signer:PutSigningProfile", "signer:RemoveProfilePermission",
	"signer:RevokeSignature", "signer:RevokeSigningProfile", "signer:TagResource", "signer:UntagResource", "sqs:SendMessage",
}

// faultsOf says what is wrong with a statement.
func faultsOf(s statement) []string {
	var faults []string
	for _, a := range s.actions {
		switch why, ok := known[a]; {
		case s.effect == "Deny" && slices.Contains(denied, a):
		case s.effect != "Allow":
			faults = append(faults, "effect "+s.effect+" of "+a)
		case strings.Contains(a, "*"):
			faults = append(faults, "a wildcard of actions: "+a)
		case !ok:
			faults = append(faults, a+" is not in the list of this test")
		case s.resource == "*" && why == "":
			faults = append(faults, a+" on everything")
		}
	}
	if s.effect == "Allow" && (s.principal == "*" || at(s.principal, "AWS") == "*") {
		faults = append(faults, "anybody may")
	}
	// A service speaks for whoever told it to: it has to be somebody of this account.
	service, _ := at(s.principal, "Service").(string)
	if service != "" && service != "lambda.amazonaws.com" && s.condition == nil {
		faults = append(faults, service+" may for every account")
	}
	return faults
}

func TestStatementsAllowOnlyWhatIsNeeded(t *testing.T) {
	seen := map[string]bool{}
	for name, tmpl := range templates(t) {
		all, err := tmpl.statements()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, s := range all {
			for _, fault := range faultsOf(s) {
				t.Errorf("%s: statement %q: %s", name, s.sid, fault)
			}
			for _, a := range s.actions {
				seen[a] = true
			}
		}
	}
	for a := range known {
		if !seen[a] {
			t.Errorf("no template allows %s: take it off the list", a)
		}
	}
}

func TestAStatementThatAllowsTooMuchIsSeen(t *testing.T) {
	for _, c := range []struct {
		name string
		s    statement
		ok   bool
	}{
		{"an action on its resource", statement{effect: "Allow", actions: []string{"ecs:StopTask"}, resource: "arn"}, true},
		{"an action on everything", statement{effect: "Allow", actions: []string{"ecs:StopTask"}, resource: "*"}, false},
		{"an action that knows no resources", statement{effect: "Allow", actions: []string{"ecs:ListClusters"}, resource: "*"}, true},
		{"all actions of a service", statement{effect: "Allow", actions: []string{"ecs:*"}, resource: "arn"}, false},
		{"an action nobody knows", statement{effect: "Allow", actions: []string{"iam:CreateUser"}, resource: "arn"}, false},
		{"anybody", statement{effect: "Allow", actions: []string{"sqs:SendMessage"}, resource: "arn", principal: "*"}, false},
		{"a service for every account", statement{effect: "Allow", actions: []string{"sts:AssumeRole"}, principal: map[string]any{"Service": "ecs.amazonaws.com"}}, false},
	} {
		if got := faultsOf(c.s); (len(got) == 0) != c.ok {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

func TestAStageSignsWithItsOwnProfileOnly(t *testing.T) {
	tmpl := templates(t)["signing"]
	resources := tmpl["Resources"].(map[string]any)
	roles := 0
	for logical, r := range resources {
		stage, ok := strings.CutSuffix(logical, "Role")
		if !ok {
			continue
		}
		roles++
		profile := at(resources, stage+"Profile", "Properties", "ProfileName", "Fn::Sub")
		sign := at(r, "Properties", "Policies").([]any)[0]
		first := at(sign, "PolicyDocument", "Statement").([]any)[0]
		want := "arn:${AWS::Partition}:signer:${AWS::Region}:${AWS::AccountId}:/signing-profiles/" + profile.(string)
		if at(first, "Resource", "Fn::Sub") != want || at(first, "Action") != "signer:SignPayload" {
			t.Errorf("%s may %v on %v, want SignPayload on %s alone", logical, at(first, "Action"), at(first, "Resource"), want)
		}
		if at(r, "Condition") != at(resources, stage+"Profile", "Condition") {
			t.Errorf("%s and its profile are there under different conditions", logical)
		}
		if at(r, "Properties", "ManagedPolicyArns").([]any)[0].(map[string]any)["Ref"] != "RepositoryPolicy" {
			t.Errorf("%s has not the policy that denies administration", logical)
		}
	}
	if roles != 4 {
		t.Errorf("%d roles, want one for each of 4 stages", roles)
	}
}
