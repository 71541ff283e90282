package main

import (
	"context"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/ecs"
	"github.com/shuin/shuin/internal/manifest"
)

// names reads the names of --task-definition and --service.
func (d *deployFlags) names() (tasks []ecs.TaskDefinitionName, services []ecs.ServiceName, err error) {
	for _, s := range d.taskDefinitions {
		t, err := ecs.ParseTaskDefinition(s)
		if err != nil {
			return nil, nil, err
		}
		tasks = append(tasks, t)
	}
	for _, s := range d.services {
		v, err := ecs.ParseService(s)
		if err != nil {
			return nil, nil, err
		}
		services = append(services, v)
	}
	return tasks, services, nil
}

// readECS reads task definitions from AWS: those named, and those of services.
func (a *app) readECS(ctx context.Context, d *deployFlags, tasks []ecs.TaskDefinitionName, services []ecs.ServiceName) ([]*deployed, error) {
	reader := &ecs.Client{Caller: a.awsClient().Caller, As: awscall.As{Region: d.region, Profile: d.profile}}
	var all []*deployed
	read := func(t ecs.TaskDefinitionName, service, cluster string) error {
		data, err := reader.TaskDefinition(ctx, t)
		if err != nil {
			return unread(err)
		}
		one := &deployed{taskDefinition: t.String(), service: service, cluster: cluster}
		if err := one.parse(data, manifest.TaskDefinition); err != nil {
			return &shuin.Error{Code: shuin.CodeOf(err), Err: below(one.label(), err)}
		}
		all = append(all, one)
		return nil
	}
	for _, t := range tasks {
		if err := read(t, "", ""); err != nil {
			return nil, err
		}
	}
	for _, s := range services {
		under, err := reader.ServiceTaskDefinitions(ctx, s)
		if err != nil {
			return nil, unread(err)
		}
		for _, t := range under {
			if err := read(t, s.String(), s.Cluster); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// unread is the answer where AWS did not tell what is deployed.
func unread(err error) error {
	return &verdictError{err: err, undecided: shuin.CodeOf(err).Undecided()}
}

// ecsStatement allows what `check --task-definition` and `--service` read.
// Services could be named; task definitions know no resources in IAM.
func ecsStatement() iamStatement {
	return iamStatement{Sid: "ReadFromECS", Effect: "Allow", Resource: []string{"*"},
		Action: []string{ecs.ActionDescribeTaskDefinition, ecs.ActionDescribeServices}}
}
