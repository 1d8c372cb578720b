// SPDX-License-Identifier: Apache-2.0
// A target without libFuzzer, as a test of seconds with any compiler: seeds are read, and seeds cut
// short or with single bytes changed are read or refused by an Error.
#include <algorithm>
#include <chrono>
#include <cstdio>

#include <espalier/core/error.h>
#include <espalier/core/fuzz/target.h>

namespace {

constexpr size_t kCuts = 25;
constexpr size_t kChanges = 100;
constexpr auto kMostTime = std::chrono::seconds(3);  // for one seed; readers differ much

}  // namespace

int main() {
  using namespace espalier::fuzz;
  int read_whole = 0;
  int refused = 0;
  const auto feed = [&](const Bytes& bytes) {
    try {
      read_twice(bytes);
      ++read_whole;
    } catch (const espalier::Error&) {
      ++refused;
    }
  };
  refuse_all();
  int failed = 0;
  for (const Bytes& seed : seeds()) {
    try {
      read_twice(seed);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "a seed is refused: %s\n", error.what());
      failed = 1;
    }
    const auto end = std::chrono::steady_clock::now() + kMostTime;
    const auto in_time = [&] { return std::chrono::steady_clock::now() < end; };
    for (size_t cut = 0; cut < std::min(kCuts, seed.size()) && in_time(); ++cut) {
      feed({seed.begin(), seed.begin() + static_cast<long>(cut * seed.size() / kCuts)});
    }
    const size_t step = std::max<size_t>(1, seed.size() / kChanges);
    for (size_t at = 0; at < seed.size() && in_time(); at += step) {
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
