# docker build -t oci-chart-registry .
# Both base images can be replaced, by a mirror for example: --build-arg BUN_IMAGE=… --build-arg BASE_IMAGE=…
# BUN_IMAGE has to hold the Bun that package.json pins; BASE_IMAGE needs glibc and CA certificates, no shell.
ARG BUN_IMAGE=oven/bun:1.4.5
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUN_IMAGE} AS build
WORKDIR /build
COPY package.json bun.lock bunfig.toml ./
RUN bun install --frozen-lockfile --production
COPY tsconfig.json ./
COPY .ci/compile .ci/compile
COPY src src
# The empty directories are made here because the final stage has no shell to make them with. Like /tmp, they are open to
# whoever runs the container (docker run --user, or a cluster that picks the user): a new volume takes over their mode.
RUN .ci/compile bun dist/oci-chartrepo && mkdir volumes && mkdir -m 1777 volumes/cache volumes/data

FROM ${BASE_IMAGE}
COPY --from=build /build/dist/oci-chartrepo /oci-chartrepo
COPY --from=build --chown=65532:65532 /build/volumes/ /
# A number, so that Kubernetes can tell that runAsNonRoot holds.
USER 65532:65532
# The cache and the embedded registry (./data) are the only places that are written to: everything else works on a
# read-only root file system.
# Bun reads its limit of simultaneous requests once, at start. Its default of 256 is for the whole process, and many
# first downloads of large charts must not take the places of the crawl.
ENV CACHE_DIR=/cache \
    BUN_CONFIG_MAX_HTTP_REQUESTS=1024
WORKDIR /
VOLUME /cache
EXPOSE 8080
ENTRYPOINT ["/oci-chartrepo"]
