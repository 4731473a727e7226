# The image of Countersign: the program, its production dependencies, Node.js and the C library that it
# needs; no shell, no package manager, nothing that root owns the process of. It runs with a read-only
# root and without capabilities. `npm run test:container` builds and runs it.
#
#   docker build -t countersign:local .
#   docker build -t countersign:local --build-arg NODE_IMAGE=registry.example/node@sha256:… .
#
# NODE_IMAGE has /usr/local/bin/node with npm beside it: a supported LTS release, named by its digest.
ARG NODE_IMAGE=node:24-bookworm-slim@sha256:ba849c60be29959425b8734d57b8b4b7d56f98edd9504c9af091d5281095a71e
FROM ${NODE_IMAGE} AS build
WORKDIR /src
COPY . .
RUN ["node", "scripts/image-root.mjs", "/image"]

FROM scratch
LABEL org.opencontainers.image.title="countersign" \
      org.opencontainers.image.description="ext_authz sidecar that decides requests of non-human identities" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image/node/ /
COPY --from=build --chown=65532:65532 /image/run/ /run/
COPY --from=build /image/app/ /app/
ENV NODE_ENV=production
USER 65532:65532
WORKDIR /app
# What a Check leaves behind is garbage at once: a young generation of 16 MiB each way would only be memory.
ENTRYPOINT ["/usr/local/bin/node", "--max-semi-space-size=4", "/app/build/src/main.js"]
CMD ["serve", "-c", "/etc/countersign/countersign.yaml"]
