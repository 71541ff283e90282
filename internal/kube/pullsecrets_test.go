package kube_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/kube"
	"github.com/shuin/shuin/internal/limits"
)

// login is one place's entry with user "u-NAME" and password "p-NAME".
func login(name string) string {
	return fmt.Sprintf(`{"username":"u-%s","password":"p-%s","email":"x@example.com"}`, name, name)
}

func dockerSecret(namespace, name, auths string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Type: corev1.SecretTypeDockerConfigJson,
		Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths":` + auths + `}`)},
	}
}

func users(list []kube.Credential) (out []string) {
	for _, c := range list {
		out = append(out, strings.TrimPrefix(c.Username, "u-"))
		if strings.TrimPrefix(c.Username, "u-") != strings.TrimPrefix(c.Password, "p-") {
			out = append(out, "with another's password")
		}
	}
	return out
}

func TestACredentialIsFoundAsTheKubeletFindsIt(t *testing.T) {
	for _, c := range []struct {
		name     string
		places   []string
		registry string
		path     string
		want     []string // of the places
	}{
		{"the host", []string{"reg.example"}, "reg.example", "shop/web", []string{"reg.example"}},
		{"another host", []string{"reg.example"}, "reg.example.org", "shop/web", nil},
		{"a host above", []string{"example"}, "reg.example", "shop/web", nil},
		{"with a scheme", []string{"https://reg.example"}, "reg.example", "shop/web", []string{"https://reg.example"}},
		{"with a scheme and the API's path", []string{"http://reg.example/v2/"}, "reg.example", "shop/web", []string{"http://reg.example/v2/"}},
		{"with a slash behind", []string{"reg.example/"}, "reg.example", "shop/web", []string{"reg.example/"}},
		{"the port", []string{"reg.example:5000"}, "reg.example:5000", "shop/web", []string{"reg.example:5000"}},
		{"no port", []string{"reg.example"}, "reg.example:5000", "shop/web", nil},
		{"another port", []string{"reg.example:5001"}, "reg.example:5000", "shop/web", nil},
		{"an address", []string{"[2001:db8::1]:5000"}, "[2001:db8::1]:5000", "shop/web", []string{"[2001:db8::1]:5000"}},
		{"a path", []string{"reg.example/shop"}, "reg.example", "shop/web", []string{"reg.example/shop"}},
		{"another path", []string{"reg.example/bank"}, "reg.example", "shop/web", nil},
		{"the beginning of a word of the path", []string{"reg.example/sh"}, "reg.example", "shop/web", []string{"reg.example/sh"}},
		{"a longer path first", []string{"reg.example", "reg.example/shop/web", "reg.example/shop"}, "reg.example", "shop/web", []string{"reg.example/shop/web", "reg.example/shop", "reg.example"}},
		{"a path behind the API's", []string{"reg.example/v1/shop"}, "reg.example", "shop/web", []string{"reg.example/v1/shop"}},
		{"a star for a label", []string{"*.example.com"}, "reg.example.com", "shop/web", []string{"*.example.com"}},
		{"a star is one label", []string{"*.example.com"}, "a.reg.example.com", "shop/web", nil},
		{"a star is no empty label", []string{"*.example.com"}, "example.com", "shop/web", nil},
		{"two stars", []string{"*.*.example.com"}, "a.reg.example.com", "shop/web", []string{"*.*.example.com"}},
		{"a part of a label", []string{"*.dkr.ecr.*.amazonaws.com"}, "1.dkr.ecr.eu-west-1.amazonaws.com", "shop/web", []string{"*.dkr.ecr.*.amazonaws.com"}},
		{"a question mark, which begins a query", []string{"re?.example"}, "reg.example", "shop/web", nil},
		{"letters of a label", []string{"re[a-g].example"}, "reg.example", "shop/web", nil},
		{"a pattern that is broken", []string{"re[.example", "reg.example"}, "reg.example", "shop/web", []string{"reg.example"}},
		{"no star in ports", []string{"reg.example:*"}, "reg.example:5000", "shop/web", nil},
		{"Docker Hub's old address", []string{"https://index.docker.io/v1/"}, "docker.io", "library/nginx", []string{"https://index.docker.io/v1/"}},
		{"Docker Hub's name", []string{"docker.io"}, "docker.io", "library/nginx", []string{"docker.io"}},
		{"Docker Hub's name before its old address", []string{"https://index.docker.io/v1/", "docker.io/library"}, "docker.io", "library/nginx", []string{"docker.io/library"}},
		{"another organisation's of Docker Hub", []string{"docker.io/acme"}, "docker.io", "library/nginx", nil},
		{"Docker Hub's for another registry", []string{"https://index.docker.io/v1/"}, "localhost", "nginx", nil},
		{"a place that is none", []string{"http://[", "reg.example"}, "reg.example", "shop/web", []string{"reg.example"}},
		{"everything", []string{"*", ""}, "reg.example", "shop/web", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var parts []string
			for _, p := range c.places {
				key, _ := json.Marshal(p)
				parts = append(parts, string(key)+":"+login(p))
			}
			auths := "{" + strings.Join(parts, ",") + "}"
			entries, err := kube.ParseDockerConfig([]byte(`{"auths":` + auths + `,"credsStore":"x","HttpHeaders":{"a":"b"}}`))
			if err != nil {
				t.Fatal(err)
			}
			if got := users(kube.Matching(entries, c.registry, c.path)); !cmp.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			old, err := kube.ParseDockerCfg([]byte(auths))
			if err != nil || !cmp.Equal(users(kube.Matching(old, c.registry, c.path)), c.want) {
				t.Errorf("in the older form: %v", err)
			}
		})
	}
}

