# HAProxy of Debian, as the proxy before the gateways of infra/compose.yaml.
#
#   docker build -f infra/images/proxy.Dockerfile -t dunlin/proxy infra/images
ARG DEBIAN=docker.io/library/debian:bookworm-slim@sha256:3783cc01769c7b2b1b83a5c5ad96c815348e28ed7da68e2e3687004faa906251

# hadolint ignore=DL3006
FROM ${DEBIAN}
RUN set -eu; \
    apt-get update -qq; \
    apt-get install -y -qq --no-install-recommends 'haproxy=2.6.*'; \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
COPY http-ready /usr/local/bin/http-ready
LABEL org.opencontainers.image.title="HAProxy for Dunlin" \
      org.opencontainers.image.source="https://tracker.debian.org/pkg/haproxy" \
      org.opencontainers.image.licenses="GPL-2.0-or-later"
USER 65532:65532
EXPOSE 8080
# Finishes the requests that it has.
STOPSIGNAL SIGUSR1
HEALTHCHECK --interval=5s --timeout=5s --start-period=20s --retries=3 \
    CMD ["/usr/local/bin/http-ready", "8080", "/proxy/health"]
CMD ["haproxy", "-db", "-f", "/etc/haproxy/haproxy.cfg"]
