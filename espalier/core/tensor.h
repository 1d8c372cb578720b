// SPDX-License-Identifier: Apache-2.0
/// Tensor: a handle to a shaped, typed block of memory. It computes nothing but copies, views and
/// conversions; arithmetic is in `autograd/` (differentiable) and `core/kernels/` (raw).
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <espalier/core/error.h>
#include <espalier/core/shape.h>
#include <espalier/core/storage.h>

namespace espalier {

/// An n-dimensional array. Copying a Tensor copies the handle: both see the same memory
/// (`clone()` copies the data). A default-constructed tensor is undefined and holds nothing.
///
/// Thread safety: as a std::shared_ptr; concurrent writes to the same elements are the caller's
/// matter.
class Tensor {
 public:
  Tensor() = default;

  /// Uninitialized values, but padding lanes of `Nchw16n` are zero. Throws ShapeError for negative
  /// sizes.
  static Tensor empty(const Shape& shape, DType dtype = DType::F32, Layout layout = Layout::Nchw);
  /// All zero.
  static Tensor zeros(const Shape& shape, DType dtype = DType::F32, Layout layout = Layout::Nchw);
  /// All one.
  static Tensor ones(const Shape& shape, DType dtype = DType::F32, Layout layout = Layout::Nchw);
  /// All `value`.
  static Tensor full(const Shape& shape,
                     double value,
                     DType dtype = DType::F32,
                     Layout layout = Layout::Nchw);
  /// A tensor of rank 0.
  static Tensor scalar(double value, DType dtype = DType::F32);
  /// 0, 1, .., n-1.
  static Tensor arange(int64_t n, DType dtype = DType::I64);
  /// Copies `values` in row-major order. Throws ShapeError when their number differs from the
  /// shape's.
  template <class T>
  static Tensor from(const Shape& shape, const std::vector<T>& values);
  /// Uninitialized, with shape, element type and layout of `other`.
  static Tensor empty_like(const Tensor& other);
  /// Zeros with shape, element type and layout of `other`.
  static Tensor zeros_like(const Tensor& other);
  /// `value` everywhere, with shape, element type and layout of `other`.
  static Tensor full_like(const Tensor& other, double value);

  /// False for a default-constructed tensor.
  bool defined() const { return storage_ != nullptr; }
  /// The logical shape, the same in every layout.
  const Shape& shape() const { return shape_; }
  /// Number of dimensions.
  int rank() const { return shape_.rank(); }
  /// Size of dimension `d`; negative counts from the end.
  int64_t size(int d) const { return shape_.size(d); }
  /// Logical elements, without padding lanes.
  int64_t numel() const { return shape_.numel(); }
  /// The element type.
  DType dtype() const { return dtype_; }
  /// The order of elements in memory.
  Layout layout() const { return layout_; }
  /// Strides in elements, of `Nchw` tensors only (an `Nchw16n` tensor is always contiguous).
  const Shape& strides() const { return strides_; }
  /// True when elements lie in row-major order without gaps (always for `Nchw16n`).
  bool is_contiguous() const;
  /// True when both handles see the same block of memory.
  bool shares_storage(const Tensor& other) const { return storage_ == other.storage_; }
  /// True when no other handle sees the block of memory: nobody notices when it changes.
  bool owns_storage() const { return storage_.use_count() == 1; }

  /// Elements in memory: `numel()`, for `Nchw16n` with the padding lanes.
  int64_t physical_numel() const;
  /// Bytes of the elements in memory.
  int64_t nbytes() const { return physical_numel() * item_size(dtype_); }

  /// The first element, to write to. Throws TypeError when T is not the element type. Ask for it
  /// right before writing: what an op saved for its backward pass notices changes that are asked
  /// for after it was saved (watched_tensor.h).
  template <class T>
  T* data();
  /// The first element. Throws TypeError when T is not the element type.
  template <class T>
  const T* data() const;
  /// The first byte, to write to.
  void* raw();
  /// The first byte.
  const void* raw() const;

