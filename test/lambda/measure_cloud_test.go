package main

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/devregistry"
)

const (
	ecrHost     = account + ".dkr.ecr." + region + ".amazonaws.com"
	policyS3    = "s3://example-shuin/pipeline.yaml"
	tableARN    = "arn:aws:dynamodb:" + region + ":" + account + ":table/shuin"
	topicARN    = "arn:aws:sns:" + region + ":" + account + ":findings"
	busARN      = "arn:aws:events:" + region + ":" + account + ":event-bus/security"
	secretARN   = "arn:aws:secretsmanager:" + region + ":" + account + ":secret:chat-AbCdEf"
	groupARN    = "arn:aws:codedeploy:" + region + ":" + account + ":deploymentgroup:shop/prod"
	otherRole   = "arn:aws:iam::444455556666:role/shuin"
	ecrPassword = "a token of no use"
)

// call is one call of AWS, in IAM's words.
type call struct {
	Action   string // "ecs:ListTasks"
	Resource string // ARN; empty: the action knows none
	Cluster  string // the condition key ecs:cluster; empty: the call has none
	Assumed  bool   // by the role of another account, and not by the function's own
}

// Access keys: the function's own, and that of the role it assumes.
const (
	ownKey     = "AKIDEXAMPLEEXAMPLE00"
	assumedKey = "AKIDEXAMPLEEXAMPLE01"
)

// cloud is AWS as the function meets it, in one process: ECS with what a test
// says it runs, DynamoDB, S3, SNS, EventBridge, Secrets Manager, STS, AWS
// Signer, CodeDeploy, CodePipeline, and ECR before the world's registry. It
// writes each call down, and refuses operations that it does not know.
type cloud struct {
	tb       testing.TB
	url      string
	proxy    string // HTTPS_PROXY, by which ECR's hosts are reached
	roots    string // SSL_CERT_FILE, with ECR's
	policy   func() string
	objects  map[string]string // of S3, by ARN, where it is not the policy
	secret   string            // in Secrets Manager: the address of a chat
	registry *devregistry.Registry
	table    *dynamoTable
	ecs      ecsState
	// fails has a call fail, before or after it had its effect; nil: none does.
	fails func(action string) (before, after bool)

	mu        sync.Mutex
	calls     []call
	published []string // what the topic got
	put       []string // what the bus got
	stopped   []string
	event     string // the hook of CodeDeploy that is under way; empty: AfterInstall
	gone      bool   // what is stopped has stopped already: ECS refuses
}

// ecsState is what ECS has.
type ecsState struct {
	services    []ecsService
	tasks       []ecsTask
	definitions map[string][]container // by "family:revision"
	families    []string               // "family:revision", the newest of each
	revision    []container            // of revisionARN; its images, where ECS has resolved them
	revised     string                 // its "family:revision"
}

type ecsService struct{ name, definition string }

type ecsTask struct {
	id, group, definition string
	containers            []container
}

func newCloud(tb testing.TB, w *world) *cloud {
	tb.Helper()
	c := &cloud{tb: tb, registry: w.registry, table: &dynamoTable{items: map[string]map[string]attribute{}, decided: map[string][]int64{}}}
	server := httptest.NewServer(c)
	tb.Cleanup(server.Close)
	c.url = server.URL
	return c
}

// env has the function be in this cloud, and not only in the world.
func (c *cloud) env(more ...string) []string {
	out := []string{"AWS_ENDPOINT_URL", c.url}
	if c.proxy != "" {
		out = append(out, "HTTPS_PROXY", c.proxy, "SSL_CERT_FILE", c.roots)
	}
	return append(out, more...)
}

