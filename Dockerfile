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
COPY bot ./bot
# The image has neither the demo nor its fake servers. The build uses the pinned setuptools; the
# final image contains no build or install tools.
RUN rm -r bot/demo bot/sandbox \
    && /opt/venv/bin/pip install --no-deps --no-build-isolation . \
    && /opt/venv/bin/pip uninstall --yes setuptools pip

FROM python:3.13-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285
LABEL org.opencontainers.image.title="cancel-restore" \
    org.opencontainers.image.description="A Slack bot that cancels downloads of MongoDB Atlas backups" \
    org.opencontainers.image.licenses="MIT"
RUN groupadd --gid 10001 bot \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin bot \
    && install --directory --owner=10001 --group=10001 /data \
    && python -m pip uninstall --yes --root-user-action=ignore pip
COPY --from=builder /opt/venv /opt/venv
# /data is a volume, so the root file system can be read-only. Slack's SDK needs HOME at import,
# which a user id from --user does not have.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/data \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=3000 \
    DATABASE_URL=sqlite:////data/cancel-restore.db
WORKDIR /data
VOLUME /data
USER 10001:10001
EXPOSE 3000
# Without site and urllib, so that the check costs little.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-I", "-S", "-c", "import os, socket; c = socket.create_connection(('127.0.0.1', int(os.environ['PORT'])), 4); c.sendall(b'GET /healthz HTTP/1.0\\r\\n\\r\\n'); raise SystemExit(b' 200 ' not in c.recv(64))"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["cancel-restore"]
CMD ["serve"]
