# What all steps share; each of them reads it. Every value can be given by the environment, for instance by the variables of a CI.
# shellcheck shell=bash disable=SC2034
set -euo pipefail
export LC_ALL=C

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# The mirror, and its public key: fetched once, compared with what its operator says, and kept with the pipeline.
MIRROR=${MIRROR:-http://mirror.example.org}
MIRROR_KEY=$(realpath -m "${MIRROR_KEY:-RPM-GPG-KEY-mirror}")
# Who marks builds: an operator's shell on the mirror.
OPERATOR=${OPERATOR:-ssh root@mirror.example.org}

# What is built, where it is published, and which lists say what it is built of.
SERIES=${SERIES:-master/centos/flock}
LISTS=${LISTS:-3.0}
DIST=${DIST:-.tis.el7}
# A checkout of git with a directory for each package.
PACKAGES=$(realpath -m "${PACKAGES:-$HERE/packages}")

# Everything that the steps write. Kept from run to run it spares downloads; an empty one will do.
WORK=$(realpath -m "${WORK:-work}")
mkdir -p "$WORK/logs"

BASE=$MIRROR/mirror/starlingx/$SERIES
# The build has one name from its first step, which chooses it, to its last one.
TIMESTAMP=$(cat "$WORK/timestamp" 2> /dev/null || true)
BUILD=$WORK/builds/$TIMESTAMP

# The newest build that succeeded, where there is one. Step 1 looks once, so that all steps mean the same one, whatever is published meanwhile.
last_build() {
  [ -s "$WORK/last/build.repo" ] || return 0
  sed -n "s#^baseurl=.*/$SERIES/\([0-9]\{8\}T[0-9]\{6\}Z\)/.*#\1#p" "$WORK/last/build.repo" | head -n 1
}

fail() {
  echo "$(basename "$0"): $1" >&2
  exit 1
}
