#!/bin/bash
# Runs every fuzz target for FUZZTIME (10s), one after the other.
set -euo pipefail
cd "$(dirname "$0")/../.."
go=${GO:-go}
: "${TAGS:=$(sed -n 's/^TAGS *:= //p' Makefile)}"
bad=0 n=0
while IFS=: read -r file target; do
  echo "# $target in $(dirname "$file")"
  n=$((n + 1))
  "$go" test -tags "$TAGS" -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-10s}" "./$(dirname "$file")" || bad=1
done < <(grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sed 's|^\./||; s/func //' | sort -u)
echo "# $n fuzz targets"
exit $bad
