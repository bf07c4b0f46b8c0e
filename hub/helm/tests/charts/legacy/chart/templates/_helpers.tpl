{{- define "legacy.name" -}}{{ .Release.Name }}-legacy{{- end -}}