// withECR has the world's registry be one of ECR's, behind its own name, its
// token and TLS.
func (c *cloud) withECR(w *world) {
	c.tb.Helper()
	if err := w.registry.Configure(func(o *devregistry.Options) { o.Username, o.Password = "AWS", ecrPassword }); err != nil {
		c.tb.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a registry"}, DNSNames: []string{ecrHost},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		c.tb.Fatal(err)
	}
	c.roots = w.write("roots.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	registry := httptest.NewUnstartedServer(http.HandlerFunc(c.ecr))
	registry.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	registry.StartTLS()
	c.tb.Cleanup(registry.Close)
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != ecrHost+":443" {
			c.tb.Errorf("the proxy was asked for %s %s", r.Method, r.Host)
			http.Error(rw, "not here", http.StatusForbidden)
			return
		}
		to, err := net.Dial("tcp", registry.Listener.Addr().String())
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadGateway)
			return
		}
		defer to.Close()
		from, _, err := rw.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer from.Close()
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(to, from) }()
		_, _ = io.Copy(from, to)
	}))
	c.tb.Cleanup(proxy.Close)
	c.proxy, w.host = proxy.URL, ecrHost
}

// ecr is the registry in IAM's words ("Actions defined by Amazon Elastic
// Container Registry", Service Authorization Reference): manifests and
// referrers are BatchGetImage, blobs GetDownloadUrlForLayer.
func (c *cloud) ecr(w http.ResponseWriter, r *http.Request) {
	rest := strings.TrimPrefix(r.URL.Path, "/v2/")
	for kind, action := range map[string]string{"/manifests/": "ecr:BatchGetImage", "/referrers/": "ecr:BatchGetImage", "/blobs/": "ecr:GetDownloadUrlForLayer"} {
		if repository, _, is := strings.Cut(rest, kind); is {
			c.note(call{Action: action, Resource: "arn:aws:ecr:" + region + ":" + account + ":repository/" + repository})
		}
	}
	c.registry.ServeHTTP(w, r)
}

func (c *cloud) note(one call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, one)
}

// since are the calls from the n-th on.
func (c *cloud) since(n int) []call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls[n:])
}

// counted are the calls of AWS's APIs by action; requests of the registry are
// counted there.
func counted(calls []call) (total int, by map[string]int) {
	by = map[string]int{}
	for _, one := range calls {
		if one.Action != "ecr:BatchGetImage" && one.Action != "ecr:GetDownloadUrlForLayer" {
			total++
			by[one.Action]++
		}
	}
	return total, by
}

