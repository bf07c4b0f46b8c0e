// helm-oracle answers questions about Helm for Capstan's tests and benchmark: one request a line of JSON on stdin, one answer a line on
// stdout. It stays resident, so that a question costs what the library costs and not a process. Each operation has a file of its own.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

// request holds the fields of all operations; Op says which of them count.
type request struct {
	Op          string            `json:"op"`
	Args        []string          `json:"args"`
	Chart       string            `json:"chart"`
	Files       map[string]string `json:"files"`
	Values      []string          `json:"values"` // YAML texts, later ones win
	Release     string            `json:"release"`
	Namespace   string            `json:"namespace"`
	KubeVersion string            `json:"kube_version"`
	APIVersions []string          `json:"api_versions"`
	Repeat      int               `json:"repeat"`
	GoMaxProcs  int               `json:"gomaxprocs"`
}

type failure struct {
	Error string `json:"error"`
}

type versions struct {
	Helm    string            `json:"helm"`
	Go      string            `json:"go"`
	Modules map[string]string `json:"modules"`
}

func main() {
	if len(os.Args) > 1 && os.Args[1] != "cases" {
		fail(fmt.Errorf("no command %q; there is cases [--check] FILE..., and requests on stdin", os.Args[1]))
	}
	stdout, stderr := os.Stdout, os.Stderr
	silenceHelm()
	// What templates print of times does not depend on where the test runs.
	time.Local = time.UTC
	if len(os.Args) > 1 {
		os.Stderr = stderr
		command(os.Args[1:])
		return
	}
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriterSize(stdout, 1<<20)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			if err := encoder.Encode(answer(line)); err != nil {
				fail(err)
			}
			if err := out.Flush(); err != nil {
				fail(err)
			}
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			fail(err)
		}
	}
}

// command is `cases [--check] FILE...`.
func command(arguments []string) {
	check := len(arguments) > 1 && arguments[1] == "--check"
	if check {
		arguments = arguments[1:]
	}
	differ, err := cases(check, arguments[1:])
	if err != nil {
		fail(err)
	}
	if check && differ > 0 {
		os.Exit(1)
	}
}

// silenceHelm keeps Helm's warnings from the answers on stdout and from the log of the tests.
func silenceHelm() {
	log.SetOutput(io.Discard)
	slog.SetDefault(slog.New(slog.DiscardHandler))
	if null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		os.Stdout, os.Stderr = null, null
	}
}

func fail(err error) {
	println("helm-oracle:", err.Error())
	os.Exit(1)
}

func answer(line []byte) (result any) {
	defer func() {
		if panicked := recover(); panicked != nil {
			result = failure{fmt.Sprintf("panic: %v", panicked)}
		}
	}()
	var asked request
	if err := json.Unmarshal(line, &asked); err != nil {
		return failure{"no request: " + err.Error()}
	}
	switch asked.Op {
	case "render":
		return render(asked)
	case "run":
		return run(asked)
	case "time":
		return measure(asked)
	case "functions":
		return functions()
	case "version":
		return version()
	default:
		return failure{fmt.Sprintf("no operation %q; there are render, run, time, functions, version", asked.Op)}
	}
}

func version() any {
	modules := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dependency := range info.Deps {
			modules[dependency.Path] = dependency.Version
		}
	}
	return versions{modules["helm.sh/helm/v4"], runtime.Version(), modules}
}
