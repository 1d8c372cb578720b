// SPDX-License-Identifier: Apache-2.0
// Views: the same storage under another shape.
#include <array>

#include <espalier/core/tensor.h>

namespace espalier {
namespace {

void check_plain(const Tensor& tensor, std::string_view op) {
  ESPALIER_CHECK(tensor.layout() == Layout::Nchw,
                 ShapeError,
                 op,
                 ": expects a plain tensor, got ",
                 tensor,
                 ". Convert with to(Layout::Nchw) first");
}

}  // namespace

Tensor Tensor::reshape(const Shape& shape) const {
  Shape target = shape;
  int64_t known = 1;
  int unknown = -1;
  for (int d = 0; d < target.rank(); ++d) {
    if (target[d] == -1) {
      ESPALIER_CHECK(unknown < 0, ShapeError, "reshape: more than one -1 in ", shape);
      unknown = d;
    } else {
      known *= target[d];
    }
  }
  if (unknown >= 0) {
    ESPALIER_CHECK(known > 0 && numel() % known == 0,
                   ShapeError,
                   "reshape: ",
                   shape_,
                   " does not fit into ",
                   shape);
    target[unknown] = numel() / known;
  }
  ESPALIER_CHECK(target.numel() == numel(),
                 ShapeError,
                 "reshape: ",
                 shape_,
                 " has ",
                 numel(),
                 " elements, ",
                 target,
                 " has ",
                 target.numel());
  if (layout_ == Layout::Nchw16n) {
    ESPALIER_CHECK(target.rank() >= 1 && target[0] == shape_[0],
                   ShapeError,
                   "reshape: layout Nchw16n keeps the first dimension, got ",
                   shape_,
                   " to ",
                   target);
    return Tensor(storage_, offset_, target, contiguous_strides(target), dtype_, layout_);
  }
  const Tensor source = contiguous();
  return Tensor(
      source.storage_, source.offset_, target, contiguous_strides(target), dtype_, layout_);
}

Tensor Tensor::permute(const std::vector<int>& order) const {
  check_plain(*this, "permute");
  ESPALIER_CHECK(static_cast<int>(order.size()) == rank(),
                 ShapeError,
                 "permute: expects an order of ",
                 rank(),
                 " dimensions for shape ",
                 shape_,
                 ", got ",
                 order.size());
  Shape shape;
  Shape strides;
  std::array<bool, kMaxRank> seen{};
  for (int d : order) {
    d = shape_.wrap(d, "permute");
    ESPALIER_CHECK(
        !seen[static_cast<size_t>(d)], ShapeError, "permute: dimension ", d, " is named twice");
    seen[static_cast<size_t>(d)] = true;
    shape.push_back(shape_[d]);
    strides.push_back(strides_[d]);
  }
  return Tensor(storage_, offset_, shape, strides, dtype_, layout_);
}

Tensor Tensor::transpose(int a, int b) const {
  std::vector<int> order(static_cast<size_t>(rank()));
  for (int d = 0; d < rank(); ++d) order[static_cast<size_t>(d)] = d;
  std::swap(order[static_cast<size_t>(shape_.wrap(a, "transpose"))],
            order[static_cast<size_t>(shape_.wrap(b, "transpose"))]);
  return permute(order);
}

Tensor Tensor::slice(int d, int64_t begin, int64_t end, int64_t step) const {
  check_plain(*this, "slice");
  d = shape_.wrap(d, "slice");
  ESPALIER_CHECK(0 <= begin && begin <= end && end <= shape_[d] && step >= 1,
                 ShapeError,
                 "slice: expects 0 <= begin <= end <= ",
                 shape_[d],
                 " and step >= 1 for dimension ",
                 d,
                 " of ",
                 shape_,
                 ", got begin ",
                 begin,
                 ", end ",
                 end,
                 ", step ",
                 step);
  const Shape shape = shape_.with(d, (end - begin + step - 1) / step);
  const Shape strides = strides_.with(d, strides_[d] * step);
  return Tensor(storage_, offset_ + begin * strides_[d], shape, strides, dtype_, layout_);
}

Tensor Tensor::expand(const Shape& shape) const {
  check_plain(*this, "expand");
  ESPALIER_CHECK(broadcast_shapes(shape_, shape, "expand") == shape,
                 ShapeError,
                 "expand: ",
                 shape_,
                 " does not expand to ",
                 shape);
  Shape strides = shape;
  for (int d = 0; d < shape.rank(); ++d) {
    const int from = d - (shape.rank() - rank());
    strides[d] = from < 0 || (shape_[from] == 1 && shape[d] != 1) ? 0 : strides_[from];
  }
  return Tensor(storage_, offset_, shape, strides, dtype_, layout_);
}

}  // namespace espalier
