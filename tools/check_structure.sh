#!/usr/bin/env bash
# The rules of the house that a compiler does not check: includes point one way, public headers carry
# no third-party include, no file outgrows a reader, no two rooms include each other, no name is defined
# twice, and README.md shows the program that it names.
# Exits 1 and names each break.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

declare -A MAY_USE=(
  [core]="core"
  [data]="core data"
  [sparse]="core sparse"
  [autograd]="core sparse autograd"
  [nn]="core sparse autograd data nn"
  [embed]="core sparse autograd data nn"
  [prune]="core sparse autograd data nn prune"
  [experiments]="core sparse autograd data nn prune experiments"
)
failed=0
complain() {
  echo "structure: $*" >&2
  failed=1
}

for folder in "${!MAY_USE[@]}"; do
  while IFS=: read -r file line include; do
    used=$(sed -E 's|.*<espalier/([a-z_]+)/.*|\1|' <<<"$include")
    [[ " ${MAY_USE[$folder]} " == *" $used "* ]] ||
      complain "$file:$line: espalier/$folder/ may not include from espalier/$used/"
  done < <(git ls-files "espalier/$folder/*.h" "espalier/$folder/*.cpp" "espalier/$folder/*.inc" |
    xargs -r grep -nHE '#include <espalier/[a-z_]+/' || true)
done

while IFS=: read -r file line include; do
  complain "$file:$line: third-party include in a public header:$include"
done < <(git ls-files '*.h' ':!*/detail/*' ':!espalier/core/simd.h' ':!*/tests/*' ':!espalier/experiments/*' |
  xargs -r grep -nHE '#include [<"](tbb|hwy|fmt|nlohmann|CLI|toml|matio|curl|archive|cblas|lapacke|zlib|jpeglib|png|webp|stb)' || true)

while read -r lines file; do
  [ "$file" = total ] || [ "$lines" -le 600 ] || complain "$file has $lines lines (limit 600, aim 400)"
done < <(git ls-files '*.h' '*.cpp' | xargs -r wc -l)

python3 tools/check_rooms.py || failed=1
python3 tools/check_names.py || failed=1

# Whatever is looked for has a row in the table of third_party/.
while IFS=: read -r file line found; do
  found=$(sed -E 's/.*((find_package|pkg_check_modules)\([A-Za-z0-9_]+).*/\1/' <<<"$found")
  grep -qF "\`$found)\`" third_party/README.md ||
    complain "$file:$line: third_party/README.md has no row with \`$found)\`"
done < <(git ls-files '*CMakeLists.txt' '*.cmake' ':!examples/*' |
  xargs grep -nHE '^ *(find_package|pkg_check_modules)\(')

# What the README shows of a program is in the one that is compiled.
python3 - <<'PYTHON' || complain "the code in README.md is not in examples/first_network.cpp"
import pathlib, re
def squeezed(text): return [line.strip() for line in text.splitlines() if line.strip()]
shown = squeezed(re.search(r"^```cpp$(.*?)^```$", pathlib.Path("README.md").read_text(), re.M | re.S).group(1))
program = squeezed(pathlib.Path("examples/first_network.cpp").read_text())
raise SystemExit(not any(program[i:i + len(shown)] == shown for i in range(len(program))))
PYTHON

[ "$failed" -eq 0 ] && echo "structure: includes point one way, headers are clean, names are defined once, dependencies are listed, the README's program is the one that is compiled"
exit "$failed"
