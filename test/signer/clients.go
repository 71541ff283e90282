//go:build unix

package signer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"
)

// asClients in the environment holds the address that this program, run once
// more, sends requests to.
const asClients = "SHUIN_TEST_SIGNER_AS_CLIENTS"

// Main is TestMain of a test program that uses World.SignMany: it lets the
// program be the clients, too, a process of its own, so that their CPU time
// is not the server's.
func Main(m *testing.M) {
	address := os.Getenv(asClients)
	if address == "" {
		os.Exit(m.Run())
	}
	if err := beClients(address, bufio.NewReader(os.Stdin), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// failed stands for the time of a request that was not answered with 200.
const failed = time.Duration(-1)

// beClients reads lists of requests until in ends. It tells when it has a
// whole list, waits for the word to begin, and tells how long each took.
func beClients(address string, in io.Reader, out io.Writer) error {
	clients := make([]*Client, AtOnce)
	for i := range clients {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		defer conn.Close()
		clients[i] = newClient(conn)
	}
	for {
		requests, err := readList(in)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		word := []byte{0}
		if _, err := out.Write(word); err != nil {
			return err
		}
		if _, err := io.ReadFull(in, word); err != nil {
			return err
		}
		refused := make([]bool, len(requests))
		took := AtOnceDo(min(AtOnce, len(requests)), len(requests), func(client, i int) {
			if _, err := clients[client].Send(requests[i]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				refused[i] = true
			}
		})
		for i, r := range refused {
			if r {
				took[i] = failed
			}
		}
		if err := binary.Write(out, binary.LittleEndian, took); err != nil {
			return err
		}
	}
}

func appendList(out []byte, requests [][]byte) []byte {
	out = binary.LittleEndian.AppendUint32(out, uint32(len(requests)))
	for _, r := range requests {
		out = binary.LittleEndian.AppendUint32(out, uint32(len(r)))
		out = append(out, r...)
	}
	return out
}

func readList(in io.Reader) ([][]byte, error) {
	var n uint32
	if err := binary.Read(in, binary.LittleEndian, &n); err != nil {
		return nil, err
	}
	list := make([][]byte, n)
	for i := range list {
		if err := binary.Read(in, binary.LittleEndian, &n); err != nil {
			return nil, err
		}
		list[i] = make([]byte, n)
		if _, err := io.ReadFull(in, list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// clients is that process, seen from here.
type clients struct {
	in     io.Writer
	out    io.Reader
	handed int
}

// startClients starts it; it ends with the test.
func (w *World) startClients() *clients {
	w.tb.Helper()
	self := must[string](w.tb)(os.Executable())
	cmd := exec.Command(self)
	cmd.Env, cmd.Stderr = append(os.Environ(), asClients+"="+w.address), os.Stderr
	in := must[io.WriteCloser](w.tb)(cmd.StdinPipe())
	out := must[io.ReadCloser](w.tb)(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		w.tb.Fatal(err)
	}
	w.tb.Cleanup(func() {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			w.tb.Error(err)
		}
	})
	return &clients{in: in, out: out}
}

// Hand gives the clients requests and returns when they have them: what is
// measured begins after it.
func (w *World) Hand(requests [][]byte) {
	w.tb.Helper()
	if w.clients == nil {
		w.clients = w.startClients()
	}
	if _, err := w.clients.in.Write(appendList(nil, requests)); err != nil {
		w.tb.Fatal(err)
	}
	if _, err := io.ReadFull(w.clients.out, []byte{0}); err != nil {
		w.tb.Fatal(err)
	}
	w.clients.handed = len(requests)
}

// SignHanded lets all clients send what they were handed and gives how long
// each request took, as its client saw it.
func (w *World) SignHanded() []time.Duration {
	w.tb.Helper()
	if _, err := w.clients.in.Write([]byte{0}); err != nil {
		w.tb.Fatal(err)
	}
	data := make([]byte, 8*w.clients.handed)
	if _, err := io.ReadFull(w.clients.out, data); err != nil {
		w.tb.Fatal(err)
	}
	took := make([]time.Duration, w.clients.handed)
	for i := range took {
		took[i] = time.Duration(binary.LittleEndian.Uint64(data[8*i:]))
		if took[i] == failed {
			w.tb.Error("a request was refused")
		}
	}
	return took
}

// SignMany is Hand and SignHanded.
func (w *World) SignMany(requests [][]byte) []time.Duration {
	w.tb.Helper()
	w.Hand(requests)
	return w.SignHanded()
}
