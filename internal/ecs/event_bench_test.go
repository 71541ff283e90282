package ecs

import (
	"encoding/json"
	"testing"
)

func BenchmarkParse(b *testing.B) {
	task := sample(b, "task-running")
	var records []map[string]any
	for range 10 {
		records = append(records, map[string]any{"messageId": "m", "eventSource": "aws:sqs", "body": task})
	}
	batch, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		b.Fatal(err)
	}
	for name, payload := range map[string][]byte{"hook": []byte(sample(b, "hook-pre-scale-up")), "task": []byte(task), "registration": []byte(sample(b, "register")), "batch of 10 tasks": batch} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
