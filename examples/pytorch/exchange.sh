#!/usr/bin/env bash
# exchange.sh relay|torch PROGRAM: networks to Python and back. relay needs no PyTorch; torch looks for a Python
# that has it and exits with 77 when there is none.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=python3
if [ "$1" = torch ] && ! python3 -c 'import torch' 2>/dev/null && [ -x /usr/bin/python3 ]; then python=/usr/bin/python3; fi
export PYTHONDONTWRITEBYTECODE=1
"$2" write "$folder"
"$python" "$here/exchange.py" "$1" "$folder"
"$2" check "$folder"
