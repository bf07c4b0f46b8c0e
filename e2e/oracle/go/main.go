// kustomize-oracle answers questions about kustomize for Capstan's tests and benchmark: one request a line of JSON on stdin, one answer a line
// on stdout. It stays resident, so that a question costs what the library costs and not a process. Each operation has a file of its own.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"runtime"
	"runtime/debug"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/provenance"
	"sigs.k8s.io/kustomize/api/types"
)

// request holds the fields of all operations; Op says which of them count.
type request struct {
	Op             string            `json:"op"`
	Files          map[string]string `json:"files"`
	Dir            string            `json:"dir"`
	LoadRestrictor string            `json:"load_restrictor"`
	Root           string            `json:"root"`
	Targets        []string          `json:"targets"`
	Repeat         int               `json:"repeat"`
	GoMaxProcs     int               `json:"gomaxprocs"`
}

type failure struct {
	Error string `json:"error"`
}

type versions struct {
	Kustomize string            `json:"kustomize"`
	Go        string            `json:"go"`
	Modules   map[string]string `json:"modules"`
}

func main() {
	stdout := os.Stdout
	silenceKustomize()
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

// silenceKustomize keeps kustomize's warnings from the answers on stdout and from the log of the tests.
func silenceKustomize() {
	log.SetOutput(io.Discard)
	if null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		os.Stdout, os.Stderr = null, null
	}
}

func fail(err error) {
	println("kustomize-oracle:", err.Error())
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
	case "build":
		return build(asked)
	case "time":
		return measure(asked)
	case "openapi":
		return builtInSchema()
	case "version":
		return version()
	default:
		return failure{fmt.Sprintf("no operation %q; there are build, time, openapi, version", asked.Op)}
	}
}

// options are those of `kustomize build` without flags, but for the load restriction ("rootOnly", the default, or "none").
func options(loadRestrictor string) (*krusty.Options, error) {
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionUnspecified
	switch loadRestrictor {
	case "", "rootOnly":
		options.LoadRestrictions = types.LoadRestrictionsRootOnly
	case "none":
		options.LoadRestrictions = types.LoadRestrictionsNone
	default:
		return nil, fmt.Errorf("no load restrictor %q; there are rootOnly, none", loadRestrictor)
	}
	return options, nil
}

func version() any {
	modules := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dependency := range info.Deps {
			modules[dependency.Path] = dependency.Version
		}
	}
	return versions{provenance.GetProvenance().Semver(), runtime.Version(), modules}
}
