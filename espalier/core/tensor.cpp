// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/tensor.h>

#include <algorithm>
#include <cstring>

#include <espalier/core/detail/element.h>
#include <espalier/core/detail/layout_copy.h>
#include <espalier/core/loops.h>

namespace espalier {
namespace {

Shape physical_shape(const Shape& shape, Layout layout) {
  if (layout == Layout::Nchw) return shape;
  Shape out = shape.with(0, lane_blocks(shape[0]));
  out.push_back(kLanes);
  return out;
}

}  // namespace

Tensor::Tensor(std::shared_ptr<Storage> storage,
               int64_t offset,
               const Shape& shape,
               const Shape& strides,
               DType dtype,
               Layout layout)
    : storage_(std::move(storage)),
      offset_(offset),
      shape_(shape),
      strides_(strides),
      dtype_(dtype),
      layout_(layout) {}

Tensor Tensor::empty(const Shape& shape, DType dtype, Layout layout) {
  int64_t count = 1;
  for (int64_t size : shape) {
    ESPALIER_CHECK(size >= 0, ShapeError, "tensor: negative size in shape ", shape);
    ESPALIER_CHECK(!__builtin_mul_overflow(count, size, &count) && count <= (1ll << 43),
                   ShapeError,
                   "tensor: shape ",
                   shape,
                   " has too many elements");
  }
  ESPALIER_CHECK(layout == Layout::Nchw || (shape.rank() >= 1 && shape.rank() < kMaxRank),
                 ShapeError,
                 "tensor: layout Nchw16n needs rank 1 to ",
                 kMaxRank - 1,
                 ", got shape ",
                 shape);
  const Shape physical = physical_shape(shape, layout);
  auto storage = std::make_shared<Storage>(physical.numel() * item_size(dtype));
  Tensor out(std::move(storage), 0, shape, contiguous_strides(shape), dtype, layout);
  zero_padding_lanes(out);
  return out;
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Layout layout) {
  Tensor out = empty(shape, dtype, layout);
  out.fill_(value);
  return out;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Layout layout) {
  return full(shape, 0.0, dtype, layout);
}

Tensor Tensor::ones(const Shape& shape, DType dtype, Layout layout) {
  return full(shape, 1.0, dtype, layout);
}

Tensor Tensor::scalar(double value, DType dtype) {
  return full({}, value, dtype);
}

Tensor Tensor::arange(int64_t n, DType dtype) {
  Tensor out = empty({n}, dtype);
  dispatch(dtype, [&](auto zero) {
    using T = decltype(zero);
    T* p = out.data<T>();
    for (int64_t i = 0; i < n; ++i) p[i] = static_cast<T>(i);
  });
  return out;
}

template <class T>
Tensor Tensor::from(const Shape& shape, const std::vector<T>& values) {
  ESPALIER_CHECK(shape.numel() == static_cast<int64_t>(values.size()),
                 ShapeError,
                 "tensor.from: shape ",
                 shape,
                 " has ",
                 shape.numel(),
                 " elements, got ",
                 values.size(),
                 " values");
  Tensor out = empty(shape, dtype_of<T>);
  std::copy(values.begin(), values.end(), out.data<T>());
  return out;
}
template Tensor Tensor::from(const Shape&, const std::vector<float>&);
template Tensor Tensor::from(const Shape&, const std::vector<double>&);
template Tensor Tensor::from(const Shape&, const std::vector<int32_t>&);
template Tensor Tensor::from(const Shape&, const std::vector<int64_t>&);
template Tensor Tensor::from(const Shape&, const std::vector<uint8_t>&);

Tensor Tensor::empty_like(const Tensor& other) {
  return empty(other.shape(), other.dtype(), other.layout());
}

Tensor Tensor::zeros_like(const Tensor& other) {
  return full_like(other, 0.0);
}

Tensor Tensor::full_like(const Tensor& other, double value) {
  return full(other.shape(), value, other.dtype(), other.layout());
}

bool Tensor::is_contiguous() const {
  if (layout_ == Layout::Nchw16n) return true;
  int64_t expected = 1;
  for (int d = rank() - 1; d >= 0; --d) {
    if (shape_[d] != 1 && strides_[d] != expected) return numel() == 0;
    expected *= shape_[d];
  }
  return true;
}

int64_t Tensor::physical_numel() const {
  return physical_shape(shape_, layout_).numel();
}

std::pair<int64_t, int64_t> Tensor::byte_range() const {
  int64_t count = numel() == 0 ? 0 : 1;
  if (layout_ == Layout::Nchw16n) {
    count = physical_numel();
  } else if (count != 0) {
    for (int d = 0; d < rank(); ++d) count += (shape_[d] - 1) * strides_[d];
  }
  const int64_t size = item_size(dtype_);
  return {offset_ * size, (offset_ + count) * size};
}

void* Tensor::raw() {
  ESPALIER_CHECK(defined(), ValueError, "tensor: undefined, holds no data");
  if (storage_->is_watched()) {
    const auto [begin, end] = byte_range();
    detail::open_for_writing(*storage_, begin, end);
  }
  return storage_->data() + offset_ * item_size(dtype_);
}

const void* Tensor::raw() const {
  ESPALIER_CHECK(defined(), ValueError, "tensor: undefined, holds no data");
  return storage_->data() + offset_ * item_size(dtype_);
}

template <class T>
T* Tensor::data() {
  std::as_const(*this).data<T>();  // checks the type
  return static_cast<T*>(raw());
}

template <class T>
const T* Tensor::data() const {
  ESPALIER_CHECK(dtype_ == dtype_of<T>,
                 TypeError,
                 "tensor: expects element type ",
                 name(dtype_of<T>),
                 ", got ",
                 *this);
  return static_cast<const T*>(raw());
}

#define ESPALIER_INSTANTIATE_DATA(T) \
  template T* Tensor::data<T>();     \
  template const T* Tensor::data<T>() const;
ESPALIER_INSTANTIATE_DATA(float)
ESPALIER_INSTANTIATE_DATA(double)
ESPALIER_INSTANTIATE_DATA(int32_t)
ESPALIER_INSTANTIATE_DATA(int64_t)
ESPALIER_INSTANTIATE_DATA(uint8_t)
#undef ESPALIER_INSTANTIATE_DATA

Tensor Tensor::physical() const {
  if (layout_ == Layout::Nchw) return *this;
  const Shape shape = physical_shape(shape_, layout_);
  return Tensor(storage_, offset_, shape, contiguous_strides(shape), dtype_, Layout::Nchw);
}

Tensor Tensor::contiguous() const {
  return is_contiguous() ? *this : clone();
}

Tensor Tensor::clone() const {
  Tensor out = empty_like(*this);
  out.copy_(*this);
  return out;
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) return *this;
  Tensor out = empty(shape_, dtype, layout_);
  out.copy_(*this);
  return out;
}

