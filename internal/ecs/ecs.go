// Package ecs is the door to what runs on Amazon ECS: it decodes the events
// and hooks that AWS sends (service lifecycle hooks, EventBridge, CloudTrail,
// ECR, SQS, SNS, CodeDeploy, CodePipeline), reads and lists services, tasks
// and task definitions, and stops or deregisters them when told to.
//
// It translates to and from gate.Workload and watch.Observation; whether
// something may run is for the gate to say, and what becomes of it for watch.
package ecs
