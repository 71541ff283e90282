// Command shuin-lambda is the gate and the watch on AWS Lambda: one function
// for ECS lifecycle hooks, EventBridge and CloudTrail events, queues and
// schedules, told apart by the event's shape. It builds the doors and hands
// them to package watch and the gate; it decides nothing itself.
package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/buildinfo"
	"github.com/shuin/shuin/internal/ecs"
)

func main() { os.Exit(run(os.Args[1:], os.Getenv, os.Stdout, os.Stderr)) }

const usage = `shuin-lambda is the function "bootstrap" of AWS Lambda. At a terminal it knows:
  shuin-lambda --check-config FILE   check a configuration; all faults at once, with their lines
  shuin-lambda version               show the version
`

// run is the program: without arguments the function, for as long as Lambda
// lets it live.
func run(args []string, env func(string) string, stdout, stderr io.Writer) int {
	switch {
	case len(args) == 0 && env(envRuntime) != "":
		return serve(env, stdout)
	case len(args) == 1 && (args[0] == "version" || args[0] == "--version"):
		version, commit := buildinfo.Version()
		fmt.Fprintf(stdout, "Shuin-lambda - the function of Shuin for AWS Lambda.\n\nVersion:     %s\nGo version:  %s\nOS/Arch:     %s/%s\n",
			version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		if commit != "" {
			fmt.Fprintf(stdout, "Git commit:  %s\n", commit)
		}
		return 0
	case len(args) == 2 && args[0] == "--check-config":
		return checkConfig(args[1], env, stdout, stderr)
	case len(args) == 3 && args[0] == "config" && args[1] == "check":
		return checkConfig(args[2], env, stdout, stderr)
	}
	fmt.Fprint(stderr, usage)
	return 2
}

// checkConfig reads a configuration as the function would, with the policy and
// the trust stores where these are files. Paths begin where the file is.
func checkConfig(path string, env func(string) string, stdout, stderr io.Writer) int {
	s, err := loadSettings(func(name string) string {
		switch name {
		case envConfig:
			return ""
		case envConfigFile:
			return absolute(path)
		case envPackage:
			return dirOf(absolute(path))
		}
		return env(name)
	})
	if err == nil {
		err = s.modeFault
	}
	if err == nil {
		_, err = newFunction(s, env, newLogger(io.Discard), io.Discard) // what keeps it from starting
	}
	if err == nil {
		err = checkPolicy(s, env)
	}
	if err != nil {
		fmt.Fprintf(stderr, "Error: %v\n", err)
		if hint := shuin.HintOf(err); hint != "" && hint != checkHint {
			fmt.Fprintf(stderr, "Hint: %s\n", hint)
		}
		return 1
	}
	for _, line := range s.describe() {
		fmt.Fprintln(stdout, line)
	}
	return 0
}

// serve takes events until the process ends. Where the function cannot be set
// up that is told to Lambda, which has it fail: but in warn mode it serves all
// the same, for hooks have to be answered whatever happens.
func serve(env func(string) string, stdout io.Writer) int {
	logger := newLogger(stdout)
	boundMemory(env)
	s, err := loadSettings(env)
	if s.modeFault != nil {
		logger.Error("the mode is not what was meant", "error", oneLine(s.modeFault.Error()), "mode", s.Mode)
	}
	var f *function
	if err == nil {
		f, err = newFunction(s, env, logger, stdout)
	}
	if err != nil {
		logger.Error("the function cannot be set up", "error", oneLine(err.Error()), "hint", shuin.HintOf(err), "mode", s.Mode)
		if !s.warns() {
			failedInit(env(envRuntime), err)
			return 1
		}
	}
	e := &edge{log: logger, warn: s.warns(), margin: s.Hook.Margin, now: time.Now, broken: err, metrics: newMetrics(s, env, stdout)}
	if f == nil {
		e.release = releaser(&ecs.Client{Caller: newCaller(logger)})
	} else {
		e.handle, e.release, e.metrics = f.handle, releaser(f.ecs), f.metrics
	}
	lambda.Start(e)
	return 1 // it does not return
}

// boundMemory has the garbage collector keep the process below the function's
// memory, unless GOMEMLIMIT says otherwise: a process that is killed answers
// nothing, in warn mode neither.
func boundMemory(env func(string) string) {
	mb, err := strconv.Atoi(env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"))
	if err == nil && mb > 0 && env("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(mb) << 20 / 4 * 3)
	}
}
