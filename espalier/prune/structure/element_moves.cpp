// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/structure/element_moves.h>

#include <cmath>

namespace espalier::prune {
namespace {

// Element numbers travel as float32 through the backward functions of movements.
constexpr int64_t kMaxElements = int64_t{1} << 24;

}  // namespace

std::vector<int64_t> broadcast_index(const Shape& out, const Shape& shape) {
  const Shape strides = contiguous_strides(shape);
  std::vector<int64_t> index(static_cast<size_t>(out.numel()));
  for (int64_t i = 0; i < out.numel(); ++i) {
    int64_t rest = i;
    int64_t offset = 0;
    for (int d = out.rank() - 1; d >= 0; --d) {
      const int64_t position = rest % out[d];
      rest /= out[d];
      const int own = d - (out.rank() - shape.rank());
      if (own >= 0 && shape[own] != 1) offset += position * strides[own];
    }
    index[static_cast<size_t>(i)] = offset;
  }
  return index;
}

std::optional<std::vector<std::vector<int64_t>>> destinations(const Variable& output,
                                                              size_t inputs,
                                                              const BackwardFn& backward,
                                                              bool unit) {
  if (output.numel() >= kMaxElements) return {};
  Tensor numbers = Tensor::arange(output.numel()).to(output.dtype()).reshape(output.shape());
  {
    auto shifted = numbers.to_vector<double>();
    for (double& v : shifted) v += 1.0;
    numbers = Tensor::from(output.shape(), shifted).to(output.dtype());
  }
  const Tensor ones = Tensor::ones(output.shape(), output.dtype());
  const std::vector<bool> needs(inputs, true);
  const NoGrad no_grad;
  const auto run = [&](const Tensor& gradient) {
    const std::vector<Variable> gathered(needs.size());
    return backward({Variable(gradient.to(output.layout())), output, needs, gathered});
  };
  const std::vector<Variable> by_number = run(numbers);
  const std::vector<Variable> by_one = run(ones);
  std::vector<std::vector<int64_t>> result(inputs);
  for (size_t k = 0; k < inputs; ++k) {
    if (k >= by_number.size() || !by_number[k].defined()) continue;
    const auto number = by_number[k].value().to_vector<double>();
    const auto one = by_one[k].value().to_vector<double>();
    for (size_t i = 0; i < number.size(); ++i) {
      if (one[i] == 0.0) {
        result[k].push_back(-1);
        continue;
      }
      if (unit && one[i] != 1.0) return {};
      result[k].push_back(std::llround(number[i] / one[i]) - 1);
    }
  }
  return result;
}

}  // namespace espalier::prune
