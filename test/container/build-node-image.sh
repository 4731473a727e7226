#!/usr/bin/env bash
# Makes a base image for the Dockerfile from this machine's Node.js, its npm and its C library, without
# an image registry, and names it $1. It has no shell and no network: npm installs from the cache that
# the lock file is filled into here.
set -euo pipefail
image=$1
checkout=$(cd "$(dirname "$0")/../.." && pwd)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
node=$(readlink -f "${COUNTERSIGN_NODE:-$(command -v node)}")
npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
mkdir -p "$root"/{usr/local/bin,usr/local/lib/node_modules,npm-cache,tmp,etc}
cp "$node" "$root/usr/local/bin/node"
cp -rL "$npm" "$root/usr/local/lib/node_modules/npm"
for library in $(ldd "$node" | grep -oE '/[^ ]+'); do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
echo 'root:x:0:0::/:' >"$root/etc/passwd"
chmod 1777 "$root/tmp"
mkdir "$root/fill"
cp "$checkout/package.json" "$checkout/package-lock.json" "$root/fill"
# What npm has in its own cache already is not fetched again.
cp -r "$(npm config get cache)/_cacache" "$root/npm-cache/" 2>/dev/null || true
npm ci --prefix "$root/fill" --cache "$root/npm-cache" --prefer-offline --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
rm -rf "$root/fill"
tar -C "$root" -c . | docker import \
  -c 'ENV NPM_CONFIG_CACHE=/npm-cache NPM_CONFIG_OFFLINE=true PATH=/usr/local/bin HOME=/tmp' \
  - "$image" >/dev/null
