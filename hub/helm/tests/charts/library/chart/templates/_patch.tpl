{{- define "user.patch" -}}
metadata:
  annotations:
    patched: {{ .name | quote }}
spec:
  template:
    spec:
      terminationGracePeriodSeconds: {{ len .name }}
{{- end -}}
