#!/bin/sh
# Makes sure that the Debian packages named on the command line are installed.
#
# Installs what is missing where it may (as root, or through sudo where that asks no password); otherwise prints the one
# command that does and exits 1. With nothing missing it needs no rights and no network.
set -eu

missing=""
for package in "$@"; do
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    as_root=""
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "These Debian packages are missing; install them, then run make again:" >&2
    echo "    sudo apt-get install --yes --no-install-recommends$missing" >&2
    exit 1
fi

echo "Installing$missing"
export DEBIAN_FRONTEND=noninteractive
# The lists may be absent or stale on a fresh machine; a failing update is told by the install that follows.
$as_root apt-get update --quiet=2 || true
# shellcheck disable=SC2086 # the list is meant to be split
$as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install --yes --quiet=2 --no-install-recommends $missing
