// SPDX-License-Identifier: Apache-2.0
// A target without libFuzzer, as a test of seconds with any compiler: seeds are read, and seeds cut
// short or with single bytes changed are read or refused by an Error.
#include <algorithm>
#include <cstdio>

#include <espalier/core/error.h>
#include <espalier/core/fuzz/target.h>

namespace {

constexpr size_t kCuts = 100;
constexpr size_t kChanges = 400;

}  // namespace

int main() {
  using namespace espalier::fuzz;
  int read_whole = 0;
  int refused = 0;
  const auto feed = [&](const Bytes& bytes) {
    try {
      read(bytes);
      ++read_whole;
    } catch (const espalier::Error&) {
      ++refused;
    }
  };
  int failed = 0;
  for (const Bytes& seed : seeds()) {
    try {
      read(seed);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "a seed is refused: %s\n", error.what());
      failed = 1;
    }
    for (size_t cut = 0; cut < std::min(kCuts, seed.size()); ++cut) {
      feed({seed.begin(), seed.begin() + static_cast<long>(cut * seed.size() / kCuts)});
    }
    const size_t step = std::max<size_t>(1, seed.size() / kChanges);
    for (size_t at = 0; at < seed.size(); at += step) {
      for (const int change : {0xff, 0x80, 0x01}) {
        Bytes spoiled = seed;
        spoiled[at] = static_cast<uint8_t>(spoiled[at] ^ change);
        feed(spoiled);
      }
    }
  }
  std::printf("%d inputs read, %d refused\n", read_whole, refused);
  return failed == 0 && refused > 0 ? 0 : 1;
}
