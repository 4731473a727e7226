#!/usr/bin/env bash
# Makes an image of Envoy from the binary at $1 and the C library of this machine, without an image
# registry, and names it $2.
set -euo pipefail
binary=$1 image=$2
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{usr/local/bin,etc/envoy,tmp}
cp "$binary" "$root/usr/local/bin/envoy"
chmod 755 "$root/usr/local/bin/envoy"
for library in $(ldd "$binary" | grep -oE '/[^ ]+'); do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
echo 'root:x:0:0::/:' >"$root/etc/passwd"
chmod 1777 "$root/tmp"
tar -C "$root" -c . | docker import -c 'ENTRYPOINT ["/usr/local/bin/envoy"]' - "$image" >/dev/null
