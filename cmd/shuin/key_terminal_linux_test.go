package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAPassphraseIsAskedForWithoutEcho adds an encrypted key at a terminal.
func TestAPassphraseIsAskedForWithoutEcho(t *testing.T) {
	controller, tty := terminal(t)
	shuin, err := exec.LookPath("shuin")
	if err != nil {
		t.Fatal(err)
	}
	files := filepath.Join("..", "..", "internal", "keys", "file", "testdata")
	cmd := exec.Command(shuin, "key", "add", "--key-file", filepath.Join(files, "aes256-sha256.key"), "--certificate-chain", filepath.Join(files, "encrypted.crt"), "kept")
	cmd.Env = append(os.Environ(), "NOTATION_CONFIG="+t.TempDir())
	var stdout bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, &stdout, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	var seen bytes.Buffer
	typed := false
	for b := make([]byte, 256); ; {
		n, err := controller.Read(b)
		seen.Write(b[:n])
		if !typed && strings.HasSuffix(seen.String(), "Passphrase of the private key of kept: ") && silent(t, controller) {
			typed = true
			if _, err := controller.WriteString("correct horse\n"); err != nil {
				t.Fatal(err)
			}
		}
		if errors.Is(err, syscall.EIO) { // the other end was closed
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, seen.String())
	}
	if strings.Contains(seen.String(), "horse") || !strings.HasPrefix(stdout.String(), "kept\n") {
		t.Errorf("terminal %q, stdout %q", seen.String(), stdout.String())
	}
}

// silent waits until the terminal echoes nothing.
func silent(t *testing.T, controller *os.File) bool {
	for {
		state, err := unix.IoctlGetTermios(int(controller.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		if state.Lflag&unix.ECHO == 0 {
			return true
		}
	}
}
