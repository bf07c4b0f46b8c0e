package main

import (
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/openapi"
)

type built struct {
	Yaml string `json:"yaml"`
}

// build builds Dir of a file system in memory that holds Files, as a new process would.
func build(asked request) any {
	options, err := options(asked.LoadRestrictor)
	if err != nil {
		return failure{err.Error()}
	}
	files := filesys.MakeFsInMemory()
	for path, text := range asked.Files {
		if err := files.WriteFile("/"+path, []byte(text)); err != nil {
			return failure{"the request's files: " + err.Error()}
		}
	}
	if setsSchema(asked.Files) {
		openapi.ResetOpenAPI()
		defer openapi.ResetOpenAPI()
	}
	objects, err := krusty.MakeKustomizer(options).Run(files, "/"+asked.Dir)
	if err != nil {
		return failure{err.Error()}
	}
	yaml, err := objects.AsYaml()
	if err != nil {
		return failure{err.Error()}
	}
	return built{string(yaml)}
}

// setsSchema says whether a build of the files can change the schema, which is global and outlives a build. The schema that is built in is
// the same for all that do not, and is kept: parsing it takes longer than most builds.
func setsSchema(files map[string]string) bool {
	for _, text := range files {
		if strings.Contains(text, "openapi") {
			return true
		}
	}
	return false
}
