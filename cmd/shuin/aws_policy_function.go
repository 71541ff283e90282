package main

import (
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
	var all []iamStatement
	if f.policy != "" {
		bucket := strings.TrimPrefix(f.policy, "s3://")
		all = append(all, allow("ReadPolicy", []string{"arn:" + f.partition() + ":s3:::" + bucket}, awsdeploy.ActionGetObject))
	}
	return append(all, allow("ReadTaskDefinitions", []string{"*"}, ecs.ActionDescribeTaskDefinition))
}

// partition is that of the clusters, which are where all the rest is.
func (f *functionResources) partition() string {
	if len(f.clusters) == 0 {
		return "aws"
	}
	return strings.Split(f.clusters[0], ":")[1]
}

func (f *functionResources) listTasks() iamStatement {
	s := allow("ListTasks", []string{"*"}, ecs.ActionListTasks)
	s.Condition = f.inClusters()
	return s
}

func hookStatements(f *functionResources) []iamStatement {
	return append(f.common(),
		allow("ReadRevisions", f.of("service", "service-revision"), ecs.ActionDescribeServiceRevisions),
		f.listTasks(),
		allow("ReadTasks", f.of("task"), ecs.ActionDescribeTasks))
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
	all := append(f.common(), allow("ReadServices", f.of("service"), ecs.ActionDescribeServices))
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
		allow("StopTasks", f.of("task"), ecs.ActionStopTask),
		allow("DeregisterTaskDefinitions", []string{"*"}, ecs.ActionDeregisterTaskDefinition),
	}
}
