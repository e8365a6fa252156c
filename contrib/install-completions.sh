#!/bin/bash
# install-completions.sh FROM DATADIR [NAME]: puts each shell's completion where that shell looks for it; for NAME, a link to
# wherry, if given.
set -euo pipefail
from=$1 data=$2 name=${3:-wherry}
put() { # FILE TARGET
  [ -f "$1" ] || return 0
  install -d "$(dirname "$2")"
  sed "s/wherry/$name/g" "$1" >"$2"
  chmod 644 "$2"
}
put "$from/wherry.bash" "$data/bash-completion/completions/$name"
put "$from/_wherry" "$data/zsh/site-functions/_$name"
put "$from/wherry.zsh" "$data/zsh/site-functions/_$name"
put "$from/wherry.fish" "$data/fish/vendor_completions.d/$name.fish"