func TestConfigurationsThatCannotBeReadAreRefusedWithoutTheirText(t *testing.T) {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	good := []struct{ name, in, user, password string }{
		{"auth", `{"auths":{"r.io":{"auth":"` + b64("u:p:q") + `"}}}`, "u", "p:q"},
		{"auth without padding", `{"auths":{"r.io":{"auth":"` + strings.TrimRight(b64("u:pp"), "=") + `"}}}`, "u", "pp"},
		{"auth goes before username", `{"auths":{"r.io":{"username":"a","password":"b","auth":"` + b64("u:p") + `"}}}`, "u", "p"},
		{"an empty auth does not", `{"auths":{"r.io":{"username":"a","password":"b","auth":""}}}`, "a", "b"},
		{"null", `{"auths":{"r.io":{"username":null,"password":"b"}}}`, "", "b"},
		{"tokens that the kubelet does not use", `{"auths":{"r.io":{"username":"a","password":"b","identitytoken":"t","x":[{"y":1}]}}}`, "a", "b"},
	}
	for _, c := range good {
		entries, err := kube.ParseDockerConfig([]byte(c.in))
		if got := kube.Matching(entries, "r.io", "x"); err != nil || len(got) != 1 || got[0] != (kube.Credential{Username: c.user, Password: c.password}) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, empty := range []string{`{}`, `{"auths":null}`, `{"auths":{}}`, `{"Auths":{"r.io":{"username":"a"}}}`} {
		if entries, err := kube.ParseDockerConfig([]byte(empty)); err != nil || len(entries) != 0 {
			t.Errorf("%s: %v", empty, err)
		}
	}
	many := func(n int, format string) string {
		var parts []string
		for i := range n {
			parts = append(parts, fmt.Sprintf(format, i))
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	for _, c := range []struct{ name, in, want string }{
		{"nothing", ``, "no Docker configuration"},
		{"a list", `["hunter2"]`, "no Docker configuration"},
		{"a list of places", `{"auths":["hunter2"]}`, "no Docker configuration"},
		{"a text for a place's entry", `{"auths":{"r.io":"hunter2"}}`, "no Docker configuration"},
		{"a number as password", `{"auths":{"r.io":{"password":4711}}}`, "no Docker configuration"},
		{"no JSON", `{"auths":{"r.io":{"password":"hunter2"`, "no Docker configuration"},
		{"something behind", `{"auths":{"r.io":{"password":"hunter2"}}} hunter2`, "no Docker configuration"},
		{"a member twice", `{"auths":{"r.io":{"password":"x","password":"hunter2"}}}`, "no Docker configuration"},
		{"a place twice", `{"auths":{"r.io":{"password":"x"},"r.io":{"password":"hunter2"}}}`, "no Docker configuration"},
		{"no UTF-8", "{\"auths\":{\"r.io\":{\"password\":\"hunter2\xff\"}}}", "no Docker configuration"},
		{"an auth that is no base64", `{"auths":{"r.io":{"auth":"hunter2 hunter2"}}}`, "no base64"},
		{"an auth without a colon", `{"auths":{"r.io":{"auth":"` + b64("hunter2") + `"}}}`, "no user name and password"},
		{"too many places", `{"auths":` + many(limits.KubePullSecretEntries+1, `"r%d.io":{}`) + `}`, "more than 1000 members"},
		{"too many members", many(limits.KubePullSecretFields+1, `"a%d":1`), "more than 100 members"},
		{"deep nesting", `{"x":` + strings.Repeat("[", 20_000), "no Docker configuration"},
		{"too long", `{"x":"` + strings.Repeat("x", limits.KubePullSecretBytes) + `"}`, "limit KubePullSecretBytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			entries, err := kube.ParseDockerConfig([]byte(c.in))
			if err == nil || entries != nil && err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), b64("hunter2")) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// FuzzDockerConfig: no bytes make it panic or tell what they hold, and a
// credential is sent only where its own place says.
func FuzzDockerConfig(f *testing.F) {
	for _, s := range []string{
		`{"auths":{"reg.example/shop":{"auth":"dTpw"}}}`, `{"auths":{"https://index.docker.io/v1/":{"username":"u","password":"p"}}}`, `{"auths":{"*.example":{}}}`,
		`{"reg.example:5000":{"username":"u"}}`, `{"auths":{"":{}}}`, `{"auths":{"http://[::1]:5/v2/":{}}}`, `{`, `{"auths":{"reg.example":{"auth":"?"}}}`,
	} {
		f.Add([]byte(s), "reg.example", "shop/web")
	}
	f.Fuzz(func(t *testing.T, data []byte, registry, repository string) {
		for _, parse := range []func([]byte) error{
			func(b []byte) error {
				entries, err := kube.ParseDockerConfig(b)
				kube.Matching(entries, registry, repository)
				return err
			},
			func(b []byte) error {
				entries, err := kube.ParseDockerCfg(b)
				kube.Matching(entries, registry, repository)
				if err == nil && len(kube.Matching(entries, "nobody.invalid", "x")) > 0 && !strings.ContainsAny(string(b), `*?[\`) && !strings.Contains(string(b), "nobody.invalid") {
					t.Fatalf("a credential of %q is sent to nobody.invalid", b)
				}
				return err
			},
		} {
			if err := parse(data); err != nil && len(err.Error()) > 200 {
				t.Fatalf("the error is long: %v", err)
			}
		}
	})
}

// asked counts the reads of a kind.
func asked(core *fake.Clientset, resource string) (n int) {
	for _, a := range core.Actions() {
		if a.GetVerb() == "get" && a.GetResource().Resource == resource {
			n++
		}
	}
	return n
}

func TestAnAccessIsTheSetOfSecretsThatCounts(t *testing.T) {
	account := func(namespace, name string, secrets ...string) *corev1.ServiceAccount {
		a := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		for _, s := range secrets {
			a.ImagePullSecrets = append(a.ImagePullSecrets, corev1.LocalObjectReference{Name: s})
		}
		return a
	}
	opaque := dockerSecret("shop", "opaque", `{"r.io":`+login("o")+`}`)
	opaque.Type = corev1.SecretTypeOpaque
	old := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "old"}, Type: corev1.SecretTypeDockercfg, Data: map[string][]byte{corev1.DockerConfigKey: []byte(`{"r.io":` + login("old") + `}`)}}
	core := fake.NewClientset(
		account("shop", "default", "a"), account("shop", "plain"), account("bank", "default", "a"),
		dockerSecret("shop", "a", `{"r.io":`+login("a")+`}`), dockerSecret("shop", "b", `{"r.io":`+login("b")+`}`), dockerSecret("bank", "a", `{"r.io":`+login("a")+`}`),
		dockerSecret("shop", "large", `{"r.io":{"username":"`+strings.Repeat("x", 100<<10)+`"}}`), dockerSecret("shop", "broken", `{"r.io":{"auth":"hunter2"}}`), opaque, old,
	)
	clock := clockAt(june)
	p := kube.NewPullSecrets(core, clock.Now)
	access := func(namespace, account string, secrets ...string) string {
		t.Helper()
		name, err := p.Access(t.Context(), namespace, account, secrets)
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	a := access("shop", "", "a")
	for _, c := range []struct {
		name, got string
		same      bool
	}{
		{"the account's, where the Pod names none", access("shop", ""), true},
		{"the default account's by name", access("shop", "default"), true},
		{"the same content in another namespace", access("bank", ""), true},
		{"one that is not there beside it", access("shop", "", "gone", "a"), true},
		{"one of another type beside it", access("shop", "", "opaque", "a"), true},
		{"an empty name beside it", access("shop", "", "", "a"), true},
		{"another", access("shop", "", "b"), false},
		{"two", access("shop", "", "a", "b"), false},
	} {
		if (c.got == a) != c.same || c.got == "" {
			t.Errorf("%s: %s, and %s is the first", c.name, c.got, a)
		}
	}
	for name, got := range map[string]string{"an account without any": access("shop", "plain"), "no account": access("shop", "nobody"), "nothing there": access("shop", "", "gone"), "another type": access("shop", "", "opaque")} {
		if got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if access("shop", "", "a", "b") == access("shop", "", "b", "a") {
		t.Error("the order is not told apart, and the kubelet's order is that of the Pod")
	}
	other := kube.NewPullSecrets(core, clock.Now)
	if name, err := other.Access(t.Context(), "shop", "", []string{"a"}); err != nil || name == a {
		t.Errorf("another process has the same name for it: whoever reads it may guess at passwords: %v", err)
	}
	both := access("shop", "", "b", "a", "old")
	for _, c := range []struct {
		access, registry string
		want             []string
	}{{a, "r.io", []string{"a"}}, {both, "r.io", []string{"b", "a", "old"}}, {a, "evil.example", nil}, {"", "r.io", nil}} {
		got, err := p.Credentials(c.access, c.registry, "shop/web")
		if err != nil || !cmp.Equal(users(got), c.want) {
			t.Errorf("%s: %q, %v", c.registry, users(got), err)
		}
	}
	if _, err := p.Credentials("pull-secrets:0", "r.io", "x"); shuin.CodeOf(err) != shuin.CodeUnavailable {
		t.Errorf("got %v", err)
	}
	_, err := p.Access(t.Context(), "shop", "", []string{"a", "broken"})
	if c := shuin.CodeOf(err); !c.Undecided() || !strings.Contains(err.Error(), "Secret shop/broken cannot be used") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	for _, many := range [][]string{make([]string, limits.KubePullSecrets+1), slices.Repeat([]string{"large"}, limits.KubePullSecrets)} {
		if _, err := p.Access(t.Context(), "shop", "", many); shuin.CodeOf(err) != shuin.CodeLimit {
			t.Errorf("got %v", err)
		}
	}
}

func TestSecretsAreReadOnceInAWhile(t *testing.T) {
	core := fake.NewClientset(dockerSecret("shop", "a", `{"r.io":`+login("a")+`}`))
	clock := clockAt(june)
	p := kube.NewPullSecrets(core, clock.Now)
	access := func(names ...string) string {
		t.Helper()
		name, err := p.Access(t.Context(), "shop", "", names)
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	first := access("a")
	access("a")
	access("gone")
	access("gone")
	if n := asked(core, "secrets"); n != 2 {
		t.Errorf("%d reads", n)
	}
	clock.Advance(limits.KubePullSecretGoneLife)
	access("a", "gone")
	if n := asked(core, "secrets"); n != 3 {
		t.Errorf("%d reads after the one that is gone was forgotten", n)
	}
	if _, err := core.CoreV1().Secrets("shop").Update(t.Context(), dockerSecret("shop", "a", `{"r.io":`+login("new")+`}`), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if access("a") != first {
		t.Error("it is read again at once")
	}
	clock.Advance(limits.KubePullSecretLife)
	second := access("a")
	if second == first {
		t.Error("a changed Secret is not noticed")
	}
	got, err := p.Credentials(second, "r.io", "x")
	if err != nil || !cmp.Equal(users(got), []string{"new"}) {
		t.Errorf("%q, %v", users(got), err)
	}
	if got, err := p.Credentials(first, "r.io", "x"); err != nil || !cmp.Equal(users(got), []string{"a"}) {
		t.Errorf("what an answer under way was begun with is gone: %v", err)
	}
}

func TestManyWhoWantOneSecretShareOneRead(t *testing.T) {
	core := fake.NewClientset(dockerSecret("shop", "a", `{"r.io":`+login("a")+`}`))
	begun, free := make(chan struct{}, 100), make(chan struct{})
	core.PrependReactor("get", "secrets", func(k8stesting.Action) (bool, runtime.Object, error) {
		begun <- struct{}{}
		<-free
		return false, nil, nil
	})
	p := kube.NewPullSecrets(core, clockAt(june).Now)
	impatient, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := p.Access(impatient, "shop", "", []string{"a"})
		left <- err
	}()
	<-begun
	cancel()
	if err := <-left; shuin.CodeOf(err) != shuin.CodeDeadline {
		t.Errorf("got %v", err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if name, err := p.Access(t.Context(), "shop", "", []string{"a"}); err != nil || name == "" {
				t.Errorf("%s, %v", name, err)
			}
		})
	}
	time.Sleep(10 * time.Millisecond)
	close(free)
	all.Wait()
	if n := len(begun); n > 1 {
		t.Errorf("%d reads more", n)
	}
}

func TestAPullSecretThatMayNotBeReadIsCouldNotCheck(t *testing.T) {
	secrets := schema.GroupResource{Resource: "secrets"}
	for _, c := range []struct {
		name string
		err  error
		code shuin.Code
		hint string
	}{
		{"forbidden", apierrors.NewForbidden(secrets, "a", errors.New("no")), shuin.CodeForbidden, "grant the gate's service account the verb get on secrets in namespace shop"},
		{"throttled", apierrors.NewTooManyRequests("slow", 1), shuin.CodeThrottled, ""},
		{"broken", apierrors.NewInternalError(errors.New("etcd")), shuin.CodeUnavailable, ""},
		{"unreachable", errors.New("connection refused"), shuin.CodeUnavailable, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			core := fake.NewClientset()
			core.PrependReactor("get", "secrets", func(k8stesting.Action) (bool, runtime.Object, error) { return true, nil, c.err })
			clock := clockAt(june)
			p := kube.NewPullSecrets(core, clock.Now)
			for range 3 {
				_, err := p.Access(t.Context(), "shop", "", []string{"a"})
				if shuin.CodeOf(err) != c.code || !c.code.Undecided() || !strings.Contains(shuin.HintOf(err), c.hint) {
					t.Errorf("got %v (%s)", err, shuin.HintOf(err))
				}
			}
			if n := asked(core, "secrets"); n != 1 {
				t.Errorf("%d reads", n)
			}
			clock.Advance(limits.KubePullSecretGoneLife)
			_, _ = p.Access(t.Context(), "shop", "", []string{"a"})
			if n := asked(core, "secrets"); n != 2 {
				t.Errorf("%d reads: it is never tried again", n)
			}
		})
	}
}

func TestCredentialsAreNotShown(t *testing.T) {
	c := kube.Credential{Username: "hunter", Password: "hunter2"}
	var b strings.Builder
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "credential", c, "list", []kube.Credential{c}, "p", &c)
	text, err := json.Marshal(map[string]any{"c": c, "p": &c})
	if err != nil {
		t.Fatal(err)
	}
	core := fake.NewClientset(dockerSecret("shop", "a", `{"r.io":{"username":"hunter","password":"hunter2"}}`))
	p := kube.NewPullSecrets(core, clockAt(june).Now)
	name, err := p.Access(t.Context(), "shop", "", []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "p", p)
	all := b.String() + string(text) + fmt.Sprintf("%v %+v %#v %s %q", c, c, c, c, &c) + name
	if strings.Contains(all, "hunter") {
		t.Error(all)
	}
}

func TestWhatIsRememberedOfSecretsIsBounded(t *testing.T) {
	core := fake.NewClientset()
	core.PrependReactor("get", "secrets", func(a k8stesting.Action) (bool, runtime.Object, error) {
		name := a.(k8stesting.GetAction).GetName()
		return true, dockerSecret("shop", name, `{"r.io":`+login(name)+`}`), nil
	})
	p := kube.NewPullSecrets(core, clockAt(june).Now)
	names := map[string]string{}
	for i := range limits.KubeAccesses + 10 {
		secret := fmt.Sprintf("s%d", i)
		access, err := p.Access(t.Context(), "shop", "", []string{secret})
		if err != nil {
			t.Fatal(err)
		}
		names[secret] = access
	}
	if _, err := p.Credentials(names["s0"], "r.io", "x"); shuin.CodeOf(err) != shuin.CodeUnavailable {
		t.Errorf("the oldest is still there: %v", err)
	}
	if got, err := p.Credentials(names[fmt.Sprintf("s%d", limits.KubeAccesses)], "r.io", "x"); err != nil || len(got) != 1 {
		t.Errorf("a young one is gone: %v", err)
	}
	before := asked(core, "secrets")
	if _, err := p.Access(t.Context(), "shop", "", []string{"s0"}); err != nil || asked(core, "secrets") != before+1 {
		t.Errorf("%v", err)
	}
}
