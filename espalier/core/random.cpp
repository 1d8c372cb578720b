// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/random.h>

#include <cmath>
#include <numbers>
#include <numeric>

#include <espalier/core/parallel.h>

namespace espalier {

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

Rng Rng::fork(uint64_t index) const {
  const auto mixed =
      philox4x32({static_cast<uint32_t>(index),
                  static_cast<uint32_t>(index >> 32),
                  static_cast<uint32_t>(state_.stream),
                  static_cast<uint32_t>(state_.stream >> 32)},
                 {static_cast<uint32_t>(state_.seed), static_cast<uint32_t>(state_.seed >> 32)});
  return Rng(uint64_t{mixed[0]} | uint64_t{mixed[1]} << 32,
             uint64_t{mixed[2]} | uint64_t{mixed[3]} << 32);
}

uint32_t Rng::next_u32() {
  const uint64_t index = state_.position / 4;
  if (index != block_index_) {
    block_ =
        philox4x32({static_cast<uint32_t>(index),
                    static_cast<uint32_t>(index >> 32),
                    static_cast<uint32_t>(state_.stream),
                    static_cast<uint32_t>(state_.stream >> 32)},
                   {static_cast<uint32_t>(state_.seed), static_cast<uint32_t>(state_.seed >> 32)});
    block_index_ = index;
  }
  return block_[state_.position++ % 4];
}

float Rng::uniform() {
  return static_cast<float>(next_u32() >> 8) * 0x1p-24f;
}

double Rng::uniform64() {
  const uint64_t high = next_u32();
  const uint64_t low = next_u32();
  return static_cast<double>((high << 32 | low) >> 11) * 0x1p-53;
}

uint64_t Rng::below(uint64_t n) {
  ESPALIER_CHECK(n > 0, ValueError, "rng.below: expects n >= 1, got 0");
  const uint64_t limit = ~0ull - (~0ull % n + 1) % n;  // the last value that is not biased
  for (;;) {
    const uint64_t high = next_u32();
    const uint64_t value = high << 32 | next_u32();
    if (value <= limit) return value % n;
  }
}

double Rng::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform64()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform64());
}

std::vector<int64_t> Rng::permutation(int64_t n) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), int64_t{0});
  for (int64_t i = n - 1; i > 0; --i) {
    std::swap(order[static_cast<size_t>(i)],
              order[static_cast<size_t>(below(static_cast<uint64_t>(i) + 1))]);
  }
  return order;
}

namespace {

constexpr int64_t kFillGrain = 8192;

/// Element i is `draw` of a generator that stands `i * words` after `rng`, so any thread can make
/// any part. `rng` advances by all of it.
template <class Draw>
void fill_with(Tensor& tensor, std::string_view op, Rng& rng, uint64_t words, Draw draw) {
  dispatch_floating(tensor.dtype(), op, [&](auto zero) {
    using T = decltype(zero);
    Tensor values = Tensor::empty(tensor.shape(), tensor.dtype());
    T* data = values.data<T>();
    const Rng::State start = rng.state();
    const auto at = [&](int64_t i) {
      return Rng(
          Rng::State{start.seed, start.stream, start.position + words * static_cast<uint64_t>(i)});
    };
    parallel_for(tensor.numel(), kFillGrain, [&](int64_t begin, int64_t end) {
      Rng own = at(begin);
      for (int64_t i = begin; i < end; ++i) data[i] = static_cast<T>(draw(own));
    });
    rng = at(tensor.numel());
    tensor.copy_(values);
  });
}

}  // namespace

void fill_uniform_(Tensor& tensor, Rng& rng, double low, double high) {
  fill_with(tensor, "fill_uniform_", rng, 2, [&](Rng& own) { return own.uniform(low, high); });
}

void fill_normal_(Tensor& tensor, Rng& rng, double mean, double stddev) {
  fill_with(tensor, "fill_normal_", rng, 4, [&](Rng& own) { return mean + stddev * own.normal(); });
}

}  // namespace espalier
