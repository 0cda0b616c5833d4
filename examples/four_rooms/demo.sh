#!/usr/bin/env bash
# The quickstart, as `make demo` shows it: a first run, the same again, one changed line and why.
# Works on a copy in a temporary folder, with a store of its own; this folder stays as it is.
set -euo pipefail
export LC_NUMERIC=C
exec 2>&1

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mktemp -d "${TMPDIR:-/tmp}/ems-demo.XXXXXX")
cp -R "$here/pipeline.py" "$here/rooms" "$folder"
printf 'store: .ems\n' > "$folder/.ems.yaml"
cd "$folder"

bold='' dim='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; fi

now() { echo "${EPOCHREALTIME:-$(date +%s)}"; }
step() { printf '\n%s── %s%s\n' "$bold" "$*" "$plain"; }
show() { # a command, as a person would type it; how long all of it took is left in $took
  local start
  start=$(now)
  printf '%s$ %s%s\n' "$bold" "$*" "$plain"
  "$@"
  took=$(awk "BEGIN { printf \"%.1f s\", $(now) - $start }")
}

step "1. Four Rooms: collect rollouts, preprocess, train a policy, evaluate it on 100 goals, plot"
show emsctl run pipeline.py
first=$took

step "2. The same again: nothing has changed, so nothing runs"
show emsctl run pipeline.py
second=$took

step "3. One changed line: how boldly the policy acts when it is evaluated"
before=$(grep '^TEMPERATURE = ' pipeline.py)
sed 's/^TEMPERATURE = [0-9.]*/TEMPERATURE = 0.6/' pipeline.py > changed && mv changed pipeline.py
printf 'pipeline.py\n- %s\n+ %s\n' "$before" "$(grep '^TEMPERATURE = ' pipeline.py)"
show emsctl run pipeline.py
third=$took

step "Why did evaluate run, and neither collect nor train?"
show emsctl why evaluate
show emsctl why train

counts() { # how many tasks' calls of a run ran, and how many were known
  emsctl show "$1" -o json | python -c '
import json, sys
counts = json.load(sys.stdin)["counts"]
print(", ".join(f"{counts[how]} {how}" for how in ("ran", "cached") if counts.get(how)))'
}

cat <<END

${bold}── So${plain}
  the first time     $first   $(counts last~2)
  again              $second   $(counts last~1)
  one changed line   $third   $(counts last)
  the policy's success against its training episodes:
  $(find "$folder/.ems/links" -name success.png -newer "$folder/pipeline.py" | head -n 1)

${bold}── What to try next${plain}
  cd $folder
  export PATH="$(dirname "$(command -v emsctl)"):\$PATH"
  emsctl show last                          ${dim}# what the run kept: results, times, memory${plain}
  emsctl diff last~1 last                   ${dim}# what the changed line did to the results${plain}
  emsctl run pipeline.py -n -p workers=16   ${dim}# what more data would run, before it runs${plain}
  emsctl run pipeline.py -p workers=16      ${dim}# only the new workers' rollouts are collected${plain}
Then write your own: emsctl init my-project, and docs/tutorial/first-pipeline.md.
END
