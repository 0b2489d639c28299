#!/bin/sh
# Makes sure that pkilint, a linter of certificates by others, is in the virtual environment named on the command line
# (target/pkilint where none is). With the right version there it needs no network.
set -eu

version=0.13.3
home=${1:-$(dirname "$0")/../target/pkilint}
mark="$home/installed-$version"
[ ! -e "$mark" ] || exit 0

# Tests run side by side; the second one waits and finds it done.
mkdir -p "$(dirname "$home")"
exec 9>"$home.lock"
flock 9
[ ! -e "$mark" ] || exit 0

# Debian's own interpreter, so that python3-venv is the package that is missing where this fails.
if ! /usr/bin/python3 -m venv --clear "$home"; then
    echo "cannot make $home; install it, then run make again: apt-get install python3-venv" >&2
    exit 1
fi
if ! "$home/bin/pip" install --quiet --disable-pip-version-check "pkilint==$version"; then
    echo "cannot install pkilint $version from PyPI into $home; is there a network?" >&2
    exit 1
fi
touch "$mark"
