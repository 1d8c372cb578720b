// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/forms/clip_q.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include <espalier/autograd/ops.h>
#include <espalier/nn/forms/kinds.h>
#include <espalier/nn/forms/select.h>

namespace espalier::nn {
namespace {

constexpr int64_t kLeastBits = 2;  // one interval on either side, and zero
constexpr int64_t kMostBits = 16;

/// The weights of one sign that are not clipped.
struct Side {
  std::vector<size_t> positions;
  double least = 0.0;    // of their magnitudes
  double largest = 0.0;  // the same
  double length() const { return largest - least; }
};

/// 1 for the weights of one sign (zero has none and counts as positive) that a mask lets through.
Tensor of_sign(const std::vector<double>& weights, const Parameter& weight, bool negative) {
  Tensor out = Tensor::zeros(weight.shape(), DType::U8);
  const Tensor there = weight.mask();
  for (size_t i = 0; i < weights.size(); ++i) {
    const bool lives = !there.defined() || there.data<uint8_t>()[i] != 0;
    out.data<uint8_t>()[i] = lives && (weights[i] < 0.0) == negative ? 1 : 0;
  }
  return out;
}

int64_t ones(const Tensor& mask) {
  return std::count(mask.data<uint8_t>(), mask.data<uint8_t>() + mask.numel(), uint8_t{1});
}

Side side_of(const std::vector<double>& weights, const Tensor& kept) {
  Side side;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (kept.data<uint8_t>()[i] == 0) continue;
    const double size = std::abs(weights[i]);
    side.least = side.positions.empty() ? size : std::min(side.least, size);
    side.largest = std::max(side.largest, size);
    side.positions.push_back(i);
  }
  return side;
}

/// How many of the intervals the first side gets.
int64_t share_of(const Side& side, const Side& other, int64_t intervals) {
  if (side.positions.empty()) return 0;
  if (other.positions.empty()) return intervals;
  const double both = side.length() + other.length();
  const double share = both > 0.0 ? side.length() / both : 0.5;
  return std::clamp<int64_t>(
      std::llround(static_cast<double>(intervals) * share), 1, intervals - 1);
}

/// Every weight of a side as the mean of those in its interval.
void to_means(const Side& side, int64_t intervals, std::vector<double>& weights) {
  std::vector<double> sums(static_cast<size_t>(intervals));
  std::vector<int64_t> counts(sums.size());
  std::vector<size_t> place;
  for (const size_t i : side.positions) {
    const double from_least = std::abs(weights[i]) - side.least;
    const double at =
        side.length() > 0.0 ? from_least / side.length() * static_cast<double>(intervals) : 0.0;
    place.push_back(std::min(static_cast<size_t>(at), sums.size() - 1));
    sums[place.back()] += weights[i];
    ++counts[place.back()];
  }
  for (size_t k = 0; k < place.size(); ++k) {
    weights[side.positions[k]] = sums[place[k]] / static_cast<double>(counts[place[k]]);
  }
}

bool same_weight(const Tensor& a, const Tensor& b) {
  return a.defined() && a.dtype() == b.dtype() &&
         std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.nbytes())) == 0;
}

}  // namespace

ClipQ::ClipQ(const Shape& weight, const Options& options)
    : options_(options),
      mask_(Tensor::ones(weight, DType::U8)),
      changes_(Tensor::zeros({}, DType::I64)) {
  ESPALIER_CHECK(options.kept >= 0 && options.kept <= weight.numel(),
                 ValueError,
                 "ClipQ: expects to keep 0 .. ",
                 weight.numel(),
                 " weights, got ",
                 options.kept);
  ESPALIER_CHECK(options.bits >= kLeastBits && options.bits <= kMostBits,
                 ValueError,
                 "ClipQ: expects 2 .. 16 bits, got ",
                 options.bits);
}

void ClipQ::visit(MemberVisitor& visitor) {
  visitor.buffer("mask", mask_);
  visitor.buffer("changes", changes_);
}

std::string ClipQ::describe() const {
  return cat("ClipQ(", options_.kept, " of ", mask_.numel(), ", ", options_.bits, " bits)");
}

std::map<std::string, double> ClipQ::settings() const {
  return {{"kept", static_cast<double>(options_.kept)},
          {"bits", static_cast<double>(options_.bits)}};
}

void ClipQ::quantize(const Parameter& weight) {
  const Tensor dense = weight.value.value().to(Layout::Nchw).contiguous();
  if (same_weight(source_, dense)) return;  // comparing costs far less
  std::vector<double> w = dense.to_vector<double>();
  std::array<Tensor, 2> candidates = {of_sign(w, weight, true), of_sign(w, weight, false)};
  const int64_t negative = ones(candidates[0]);
  const int64_t alive = negative + ones(candidates[1]);
  const int64_t clipped = std::max<int64_t>(0, alive - options_.kept);
  // The same share of both signs, exact in total.
  const int64_t of_negative =
      alive == 0 ? 0
                 : std::llround(static_cast<double>(clipped) * static_cast<double>(negative) /
                                static_cast<double>(alive));
  const Tensor below = largest_mask(dense, negative - of_negative, candidates[0]);
  const Tensor above =
      largest_mask(dense, alive - negative - (clipped - of_negative), candidates[1]);
  const Side negatives = side_of(w, below);
  const Side positives = side_of(w, above);
  const int64_t intervals = (int64_t{1} << options_.bits) - 1;
  const int64_t first = share_of(negatives, positives, intervals);
  to_means(negatives, first, w);
  to_means(positives, intervals - first, w);
  for (int64_t i = 0; i < mask_.numel(); ++i) {
    const bool stays = below.data<uint8_t>()[i] != 0 || above.data<uint8_t>()[i] != 0;
    if (!stays) w[static_cast<size_t>(i)] = 0.0;
    uint8_t& open = mask_.data<uint8_t>()[i];
    if ((open != 0) != stays) ++changes_.data<int64_t>()[0];
    open = stays ? 1 : 0;
  }
  source_ = dense.clone();
  quantized_ = Tensor::from(weight.shape(), w).to(dense.dtype());
}

Effective ClipQ::effective(const Parameter& weight) {
  quantize(weight);
  // Exactly the quantized values, with the gradient of the weight.
  const Variable value = weight.value - weight.value.detach() + Variable(quantized_);
  return {value, {pattern_(mask_), sparse::GradRequest::Dense}};
}

int64_t ClipQ::take_changes(const Parameter& weight) {
  quantize(weight);
  return std::exchange(changes_.data<int64_t>()[0], 0);
}

PartKind clip_q_part() {
  return {.name = "clip-q", .make = [](const PartPlace& place, const PartDescription& description) {
            ESPALIER_CHECK(place.site, ValueError, "forms: clip-q: ", place.name, " is a block");
            const Shape& shape = place.site->slot.parameter->shape();
            return std::make_shared<ClipQ>(
                shape,
                ClipQ::Options{.kept = description.whole("kept", 0, shape.numel()),
                               .bits = description.whole("bits", kLeastBits, kMostBits)});
          }};
}

}  // namespace espalier::nn
