// SPDX-License-Identifier: Apache-2.0
// Weights that are half there but not in blocks (2:4, 4:8), two output channels at a time. With
// density d and channels that choose independently, two of them read d (2 - d) vectors of input for
// 2 d products, 0.75 for each at d = 1/2, where one channel reads one for each: the second loads of
// L1 and L2, which bind the loop of one channel, become fewer than the products. At low density
// little is shared, and the third loop per block of channels costs more than that.
#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <vector>

#include <espalier/core/kernels/conv2d/padded.h>
#include <espalier/core/random.h>
#include <espalier/sparse/formats/bsr.h>
#include <espalier/sparse/forms/form.h>
#include <espalier/sparse/forms/sample.h>
#include <espalier/sparse/kernels/pair_micro.h>

namespace espalier::sparse::detail {
namespace {

using espalier::detail::ceil_div;

// Vectors of input read for each product by two channels together, at most (Zen 4).
constexpr double kMostLoads = 0.85;

/// Positions that one of two channels keeps.
struct PairForm {
  int64_t columns = 0;
};

/// The weights of a support in the order of use: block of input channels, pair, and then as a
/// PairSegment says.
struct PairStream {
  std::vector<int32_t> offsets;
  std::vector<int32_t> ranks;  ///< of the weights among Support::kept()
  std::vector<PairSegment> segments;
};

/// Columns of pairs of channels: blocks of 2 x 1.
constexpr BlockShape kPair{2, 1};

/// Calls body(pair, position within a channel's weights, kind, the entries of its block of 2 x 1);
/// kinds are the three parts of a PairSegment: kept by both, by the first, by the second.
template <class F>
void for_each_column(const BlockedEntries& pairs, F body) {
  int64_t b = 0;
  for (int64_t pair = 0; pair < pairs.indices.blocks.rows; ++pair) {
    for (const int32_t i : pairs.indices.blocks.row(pair)) {
      const std::span<const int32_t> entries = pairs.of_block(b++);
      body(pair, i, entries[0] < 0 ? 2 : entries[1] < 0 ? 1 : 0, entries);
    }
  }
}

PairStream make_stream(const ConvPlan& plan, const Support& support) {
  const BlockedEntries blocks = blocked(support, kPair);
  const TapOffsets taps(plan, static_cast<int64_t>(plan.conv.taps.size()));
  const int64_t pairs = blocks.indices.blocks.rows;
  PairStream stream;
  stream.segments.resize(static_cast<size_t>(plan.channel_blocks() * pairs));
  const auto segment_of = [&](int64_t pair, int64_t i) -> size_t {
    return static_cast<size_t>(taps.channel_of(i) / plan.channel_block * pairs + pair);
  };
  for_each_column(blocks, [&](int64_t pair, int64_t i, int kind, auto) {
    PairSegment& segment = stream.segments[segment_of(pair, i)];
    ++(kind == 0 ? segment.both : kind == 1 ? segment.first : segment.second);
  });
  struct Next {
    std::array<int32_t, 3> offset, value;
  };
  std::vector<Next> next;
  int32_t offsets = 0;
  int32_t values = 0;
  for (PairSegment& s : stream.segments) {
    s.first_offset = offsets;
    s.first_value = values;
    next.push_back({{offsets, offsets + s.both, offsets + s.both + s.first},
                    {values, values + 2 * s.both, values + 2 * s.both + s.first}});
    offsets += s.both + s.first + s.second;
    values += 2 * s.both + s.first + s.second;
  }
  stream.offsets.resize(static_cast<size_t>(offsets));
  stream.ranks.resize(static_cast<size_t>(values));
  for_each_column(blocks, [&](int64_t pair, int64_t i, int kind, auto entries) {
    const auto k = static_cast<size_t>(kind);
    Next& at = next[segment_of(pair, i)];
    const int64_t offset = taps.channel_of(i) * plan.channel_stride() + taps.of_tap(i);
    stream.offsets[static_cast<size_t>(at.offset[k]++)] = static_cast<int32_t>(offset);
    for (const int32_t rank : entries) {
      if (rank >= 0) stream.ranks[static_cast<size_t>(at.value[k]++)] = rank;
    }
  });
  return stream;
}

std::shared_ptr<const PairStream> pair_stream(const ConvPlan& plan, const Support& support) {
  return support.derived<PairStream>({plan.channel_block, plan.cols, plan.channel_stride()},
                                     [&] { return make_stream(plan, support); });
}

class PairForward : public PreparedForward {
 public:
  PairForward(ConvPlan plan, const Support& support, const Tensor& weight)
      : PreparedForward(std::move(plan)),
        stream_(pair_stream(this->plan(), support)),
        values_(gather_values(values_of(weight, support), stream_->ranks)) {}

