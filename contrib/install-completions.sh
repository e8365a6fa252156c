#!/bin/bash
# install-completions.sh FROM DATADIR: puts each shell's completion where that shell looks for it.
set -euo pipefail
from=$1 data=$2
put() { # FILE TARGET
  [ -f "$1" ] || return 0
  install -D -m 644 "$1" "$2"
}
put "$from/wherry.bash" "$data/bash-completion/completions/wherry"
put "$from/_wherry" "$data/zsh/site-functions/_wherry"
put "$from/wherry.zsh" "$data/zsh/site-functions/_wherry"
put "$from/wherry.fish" "$data/fish/vendor_completions.d/wherry.fish"
