package main

import (
	"slices"
	"strings"

	"github.com/Masterminds/sprig/v3"
)

// own are the names that Helm adds to sprig's, by its documentation; functions asks Helm whether each is there.
var own = []string{
	"fromJson", "fromJsonArray", "fromToml", "fromYaml", "fromYamlArray", "include", "lookup", "mustToJson", "mustToToml", "mustToYaml",
	"required", "toJson", "toToml", "toYaml", "toYamlPretty", "tpl",
}

// builtIn are the names of text/template's own functions.
var builtIn = []string{
	"and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print", "printf", "println", "slice", "urlquery",
}

type names struct {
	Functions []string `json:"functions"`
	Absent    []string `json:"absent"` // of sprig's those that Helm takes away
}

// functions lists what templates may call.
func functions() any {
	candidates := slices.Concat(own, builtIn)
	for name := range sprig.TxtFuncMap() {
		candidates = append(candidates, name)
	}
	slices.Sort(candidates)
	found := names{Absent: []string{}}
	for _, name := range slices.Compact(candidates) {
		files := map[string]string{
			"Chart.yaml":         "apiVersion: v2\nname: case\nversion: 1.0.0\n",
			"templates/case.txt": "{{ if false }}{{ " + name + " }}{{ end }}",
		}
		switch answer := render(request{Files: files}).(type) {
		case failure:
			if !strings.Contains(answer.Error, "not defined") {
				return answer
			}
			found.Absent = append(found.Absent, name)
		default:
			found.Functions = append(found.Functions, name)
		}
	}
	return found
}
