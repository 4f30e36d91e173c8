# Prometheus of Debian.
#
#   docker build -f infra/images/prometheus.Dockerfile -t dunlin/prometheus infra/images
ARG DEBIAN=docker.io/library/debian:bookworm-slim@sha256:3783cc01769c7b2b1b83a5c5ad96c815348e28ed7da68e2e3687004faa906251

# hadolint ignore=DL3006
FROM ${DEBIAN}
RUN set -eu; \
    apt-get update -qq; \
    apt-get install -y -qq --no-install-recommends 'prometheus=2.42.*'; \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*; \
    install -d -o 65532 -g 65532 -m 0700 /data
COPY http-ready /usr/local/bin/http-ready
LABEL org.opencontainers.image.title="Prometheus for Dunlin" \
      org.opencontainers.image.source="https://tracker.debian.org/pkg/prometheus" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 65532:65532
EXPOSE 9090
HEALTHCHECK --interval=5s --timeout=5s --start-period=20s --retries=3 \
    CMD ["/usr/local/bin/http-ready", "9090", "/-/ready"]
CMD ["prometheus", "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/data", "--storage.tsdb.retention.time=2d", "--web.listen-address=0.0.0.0:9090"]
