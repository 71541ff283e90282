package main

import (
	"slices"
	"strings"

	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/awsdeploy"
	"github.com/shuin/shuin/internal/ecs"
)

func allow(sid string, resources []string, actions ...string) iamStatement {
	return iamStatement{Sid: sid, Effect: "Allow", Action: actions, Resource: resources}
}

// common is what every entrance needs: the policy, and task definitions, which
// know no resources in IAM.
func (f *functionResources) common() []iamStatement {
	all := f.readPolicy()
	all = append(all, f.readSecrets()...)
	return append(all, f.taskDefinitions())
}

// readPolicy is what it takes to read the policy, or the bundle and its
// signature.
func (f *functionResources) readPolicy() []iamStatement {
	var newest, versions []string
	for _, object := range f.policyObjects() {
		key := withoutVersion(object)
		arn := "arn:" + f.partition() + ":s3:::" + strings.TrimPrefix(key, "s3://")
		if key == object {
			newest = append(newest, arn)
		} else {
			versions = append(versions, arn)
		}
	}
	var all []iamStatement
	if len(newest) > 0 {
		all = append(all, allow("ReadPolicy", newest, awsdeploy.ActionGetObject))
	}
	if len(versions) > 0 { // IAM's action for GetObject of one version
		all = append(all, allow("ReadPolicyVersion", versions, "s3:GetObjectVersion"))
	}
	return all
}

func (f *functionResources) taskDefinitions() iamStatement {
	return allow("ReadTaskDefinitions", []string{"*"}, ecs.ActionDescribeTaskDefinition)
}

// readSecrets is what it takes to read a chat's address or a server's token.
func (f *functionResources) readSecrets() []iamStatement {
	var secrets, parameters []string
	for _, arn := range f.secrets {
		if strings.Contains(arn, ":secretsmanager:") {
			secrets = appendNew(secrets, arn)
		} else {
			parameters = appendNew(parameters, arn)
		}
	}
	var all []iamStatement
	if len(secrets) > 0 {
		all = append(all, allow("ReadSecrets", secrets, "secretsmanager:GetSecretValue"))
	}
	if len(parameters) > 0 {
		all = append(all, allow("ReadParameters", parameters, "ssm:GetParameter"))
	}
	return all
}

// partition is that of whatever ARN was given: all that one function works on
// is in one.
func (f *functionResources) partition() string {
	given := slices.Concat(f.clusters, f.roles, one(f.queue), one(f.table), one(f.topic), one(f.eventBus), f.secrets, f.deploymentGroups, f.others)
	if len(given) == 0 {
		return "aws"
	}
	return strings.Split(given[0], ":")[1]
}

func (f *functionResources) listTasks() iamStatement {
	s := allow("ListTasks", []string{"*"}, ecs.ActionListTasks)
	s.Condition = f.inClusters()
	return s
}

func hookStatements(f *functionResources) []iamStatement {
	all := append(f.common(),
		allow("ReadRevisions", f.of("service", "service-revision"), ecs.ActionDescribeServiceRevisions),
		f.listTasks(),
		allow("ReadTasks", f.of("task"), ecs.ActionDescribeTasks))
	if len(f.deploymentGroups) > 0 {
		all = append(all,
			allow("ReadServices", f.of("service"), ecs.ActionDescribeServices),
			allow("ReadDeployments", f.deploymentGroups, ecs.ActionGetDeployment),
			allow("AnswerCodeDeploy", []string{"*"}, ecs.ActionListDeploymentTargets, ecs.ActionGetDeploymentTarget, ecs.ActionPutLifecycleEventHookStatus))
	}
	if f.codePipeline {
		all = append(all, allow("AnswerCodePipeline", []string{"*"}, ecs.ActionPutJobSuccessResult, ecs.ActionPutJobFailureResult))
	}
	return all
}

// told is what it takes to remember and to tell.
func (f *functionResources) told() []iamStatement {
	var all []iamStatement
	if f.table != "" {
		all = append(all, allow("Remember", one(f.table), "dynamodb:GetItem", "dynamodb:UpdateItem"))
	}
	if f.topic != "" {
		all = append(all, allow("TellTopic", one(f.topic), "sns:Publish"))
	}
	if f.eventBus != "" {
		all = append(all, allow("TellEventBus", one(f.eventBus), "events:PutEvents"))
	}
	return all
}

func eventStatements(f *functionResources) []iamStatement {
	all := f.common()
	if f.queue != "" {
		all = append(all, allow("TakeEvents", one(f.queue), "sqs:ReceiveMessage", "sqs:DeleteMessage", awsdeploy.ActionGetQueueAttributes))
	}
	return append(all, f.told()...)
}

func sweepStatements(f *functionResources) []iamStatement {
	services := allow("ListServices", []string{"*"}, ecs.ActionListServices)
	services.Condition = f.inClusters()
	all := append(f.common(),
		allow("List", []string{"*"}, ecs.ActionListClusters, ecs.ActionListTaskDefinitionFamilies),
		services, f.listTasks(),
		allow("ReadServicesAndTasks", f.of("service", "task"), ecs.ActionDescribeServices, ecs.ActionDescribeTasks))
	if len(f.roles) > 0 {
		all = append(all, allow("SweepOtherAccounts", f.roles, awscall.ActionAssumeRole))
	}
	return append(all, f.told()...)
}

func stopStatements(f *functionResources) []iamStatement {
	return []iamStatement{
		allow("ReadTasks", f.of("task"), ecs.ActionDescribeTasks),
		f.taskDefinitions(),
		allow("StopTasks", f.of("task"), ecs.ActionStopTask),
		allow("DeregisterTaskDefinitions", []string{"*"}, ecs.ActionDeregisterTaskDefinition),
	}
}
