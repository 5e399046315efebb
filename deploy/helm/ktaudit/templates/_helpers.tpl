{{/* The name of everything: that of the release, unless it says nothing of ktaudit. */}}
{{- define "ktaudit.name" -}}
{{- if contains "ktaudit" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-ktaudit" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* Labels by which pods are selected; they never change. Takes a dict of root and, for one component, component. */}}
{{- define "ktaudit.selector" -}}
app.kubernetes.io/name: ktaudit
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "ktaudit.labels" -}}
{{ include "ktaudit.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "ktaudit.image" -}}
{{- with .Values.image }}
{{- with .registry }}{{ . }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* A template of pods. Takes a dict of root, component, args, resources and, for the backfill, job. */}}
{{- define "ktaudit.pod" -}}
{{- $root := .root }}
metadata:
  labels:
    {{- include "ktaudit.selector" . | nindent 4 }}
  annotations:
    # so that pods are replaced when the configuration changes
    checksum/config: {{ $root.Values.config | toYaml | sha256sum }}
    {{- with $root.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "ktaudit.name" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false # their variables would begin with KTAUDIT_, as ktaudit's own do
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - {name: {{ . }}}
    {{- end }}
  {{- end }}
  {{- if .job }}
  restartPolicy: Never
  {{- else }}
  terminationGracePeriodSeconds: {{ $root.Values.terminationGracePeriodSeconds }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "ktaudit.selector" . | nindent 10 }}
  {{- end }}
  {{- with $root.Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $root.Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "ktaudit.image" $root }}
      {{- with $root.Values.image.pullPolicy }}
      imagePullPolicy: {{ . }}
      {{- end }}
      args:
        {{- toYaml .args | nindent 8 }}
      envFrom:
        - secretRef: {name: {{ $root.Values.secret.name }}}
      {{- if not .job }}
      ports:
        {{- if eq .component "serve" }}
        - {name: http, containerPort: 8080}
        {{- end }}
        - {name: metrics, containerPort: 9464}
      startupProbe: # stores are tried before anything is served
        httpGet: {path: /healthz, port: metrics}
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /healthz, port: metrics}
        timeoutSeconds: 5
      readinessProbe:
        httpGet: {path: /readyz, port: metrics}
        timeoutSeconds: 5
      {{- end }}
      {{- if eq .component "serve" }}
      lifecycle:
        preStop: {sleep: {seconds: 5}} # until no new request is sent here
      {{- end }}
      resources:
        {{- toYaml .resources | nindent 8 }}
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      volumeMounts:
        - {name: config, mountPath: /etc/ktaudit, readOnly: true}
  volumes:
    - name: config
      configMap: {name: {{ include "ktaudit.name" $root }}}
{{- end }}

{{/* A Deployment and its budget: no drain is ever stopped by it. Takes a dict of root, component, replicas (left out where something else sets them), maxUnavailable and resources. */}}
{{- define "ktaudit.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "ktaudit.name" .root }}-{{ .component }}
  labels:
    {{- include "ktaudit.labels" . | nindent 4 }}
spec:
  {{- if hasKey . "replicas" }}
  replicas: {{ .replicas }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "ktaudit.selector" . | nindent 6 }}
  template:
    {{- $args := list .component "--config" "/etc/ktaudit/ktaudit.yaml" }}
    {{- include "ktaudit.pod" (merge (dict "args" $args) .) | nindent 4 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "ktaudit.name" .root }}-{{ .component }}
  labels:
    {{- include "ktaudit.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ .maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "ktaudit.selector" . | nindent 6 }}
{{- end }}
