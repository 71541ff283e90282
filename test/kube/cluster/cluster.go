package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const startLimit = 2 * time.Minute // one program's start, on a machine that has other work

// controllers are those of kube-controller-manager that run: what makes pods
// and removes them, and what a namespace needs. Left out is what belongs to
// nodes, volumes, clouds and certificates.
var controllers = []string{
	"deployment", "replicaset", "replicationcontroller", "job", "cronjob", "statefulset", "daemonset", "disruption",
	"namespace", "serviceaccount", "serviceaccount-token", "root-ca-certificate-publisher", "clusterrole-aggregation",
	"garbage-collector", "ttl-after-finished", "endpoints", "endpointslice", "resourcequota", "validatingadmissionpolicy-status",
}

// Options are what a cluster is started with; the zero value is a good one.
type Options struct {
	Nodes     int      // node objects; 0: two
	APIServer []string // more arguments for kube-apiserver, as --name=value
}

// Cluster is a running control plane. Its methods are for many goroutines,
// but for Stop and RestartAPIServer.
type Cluster struct {
	Programs Programs
	Dir      string               // all of its files; removed by Stop
	Admin    *rest.Config         // system:masters, without a limit on its own rate
	Client   kubernetes.Interface // as Admin
	CA       *Authority           // of the serving certificate and of users

	options                      Options
	url, etcdURL                 string
	etcd, apiServer, controllers *process
	services                     *services
	product                      sync.Map // package path: func() (string, error)
}

// Start starts a cluster. On an error nothing is left running.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	programs, err := Build(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "shuin-kube-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{Programs: programs, Dir: dir, options: o}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start a cluster: %w", err), c.Stop())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	if err := c.startEtcd(); err != nil {
		return err
	}
	if err := c.prepare(); err != nil {
		return err
	}
	if err := c.startAPIServer(ctx); err != nil {
		return err
	}
	if err := c.startControllers(); err != nil {
		return err
	}
	return c.populate(ctx)
}

// Stop ends the processes and removes the files.
func (c *Cluster) Stop() error {
	c.controllers.kill()
	c.apiServer.kill()
	c.etcd.kill()
	if c.services != nil {
		c.services.close()
	}
	return os.RemoveAll(c.Dir)
}

// URL is the API server's, as https://127.0.0.1:40123.
func (c *Cluster) URL() string { return c.url }

// RestartAPIServer ends the API server at once and starts it on the same data
// and port. Watches of all clients break, as when a control plane is upgraded.
func (c *Cluster) RestartAPIServer(ctx context.Context) error {
	c.StopAPIServer()
	return c.runAPIServer(ctx)
}

// StopAPIServer ends the API server at once; RestartAPIServer starts it again.
func (c *Cluster) StopAPIServer() { c.apiServer.kill() }

func (c *Cluster) file(name string) string { return filepath.Join(c.Dir, name) }

// startEtcd does not force data to the disk: it need only outlive a restart of
// the API server, not of the machine.
func (c *Cluster) startEtcd() error {
	return withFreePort(func(address string) error {
		c.etcdURL = "http://" + address
		p, err := start("etcd", c.file("etcd.log"), c.Programs.Path("etcd"),
			"--data-dir="+c.file("etcd"), "--unsafe-no-fsync", "--log-level=error",
			"--listen-client-urls="+c.etcdURL, "--advertise-client-urls="+c.etcdURL, "--listen-peer-urls=http://127.0.0.1:0")
		if err != nil {
			return err
		}
		c.etcd = p
		return p.until(startLimit, func() error {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				return err
			}
			return conn.Close()
		})
	})
}

// prepare makes the keys and files that the API server is started with.
func (c *Cluster) prepare() error {
	var err error
	if c.CA, err = NewAuthority("Shuin test cluster"); err != nil {
		return err
	}
	cert, key, err := c.CA.Serve("kubernetes.default.svc", "kubernetes.default", "kubernetes", "localhost", "127.0.0.1", "10.96.0.1")
	if err != nil {
		return err
	}
	if c.services, err = newServices(c); err != nil {
		return err
	}
	for name, data := range map[string][]byte{"ca.crt": c.CA.PEM, "serving.crt": cert, "serving.key": key, "egress.json": c.services.egress()} {
		if err := os.WriteFile(c.file(name), data, 0o600); err != nil {
			return err
		}
	}
	return writeKey(c.file("accounts.key"))
}

func (c *Cluster) startAPIServer(ctx context.Context) error {
	return withFreePort(func(address string) error {
		c.url = "https://" + address
		var err error
		if c.Admin, err = c.User("admin", "system:masters"); err != nil {
			return err
		}
		if c.Client, err = kubernetes.NewForConfig(c.Admin); err != nil {
			return err
		}
		return c.runAPIServer(ctx)
	})
}

func (c *Cluster) runAPIServer(ctx context.Context) error {
	_, port, err := net.SplitHostPort(strings.TrimPrefix(c.url, "https://"))
	if err != nil {
		return err
	}
	p, err := start("kube-apiserver", c.file("kube-apiserver.log"), c.Programs.Path("kube-apiserver"), append([]string{
		"--etcd-servers=" + c.etcdURL, "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port=" + port,
		"--tls-cert-file=" + c.file("serving.crt"), "--tls-private-key-file=" + c.file("serving.key"), "--client-ca-file=" + c.file("ca.crt"),
		"--authorization-mode=RBAC", "--allow-privileged", "--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/16",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=" + c.file("accounts.key"),
		"--service-account-signing-key-file=" + c.file("accounts.key"), "--egress-selector-config-file=" + c.file("egress.json"),
	}, c.options.APIServer...)...)
	if err != nil {
		return err
	}
	c.apiServer = p
	return p.until(startLimit, func() error {
		_, err := c.Client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err
	})
}

func (c *Cluster) startControllers() error {
	user, err := c.User("system:kube-controller-manager")
	if err != nil {
		return err
	}
	kubeconfig, err := c.Kubeconfig(user)
	if err != nil {
		return err
	}
	c.controllers, err = start("kube-controller-manager", c.file("kube-controller-manager.log"), c.Programs.Path("kube-controller-manager"),
		"--kubeconfig="+kubeconfig, "--authentication-kubeconfig="+kubeconfig, "--authorization-kubeconfig="+kubeconfig,
		"--controllers="+strings.Join(controllers, "-controller,")+"-controller", "--use-service-account-credentials",
		"--leader-elect=false", "--secure-port=0", "--service-account-private-key-file="+c.file("accounts.key"), "--root-ca-file="+c.file("ca.crt"),
		"--kube-api-qps=500", "--kube-api-burst=1000")
	return err
}

// withFreePort calls run with an address on loopback whose port was free a
// moment ago, and again with another one if that was taken.
func withFreePort(run func(address string) error) error {
	for try := 1; ; try++ {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		address := l.Addr().String()
		if err := l.Close(); err != nil {
			return err
		}
		if err := run(address); !errors.Is(err, errPortTaken) || try == 3 {
			return err
		}
	}
}
