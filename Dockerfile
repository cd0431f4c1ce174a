# One image for master, workers and commands. Any Debian-like base with python3 (3.11 or newer), its venv and pip will do.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY taskgrid taskgrid
RUN python3 -m venv /opt/taskgrid && /opt/taskgrid/bin/pip install --no-cache-dir --disable-pip-version-check .

FROM ${BASE}
RUN groupadd --gid 10001 taskgrid \
 && useradd --uid 10001 --gid taskgrid --home-dir /var/lib/taskgrid --no-log-init --shell /usr/sbin/nologin taskgrid \
 && install --directory --owner=taskgrid --group=taskgrid --mode=0700 /var/lib/taskgrid
COPY --from=build /opt/taskgrid /opt/taskgrid
ENV PATH=/opt/taskgrid/bin:$PATH \
    XDG_STATE_HOME=/var/lib \
    XDG_CONFIG_HOME=/var/lib/taskgrid/config
USER 10001:10001
WORKDIR /var/lib/taskgrid
# A master keeps its journal in /var/lib/taskgrid: mount a volume there, so that it outlives the container.
EXPOSE 7117
ENTRYPOINT ["taskgrid"]
CMD ["--help"]
