// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/pair_forward.h>

#include <array>
#include <memory>
#include <vector>

#include <espalier/core/kernels/conv2d/padded.h>
#include <espalier/sparse/kept_values.h>
#include <espalier/sparse/kernels/pair_micro.h>

namespace espalier::sparse::detail {
namespace {

using espalier::detail::ceil_div;
using espalier::detail::Tap;

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

/// Calls body(pair, position within a channel's weights, whether the first keeps it, the second).
template <class F>
void for_each_column(const Support& support, F body) {
  const int64_t channels = support.shape()[0];
  const int64_t filter = channels == 0 ? 0 : support.numel() / channels;
  const uint8_t* mask = support.mask().data<uint8_t>();
  for (int64_t pair = 0; 2 * pair < channels; ++pair) {
    const uint8_t* first = mask + 2 * pair * filter;
    const uint8_t* second = 2 * pair + 1 < channels ? first + filter : nullptr;
    for (int64_t i = 0; i < filter; ++i) {
      const bool in_second = second != nullptr && second[i] != 0;
      if (first[i] != 0 || in_second) body(pair, i, first[i] != 0, in_second);
    }
  }
}

PairStream make_stream(const ConvPlan& plan, const Support& support) {
  const int64_t channels = support.shape()[0];
  const int64_t filter = channels == 0 ? 0 : support.numel() / channels;
  const auto area = static_cast<int64_t>(plan.conv.taps.size());
  std::vector<int64_t> tap_offsets(static_cast<size_t>(area));
  for (const Tap& tap : plan.conv.taps) {
    tap_offsets[static_cast<size_t>(tap.index)] = plan.tap_offset(tap);
  }
  const int64_t pairs = ceil_div(channels, 2);
  PairStream stream;
  stream.segments.resize(static_cast<size_t>(plan.channel_blocks() * pairs));
  const auto segment_of = [&](int64_t pair, int64_t i) -> size_t {
    return static_cast<size_t>(i / area / plan.channel_block * pairs + pair);
  };
  for_each_column(support, [&](int64_t pair, int64_t i, bool first, bool second) {
    PairSegment& segment = stream.segments[segment_of(pair, i)];
    ++(first && second ? segment.both : first ? segment.first : segment.second);
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
  // The weights of a channel come in the order of kept().
  std::vector<int32_t> next_rank;
  for (int64_t k = 0; k < channels; ++k) next_rank.push_back(kept_before(support, k * filter));
  stream.ranks.resize(static_cast<size_t>(values));
  for_each_column(support, [&](int64_t pair, int64_t i, bool first, bool second) {
    const size_t kind = first && second ? 0 : first ? 1 : 2;
    Next& at = next[segment_of(pair, i)];
    const int64_t offset =
        i / area * plan.channel_stride() + tap_offsets[static_cast<size_t>(i % area)];
    stream.offsets[static_cast<size_t>(at.offset[kind]++)] = static_cast<int32_t>(offset);
    const auto put = [&](int64_t channel) {
      stream.ranks[static_cast<size_t>(at.value[kind]++)] =
          next_rank[static_cast<size_t>(channel)]++;
    };
    if (first) put(2 * pair);
    if (second) put(2 * pair + 1);
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
        values_(in_order(stream_->ranks, values_of(weight, support))) {}

  int64_t nbytes() const override {
    return values_.nbytes() + static_cast<int64_t>(stream_->offsets.size() * sizeof(int32_t) +
                                                   stream_->segments.size() * sizeof(PairSegment));
  }
  std::string_view form() const override { return "pairs"; }

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

}  // namespace

bool runs_in_pairs(const Support& support) {
  const auto form = support.derived<PairForm>({}, [&] {
    PairForm made;
    for_each_column(support, [&](int64_t, int64_t, bool, bool) { ++made.columns; });
    return made;
  });
  return static_cast<double>(form->columns) < kMostLoads * static_cast<double>(support.nnz());
}

std::unique_ptr<const PreparedForward> prepare_in_pairs(const TapConvolution& conv,
                                                        int64_t blocks,
                                                        const Support& support,
                                                        const Tensor& weight) {
  return std::make_unique<PairForward>(ConvPlan(conv, blocks, support.density()), support, weight);
}

}  // namespace espalier::sparse::detail
