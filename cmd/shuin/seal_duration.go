package main

import (
	"time"

	"github.com/shuin/shuin/pipeline"
)

// durationFlag is a duration as policies write it: days too.
type durationFlag time.Duration

func (d *durationFlag) Set(s string) error {
	v, err := pipeline.ParseDuration(s)
	*d = durationFlag(v)
	return err
}

func (d *durationFlag) String() string { return time.Duration(*d).String() }
func (d *durationFlag) Type() string   { return "duration" }
