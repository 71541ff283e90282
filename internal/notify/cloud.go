package notify

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
)

// Cloud reads parameters of AWS Systems Manager and secrets of AWS Secrets
// Manager. What it read it keeps for limits.NotifySecretLife. Safe for
// concurrent use. Sources: AWS Systems Manager API Reference, GetParameter; AWS
// Secrets Manager API Reference, GetSecretValue.
type Cloud struct {
	Caller *awscall.Caller
	As     awscall.As

	mu   sync.Mutex
	kept map[Secret]kept
}

// kept is a value behind a function: fmt would print a member, whatever its
// type says.
type kept struct {
	value func() string
	until time.Time
}

func (c *Cloud) read(ctx context.Context, s Secret) (string, error) {
	now := c.Caller.Now()
	c.mu.Lock()
	k, ok := c.kept[s]
	c.mu.Unlock()
	if ok && now.Before(k.until) {
		return k.value(), nil
	}
	got, err := c.ask(ctx, s)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil {
		c.kept = map[Secret]kept{}
	}
	c.kept[s] = kept{func() string { return got }, now.Add(limits.NotifySecretLife)}
	return got, nil
}

func (c *Cloud) forget(s Secret) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.kept, s)
}

func (c *Cloud) ask(ctx context.Context, s Secret) (string, error) {
	q := awscall.Call{
		Doing: "ask for it", Title: "AWS Systems Manager", Service: "ssm", ID: "SSM", Protocol: awscall.JSON11, Target: "AmazonSSM.GetParameter",
		Action: "ssm:GetParameter (and kms:Decrypt on its key)", Resource: "the parameter " + s.Parameter,
		NotFound: "there is no such parameter in this account and region",
		Absent: func(e *awscall.ServiceError) bool {
			return e.Code == "ParameterNotFound" || e.Code == "ParameterVersionNotFound"
		},
	}
	in, name := any(struct {
		Name    string `json:"Name"`
		Decrypt bool   `json:"WithDecryption"`
	}{s.Parameter, true}), s.Parameter
	if s.SecretID != "" {
		q.Title, q.Service, q.ID, q.Target = "AWS Secrets Manager", "secretsmanager", "Secrets Manager", "secretsmanager.GetSecretValue"
		q.Action, q.Resource = "secretsmanager:GetSecretValue (and kms:Decrypt on its key)", "the secret "+s.SecretID
		q.NotFound = "there is no such secret in this account and region, or it has no value"
		q.Absent = func(e *awscall.ServiceError) bool { return e.Code == "ResourceNotFoundException" }
		in, name = struct {
			ID string `json:"SecretId"`
		}{s.SecretID}, s.SecretID
	}
	var err error
	if q.Body, err = json.Marshal(in); err != nil {
		return "", errors.New("its name cannot be sent") // and is not shown with the reason
	}
	as := c.As
	if p := strings.SplitN(name, ":", 6); len(p) == 6 && p[0] == "arn" {
		as.Region = p[3]
	}
	answer, err := c.Caller.Ask(ctx, as, q)
	if err != nil {
		return "", err
	}
	var got struct {
		Parameter struct {
			Value string `json:"Value"`
		} `json:"Parameter"`
		Secret string `json:"SecretString"`
	}
	if json.Unmarshal(answer.Body, &got) != nil { // whose words could hold the value
		return "", &shuin.Error{Code: shuin.CodeMalformed, Message: "the answer is not what the API says"}
	}
	return got.Parameter.Value + got.Secret, nil
}
