package cluster

import (
	"context"
	"fmt"
	"os"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// User is a user with a client certificate, with the rights that RBAC gives
// to its name and groups, and without a limit on its own rate.
func (c *Cluster) User(name string, groups ...string) (*rest.Config, error) {
	cert, key, err := c.CA.Client(name, groups...)
	if err != nil {
		return nil, err
	}
	config := c.config()
	config.CertData, config.KeyData = cert, key
	return config, nil
}

// ServiceAccount is a service account that exists, with a token of an hour
// from the TokenRequest API; no audiences: the API server's own.
func (c *Cluster) ServiceAccount(ctx context.Context, namespace, name string, audiences ...string) (*rest.Config, error) {
	seconds := int64(3600)
	token, err := c.Client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences, ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("token for service account %s/%s: %w", namespace, name, err)
	}
	config := c.config()
	config.BearerToken = token.Status.Token
	return config, nil
}

// Anonymous is nobody.
func (c *Cluster) Anonymous() *rest.Config { return c.config() }

func (c *Cluster) config() *rest.Config {
	return &rest.Config{Host: c.url, TLSClientConfig: rest.TLSClientConfig{CAData: c.CA.PEM}, QPS: -1}
}

// Kubeconfig writes a kubeconfig for a user of this cluster and returns its
// path, in Dir.
func (c *Cluster) Kubeconfig(user *rest.Config) (string, error) {
	k := api.NewConfig()
	k.Clusters["test"] = &api.Cluster{Server: user.Host, CertificateAuthorityData: user.CAData}
	k.AuthInfos["user"] = &api.AuthInfo{
		ClientCertificateData: user.CertData, ClientKeyData: user.KeyData, Token: user.BearerToken,
		Impersonate: user.Impersonate.UserName, ImpersonateGroups: user.Impersonate.Groups,
	}
	k.Contexts["test"] = &api.Context{Cluster: "test", AuthInfo: "user"}
	k.CurrentContext = "test"
	f, err := os.CreateTemp(c.Dir, "kubeconfig-")
	if err != nil {
		return "", err
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	return f.Name(), clientcmd.WriteToFile(*k, f.Name())
}
