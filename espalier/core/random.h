// SPDX-License-Identifier: Apache-2.0
/// Counter-based random numbers: Philox4x32-10. A number is a pure function of (seed, stream,
/// counter), so any thread can make any part of a sequence. There is no global generator.
///
/// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include <espalier/core/tensor.h>

namespace espalier {

/// Four random words for a 128-bit counter under a 64-bit key (10 rounds).
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// A stream number from a purpose, for example `stream_id("init")` (FNV-1a, 64 bits): one stream
/// per purpose keeps a new consumer of random numbers from shifting all others.
constexpr uint64_t stream_id(std::string_view purpose) {
  uint64_t hash = 14695981039346656037ull;
  for (char c : purpose) hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211ull;
  return hash;
}

/// A position in a random sequence: small, copyable, saved as three numbers.
class Rng {
 public:
  /// All that is needed to continue a sequence.
  struct State {
    uint64_t seed = 0;      ///< the key
    uint64_t stream = 0;    ///< the purpose, see stream_id
    uint64_t position = 0;  ///< words drawn so far
    bool operator==(const State&) const = default;
  };

  /// The first number of a stream.
  explicit Rng(uint64_t seed, uint64_t stream = 0) : state_{seed, stream, 0} {}
  /// The first number of the stream of a purpose.
  Rng(uint64_t seed, std::string_view purpose) : Rng(seed, stream_id(purpose)) {}
  /// Continues where a state was taken.
  explicit Rng(const State& state) : state_(state) {}

  /// The position now.
  const State& state() const { return state_; }
  /// An independent generator for item `index` of this stream's purpose (for example one a sample).
  Rng fork(uint64_t index) const;

  /// 32 random bits.
  uint32_t next_u32();
  /// Uniform in [0, 1), 24 bits.
  float uniform();
  /// Uniform in [0, 1), 53 bits.
  double uniform64();
  /// Uniform in [low, high).
  double uniform(double low, double high) { return low + (high - low) * uniform64(); }
  /// Uniform integer in 0..n-1, unbiased. Throws ValueError when n is 0.
  uint64_t below(uint64_t n);
  /// Standard normal (Box-Muller, float64).
  double normal();
  /// A random order of 0..n-1 (Fisher-Yates).
  std::vector<int64_t> permutation(int64_t n);

 private:
  State state_;
  std::array<uint32_t, 4> block_{};
  uint64_t block_index_ = ~0ull;
};

/// Fills a floating tensor with uniform numbers in [low, high), in logical row-major order.
void fill_uniform_(Tensor& tensor, Rng& rng, double low = 0.0, double high = 1.0);
/// Fills a floating tensor with normal numbers, in logical row-major order.
void fill_normal_(Tensor& tensor, Rng& rng, double mean = 0.0, double stddev = 1.0);

}  // namespace espalier
