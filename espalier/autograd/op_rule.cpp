// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/op_rule.h>

#include <algorithm>

namespace espalier {
namespace {

/// Calls `action(place)` for every position of `shape`, in row-major order.
template <class Action>
void for_places(const Shape& shape, Action action) {
  std::vector<int64_t> place(static_cast<size_t>(shape.rank()), 0);
  for (int64_t i = 0; i < shape.numel(); ++i) {
    action(place);
    for (int d = shape.rank() - 1; d >= 0; --d) {
      int64_t& position = place[static_cast<size_t>(d)];
      if (++position < shape[d]) break;
      position = 0;
    }
  }
}

}  // namespace

std::vector<int64_t> broadcast_index(const Shape& out, const Shape& shape) {
  const Shape strides = contiguous_strides(shape);
  const int missing = out.rank() - shape.rank();
  std::vector<int64_t> index;
  index.reserve(static_cast<size_t>(out.numel()));
  for_places(out, [&](const std::vector<int64_t>& place) {
    int64_t offset = 0;
    for (int d = 0; d < shape.rank(); ++d) {
      if (shape[d] != 1)
        offset += place[static_cast<size_t>(d) + static_cast<size_t>(missing)] * strides[d];
    }
    index.push_back(offset);
  });
  return index;
}

std::vector<int64_t> reduced_index(const Shape& shape, const std::vector<int64_t>& dims) {
  Shape kept = shape;
  for (const int64_t d : dims) kept[static_cast<int>(d)] = 1;
  return broadcast_index(shape, kept);
}

std::vector<ElementSource> in_order(const OpAttributes&,
                                    const std::vector<Shape>&,
                                    const Shape& output) {
  std::vector<ElementSource> sources;
  for (int64_t i = 0; i < output.numel(); ++i) sources.push_back({0, i});
  return sources;
}

std::vector<ElementSource> by_place(
    const Shape& input,
    const Shape& output,
    const std::function<std::vector<int64_t>(const std::vector<int64_t>& place)>& source) {
  const Shape strides = contiguous_strides(input);
  std::vector<ElementSource> sources;
  sources.reserve(static_cast<size_t>(output.numel()));
  for_places(output, [&](const std::vector<int64_t>& place) {
    const std::vector<int64_t> from = source(place);
    ElementSource one{0, 0};
    for (int d = 0; d < input.rank(); ++d) {
      one.element += from[static_cast<size_t>(d)] * strides[d];
    }
    const bool none = std::ranges::any_of(from, [](int64_t position) { return position < 0; });
    sources.push_back(none ? ElementSource{} : one);
  });
  return sources;
}

}  // namespace espalier
