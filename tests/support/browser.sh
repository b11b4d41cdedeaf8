#!/usr/bin/env bash
# Install what the tests of pages need beyond Python: Chromium with its driver (Debian packages) and axe-core (npm), an
# accessibility checker. What cannot be installed is reported; the tests that need it are skipped with a reason.
set -uo pipefail
cd "$(dirname "$0")/../.."
missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v chromedriver >/dev/null || missing+=(chromium-driver)
command -v npm >/dev/null || missing+=(npm)
if [ ${#missing[@]} -gt 0 ] && command -v apt-get >/dev/null; then
  if [ "$(id -u)" = 0 ]; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    echo "missing: ${missing[*]}; install with: sudo apt-get install ${missing[*]}"
  fi
fi
if command -v npm >/dev/null && [ ! -f .venv/node_modules/axe-core/axe.min.js ]; then
  npm install --silent --no-audit --no-fund --prefix .venv axe-core@4.14.1 >/dev/null
fi
exit 0