  // --- views: share memory -----------------------------------------------------------------------

  /// The memory of an `Nchw16n` tensor as a plain contiguous tensor [ceil(N/16)][d1]..[dk][16];
  /// a plain tensor itself.
  Tensor physical() const;
  /// Same elements, other shape; one size may be -1. A view where possible, else a copy.
  /// In `Nchw16n` the first dimension must stay. Throws ShapeError when the counts differ.
  Tensor reshape(const Shape& shape) const;
  /// Dimension i of the result is dimension `order[i]`. Plain layout only.
  Tensor permute(const std::vector<int>& order) const;
  /// Dimensions a and b swapped. Plain layout only.
  Tensor transpose(int a, int b) const;
  /// Elements begin, begin+step, .. < end of dimension `d`. Plain layout only.
  Tensor slice(int d, int64_t begin, int64_t end, int64_t step = 1) const;
  /// Repeats dimensions of size 1 without copying. Plain layout only.
  Tensor expand(const Shape& shape) const;

  // --- copies ------------------------------------------------------------------------------------

  /// This tensor if contiguous, else a contiguous copy.
  Tensor contiguous() const;
  /// A contiguous copy with memory of its own, in the same layout.
  Tensor clone() const;
  /// Converted element type (this tensor itself if it has it already). Float to integer truncates.
  Tensor to(DType dtype) const;
  /// Converted layout (this tensor itself if it has it already). Throws ShapeError for a scalar.
  Tensor to(Layout layout) const;

  // --- in place ----------------------------------------------------------------------------------

  /// Copies the values of `source` (same shape; type and layout are converted).
  void copy_(const Tensor& source);
  /// Sets every element; padding lanes stay zero.
  void fill_(double value);

  // --- reading -----------------------------------------------------------------------------------

  /// The only element, as double. Throws ShapeError when there is not exactly one.
  double item() const;
  /// One element by its logical index, as double.
  double at(std::initializer_list<int64_t> index) const;
  /// All elements in logical row-major order, converted to T.
  template <class T>
  std::vector<T> to_vector() const;

  /// `float32 (8,3,32,32) Nchw16n`.
  std::string str() const;

 private:
  Tensor(std::shared_ptr<Storage> storage,
         int64_t offset,
         const Shape& shape,
         const Shape& strides,
         DType dtype,
         Layout layout);

  friend class WatchedTensor;
  // Of the memory between the first and the last element.
  std::pair<int64_t, int64_t> byte_range() const;

  std::shared_ptr<Storage> storage_;
  int64_t offset_ = 0;  // in elements
  Shape shape_;
  Shape strides_;
  DType dtype_ = DType::F32;
  Layout layout_ = Layout::Nchw;
};

/// Number of blocks of 16 that hold n samples.
inline int64_t lane_blocks(int64_t n) {
  return (n + kLanes - 1) / kLanes;
}

/// Sets the padding lanes of the last block of an `Nchw16n` tensor to zero; no-op otherwise.
void zero_padding_lanes(Tensor& tensor);

/// Calls `f` with a value of the C++ element type: `dispatch(dtype, [&](auto zero) {..})`.
template <class F>
decltype(auto) dispatch(DType dtype, F&& f) {
  switch (dtype) {
    case DType::F32:
      return f(float{});
    case DType::F64:
      return f(double{});
    case DType::I32:
      return f(int32_t{});
    case DType::I64:
      return f(int64_t{});
    case DType::U8:
      return f(uint8_t{});
  }
  throw TypeError("dispatch: unknown element type");
}

/// As `dispatch`, for float32 and float64 only; throws TypeError naming `op` for others.
template <class F>
decltype(auto) dispatch_floating(DType dtype, std::string_view op, F&& f) {
  if (dtype == DType::F32) return f(float{});
  if (dtype == DType::F64) return f(double{});
  throw TypeError(cat(op, ": expects float32 or float64, got ", name(dtype)));
}

}  // namespace espalier
