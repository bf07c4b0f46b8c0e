{{- define "shared.title" -}}api's {{ .name }}{{- end -}}
