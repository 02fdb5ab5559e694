# The benchmark in a container, on a CPU, as an ordinary user. Everything it writes is in /data, so the
# file system may be read-only:
#
#   docker build -t pellucid .
#   docker run --rm --read-only -v pellucid:/data pellucid              # the quick preset
#   docker run --rm --read-only -v pellucid:/data pellucid --help
#
# A folder in place of the volume needs --user "$(id -u):$(id -g)", so that it is written by its owner.

ARG PYTHON=docker.io/library/python:3.12-slim

FROM ${PYTHON} AS build
RUN python3 -m venv /opt/pellucid
COPY requirements.txt /source/
RUN /opt/pellucid/bin/pip install --no-cache-dir --requirement /source/requirements.txt
COPY . /source
RUN /opt/pellucid/bin/pip install --no-cache-dir --no-deps /source

FROM ${PYTHON}
COPY --from=build /opt/pellucid /opt/pellucid
RUN useradd --uid 1000 --home-dir /data --create-home pellucid
ENV PATH=/opt/pellucid/bin:$PATH HOME=/data
USER pellucid
WORKDIR /data
VOLUME /data
ENTRYPOINT ["pellucid"]
CMD ["run", "--preset", "quick"]
