# Stand-ins, from Debian's packages, for images that compose.yaml pulls. Each keeps the contract of
# the image whose name it gets: paths, user, entrypoint.

FROM debian:bookworm-slim AS programs
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openjdk-17-jre-headless prometheus \
        prometheus-alertmanager prometheus-node-exporter python3 redis-server >/dev/null \
    && rm -rf /var/lib/apt/lists/*

# Redis' image turns the protected mode off: other containers may connect.
FROM programs AS redis
WORKDIR /data
ENTRYPOINT ["/bin/sh", "-euc", "exec \"$@\" --protected-mode no", "redis"]

FROM programs AS prometheus
RUN install -d -o nobody -g nogroup /prometheus
USER nobody
WORKDIR /prometheus
ENTRYPOINT ["/usr/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]

FROM programs AS alertmanager
RUN install -d -o nobody -g nogroup /alertmanager
USER nobody
WORKDIR /alertmanager
ENTRYPOINT ["/usr/bin/prometheus-alertmanager"]

FROM programs AS node-exporter
USER nobody
ENTRYPOINT ["/usr/bin/prometheus-node-exporter"]
