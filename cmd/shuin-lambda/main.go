// Command shuin-lambda is the gate and the watch on AWS Lambda: one function
// for ECS lifecycle hooks, EventBridge and CloudTrail events, queues and
// schedules, told apart by the event's shape. It builds the doors and hands
// them to package watch and the gate; it decides nothing itself.
package main

func main() {}
