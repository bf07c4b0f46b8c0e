package main

import (
	"fmt"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	commonutil "helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
)

type rendered struct {
	Files map[string]string `json:"files"` // path in the chart to what its template gives
}

// render gives what Helm's engine makes of each template of the chart that consists of Files.
func render(asked request) any {
	loaded, err := loader.LoadFiles(inMemory(asked.Files))
	if err != nil {
		return failure{err.Error()}
	}
	values, err := prepare(loaded, asked)
	if err != nil {
		return failure{err.Error()}
	}
	files, err := engine.Engine{}.Render(loaded, values)
	if err != nil {
		return failure{err.Error()}
	}
	return rendered{files}
}

func inMemory(files map[string]string) []*archive.BufferedFile {
	var buffered []*archive.BufferedFile
	for path, text := range files {
		buffered = append(buffered, &archive.BufferedFile{Name: path, Data: []byte(text)})
	}
	return buffered
}

// prepare drops dependencies that are switched off and gives the values that templates see, as `helm template` does.
func prepare(loaded *chart.Chart, asked request) (common.Values, error) {
	values := map[string]any{}
	for _, text := range asked.Values {
		layer, err := loader.LoadValues(strings.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("failed to parse values: %w", err)
		}
		values = loader.MergeMaps(values, layer)
	}
	if err := chartutil.ProcessDependencies(loaded, values); err != nil {
		return nil, err
	}
	capabilities := common.DefaultCapabilities.Copy()
	if asked.KubeVersion != "" {
		version, err := common.ParseKubeVersion(asked.KubeVersion)
		if err != nil {
			return nil, err
		}
		capabilities.KubeVersion = *version
	}
	capabilities.APIVersions = append(capabilities.APIVersions, asked.APIVersions...)
	options := common.ReleaseOptions{Name: asked.Release, Namespace: asked.Namespace, Revision: 1, IsInstall: true}
	return commonutil.ToRenderValues(loaded, values, options, capabilities)
}
