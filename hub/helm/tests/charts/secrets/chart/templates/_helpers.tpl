{{/* The value that is in the cluster, else the one that was given, else a made one. */}}
{{- define "secrets.value" -}}
{{- $found := lookup "v1" "Secret" .root.Release.Namespace .name -}}
{{- $data := (get ($found | default dict) "data") | default dict -}}
{{- if hasKey $data .key -}}
{{- get $data .key -}}
{{- else if .given -}}
{{- .given | b64enc -}}
{{- else if .root.Values.strict -}}
{{- fail (printf "\n\nsecrets: set .Values.%s, which has no value in %s/%s" .key .root.Release.Namespace .name) -}}
{{- else -}}
{{- printf "%s/%s" .root.Release.Name .key | sha256sum | trunc 16 | b64enc -}}
{{- end -}}
{{- end -}}
