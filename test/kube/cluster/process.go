package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"
	"time"
)

const logTail = 4 << 10 // bytes of a program's log that an error shows

// process is a program that runs until it is ended. Its output goes to a file.
type process struct {
	name, log string
	command   *exec.Cmd
	ended     chan struct{} // closed when it has ended; state is set by then
	state     error
}

// parent is the goroutine that starts every process: its thread lives as long
// as the test program, because Linux ends a process that has a death signal
// with the thread that started it, not with the program.
var parent = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

func start(name, log, path string, args ...string) (*process, error) {
	return startCommand(name, log, exec.Command(path, args...))
}

func startCommand(name, log string, command *exec.Cmd) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &process{name: name, log: log, command: command, ended: make(chan struct{})}
	p.command.Stdout, p.command.Stderr = out, out
	endWithParent(p.command)
	started := make(chan error)
	parent() <- func() { started <- p.command.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.state = p.command.Wait()
		close(p.ended)
	}()
	return p, nil
}

// kill ends the process at once and waits for its end.
func (p *process) kill() {
	if p == nil {
		return
	}
	_ = p.command.Process.Kill() // an error: it has ended already
	<-p.ended
}

// failure says how the process ended, with the end of its log.
func (p *process) failure() error {
	return fmt.Errorf("%s ended: %v: the end of %s:\n%s", p.name, p.state, p.log, p.tail())
}

func (p *process) tail() []byte {
	f, err := os.Open(p.log)
	if err != nil {
		return []byte(err.Error())
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > logTail {
		_, _ = f.Seek(-logTail, io.SeekEnd)
	}
	data, _ := io.ReadAll(io.LimitReader(f, logTail))
	return bytes.TrimSpace(data)
}

var errPortTaken = errors.New("another program took the port")

// startLogged starts a command that logs to a file in the folder dir, and ends
// it at the end of the test.
func startLogged(tb testing.TB, dir, name string, command *exec.Cmd) *process {
	tb.Helper()
	log, err := os.CreateTemp(dir, name+"-*.log")
	if err != nil {
		tb.Fatal(err)
	}
	defer log.Close()
	p, err := startCommand(name, log.Name(), command)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.kill)
	return p
}

// until asks ready every few milliseconds until it has no error, the process
// has ended or the time is over.
func (p *process) until(limit time.Duration, ready func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			if bytes.Contains(p.tail(), []byte("address already in use")) {
				return fmt.Errorf("%w: %w", errPortTaken, p.failure())
			}
			return p.failure()
		case <-time.After(25 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready after %v: %w: the end of %s:\n%s", p.name, limit, err, p.log, p.tail())
		}
	}
}
