package cluster

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/renameio/v2"
)

// Program is a program of the test's that runs beside the cluster.
type Program struct{ process *process }

// StartProgram starts a program, as shuind, and ends it at the end of the
// test, at once; also when the test program is killed (on Linux). Its output
// goes to a log. The command's Stdout and Stderr must not be set.
func (c *Cluster) StartProgram(tb testing.TB, command *exec.Cmd) *Program {
	tb.Helper()
	return &Program{startLogged(tb, c.Dir, filepath.Base(command.Path), command)}
}

// Await waits until ready has no error; that the program ends, or the time,
// fails the test with the end of its log.
func (p *Program) Await(tb testing.TB, limit time.Duration, ready func() error) {
	tb.Helper()
	if err := p.process.until(limit, ready); err != nil {
		tb.Fatal(err)
	}
}

// Kill ends the program at once and waits for its end.
func (p *Program) Kill() { p.process.kill() }

// Signal sends the program a signal, as os.Interrupt.
func (p *Program) Signal(s os.Signal) error { return p.process.command.Process.Signal(s) }

// ID is the process id.
func (p *Program) ID() int { return p.process.command.Process.Pid }

// Log is all that the program has written so far.
func (p *Program) Log(tb testing.TB) string {
	tb.Helper()
	data, err := os.ReadFile(p.process.log)
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

// asWebhook names the variable that makes a test program a webhook's process
// instead; its value is the file to say its place in.
const asWebhook = "SHUIN_TEST_KUBE_AS_WEBHOOK"

// webhookPatch names the variable with that process's patch; empty: none.
const webhookPatch = "SHUIN_TEST_KUBE_WEBHOOK_PATCH"

// Place is where a webhook is called.
type Place struct {
	URL string
	CA  []byte // CA bundle, PEM
	PID int    // of its process; 0: the test's
}

// WebhookProcess is a do-nothing webhook in a process of its own, so that what
// it costs is not the load's: the measure for a gate, which is one, too. The
// test program's TestMain must call Main.
func (c *Cluster) WebhookProcess(tb testing.TB) Place { return c.PatchingProcess(tb, "") }

// PatchingProcess is a WebhookProcess that says yes with a JSON patch (RFC
// 6902), as it stands, to what is sent to its path "/patch": what the
// API server does with a patch is told apart by it from what a gate does.
func (c *Cluster) PatchingProcess(tb testing.TB, patch string) Place {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	file := filepath.Join(tb.TempDir(), "place.json")
	command := exec.Command(self)
	command.Env = append(os.Environ(), asWebhook+"="+file, webhookPatch+"="+patch)
	var place Place
	c.StartProgram(tb, command).Await(tb, startLimit, func() error {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return json.Unmarshal(data, &place)
	})
	return place
}

// serveWebhook is the process of WebhookProcess: it runs until it is killed.
func serveWebhook(file string) int {
	w, err := newWebhook()
	if patch := os.Getenv(webhookPatch); err == nil && patch != "" {
		w.patch = Patch(patch)
	}
	if err == nil {
		err = w.listen()
	}
	var data []byte
	if err == nil {
		data, err = json.Marshal(Place{URL: w.URL(), CA: w.CA, PID: os.Getpid()})
	}
	if err == nil {
		err = renameio.WriteFile(file, data, 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "webhook:", err)
		return 1
	}
	select {}
}
