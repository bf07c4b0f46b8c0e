package main

import (
	"encoding/json"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/openapi"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

type scope struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespaced bool   `json:"namespaced"`
}

type schema struct {
	Version     string          `json:"version"` // of Kubernetes
	Definitions json.RawMessage `json:"definitions"`
	Scopes      []scope         `json:"scopes"` // of the kinds whose scope kustomize knows
}

// builtInSchema gives the schema that is built into kustomize: what strategic merges go by.
func builtInSchema() any {
	openapi.ResetOpenAPI()
	definitions := openapi.Schema().Definitions
	text, err := json.Marshal(definitions)
	if err != nil {
		return failure{err.Error()}
	}
	var scopes []scope
	for _, definition := range definitions {
		kinds, _ := definition.Extensions["x-kubernetes-group-version-kind"].([]any)
		for _, kind := range kinds {
			fields, _ := kind.(map[string]any)
			group, _ := fields["group"].(string)
			version, _ := fields["version"].(string)
			name, _ := fields["kind"].(string)
			meta := yaml.TypeMeta{APIVersion: strings.TrimPrefix(group+"/"+version, "/"), Kind: name}
			if namespaced, known := openapi.IsNamespaceScoped(meta); known {
				scopes = append(scopes, scope{meta.APIVersion, meta.Kind, namespaced})
			}
		}
	}
	slices.SortFunc(scopes, func(left, right scope) int {
		return strings.Compare(left.APIVersion+"\x00"+left.Kind, right.APIVersion+"\x00"+right.Kind)
	})
	return schema{openapi.GetSchemaVersion(), text, slices.Compact(scopes)}
}
