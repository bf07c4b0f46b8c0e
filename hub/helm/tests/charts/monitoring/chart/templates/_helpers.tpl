{{- define "monitoring.kubeVersion" -}}
{{- default .Capabilities.KubeVersion.Version .Values.kubeTargetVersionOverride -}}
{{- end -}}
{{- define "monitoring.labels" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/version: "{{ replace "+" "_" .Chart.Version }}"
chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
release: {{ $.Release.Name | quote }}
{{- end }}
{{- define "monitoring.escape" -}}
{{- . | replace "{{" "{{ `{{` }}" -}}
{{- end -}}
