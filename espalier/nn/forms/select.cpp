// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/forms/select.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include <espalier/core/error.h>

namespace espalier::nn {
namespace {

std::vector<double> magnitudes(const Tensor& values, std::string_view op) {
  std::vector<double> out = values.to(Layout::Nchw).contiguous().to_vector<double>();
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = std::abs(out[i]);
    ESPALIER_CHECK(!std::isnan(out[i]),
                   ValueError,
                   op,
                   ": the value at flat position ",
                   static_cast<int64_t>(i),
                   " is not a number. Did the loss or a gradient overflow?");
  }
  return out;
}

}  // namespace

Tensor largest_mask(const Tensor& scores, int64_t k, const Tensor& candidates) {
  const std::vector<double> size = magnitudes(scores, "largest_mask");
  std::vector<int64_t> order;
  for (int64_t i = 0; i < scores.numel(); ++i) {
    if (!candidates.defined() || candidates.data<uint8_t>()[i] != 0) order.push_back(i);
  }
  const auto count = static_cast<int64_t>(order.size());
  ESPALIER_CHECK(k >= 0 && k <= count,
                 ValueError,
                 "largest_mask: expects 0 .. ",
                 count,
                 " entries to keep, got ",
                 k);
  const auto before = [&](int64_t a, int64_t b) {
    const double first = size[static_cast<size_t>(a)], second = size[static_cast<size_t>(b)];
    return first > second || (first == second && a < b);
  };
  if (k < count) std::nth_element(order.begin(), order.begin() + k, order.end(), before);
  Tensor mask = Tensor::zeros(scores.shape(), DType::U8);
  for (int64_t i = 0; i < k; ++i) mask.data<uint8_t>()[order[static_cast<size_t>(i)]] = 1;
  return mask;
}

Tensor n_of_m_mask(const Tensor& weight, const NOfM& pattern) {
  ESPALIER_CHECK(weight.rank() >= 2 && pattern.of > 0 && weight.size(1) % pattern.of == 0,
                 ShapeError,
                 "n_of_m_mask: ",
                 pattern.of,
                 " does not divide the inputs of a weight ",
                 weight.shape());
  const std::vector<double> size = magnitudes(weight, "n_of_m_mask");
  const int64_t outputs = weight.size(0), inputs = weight.size(1);
  const int64_t taps = outputs * inputs == 0 ? 0 : weight.numel() / (outputs * inputs);
  Tensor mask = Tensor::zeros(weight.shape(), DType::U8);
  std::vector<double> sums(static_cast<size_t>(pattern.of));
  const auto at = [&](int64_t o, int64_t i, int64_t tap) { return (o * inputs + i) * taps + tap; };
  for (int64_t first = 0; first < outputs; first += pattern.group) {
    const int64_t last = std::min(outputs, first + pattern.group);
    for (int64_t cell = 0; cell < inputs * taps; ++cell) {
      const int64_t tap = cell % taps, begin = cell / taps;
      if (begin % pattern.of != 0) continue;
      for (int64_t i = 0; i < pattern.of; ++i) {
        double& sum = sums[static_cast<size_t>(i)];
        sum = 0.0;
        for (int64_t o = first; o < last; ++o)
          sum += size[static_cast<size_t>(at(o, begin + i, tap))];
      }
      // Cells are small: counting who is before one is faster than any sorting.
      for (int64_t i = 0; i < pattern.of; ++i) {
        int64_t before = 0;
        for (int64_t j = 0; j < pattern.of; ++j) {
          const double mine = sums[static_cast<size_t>(i)], other = sums[static_cast<size_t>(j)];
          before += other > mine || (other == mine && j < i);
        }
        if (before >= pattern.keep) continue;
        for (int64_t o = first; o < last; ++o) mask.data<uint8_t>()[at(o, begin + i, tap)] = 1;
      }
    }
  }
  return mask;
}

}  // namespace espalier::nn
