#!/bin/bash
# install-systemd.sh FROM LIBDIR BINDIR: the units of the API's service, for each user and for root.
set -euo pipefail
from=$1 lib=$2 bin=$3
for scope in user system; do
  install -d "$lib/systemd/$scope"
  install -m 644 "$from/wherry.socket" "$lib/systemd/$scope/"
  sed "s|@BINDIR@|$bin|" "$from/wherry.service.in" >"$lib/systemd/$scope/wherry.service"
  chmod 644 "$lib/systemd/$scope/wherry.service"
done
