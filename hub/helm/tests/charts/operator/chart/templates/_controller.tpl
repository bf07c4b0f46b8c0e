{{- define "operator.controller" -}}
{{- $root := .root -}}
{{- $defaults := deepCopy $root.Values.controllers.defaults -}}
{{- $own := .controller | default dict -}}
{{- $config := mustMergeOverwrite $defaults $own -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ list $root.Release.Name .name | compact | join "-" }}
  labels: {{- merge (dict "component" .name) (.labels | default dict) (include "operator.labels" $root | fromYaml) | toYaml | nindent 4 }}
spec:
  replicas: {{ $config.replicas }}
  template:
    spec:
      {{- with pick $config "hostNetwork" "dnsPolicy" }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
      containers:
        - name: {{ .name }}
          args:
          {{- range $flag, $value := $config.args }}
            {{- if kindIs "bool" $value }}
            - --{{ $flag }}{{ if not $value }}=false{{ end }}
            {{- else if kindIs "invalid" $value }}
            # {{ $flag }} has no value
            {{- else if contains " " (toString $value) }}
            - {{ printf "--%s=%v" $flag $value | quote }}
            {{- else }}
            - --{{ $flag }}={{ $value }}
            {{- end }}
          {{- end }}
          {{- if $config.port }}
          ports: [{containerPort: {{ $config.port }}, name: {{ printf "p%d" (int $config.port) }}}]
          {{- end }}
          resources: {{- toYaml $config.resources | nindent 12 }}
{{- end -}}
{{- define "operator.labels" -}}
app: {{ .Chart.Name }}
version: {{ .Chart.AppVersion | quote }}
{{- end -}}
