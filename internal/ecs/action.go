package ecs

// The IAM actions that the calls need, with what each is needed on ("Actions,
// resources, and condition keys", Service Authorization Reference).
const (
	ActionDescribeTaskDefinition      = "ecs:DescribeTaskDefinition"                      // on "*": it knows no resources
	ActionDescribeServices            = "ecs:DescribeServices"                            // on the service
	ActionDescribeServiceRevisions    = "ecs:DescribeServiceRevisions"                    // on the service revision
	ActionDescribeTasks               = "ecs:DescribeTasks"                               // on the task
	ActionListClusters                = "ecs:ListClusters"                                // on "*"
	ActionListServices                = "ecs:ListServices"                                // on "*"; the condition ecs:cluster narrows it
	ActionListTasks                   = "ecs:ListTasks"                                   // on "*"; the condition ecs:cluster narrows it
	ActionListTaskDefinitionFamilies  = "ecs:ListTaskDefinitionFamilies"                  // on "*"
	ActionStopTask                    = "ecs:StopTask"                                    // on the task
	ActionDeregisterTaskDefinition    = "ecs:DeregisterTaskDefinition"                    // on "*"
	ActionPutLifecycleEventHookStatus = "codedeploy:PutLifecycleEventHookExecutionStatus" // on the deployment group
	ActionPutJobSuccessResult         = "codepipeline:PutJobSuccessResult"                // on "*"
	ActionPutJobFailureResult         = "codepipeline:PutJobFailureResult"                // on "*"
)
