package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/devregistry"
	"github.com/shuin/shuin/internal/keys/age"
	"github.com/shuin/shuin/signing"
)

type devOptions struct {
	listen, registry, data string
}

func newDevCmd(a *app) *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a throw-away signer, gate and registry to try things on",
		Long: `Run a signer with a CA of its own, a gate with a policy of three stages, a registry with two images, and an access key, all in
this process and on loopback only, and print the commands to try it with shuin, notation, the AWS CLI and curl. Without --data all of it is gone when it ends
(killed by SIGKILL it leaves its directory, shuind-dev-… in the system's temporary one; the next shuind dev removes it).
It is not for production: its secrets are printed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.dev(cmd.Context(), &o) },
	}
	fs := cmd.Flags()
	fs.StringVar(&o.listen, "listen", "localhost:8080", "loopback address of the signer; port 0 picks a free one")
	fs.StringVar(&o.registry, "registry", "localhost:5000", "loopback address of the registry; port 0 picks a free one")
	fs.StringVar(&o.data, "data", "", "directory that keeps the signer's data; empty: a temporary one")
	return cmd
}

// The world of shuind dev.
const (
	devAccount = "111122223333"
	devRegion  = "ap-northeast-1"
	devUser    = "dev"
	devBuild   = "shop"    // repository of the image for the aws profile
	devRelease = "release" // repository of the image for the standard profile
	devTag     = "v1"
)

func (a *app) dev(ctx context.Context, o *devOptions) (err error) {
	for _, address := range []string{o.listen, o.registry} {
		if host, _, err := net.SplitHostPort(address); err != nil || !loopback(host) {
			return invalid("", "%q is no loopback address with a port: shuind dev serves nobody else", address)
		}
	}
	dir, remove, err := a.devDirectory(o.data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	ln, err := listen(ctx, "API", o.listen, 256)
	if err != nil {
		return err
	}
	defer ln.Close()
	registry, err := openDevRegistry(ctx, o.registry)
	if err != nil {
		return err
	}
	defer registry.ln.Close()
	c, err := a.devConfig(ctx, dir, ln)
	if err != nil {
		return err
	}
	if err := a.devGate(c, dir, registry); err != nil {
		return err
	}
	n, err := a.newNode(ctx, c, c.storeOptions(), newLogger(a.stderr, c.Log))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if err := n.addGate(ctx, a, ""); err != nil {
		return err
	}
	if err := n.begin(ctx); err != nil {
		return err
	}
	if n.clockRefused.Load() {
		a.warnf("nothing is signed with the data in %s: set this machine's clock right, or start anew with another --data", dir)
	}
	n.listener = ln
	entrances, err := n.entrances(ctx)
	if err != nil {
		return err
	}
	words, err := a.devWords(ctx, n, dir, registry)
	if err != nil {
		return err
	}
	if err := words.write(a); err != nil {
		return err
	}
	entrances = append(entrances, entrance{what: "registry", ln: registry.ln, handler: registry.handler})
	return n.serve(ctx, entrances, nil)
}

// devDirectory is where the data lies, and what is done when it ends. A
// directory that is there already must be empty or an earlier run's.
func (a *app) devDirectory(data string) (dir string, remove func() error, err error) {
	if data == "" {
		removed, err := sweepDev(os.TempDir())
		for _, dir := range removed {
			a.warnf("%s was left by a shuind dev that was killed, and is removed", dir)
		}
		if err != nil {
			a.warnf("%v", err) // in nobody's way
		}
		return devTemporary()
	}
	if dir, err = filepath.Abs(data); err != nil {
		return "", nil, err
	}
	return dir, func() error { return nil }, devKept(dir)
}

// devKept makes or takes a directory that stays.
func devKept(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return os.MkdirAll(dir, dirPerm)
	case err != nil:
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "identity.txt")); err != nil && len(entries) > 0 {
		return invalid("choose an empty directory, or one of an earlier shuind dev", "%s is not empty and not of shuind dev", dir)
	}
	return gone(os.Remove(filepath.Join(dir, devMark))) // it is temporary no more
}

// devConfig is a configuration for dir and ln; identity and CA are made when
// they are not there.
func (a *app) devConfig(ctx context.Context, dir string, ln net.Listener) (*config, error) {
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		return nil, err
	}
	c := &config{
		Listen: ln.Addr().String(), Name: "localhost:" + port, Region: devRegion, Data: dir,
		Identity: identityConfig{File: filepath.Join(dir, "identity.txt")},
		CA:       caConfig{Subject: subjectConfig{Country: "JP", Province: "Tokyo", Organization: "Shuin dev"}},
		CRL:      crlConfig{Life: 10 * time.Minute, Refresh: 2 * time.Minute},
		Log:      logConfig{Level: "warn"},
	}
	if _, err := os.Stat(c.Identity.File); errors.Is(err, fs.ErrNotExist) {
		if _, err := age.NewIdentity(c.Identity.File); err != nil {
			return nil, err
		}
	}
	c.defaults(dir)
	f := &faults{file: "shuind dev"}
	c.validate(f, a.lookupEnv)
	if err := f.err(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(c.caFiles().dir); err == nil {
		return c, nil
	}
	identity, err := a.identity(c.Identity)
	if err != nil {
		return nil, err
	}
	return c, a.exclusive(ctx, c, func(y *ceremony) error {
		return y.makeCA(ctx, identity, identity.Lock(), rootYears, intermediateYears)
	})
}

// devRegistry is a registry in memory, with its listener.
type devRegistry struct {
	ln      net.Listener
	handler http.Handler
	address string
	digests map[string]string // by repository
	payload []byte            // what a signature of the first image signs
}

func openDevRegistry(ctx context.Context, address string) (*devRegistry, error) {
	ln, err := listen(ctx, "registry", address, 256)
	if err != nil {
		return nil, err
	}
	r := &devRegistry{ln: ln, digests: map[string]string{}}
	if err := r.fill(); err != nil {
		ln.Close()
		return nil, err
	}
	return r, nil
}

func (r *devRegistry) fill() error {
	_, port, err := net.SplitHostPort(r.ln.Addr().String())
	if err != nil {
		return err
	}
	r.address = "localhost:" + port
	registry, err := devregistry.New(devregistry.Options{})
	if err != nil {
		return err
	}
	r.handler = registry
	for _, repo := range []string{devBuild, devRelease} {
		ref, err := shuin.ParseReference(r.address + "/" + repo + ":" + devTag)
		if err != nil {
			return err
		}
		digest, err := registry.PutSample(ref)
		if err != nil {
			return err
		}
		r.digests[repo] = digest.String()
	}
	mediaType, manifest, _ := registry.Manifest(devBuild, devTag)
	r.payload, err = json.Marshal(map[string]any{"targetArtifact": map[string]any{
		"mediaType": mediaType, "digest": r.digests[devBuild], "size": len(manifest),
	}})
	return err
}

// devCredential makes an access key that may do everything, for a day.
func (a *app) devCredential(ctx context.Context, n *node) (id, secret string, err error) {
	made, secret, err := n.service.NewCredential(ctx, operator(), signing.Credential{
		Account:   devAccount,
		Principal: "arn:aws:iam::" + devAccount + ":user/" + devUser,
		Actions:   []string{"signer:*"},
		Profiles:  []string{"*"},
		Expires:   a.now().Add(24 * time.Hour),
	})
	if err != nil {
		return "", "", fmt.Errorf("make an access key: %w", cause(err))
	}
	return made.AccessKeyID, secret, nil
}

// devWords gathers what the printed commands name, and writes the files they use.
func (a *app) devWords(ctx context.Context, n *node, dir string, r *devRegistry) (*devWords, error) {
	id, secret, err := a.devCredential(ctx, n)
	if err != nil {
		return nil, err
	}
	w := &devWords{
		dir: dir, endpoint: "http://" + n.c.Name, registry: r.address, accessKeyID: id, secret: secret,
		root: n.c.caFiles().root(),
	}
	policy, err := json.MarshalIndent(w.policy(), "", "  ")
	if err != nil {
		return nil, err
	}
	// What an earlier run's commands configured names other ports: it goes.
	for _, name := range []string{"config", "cache", "bin"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	for name, data := range map[string][]byte{
		"payload.json": r.payload,
		"policy.json":  append(policy, '\n'),
		"env.sh":       []byte(w.env()),
	} {
		if err := replaceFile(filepath.Join(dir, name), data, secretPerm); err != nil {
			return nil, err
		}
	}
	return w, nil
}
