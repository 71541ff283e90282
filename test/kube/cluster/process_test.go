package cluster

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAProgramThatEndsEarlySaysWhatItLogged(t *testing.T) {
	notReady := errors.New("not ready")
	for name, c := range map[string]struct {
		script string
		taken  bool
		want   string
	}{
		"a refusal":    {"echo no such flag >&2; exit 2", false, "exit status 2"},
		"a taken port": {"echo listen: address already in use; exit 1", true, "address already in use"},
		"never ready":  {"echo starting; exec sleep 60", false, "not ready"},
	} {
		t.Run(name, func(t *testing.T) {
			sh, err := exec.LookPath("sh")
			if err != nil {
				t.Fatalf("no shell to be a program: %v", err)
			}
			p, err := start("it", filepath.Join(t.TempDir(), "log"), sh, "-c", c.script)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.kill)
			limit := 20 * time.Second
			if name == "never ready" {
				limit = 100 * time.Millisecond
			}
			err = p.until(limit, func() error { return notReady })
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, errPortTaken) != c.taken {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}
