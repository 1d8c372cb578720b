#!/usr/bin/env bash
# check_install.sh BUILD_DIR: installs into a temporary prefix and uses what is there as a stranger would:
# examples/consumer built with find_package (both spellings) and with pkg-config, and run; and the Debian packages
# hold the same files. Exits 1 and names what fails; nothing is skipped.
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "install: $*" >&2; exit 1; }

prefix=$work/before
cmake --install "$build" --prefix "$prefix" >/dev/null
# An install tree may be moved.
mv "$prefix" "$work/prefix"
prefix=$work/prefix
include=$prefix/include/espalier

for package in espalier libespalier-dev; do
  for work_of_others in fmt nlohmann/json CLI11 toml++ cpp-httplib stb; do
    grep -qF "$work_of_others (https" "$prefix/share/doc/$package/NOTICE" ||
      fail "the NOTICE of $package is missing or does not name $work_of_others"
  done
done
[ -f "$include/espalier.h" ] && [ -f "$include/espalier_c.h" ] || fail "the headers of the root are missing"
if grep -rnE '#include [<"](tbb|oneapi|hwy|fmt|nlohmann|CLI|toml|matio|curl|archive|cblas|lapacke|zlib|jpeglib|png|webp|stb|gtest)' "$include"; then
  fail "an installed header includes a third-party one"
fi
if find "$include" -path '*/tests/*' -o -path '*/bench/*' -o -path '*/fuzz/*' | grep .; then
  fail "headers of tests are installed"
fi
if grep -rlF -e "$source" -e "$build" -- "$prefix/lib"*/cmake "$prefix/lib"*/pkgconfig "$prefix"/lib/*/cmake "$prefix"/lib/*/pkgconfig 2>/dev/null; then
  fail "an installed file names the build machine's folders"
fi
"$prefix/bin/espalier" methods >/dev/null || fail "the installed command does not run"

# All installed headers compile with no include path but the prefix.
find "$include" -name '*.h' ! -name '*-inl.h' -printf '#include <espalier/%P>\n' | sort >"$work/all.cpp"
g++ -std=c++20 -Wall -Wextra -Werror -fsyntax-only -I"$prefix/include" "$work/all.cpp" ||
  fail "an installed header does not compile"

run_consumer() { (cd "$work" && "$1" | grep -E '^[1-9][0-9]* weights kept') || fail "the consumer ($2) failed"; }

for name in Espalier espalier; do
  mkdir "$work/$name"
  sed "s/find_package(Espalier/find_package($name/" "$source/examples/consumer/CMakeLists.txt" >"$work/$name/CMakeLists.txt"
  cp "$source/examples/consumer/consumer.cpp" "$work/$name/"
  cmake -S "$work/$name" -B "$work/$name/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release >/dev/null ||
    fail "find_package($name) failed"
done
cmake --build "$work/Espalier/build" >/dev/null || fail "the consumer does not build with find_package"
run_consumer "$work/Espalier/build/consumer" find_package
if sed -i 's/find_package(espalier 0.1/find_package(espalier 99.0/' "$work/espalier/CMakeLists.txt" &&
  cmake -S "$work/espalier" -B "$work/espalier/build" >/dev/null 2>&1; then
  fail "a version that is not there was found"
fi

PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name espalier.pc)")
export PKG_CONFIG_PATH
[ "$(pkg-config --modversion espalier)" = "$(sed -n 's/^project(espalier VERSION \([0-9.]*\).*/\1/p' "$source/CMakeLists.txt")" ] ||
  fail "pkg-config tells another version"
# shellcheck disable=SC2046 # words on purpose
g++ -std=c++20 "$source/examples/consumer/consumer.cpp" $(pkg-config --cflags --libs espalier) -o "$work/with_pkg_config" ||
  fail "the consumer does not build with pkg-config"
run_consumer "$work/with_pkg_config" pkg-config

# A plugin is built with the headers alone, and the command has what it uses.
# shellcheck disable=SC2046
g++ -std=c++20 -O2 -shared -fPIC "$source/examples/skeletons/method.cpp" $(pkg-config --cflags espalier) -o "$work/method.so" ||
  fail "the skeleton of a method does not build as a plugin"
mkdir "$work/plugin"
cp "$source/examples/skeletons/method.cpp" "$work/plugin/"
cat >"$work/plugin/CMakeLists.txt" <<'TEXT'
cmake_minimum_required(VERSION 3.25)
project(plugin LANGUAGES CXX)
find_package(Espalier 0.1 REQUIRED)
add_library(method MODULE method.cpp)
target_link_libraries(method PRIVATE espalier::plugin)
TEXT
cmake -S "$work/plugin" -B "$work/plugin/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release >/dev/null &&
  cmake --build "$work/plugin/build" >/dev/null || fail "the plugin does not build with find_package"
for plugin in "$work/method.so" "$work/plugin/build/libmethod.so"; do
  "$prefix/bin/espalier" --plugin "$plugin" methods relative-magnitude >/dev/null || fail "$plugin does not load"
done

cat >"$work/c.c" <<'TEXT'
#include <espalier/espalier_c.h>
int main(void) {
  espalier_plan* plan;
  return espalier_load("/no/plan", &plan) == ESPALIER_BAD_FILE && *espalier_last_error() ? 0 : 1;
}
TEXT
# shellcheck disable=SC2046
gcc -std=c99 "$work/c.c" $(pkg-config --cflags espalier) -lespalier_c $(pkg-config --libs espalier) -lstdc++ -lm -o "$work/c" &&
  "$work/c" || fail "a C program can't use the installed library"

(cd "$work" && cpack --config "$build/CPackConfig.cmake" -B "$work/debs" >/dev/null 2>&1) || fail "cpack makes no packages"
for package in espalier:libtbb12 espalier:libfmt9 libespalier-dev:libtbb-dev libespalier-dev:libfmt-dev; do
  deb=$(find "$work/debs" -maxdepth 1 -name "${package%%:*}_*.deb")
  [ -n "$deb" ] || fail "there is no package ${package%%:*}"
  dpkg-deb --field "$deb" Depends | grep -q "${package##*:}" || fail "$deb does not depend on ${package##*:}"
  dpkg-deb --extract "$deb" "$work/root"
done
files() { (cd "$1" && find . -type f | sort); }
diff <(files "$prefix") <(files "$work/root/usr") || fail "the packages hold other files than the install tree"
"$work/root/usr/bin/espalier" methods >/dev/null || fail "the packaged command does not run"

# The promise of the headers: no templates to wait for. Processor seconds, so that a busy machine passes.
TIMEFORMAT='%U %S'
# shellcheck disable=SC2046
seconds=$( { time g++ -std=c++20 -O2 -c $(pkg-config --cflags espalier) "$source/examples/consumer/consumer.cpp" -o "$work/consumer.o"; } 2>&1 |
  awk '{ print $1 + $2 }')
awk "BEGIN { exit !($seconds < 5) }" || fail "a 40-line program takes $seconds s to compile (limit 5 s)"
echo "install: find_package, pkg-config, packages and headers work; the consumer compiles in $seconds s"
