package main

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"

	"github.com/shuin/shuin/awsprofile"
)

// devStages are the stages of shuind dev's policy and the signing profiles
// that seal them. (A profile's name has no hyphen.)
var devStages = []struct{ stage, profile string }{{"build", "build"}, {"unit-test", "unit_test"}, {"scan", "scan"}}

const devCluster = "dev"

// devGate writes what a gate needs for the images of shuind dev into dir/gate,
// and configures it, on the address of the signer.
func (a *app) devGate(c *config, dir string, r *devRegistry) error {
	at := func(name string) string { return filepath.Join(dir, "gate", filepath.FromSlash(name)) }
	token := rand.Text() + rand.Text()
	root, err := os.ReadFile(c.caFiles().root())
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"pipeline.yaml":   devPipeline(r.address),
		"deployment.yaml": devDeployment(r.address),
		"token":           token + "\n",
		"header":          "Authorization: Bearer " + token + "\n",
		"notation/truststore/x509/signingAuthority/shuin-dev/root.pem": string(root),
	} {
		if err := os.MkdirAll(filepath.Dir(at(name)), dirPerm); err != nil {
			return err
		}
		if err := replaceFile(at(name), []byte(text), secretPerm); err != nil {
			return err
		}
	}
	c.Gate = gateConfig{
		Policy: at("pipeline.yaml"), Trust: at("notation"), Records: at("decisions.jsonl"), Findings: at("findings.db"), Cache: at("cache"),
		Revocation: revocationConfig{AllowPrivateAddresses: true},
		Principals: []principalConfig{{Name: devUser, Token: tokenConfig{File: at("token")}, Clusters: []string{devCluster}, Reports: true}},
	}
	f := &faults{file: "shuind dev"}
	c.validateGate(f, a.lookupEnv)
	return f.err()
}

// devPipeline is a policy of three stages for the first image.
func devPipeline(registry string) string {
	var b strings.Builder
	b.WriteString("apiVersion: shuin.dev/v1\nkind: PipelinePolicy\nstages:\n")
	var names []string
	for _, s := range devStages {
		b.WriteString("  " + s.stage + ":\n    signers: [{signingProfile: \"" + (&devWords{}).arn("signing-profiles/"+s.profile) + "\", trustStores: [\"signingAuthority:shuin-dev\"]}]\n")
		names = append(names, s.stage)
	}
	b.WriteString("rules:\n  - name: shop\n    match: {images: [\"" + registry + "/" + devBuild + "\"], clusters: [" + devCluster + "]}\n    require: {all: [" + strings.Join(names, ", ") + "]}\n")
	return b.String()
}

func devDeployment(registry string) string {
	return `apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
        - name: shop
          image: ` + registry + "/" + devBuild + ":" + devTag + "\n"
}

// gateCommands are the part of the printed commands that is about the gate.
func (w *devWords) gateCommands() string {
	image := w.registry + "/" + devBuild + ":" + devTag
	at := func(name string) string { return quote(filepath.Join(w.dir, "gate", name)) }
	policy := at("pipeline.yaml")
	return `
# 4. The gate: an image runs only with the seals of build, unit-test and scan (the policy is ` + policy + `).
for PROFILE in unit_test scan; do aws signer put-signing-profile --profile-name "$PROFILE" --platform-id ` + awsprofile.PlatformID + `; done
ask() { curl -sS -H @` + at("header") + ` -H "Content-Type: application/json" "` + w.endpoint + `/v1/decide?timeout=30s" -d '{"images": [{"image": "` + image + `"}], "cluster": "` + devCluster + `", "pins": true}' | sed 's/,"signatures":.*/ and each signature with its reason/'; echo; }
ask
shuin seal --stage build --policy ` + policy + ` ` + image + `
shuin seal --stage unit-test --policy ` + policy + ` ` + image + ` -- sh -c "echo all tests passed"
shuin check --policy ` + policy + ` --cluster ` + devCluster + ` ` + at("deployment.yaml") + ` || echo "denied, as it should be: scan is missing"
shuin seal --stage scan --policy ` + policy + ` ` + image + `
shuin check --policy ` + policy + ` --cluster ` + devCluster + ` ` + at("deployment.yaml") + `
#    The gate remembers a denial for five seconds. Every answer is in ` + at("decisions.jsonl") + `.
sleep 5
ask
`
}