// services are what X-Amz-Target begins with.
var services = map[string]string{
	"AmazonEC2ContainerServiceV20141113": "ecs", "DynamoDB_20120810": "dynamodb", "AWSEvents": "events", "secretsmanager": "secretsmanager",
	"AmazonEC2ContainerRegistry_V20150921": "ecr", "CodeDeploy_20141006": "codedeploy", "CodePipeline_20150709": "codepipeline",
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	prefix, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	service := services[prefix]
	form, _ := url.ParseQuery(string(body))
	switch {
	case service != "":
	case r.URL.Path == "/revocations":
		service, operation = "signer", "GetRevocationStatus"
	case r.Method == http.MethodGet && strings.Count(r.URL.Path, "/") > 1:
		service, operation = "s3", "GetObject"
	case form.Get("Action") == "Publish":
		service, operation = "sns", "Publish"
	case form.Get("Action") == "AssumeRole":
		service, operation = "sts", "AssumeRole"
	}
	if service == "" || !strings.Contains(r.Header.Get("Authorization"), "/"+region+"/"+service+"/aws4_request") {
		c.tb.Errorf("not a call of AWS: %s %s %s (%s)", r.Method, r.URL, r.Header.Get("X-Amz-Target"), r.Header.Get("Authorization"))
	}
	var before, after bool
	if c.fails != nil {
		before, after = c.fails(service + ":" + operation)
	}
	var status int
	var answer any
	if !before {
		status, answer = c.answer(service, operation, body, form, r)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if before || after {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, `{"__type":"InternalServerError","message":"try again"}`)
		return
	}
	w.WriteHeader(status)
	if text, ok := answer.(string); ok {
		_, _ = io.WriteString(w, text)
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// answer carries out a call, and notes it.
func (c *cloud) answer(service, operation string, body []byte, form url.Values, r *http.Request) (int, any) {
	one := call{Action: service + ":" + operation, Assumed: strings.Contains(r.Header.Get("Authorization"), assumedKey)}
	defer func() { c.note(one) }()
	refused := func(code, message string) (int, any) {
		return http.StatusBadRequest, map[string]any{"__type": code, "message": message}
	}
	switch service {
	case "ecs":
		var in ecsInput
		if err := strict(body, &in); err != nil {
			c.tb.Errorf("%s: %v", operation, err)
			return refused("SerializationException", err.Error())
		}
		one.Resource, one.Cluster = in.resource(operation), in.condition(operation)
		if one.Assumed { // nothing runs there
			return http.StatusOK, map[string]any{"clusterArns": []string{}, "families": []string{}}
		}
		return c.askECS(operation, &in)
	case "dynamodb":
		var in dynamoInput
		err := strict(body, &in)
		one.Resource = strings.TrimSuffix(tableARN, "shuin") + in.TableName
		if err == nil {
			var status int
			var answer any
			if status, answer, err = c.table.do(operation, &in); err == nil {
				return status, answer
			}
		}
		c.tb.Error(err)
		return refused("ValidationException", err.Error())
	case "s3":
		one.Resource = "arn:aws:s3:::" + strings.TrimPrefix(r.URL.Path, "/")
		if object, ok := c.objects[one.Resource]; ok {
			return http.StatusOK, object
		}
		return http.StatusOK, c.policy()
	case "sns":
		one.Resource = form.Get("TopicArn")
		c.mu.Lock()
		c.published = append(c.published, form.Get("Message"))
		c.mu.Unlock()
		return http.StatusOK, `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>`
	case "events":
		one.Resource = busARN
		c.mu.Lock()
		c.put = append(c.put, string(body))
		c.mu.Unlock()
		return http.StatusOK, map[string]any{"FailedEntryCount": 0, "Entries": []any{map[string]any{"EventId": "1"}}}
	case "secretsmanager":
		var in struct{ SecretId string }
		_ = json.Unmarshal(body, &in)
		one.Resource = in.SecretId
		return http.StatusOK, map[string]any{"ARN": in.SecretId, "SecretString": c.secret}
	case "sts":
		one.Resource = form.Get("RoleArn")
		return http.StatusOK, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>` + assumedKey + `</AccessKeyId>` +
			`<SecretAccessKey>x</SecretAccessKey><SessionToken>y</SessionToken><Expiration>` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`
	case "ecr":
		return http.StatusOK, map[string]any{"authorizationData": []any{map[string]any{
			"authorizationToken": base64.StdEncoding.EncodeToString([]byte("AWS:" + ecrPassword)), "expiresAt": time.Now().Add(12 * time.Hour).Unix(), "proxyEndpoint": "https://" + ecrHost,
		}}}
	case "signer":
		one.Resource = r.URL.Query().Get("profileVersionArn")
		return http.StatusOK, map[string]any{"revokedEntities": []string{}}
	case "codedeploy":
		if operation == "GetDeployment" { // the others know no resources
			one.Resource = groupARN
		}
		return c.codeDeploy(operation)
	case "codepipeline":
		return http.StatusOK, map[string]any{}
	}
	c.tb.Errorf("an operation that nobody knows: %s:%s", service, operation)
	return refused("UnknownOperationException", operation)
}

// codeDeploy is a deployment to the service, of CodeDeploy (SDK types
// DeploymentInfo, ECSTarget).
func (c *cloud) codeDeploy(operation string) (int, any) {
	return http.StatusOK, map[string]any{
		"GetDeployment": map[string]any{"deploymentInfo": map[string]any{
			"deploymentId": "d-SHOP12345", "applicationName": "shop", "deploymentGroupName": "prod", "computePlatform": "ECS", "creator": "user",
		}},
		"ListDeploymentTargets": map[string]any{"targetIds": []string{cluster + ":" + service}},
		"GetDeploymentTarget": map[string]any{"deploymentTarget": map[string]any{"deploymentTargetType": "ECSTarget", "ecsTarget": map[string]any{
			"deploymentId": "d-SHOP12345", "targetArn": serviceARN, "taskSetsInfo": []any{map[string]any{"identifer": "ecs-svc/1", "taskSetLabel": "Green"}},
			"lifecycleEvents": []any{map[string]any{"lifecycleEventName": cmp.Or(c.event, "AfterInstall"), "status": "InProgress"}},
		}}},
		"PutLifecycleEventHookExecutionStatus": map[string]any{},
	}[operation]
}

// ecsInput is what the operations of ECS take, by the API's own names.
type ecsInput struct {
	Cluster        string   `json:"cluster"`
	Service        string   `json:"service"`
	ServiceName    string   `json:"serviceName"`
	Services       []string `json:"services"`
	Tasks          []string `json:"tasks"`
	Task           string   `json:"task"`
	Reason         string   `json:"reason"`
	Revisions      []string `json:"serviceRevisionArns"`
	TaskDefinition string   `json:"taskDefinition"`
	DesiredStatus  string   `json:"desiredStatus"`
	Status         string   `json:"status"`
	MaxResults     int      `json:"maxResults"`
	NextToken      string   `json:"nextToken"`
}

// resource is what IAM holds the operation to.
func (in *ecsInput) resource(operation string) string {
	full := func(kind, name string) string {
		if strings.HasPrefix(name, "arn:") {
			return name
		}
		return "arn:aws:ecs:" + region + ":" + account + ":" + kind + "/" + cluster + "/" + name
	}
	switch operation {
	case "DescribeServices":
		return full("service", in.Services[0])
	case "DescribeTasks":
		return full("task", in.Tasks[0])
	case "StopTask":
		return full("task", in.Task)
	case "DescribeServiceRevisions":
		return in.Revisions[0]
	}
	return ""
}

// condition is the key ecs:cluster of the operations that have it.
func (in *ecsInput) condition(operation string) string {
	if operation != "ListTasks" && operation != "ListServices" {
		return ""
	}
	if strings.HasPrefix(in.Cluster, "arn:") {
		return in.Cluster
	}
	return strings.TrimSuffix(clusterARN, cluster) + in.Cluster
}

func definitionARN(name string) string {
	return "arn:aws:ecs:" + region + ":" + account + ":task-definition/" + name
}

// askECS answers as ECS does (SDK package service/ecs/types).
func (c *cloud) askECS(operation string, in *ecsInput) (int, any) {
	refused := func(message string) (int, any) {
		return http.StatusBadRequest, map[string]any{"__type": "ClientException", "message": message}
	}
	s := &c.ecs
	arn := func(kind, name string) string {
		return "arn:aws:ecs:" + region + ":" + account + ":" + kind + "/" + cluster + "/" + name
	}
	switch operation {
	case "ListClusters":
		return paged(in, "clusterArns", []string{clusterARN})
	case "ListServices":
		var all []string
		for _, one := range s.services {
			all = append(all, arn("service", one.name))
		}
		return paged(in, "serviceArns", all)
	case "ListTasks":
		var all []string
		for _, one := range s.tasks {
			if in.ServiceName == "" || one.group == "service:"+in.ServiceName {
				all = append(all, arn("task", one.id))
			}
		}
		return paged(in, "taskArns", all)
	case "ListTaskDefinitionFamilies":
		var all []string
		for _, one := range s.families {
			family, _, _ := strings.Cut(one, ":")
			all = append(all, family)
		}
		return paged(in, "families", all)
	case "DescribeServices":
		out := []any{}
		for _, one := range s.services {
			if slices.Contains(in.Services, arn("service", one.name)) || slices.Contains(in.Services, one.name) {
				definition := definitionARN(one.definition)
				out = append(out, map[string]any{"serviceArn": arn("service", one.name), "clusterArn": clusterARN, "serviceName": one.name, "status": "ACTIVE", "taskDefinition": definition,
					"deployments": []any{map[string]any{"status": "PRIMARY", "taskDefinition": definition}}, "taskSets": []any{map[string]any{"id": "ecs-svc/1", "taskDefinition": definition}}})
			}
		}
		return http.StatusOK, map[string]any{"services": out, "failures": []any{}}
	case "DescribeTasks":
		out, failures := []any{}, []any{}
		for _, task := range in.Tasks {
			i := slices.IndexFunc(s.tasks, func(t ecsTask) bool { return strings.HasSuffix(task, "/"+t.id) })
			if i < 0 || c.gone {
				failures = append(failures, map[string]any{"arn": task, "reason": "MISSING"})
				continue
			}
			one := s.tasks[i]
			out = append(out, map[string]any{"taskArn": task, "clusterArn": clusterARN, "taskDefinitionArn": definitionARN(one.definition), "group": one.group,
				"lastStatus": "RUNNING", "desiredStatus": "RUNNING", "version": 3, "containers": inAnswer("name", one.containers)})
		}
		return http.StatusOK, map[string]any{"tasks": out, "failures": failures}
	case "DescribeServiceRevisions":
		return http.StatusOK, map[string]any{"failures": []any{}, "serviceRevisions": []any{map[string]any{
			"serviceRevisionArn": revisionARN, "serviceArn": serviceARN, "clusterArn": clusterARN, "taskDefinition": definitionARN(s.revised), "containerImages": inAnswer("containerName", s.revision),
		}}}
	case "DescribeTaskDefinition", "DeregisterTaskDefinition":
		name := strings.TrimPrefix(in.TaskDefinition, definitionARN(""))
		if i := slices.IndexFunc(s.families, func(f string) bool { return strings.HasPrefix(f, name+":") }); i >= 0 {
			name = s.families[i]
		}
		containers, ok := s.definitions[name]
		if !ok {
			return refused("Unable to describe task definition.")
		}
		if operation == "DeregisterTaskDefinition" {
			c.mu.Lock()
			c.stopped = append(c.stopped, name)
			c.mu.Unlock()
		}
		family, revision, _ := strings.Cut(name, ":")
		number, _ := strconv.Atoi(revision)
		return http.StatusOK, map[string]any{"taskDefinition": map[string]any{
			"taskDefinitionArn": definitionARN(name), "family": family, "revision": number, "status": "ACTIVE", "containerDefinitions": inAnswer("name", containers),
		}}
	case "StopTask":
		c.mu.Lock()
		c.stopped = append(c.stopped, in.Task)
		c.mu.Unlock()
		if c.gone {
			return http.StatusBadRequest, map[string]any{"__type": "InvalidParameterException", "message": "The referenced task was not found."}
		}
		return http.StatusOK, map[string]any{"task": map[string]any{"taskArn": in.Task, "clusterArn": clusterARN}}
	}
	c.tb.Errorf("an operation that nobody knows: ecs:%s", operation)
	return refused(operation)
}

// inAnswer are containers; name is what the operation calls their name.
func inAnswer(name string, containers []container) []any {
	out := []any{}
	for _, one := range containers {
		c := map[string]any{name: one.Name, "image": one.Image}
		if one.Digest != "" {
			c["imageDigest"] = one.Digest
		}
		out = append(out, c)
	}
	return out
}

// paged is a page of a listing, of at most a hundred.
func paged(in *ecsInput, member string, all []string) (int, any) {
	from, _ := strconv.Atoi(in.NextToken)
	size := 100
	if in.MaxResults > 0 {
		size = min(size, in.MaxResults)
	}
	to := min(len(all), from+size)
	out := map[string]any{member: append([]string{}, all[from:to]...)}
	if to < len(all) {
		out["nextToken"] = fmt.Sprint(to)
	}
	return http.StatusOK, out
}

// describe is a count in one line, in a fixed order.
func describe(by map[string]int) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(by)) {
		out = append(out, fmt.Sprintf("%s %d", name, by[name]))
	}
	return strings.Join(out, ", ")
}
