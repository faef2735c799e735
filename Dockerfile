# `make image` builds it from packages gathered beforehand (dist/wheels), without a network; `docker build .` fetches them.
# Any base with Python 3.11 to 3.13 and its venv module will do: --build-arg BASE_IMAGE=…
ARG BASE_IMAGE=python:3.13-slim-bookworm

FROM ${BASE_IMAGE} AS build
# for a network where packages come from a mirror: --build-arg PIP_INDEX_URL=…
ARG PIP_INDEX_URL
ARG PIP_CERT
WORKDIR /src
COPY . .
RUN set -eu; \
    from=""; if [ -d dist/wheels ]; then from="--no-index --find-links dist/wheels"; fi; \
    python3 -m venv /tmp/build; \
    /tmp/build/bin/pip install --no-cache-dir $from --require-hashes -r requirements-build.lock; \
    /tmp/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheel .; \
    python3 -m venv /opt/cargohold; \
    /opt/cargohold/bin/pip install --no-cache-dir $from --require-hashes -r requirements.lock; \
    /opt/cargohold/bin/pip install --no-cache-dir --no-index --no-deps /tmp/wheel/*.whl; \
    /opt/cargohold/bin/pip uninstall --yes pip; \
    mkdir -p /empty/data /empty/etc/cargohold; \
    cp config/container.yml /empty/etc/cargohold/cargohold.yml; \
    chown 10001:10001 /empty/data

FROM ${BASE_IMAGE}
COPY --from=build /opt/cargohold /opt/cargohold
COPY --from=build /empty/etc/cargohold /etc/cargohold
COPY --from=build --chown=10001:10001 /empty/data /data
ENV PATH=/opt/cargohold/bin:$PATH \
    CARGOHOLD_CONFIG=/etc/cargohold/cargohold.yml \
    PYTHONDONTWRITEBYTECODE=1
# nothing outside of /data is written: the root filesystem may be read-only
USER 10001:10001
VOLUME /data
EXPOSE 5000
HEALTHCHECK --interval=30s --timeout=6s --start-period=10s CMD ["cargohold", "health"]
ENTRYPOINT ["cargohold"]
# does not start before its operator has said who may write, see /etc/cargohold/cargohold.yml
CMD ["serve"]
