# syntax=docker/dockerfile:1

# The build tools stay in this stage. Update both digests together.
FROM python:3.13-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285 AS builder
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
WORKDIR /src
# The pins change less often than the code, so they come first.
COPY requirements.txt ./
RUN /opt/venv/bin/pip install --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
# Without the stand-ins and the demo: .dockerignore leaves them out.
COPY bot ./bot
# The build uses the pinned hatchling; the final image contains no build or install tools.
RUN /opt/venv/bin/pip install --no-deps --no-build-isolation . \
    && /opt/venv/bin/pip uninstall --yes \
        hatchling hatch-fancy-pypi-readme packaging pathspec pluggy tomlkit trove-classifiers pip

FROM python:3.13-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285
RUN groupadd --gid 10001 bot \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin bot \
    && install --directory --owner=10001 --group=10001 /data \
    && python -m pip uninstall --yes --root-user-action=ignore pip
COPY --chmod=755 <<'EOF' /usr/local/bin/setting
#!/bin/bash
# Prints a setting that the environment or a mounted .env has, in this order.
echo "${!1:-$(sed -nE "s/^ *(export +)?$1 *= *['\"]?([^'\" #]*).*/\2/p" .env 2>/dev/null | tail -n 1)}"
EOF

COPY --chmod=755 <<'EOF' /usr/local/bin/start
#!/bin/bash
# No probe reaches the container's own loopback. An ENV would win over a mounted .env.
HOST=$(setting HOST)
export HOST=${HOST:-0.0.0.0}
exec cancel-restore "$@"
EOF

# Bash's own TCP: to start a Python for each check would take more time than the bot itself.
COPY --chmod=755 <<'EOF' /usr/local/bin/is-healthy
#!/bin/bash
# Whether /healthz answers 200.
host=$(setting HOST) port=$(setting PORT)
exec 3<>"/dev/tcp/${host:-127.0.0.1}/${port:-3000}" || exit 1
printf 'GET /healthz HTTP/1.0\r\n\r\n' >&3
read -r -t 4 _ status _ <&3
test "$status" = 200
EOF

COPY --from=builder /opt/venv /opt/venv
# /data is a volume, so the root file system can be read-only. It is the working directory: a .env
# that is mounted there is read, and the database is made there. No setting is an ENV, because the
# environment wins over that .env. Slack's SDK needs HOME at import, which a user id from --user
# does not have.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/data \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /data
VOLUME /data
USER 10001:10001
EXPOSE 3000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["is-healthy"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["start"]
CMD ["serve"]
# They change with each commit, so they come last.
ARG VERSION=unreleased
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="cancel-restore" \
    org.opencontainers.image.description="Slack bot that cancels downloads of MongoDB Atlas backups" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" \
    org.opencontainers.image.source="$SOURCE"