  int64_t nbytes() const override {
    return values_.nbytes() + static_cast<int64_t>(stream_->offsets.size() * sizeof(int32_t) +
                                                   stream_->segments.size() * sizeof(PairSegment));
  }
  const KernelForm& form() const override { return pairs_form(); }

 private:
  void run_call(const TileJob& tile, const ConvPlan::Call& call) const override {
    const int64_t channels = plan().conv.out_channels;
    kernel_({tile,
             stream_->offsets.data(),
             values_.data<float>(),
             stream_->segments.data() + call.index * ceil_div(channels, 2),
             channels});
  }

  std::shared_ptr<const PairStream> stream_;
  Tensor values_;
  PairFn kernel_ = pair_kernel();
};

std::shared_ptr<const PairForm> pair_form(const Support& support) {
  return support.derived<PairForm>(
      {}, [&] { return PairForm{blocked(support, kPair).indices.count()}; });
}

bool applies(const Support& support) {
  const auto loads = static_cast<double>(pair_form(support)->columns);
  return loads < kMostLoads * static_cast<double>(support.nnz());
}

std::string facts(const Support& support) {
  const auto loads = static_cast<double>(pair_form(support)->columns);
  const auto each = static_cast<double>(std::max<int64_t>(1, support.nnz()));
  return cat("pairs of channels that read ", two_digits(loads / each), " inputs for each product");
}

std::unique_ptr<const PreparedForward> prepare(const TapConvolution& conv,
                                               int64_t blocks,
                                               const Support& support,
                                               const Tensor& weight) {
  return std::make_unique<PairForward>(ConvPlan(conv, blocks, support.density()), support, weight);
}

/// Of every four neighbouring input channels as many as `density` asks for, one at least.
Tensor sample(const Shape& weight, double density, uint64_t seed) {
  constexpr int64_t kGroup = 4;
  const auto kept = static_cast<int64_t>(std::lround(density * kGroup));
  const int64_t of_each = density <= 0.0 ? 0 : std::max<int64_t>(1, kept);
  Tensor mask = Tensor::zeros(weight, DType::U8);
  Rng rng(seed, "n of m mask");
  const int64_t area = weight.numel() / std::max<int64_t>(1, weight[0] * weight[1]);
  for (int64_t k = 0; k < weight[0]; ++k) {
    for (int64_t first = 0; first < weight[1]; first += kGroup) {
      const int64_t size = std::min(kGroup, weight[1] - first);
      for (int64_t tap = 0; tap < area; ++tap) {
        for (int64_t left = std::min(of_each, size); left > 0;) {
          const int64_t c =
              first +
              std::min(size - 1, static_cast<int64_t>(rng.uniform64() * static_cast<double>(size)));
          uint8_t& at = mask.data<uint8_t>()[(k * weight[1] + c) * area + tap];
          left -= at == 0;
          at = 1;
        }
      }
    }
  }
  return mask;
}

}  // namespace

const KernelForm& pairs_form() {
  static const KernelForm form = {
      .name = "pairs",
      .weights =
          "about half of the weights without blocks (2:4, 4:8), two output channels at a "
          "time",
      .applies = applies,
      .facts = facts,
      .prepare = prepare,
      .sample = sample};
  return form;
}

}  // namespace espalier::sparse::detail
