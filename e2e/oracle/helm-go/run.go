package main

import (
	"bytes"
	"io"
	"log/slog"

	"helm.sh/helm/v4/pkg/cmd"
)

type printed struct {
	Output string `json:"output"`
}

// run does what the command line `helm Args...` does, and gives what it prints. The namespace of a command line outlives it in Helm's
// settings, so each names its own.
func run(asked request) any {
	var output bytes.Buffer
	root, err := cmd.NewRootCmd(&output, asked.Args, func(bool) { slog.SetDefault(slog.New(slog.DiscardHandler)) })
	if err != nil {
		return failure{err.Error()}
	}
	root.SetArgs(asked.Args)
	root.SetOut(&output)
	root.SetErr(io.Discard)
	root.SilenceErrors, root.SilenceUsage = true, true
	if err := root.Execute(); err != nil {
		return failure{err.Error()}
	}
	return printed{output.String()}
}
