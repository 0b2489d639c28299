#!/bin/sh
# Makes a throw-away SoftHSM token in a directory of its own, with random PINs.
#
#   softhsm/make-token.sh DIR [LABEL]
#
# Prints the lines to put into the environment and the PKCS#11 URI of the token. Changes nothing
# outside DIR and refuses a DIR that holds a token already.
set -eu

usage='usage: make-token.sh DIR [LABEL]'
dir=${1:?$usage}
label=${2:-Assay}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

command -v softhsm2-util >/dev/null || {
    echo "softhsm2-util is missing: apt install softhsm2" >&2
    exit 1
}
if [ -e "$dir/softhsm2.conf" ]; then
    echo "$dir/softhsm2.conf exists: choose another directory, nothing is overwritten" >&2
    exit 1
fi

# They would mean something to sed below.
case $dir in
*['|&\']*)
    echo "$dir: choose a directory without |, & and \\ in its path" >&2
    exit 1
    ;;
esac

umask 077
mkdir -p "$dir/tokens"
dir=$(CDPATH='' cd -- "$dir" && pwd)

# A PIN nobody chose: 128 bits from the kernel, in hexadecimal.
random_pin() {
    od -An -N16 -tx1 /dev/urandom | tr -d ' \n'
}
random_pin >"$dir/so.pin"
random_pin >"$dir/user.pin"

sed "s|@TOKEN_DIR@|$dir/tokens|" "$here/softhsm2.conf" >"$dir/softhsm2.conf"

# The PINs show in the process list while this runs: fit for a throw-away token, not for others.
SOFTHSM2_CONF=$dir/softhsm2.conf softhsm2-util --init-token --free --label "$label" \
    --so-pin "$(cat "$dir/so.pin")" --pin "$(cat "$dir/user.pin")" >/dev/null

encoded=$(printf '%s' "$label" | od -An -v -tx1 | tr -d '\n' | sed 's/ /%/g')
echo "export SOFTHSM2_CONF=$dir/softhsm2.conf"
echo "# pkcs11:token=$encoded?pin-source=file:$dir/user.pin"
