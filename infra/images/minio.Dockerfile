# MinIO and its client, for tests and for a laptop. MinIO publishes no images any more, so both are built from their Go modules.
#
#   docker build -f infra/images/minio.Dockerfile -t dunlin/minio infra/images     builds both with Go (about five minutes)
#   scripts/containers build minio                                                 puts binaries into it that were built outside
#
# The server is the last commit of its repository: it has a fix for conditional writes that no release has. The same
# version is in scripts/setup.
ARG GO=docker.io/library/golang:1.26-bookworm@sha256:b305420a68d0f229d91eb3b3ed9e519fcf2cf5461da4bef997bf927e8c0bfd2b
ARG DEBIAN=docker.io/library/debian:bookworm-slim@sha256:3783cc01769c7b2b1b83a5c5ad96c815348e28ed7da68e2e3687004faa906251

FROM --platform=${BUILDPLATFORM} ${GO} AS build
ARG TARGETARCH
ARG MINIO_VERSION=v0.0.0-20260212201848-7aac2a2c5b7c
ARG MC_VERSION=v0.0.0-20250313080218-cf909e1063a9
# A binary for another architecture is put into a folder of its own.
RUN set -eu; \
    export CGO_ENABLED=0 GOARCH="${TARGETARCH}"; \
    go install "github.com/minio/minio@${MINIO_VERSION}"; \
    go install "github.com/minio/mc@${MC_VERSION}"; \
    mkdir -p "/binaries/linux-${TARGETARCH}"; \
    find /go/bin -type f -name minio -exec cp {} "/binaries/linux-${TARGETARCH}/" ';'; \
    find /go/bin -type f -name mc -exec cp {} "/binaries/linux-${TARGETARCH}/" ';'

# A folder with binaries that were built outside can take the place of this stage, as in ./Dockerfile.
FROM build AS binaries

# hadolint ignore=DL3006
FROM ${DEBIAN} AS minio
ARG TARGETARCH
RUN install -d -o 65532 -g 65532 -m 0700 /data
COPY --from=binaries /binaries/linux-${TARGETARCH}/ /usr/local/bin/
COPY http-ready /usr/local/bin/http-ready
LABEL org.opencontainers.image.title="MinIO for Dunlin" \
      org.opencontainers.image.description="An S3 server for tests and for a laptop, and its client" \
      org.opencontainers.image.source="https://github.com/minio/minio" \
      org.opencontainers.image.licenses="AGPL-3.0-only"
ENV MINIO_BROWSER=off \
    MINIO_UPDATE=off \
    MC_CONFIG_DIR=/tmp/mc
USER 65532:65532
WORKDIR /tmp
EXPOSE 9000
HEALTHCHECK --interval=5s --timeout=5s --start-period=20s --retries=3 \
    CMD ["/usr/local/bin/http-ready", "9000", "/minio/health/ready"]
CMD ["minio", "server", "--quiet", "--address", "0.0.0.0:9000", "/data"]