Tensor Tensor::to(Layout layout) const {
  if (layout == layout_) return *this;
  Tensor out = empty(shape_, dtype_, layout);
  const Tensor source = contiguous();
  if (layout == Layout::Nchw16n) {
    detail::copy_to_lanes(source.raw(), out.raw(), shape_, item_size(dtype_));
  } else {
    detail::copy_from_lanes(source.raw(), out.raw(), shape_, item_size(dtype_));
  }
  return out;
}

void Tensor::copy_(const Tensor& source) {
  ESPALIER_CHECK(source.shape_ == shape_,
                 ShapeError,
                 "copy_: expects shape ",
                 shape_,
                 ", got ",
                 source.shape_);
  if (numel() == 0) return;
  if (source.dtype_ == dtype_ && source.layout_ == layout_ && is_contiguous() &&
      source.is_contiguous()) {
    std::memmove(raw(), source.raw(), static_cast<size_t>(nbytes()));
    return;
  }
  dispatch(dtype_, [&](auto to) {
    dispatch(source.dtype_, [&](auto from) {
      using To = decltype(to);
      using From = decltype(from);
      map_into<To, From>(*this, source, [](From x) { return static_cast<To>(x); });
    });
  });
}

void Tensor::fill_(double value) {
  if (numel() == 0) return;
  dispatch(dtype_, [&](auto zero) {
    using T = decltype(zero);
    if (is_contiguous()) {
      std::fill_n(data<T>(), physical_numel(), static_cast<T>(value));
    } else {
      const Tensor constant = scalar(value, dtype_);
      map_into<T, T>(*this, constant, [](T x) { return x; });
    }
  });
  if (value != 0.0) zero_padding_lanes(*this);
}

double Tensor::item() const {
  ESPALIER_CHECK(numel() == 1, ShapeError, "item: expects exactly one element, got shape ", shape_);
  return dispatch(dtype_, [&](auto zero) { return static_cast<double>(*data<decltype(zero)>()); });
}

double Tensor::at(std::initializer_list<int64_t> index) const {
  const int64_t offset = detail::element_offset(*this, index, "at");
  return dispatch(dtype_,
                  [&](auto zero) { return static_cast<double>(data<decltype(zero)>()[offset]); });
}

template <class T>
std::vector<T> Tensor::to_vector() const {
  const Tensor plain = to(Layout::Nchw).to(dtype_of<T>).contiguous();
  const T* p = plain.data<T>();
  return std::vector<T>(p, p + plain.numel());
}
template std::vector<float> Tensor::to_vector() const;
template std::vector<double> Tensor::to_vector() const;
template std::vector<int32_t> Tensor::to_vector() const;
template std::vector<int64_t> Tensor::to_vector() const;
template std::vector<uint8_t> Tensor::to_vector() const;

std::string Tensor::str() const {
  if (!defined()) return "undefined tensor";
  return cat(name(dtype_), " ", shape_, layout_ == Layout::Nchw16n ? " Nchw16n" : "");
}

void zero_padding_lanes(Tensor& tensor) {
  if (tensor.layout() != Layout::Nchw16n) return;
  const int64_t used = tensor.size(0) % kLanes;
  if (used == 0) return;
  const int64_t row = kLanes * item_size(tensor.dtype());
  const int64_t keep = used * item_size(tensor.dtype());
  const int64_t rows = tensor.numel() / tensor.size(0);
  std::byte* last = static_cast<std::byte*>(tensor.raw()) + (tensor.size(0) / kLanes) * rows * row;
  for (int64_t i = 0; i < rows; ++i) {
    std::memset(last + i * row + keep, 0, static_cast<size_t>(row - keep));
  }
}

}  // namespace espalier
