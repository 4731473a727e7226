#!/usr/bin/env bash
# Builds the peers that are compared with, where there is Go: `npm run bench:peers`.
# Versions and checksums are those of go.mod and go.sum beside this file.
set -euo pipefail
cd "$(dirname "$0")"
target="${COUNTERSIGN_CACHE:-$(cd ../.. && pwd)/.cache}/peers"
mkdir -p "$target"
CGO_ENABLED=0 nice go build -p "${BUILD_JOBS:-2}" -trimpath -o "$target/opa-envoy" \
  github.com/open-policy-agent/opa-envoy-plugin/cmd/opa-envoy-plugin
echo "$target/opa-envoy"
