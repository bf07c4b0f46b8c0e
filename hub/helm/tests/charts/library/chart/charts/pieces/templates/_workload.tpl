{{- define "pieces.workload.base" -}}
apiVersion: apps/v1
kind: {{ .spec.kind | default "Deployment" }}
metadata:
  name: {{ .root.Release.Name }}-{{ .name }}
  labels: {{- include "pieces.labels" . | nindent 4 }}
spec:
  replicas: {{ .spec.replicas | default 1 }}
  template:
    spec:
      containers:
        - name: main
          image: {{ .spec.image }}
          {{- with .spec.env }}
          env:
          {{- range $key, $value := . }}
            - {name: {{ $key }}, value: {{ $value | quote }}}
          {{- end }}
          {{- end }}
{{- end -}}

{{- define "pieces.workload" -}}
{{- $base := include "pieces.workload.base" . | fromYaml -}}
{{- $patch := include .patch . | fromYaml -}}
{{- toYaml (mergeOverwrite $base $patch) -}}
{{- end -}}

{{- define "pieces.labels" -}}
{{- $labels := dict "app" .name "release" .root.Release.Name -}}
{{- with .spec.labels }}{{ $labels = merge $labels . }}{{ end -}}
{{- range $key := keys $labels | sortAlpha }}
{{ $key }}: {{ get $labels $key }}
{{- end }}
{{- end -}}
