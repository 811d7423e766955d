{{- define "ops-library.security" -}}
runAsNonRoot: true
readOnlyRootFilesystem: true
{{- end -}}
