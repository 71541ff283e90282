package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// stackAlarms are the alarms of the template.
func stackAlarms() []string {
	return []string{"DeadLetterAlarm", "ErrorAlarm", "UndecidedAlarm", "ErrorsAlarm"}
}

func (s *stackAsker) queue(ctx context.Context) stackPart {
	p, r, ok := s.part("queue", partQueue)
	if !ok {
		return p.lost()
	}
	q, err := s.reader.Queue(ctx, r.Physical)
	if err != nil {
		return p.failed(err)
	}
	p.Messages = &q.Waiting
	return p.well(fmt.Sprintf("%d waiting, %d taken or to be tried again", q.Waiting, q.Taken))
}

func (s *stackAsker) deadLetters(ctx context.Context) stackPart {
	p, r, ok := s.part("dead letters", "DeadLetterQueue")
	if !ok {
		return p.lost()
	}
	q, err := s.reader.Queue(ctx, r.Physical)
	if err != nil {
		return p.failed(err)
	}
	n := q.Waiting + q.Taken
	p.Messages = &n
	if n > 0 {
		return p.bad(plural(n, "event", "events")+" could not be read or not be delivered",
			"the function's log says why; when that is mended, \"aws sqs start-message-move-task --source-arn "+q.ARN+" --destination-arn "+s.besides(q.ARN, partQueue)+
				"\" has them tried again, by a role of the stack's parameter RedriveArns")
	}
	return p.well("none")
}

// besides is the ARN of another queue of the stack. What EventBridge itself
// could not deliver knows no queue that it came from, so that one has to be
// named.
func (s *stackAsker) besides(arn, logical string) string {
	address := s.resources[logical].Physical
	return arn[:strings.LastIndexByte(arn, ':')+1] + address[strings.LastIndexByte(address, '/')+1:]
}

func (s *stackAsker) mapping(ctx context.Context) stackPart {
	p, r, ok := s.part("queue to function", "EventSource")
	if !ok {
		return p.lost()
	}
	m, err := s.reader.Mapping(ctx, r.Physical)
	switch {
	case err != nil:
		return p.failed(err)
	case m.State != "Enabled":
		return p.bad("it is "+m.State, "\"aws lambda update-event-source-mapping --enabled --uuid "+r.Physical+"\"")
	case !slices.Contains(m.ResponseTypes, "ReportBatchItemFailures"):
		return p.bad("it does not take answers for single events: one that fails has its whole batch judged again", "deploy the stack again")
	}
	return p.well("enabled")
}

func (s *stackAsker) table(ctx context.Context) stackPart {
	p, r, ok := s.part("table", "Table")
	if !ok {
		return p.lost()
	}
	status, err := s.reader.TableStatus(ctx, r.Physical)
	switch {
	case err != nil:
		return p.failed(err)
	case status != "ACTIVE" && status != "UPDATING":
		return p.bad("it is "+status, "ask again in a minute; if it stays so, deploy the stack again")
	}
	return p.well("active")
}

func (s *stackAsker) topic(ctx context.Context) stackPart {
	p, r, ok := s.part("topic", "Topic")
	arn := r.Physical
	if given := s.stack.Parameters["TopicArn"]; given != "" {
		arn, p.ID, ok = given, given, true
	}
	if !ok {
		return s.absent(p, "CreateTopic", "findings and alarms go to no topic")
	}
	confirmed, pending, err := s.reader.Subscribers(ctx, arn)
	switch {
	case err != nil:
		return p.failed(err)
	case confirmed == 0 && pending > 0:
		return p.bad(plural(pending, "subscription waits", "subscriptions wait")+" to be confirmed, and there is no other: nobody is told", "follow the link in the mail")
	case confirmed == 0:
		return p.bad("nobody is subscribed: nobody is told", "\"aws sns subscribe --topic-arn "+arn+" --protocol email --notification-endpoint ADDRESS\"")
	}
	return p.well(plural(confirmed, "subscriber", "subscribers"))
}

func (s *stackAsker) alarm(logical string) stackPart {
	p, r, ok := s.part("alarm: "+logical, logical)
	if !ok {
		return s.absent(p, "Alarms", "nobody is told when it stands still")
	}
	if s.alarmsErr != nil {
		return p.failed(s.alarmsErr)
	}
	found, ok := s.alarms[r.Physical]
	switch {
	case !ok:
		return p.bad("it is not there any more", "deploy the stack again")
	case found.State == "ALARM":
		return p.bad("it is in alarm: "+found.Reason, "the function's log says what happened")
	case !found.Enabled:
		return p.bad("its actions are switched off", "\"aws cloudwatch enable-alarm-actions --alarm-names "+found.Name+"\"")
	}
	return p.well(found.State)
}
