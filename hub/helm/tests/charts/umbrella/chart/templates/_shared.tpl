{{- define "shared.title" -}}umbrella's {{ .name }}{{- end -}}
