# The image is one static program, the CA certificates and a folder it may write to. Build it with
#   docker build --build-arg VERSION=v0.1.0 -t ktaudit .
# cmd/ktaudit/image_test.go puts the last stage together without Docker and runs it: keep its COPY lines to what that
# test knows.
FROM --platform=$BUILDPLATFORM golang:1.26.8@sha256:3c3e25a4da13fd0478eed2df1eb35a0e667094a7124d3993a6a1d30f71c17e79 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION TARGETOS TARGETARCH
# The tag leaves out what only Google's DirectPath needs, a sixth of the program.
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -tags disable_grpc_modules -ldflags "-s -w -X main.version=$VERSION" -o /out/ktaudit ./cmd/ktaudit
# OpenShift runs it as any user of group 0.
RUN mkdir -p /out/root/data && chmod 0770 /out/root/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:0 /out/root/ /
COPY --from=build /out/ktaudit /usr/bin/ktaudit
ENV PATH=/usr/bin HOME=/data TMPDIR=/data
WORKDIR /data
USER 65532:65532
ENTRYPOINT ["/usr/bin/ktaudit"]
