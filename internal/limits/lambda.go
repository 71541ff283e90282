package limits

import "time"

// Bounds of the AWS Lambda function.
const (
	LambdaConfigBytes = 64 << 10 // its configuration
	LambdaTells       = 50       // places that findings are sent to
	LambdaTargets     = 500      // places that a sweep looks at

	LambdaMargin     = 2 * time.Second // of an invocation's time, kept for its answer
	LambdaMarginMost = time.Minute
	LambdaMarginPart = 4                // of an invocation's time is the most that is kept
	LambdaLate       = 4                // a part of the margin: what has not answered by then is answered for
	LambdaBatch      = 8                // messages of a queue looked at together
	LambdaSweepEvery = 6 * time.Hour    // between two sweeps, unless the configuration says otherwise
	LambdaSweepAgain = 10_000           // observations that a sweep tries once more
	LambdaRefresh    = time.Minute      // between two looks at a policy in S3, unless asked otherwise
	LambdaPolicyTime = 10 * time.Second // one such look
	LambdaReceives   = 10               // times a queue hands a message out before what cannot be checked is told as that
	LambdaStackBytes = 16 << 10         // of a panic's stack in the log
	LambdaInitBytes  = 8 << 10          // what is told of a failed start
	LambdaLogBytes   = 200 << 10        // of a verdict in one line of the log: CloudWatch cuts off what is longer than 256 KiB

	// LambdaLeaseMargin is how long a claim outlives the work that took it: the
	// margin of the answer, and what clocks differ by. Shorter than what a
	// queue's visibility timeout is to exceed the function's (30 s in the deploy
	// kit), or what comes again finds the claim of a function that was killed.
	LambdaLeaseMargin = 15 * time.Second
	LambdaReleaseTime = 5 * time.Second // to release a claim after a panic
	LambdaBusy        = 10_000          // messages of which it is kept that another was at it
)
