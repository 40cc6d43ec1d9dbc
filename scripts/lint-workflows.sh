#!/usr/bin/env bash
# Owns the check of the workflows: their form by GitHub's own schema, and what is known to be unsafe. Needs Python 3, for
# the two linters, which it installs below target/ in the versions named here.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=(zizmor==1.32.0 check-jsonschema==0.39.0)
folder="target/workflow-linters"
if [ "$(cat "$folder/installed" 2>/dev/null)" != "${tools[*]}" ]; then
  python3 -m venv --clear "$folder"
  "$folder/bin/pip" install --quiet --disable-pip-version-check "${tools[@]}"
  echo "${tools[*]}" >"$folder/installed"
fi

"$folder/bin/check-jsonschema" --builtin-schema vendor.github-workflows .github/workflows/*.yml
"$folder/bin/zizmor" --offline --pedantic --strict-collection --no-progress --quiet .github/workflows
