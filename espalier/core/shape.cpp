// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/shape.h>

#include <algorithm>

#include <espalier/core/error.h>

namespace espalier {

int64_t item_size(DType dtype) {
  switch (dtype) {
    case DType::F32:
    case DType::I32:
      return 4;
    case DType::F64:
    case DType::I64:
      return 8;
    case DType::U8:
      return 1;
  }
  throw TypeError("item_size: unknown element type");
}

std::string_view name(DType dtype) {
  switch (dtype) {
    case DType::F32:
      return "float32";
    case DType::F64:
      return "float64";
    case DType::I32:
      return "int32";
    case DType::I64:
      return "int64";
    case DType::U8:
      return "uint8";
  }
  throw TypeError("name: unknown element type");
}

std::string_view name(Layout layout) {
  return layout == Layout::Nchw ? "Nchw" : "Nchw16n";
}

Shape::Shape(std::initializer_list<int64_t> sizes)
    : Shape(std::span<const int64_t>(sizes.begin(), sizes.size())) {}

Shape::Shape(std::span<const int64_t> sizes) {
  for (int64_t size : sizes) push_back(size);
}

void Shape::push_back(int64_t size) {
  ESPALIER_CHECK(rank_ < kMaxRank,
                 ShapeError,
                 "shape: at most ",
                 kMaxRank,
                 " dimensions are supported, got one more");
  sizes_[static_cast<size_t>(rank_++)] = size;
}

int64_t Shape::numel() const {
  int64_t n = 1;
  for (int64_t size : *this) n *= size;
  return n;
}

int Shape::wrap(int d, std::string_view op) const {
  ESPALIER_CHECK(d >= -rank_ && d < rank_,
                 ShapeError,
                 op,
                 ": dimension ",
                 d,
                 " is out of range for shape ",
                 *this,
                 " of rank ",
                 rank_);
  return d < 0 ? d + rank_ : d;
}

int64_t Shape::size(int d) const {
  return (*this)[wrap(d, "size")];
}

Shape Shape::with(int d, int64_t size) const {
  Shape out = *this;
  out[wrap(d, "shape.with")] = size;
  return out;
}

Shape Shape::without(int d) const {
  d = wrap(d, "shape.without");
  Shape out;
  for (int i = 0; i < rank_; ++i) {
    if (i != d) out.push_back((*this)[i]);
  }
  return out;
}

Shape Shape::inserted(int d, int64_t size) const {
  ESPALIER_CHECK(
      d >= 0 && d <= rank_, ShapeError, "shape.inserted: position ", d, " in shape ", *this);
  Shape out;
  for (int i = 0; i <= rank_; ++i) {
    if (i == d) out.push_back(size);
    if (i < rank_) out.push_back((*this)[i]);
  }
  return out;
}

bool Shape::operator==(const Shape& other) const {
  return std::equal(begin(), end(), other.begin(), other.end());
}

std::string Shape::str() const {
  std::string out = "(";
  for (int d = 0; d < rank_; ++d) {
    if (d > 0) out += ',';
    out += std::to_string((*this)[d]);
  }
  return out + ")";
}

Shape contiguous_strides(const Shape& shape) {
  Shape strides = shape;
  int64_t stride = 1;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    strides[d] = stride;
    stride *= shape[d];
  }
  return strides;
}

Shape broadcast_shapes(const Shape& a, const Shape& b, std::string_view op) {
  const int rank = std::max(a.rank(), b.rank());
  Shape out;
  for (int d = 0; d < rank; ++d) {
    const int da = d - (rank - a.rank());
    const int db = d - (rank - b.rank());
    const int64_t sa = da < 0 ? 1 : a[da];
    const int64_t sb = db < 0 ? 1 : b[db];
    ESPALIER_CHECK(sa == sb || sa == 1 || sb == 1,
                   ShapeError,
                   op,
                   ": shapes ",
                   a,
                   " and ",
                   b,
                   " don't broadcast: dimension ",
                   d,
                   " has sizes ",
                   sa,
                   " and ",
                   sb);
    out.push_back(sa == 1 ? sb : sa);
  }
  return out;
}

}  // namespace espalier
