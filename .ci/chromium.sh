#!/usr/bin/env bash
# The browser of the tests: Debian's Chromium, installed where it is missing and root may do so.
set -euo pipefail
for name in chromium chromium-browser google-chrome; do
  command -v "$name" >/dev/null 2>&1 && exit 0
done
echo "No Chromium here; installing Debian's."
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium >/dev/null
command -v chromium
