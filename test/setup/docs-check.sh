#!/bin/bash
# Fails if the man pages or completions in the tree are not what the command table gives.
set -euo pipefail
cd "$(dirname "$0")/../.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/man" "$tmp/completions"
bin/wherry generate-docs "$tmp/man" "$tmp/completions"
diff -rq docs/man "$tmp/man" && diff -rq contrib/completions "$tmp/completions" ||
  { echo "stale: run make docs and commit the result"; exit 1; }
