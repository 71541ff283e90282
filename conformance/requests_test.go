package conformance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/notaryproject/notation-core-go/revocation/purpose"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/dir"
	upstreamplugin "github.com/notaryproject/notation-go/plugin"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/shuin/shuin/internal/plugin"
	"github.com/shuin/shuin/internal/revocation"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/verify"
)

// requests are what a plugin's process was sent, by command.
func requests(t *testing.T, root string) map[string]any {
	t.Helper()
	out := map[string]any{}
	files, err := filepath.Glob(filepath.Join(root, "example", "*.in"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".in")] = sorted(v)
	}
	return out
}

// sorted puts lists of names in order: theirs comes out of a map.
func sorted(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = sorted(v[k])
		}
	case []any:
		if !slices.ContainsFunc(v, func(e any) bool { s, ok := e.(string); return !ok || len(s) > 100 }) {
			slices.SortFunc(v, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
		}
	}
	return v
}

// known takes out what differs for a reason:
//   - the configuration in get-plugin-metadata, which Shuin does not send when it verifies;
//   - expiry where the signature has none: upstream sends the zero time;
//   - verificationPlugin and verificationPluginMinVersion, which the specification's request has and upstream leaves out;
//   - attributes that are not critical, which upstream wants processed: see
//     PLG-10/uncritical-attribute-unprocessed;
//   - null for an empty list.
func known(command string, ours, theirs any) {
	for _, side := range []any{ours, theirs} {
		m, _ := side.(map[string]any)
		if command == "get-plugin-metadata" {
			delete(m, "pluginConfig")
		}
		sig, _ := m["signature"].(map[string]any)
		attributes, _ := sig["criticalAttributes"].(map[string]any)
		if attributes["expiry"] == "0001-01-01T00:00:00Z" {
			delete(attributes, "expiry")
		}
		delete(attributes, "verificationPlugin")
		delete(attributes, "verificationPluginMinVersion")
		const uncritical = "com.example.uncritical"
		if extended, _ := attributes["extendedAttributes"].(map[string]any); extended[uncritical] != nil {
			delete(extended, uncritical)
			if len(extended) == 0 {
				delete(attributes, "extendedAttributes")
			}
		}
		if sig != nil {
			list, _ := sig["unprocessedAttributes"].([]any)
			sig["unprocessedAttributes"] = slices.DeleteFunc(append([]any{}, list...), func(name any) bool { return name == uncritical })
		}
	}
}

// A verification plugin is sent the same requests by both, member for member.
func TestPluginRequestsAreAlike(t *testing.T) {
	for _, v := range loadVectors(t) {
		if v.Kind != "envelope" || !strings.HasPrefix(v.ID, "PLG-") && !strings.HasPrefix(v.ID, "ATT-09/") && !strings.HasPrefix(v.ID, "ATT-15/") {
			continue
		}
		in := input[envelopeCase](t, v)
		if in.Plugin == nil {
			continue
		}
		t.Run(v.ID, func(t *testing.T) {
			files := pluginCase{Name: "example", Commands: map[string]processJSON{
				"get-plugin-metadata": {Stdout: string(in.Plugin.Metadata)}, "verify-signature": {Stdout: string(in.Plugin.Verify)}}}
			ours, theirs := writePlugin(t, files), writePlugin(t, files)
			config := map[string]string{"k": "v"}

			doc, err := policy.ParseOCI(in.TrustPolicy)
			if err != nil {
				t.Fatal(err)
			}
			stores, err := newStores(in.TrustStores)
			if err != nil {
				t.Fatal(err)
			}
			a, err := artifactOf(in.Reference, in.Artifact)
			if err != nil {
				t.Fatal(err)
			}
			us := &verify.Verifier{Stores: stores, Revocation: &revocation.Checker{}, Plugins: &plugin.Host{Dir: ours}}
			us.Verify(t.Context(), a, signaturesOf(in), doc, verify.Options{Now: v.Now, PluginConfig: config})

			var theirDoc trustpolicy.Document
			if err := json.Unmarshal(in.TrustPolicy, &theirDoc); err != nil {
				t.Fatal(err)
			}
			theirStores, err := parseStores(in.TrustStores)
			if err != nil {
				t.Fatal(err)
			}
			revoker, err := upstreamRevoker(nil, purpose.CodeSigning)
			if err != nil {
				t.Fatal(err)
			}
			them, err := verifier.NewWithOptions(&theirDoc, theirStores, upstreamplugin.NewCLIManager(dir.NewSysFS(theirs)), verifier.VerifierOptions{RevocationCodeSigningValidator: revoker})
			if err != nil {
				t.Fatal(err)
			}
			// What they decide is compared elsewhere; the clock is the real one here, since a process runs.
			_, _, _ = notation.Verify(t.Context(), them, memoryRepository(in), notation.VerifyOptions{ArtifactReference: in.Reference, MaxSignatureAttempts: 1, PluginConfig: config})

			got, want := requests(t, ours), requests(t, theirs)
			if _, ok := got["verify-signature"]; !ok && v.Valid {
				t.Error("the plugin was not asked")
			}
			for command := range got {
				if _, ok := want[command]; !ok {
					continue // upstream gave up before
				}
				known(command, got[command], want[command])
				if d := cmp.Diff(want[command], got[command]); d != "" {
					t.Errorf("%s: notation-go sends (-), Shuin sends (+):\n%s", command, d)
				}
			}
		})
	}
}
