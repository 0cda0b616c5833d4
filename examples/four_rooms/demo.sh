#!/usr/bin/env bash
# The quickstart, as `make demo` shows it: a first run, the same again, one changed line and why.
# Works on a copy in a temporary folder, with a store of its own; this folder stays as it is.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mktemp -d "${TMPDIR:-/tmp}/ems-demo.XXXXXX")
cp -R "$here/pipeline.py" "$here/rooms" "$folder"
printf 'store: .ems\n' > "$folder/.ems.yaml"
cd "$folder"

step() { printf '\n── %s\n' "$*"; }
show() { # a command, as a person would type it, and how long it took
  local start
  start=$(python -c 'import time; print(time.time())')
  printf '$ %s\n' "$*"
  "$@"
  python -c "import time; print(f'({time.time() - $start:.1f} s)')"
}

step "Four Rooms: collect rollouts, preprocess, train a policy, evaluate it on 100 goals, plot"
show emsctl run pipeline.py

step "The same again: nothing has changed, so nothing runs"
show emsctl run pipeline.py

step "One changed line: how boldly the policy acts when it is evaluated"
before=$(grep '^TEMPERATURE = ' pipeline.py)
sed 's/^TEMPERATURE = [0-9.]*/TEMPERATURE = 0.6/' pipeline.py > changed && mv changed pipeline.py
printf -- '- %s\n+ %s\n' "$before" "$(grep '^TEMPERATURE = ' pipeline.py)"
show emsctl run pipeline.py

step "Why did evaluate run, and neither collect nor train?"
show emsctl why last evaluate

cat <<END

── What to try next
  cd $folder
  PATH="$(dirname "$(command -v emsctl)"):\$PATH"
  emsctl show last                       # what the run kept: results, times, resources
  emsctl run pipeline.py -n -p workers=16   # what more data would run, before it runs
  emsctl run pipeline.py -p workers=16      # only the new workers' rollouts are collected
  emsctl runs
Then write your own: emsctl init, and docs/tutorial/first-pipeline.md.
END
