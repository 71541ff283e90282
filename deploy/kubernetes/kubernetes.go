// Package kubernetes holds the Helm chart that installs the gate in a cluster,
// embedded, and renders it into plain manifests without Helm: a reader of YAML
// values, the part of JSON Schema that the chart's schema uses, and the part of
// Helm's template language that its templates use. What the chart does not use
// is not there, and refused; a test holds the result to Helm's own.
//
// It asks no cluster and reads no file but its own.
package kubernetes

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/shuin/shuin"
)

//go:embed all:chart
var files embed.FS

// Release is what an installation is called.
type Release struct {
	Name      string // of every object
	Namespace string
	Service   string // app.kubernetes.io/managed-by
}

// Manifest is one file of the chart, rendered: YAML documents.
type Manifest struct {
	Name string // "deployment.yaml", "crds/…"
	Text string
}

// Order is that in which the files are applied: what calls the gate comes after
// what runs it.
var order = []string{"rbac.yaml", "share.yaml", "config.yaml", "service.yaml", "exceptions.yaml", "deployment.yaml", WebhooksFile, GuardFile}

// The files that have the API server ask the gate, and what guards them.
const (
	WebhooksFile = "webhooks.yaml"
	GuardFile    = "guard.yaml"
)

// Chart is every file of the chart, by its path in it, for who wants Helm's own
// form.
func Chart() map[string][]byte {
	out := map[string][]byte{}
	err := fs.WalkDir(files, "chart", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := files.ReadFile(name)
		out[strings.TrimPrefix(name, "chart/")] = data
		return err
	})
	if err != nil {
		panic(err) // embedded
	}
	return out
}

// CRDs are the definitions of custom resources: applied before all, and left
// behind when the rest is removed.
func CRDs() []Manifest {
	var out []Manifest
	all := Chart()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if strings.HasPrefix(name, "crds/") {
			out = append(out, Manifest{name, string(all[name])})
		}
	}
	return out
}

// Defaults are the values of values.yaml.
func Defaults() Values {
	v, err := ParseValues(Chart()["values.yaml"])
	if err != nil {
		panic(err) // embedded, and read by every test
	}
	return v
}

// Render writes the manifests of a release, in the order in which they are to be
// applied, without the CRDs. given are laid over the chart's values; what the
// schema does not allow is an error that names every fault.
func Render(r Release, given Values) ([]Manifest, error) {
	values := merge(Defaults(), given)
	if err := validate(values); err != nil {
		return nil, err
	}
	if err := checkMemory(values); err != nil {
		return nil, err
	}
	about, err := ParseValues(Chart()["Chart.yaml"])
	if err != nil {
		return nil, err
	}
	e := newEngine()
	for name, data := range Chart() {
		if dir, file := path.Split(name); dir == "templates/" {
			if err := e.add(file, string(data)); err != nil {
				return nil, err
			}
		}
	}
	dot := map[string]any{
		"Values":  map[string]any(values),
		"Release": map[string]any{"Name": r.Name, "Namespace": r.Namespace, "Service": r.Service},
		"Chart":   map[string]any{"Name": about["name"], "Version": about["version"], "AppVersion": about["appVersion"]},
	}
	var out []Manifest
	for _, name := range order {
		text, err := e.render(name, dot)
		if err != nil {
			return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "the chart cannot be rendered with these values", Err: err, Hint: "deploy/kubernetes/chart/values.yaml says what each value means"}
		}
		if text = strings.TrimSpace(text); text != "" {
			out = append(out, Manifest{name, text + "\n"})
		}
	}
	return out, nil
}

func invalid(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &shuin.Error{Code: shuin.CodeInvalidInput, Message: err.Error()}
}
