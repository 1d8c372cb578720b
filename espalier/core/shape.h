// SPDX-License-Identifier: Apache-2.0
/// Shapes, element types and layouts: the words in which a tensor is described. No data here.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace espalier {

/// Element types of a tensor.
enum class DType : uint8_t { F32, F64, I32, I64, U8 };

/// Bytes of one element.
int64_t item_size(DType dtype);
/// The name of an element type: `float32`, `float64`, `int32`, `int64`, `uint8`.
std::string_view name(DType dtype);
/// True for float32 and float64.
inline bool is_floating(DType dtype) {
  return dtype == DType::F32 || dtype == DType::F64;
}

/// See dtype_of.
template <class T>
struct DTypeOf;
/// Float is F32.
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::F32;  ///< the element type
};
/// Double is F64.
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::F64;  ///< the element type
};
/// Int32_t is I32.
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::I32;  ///< the element type
};
/// Int64_t is I64.
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::I64;  ///< the element type
};
/// Uint8_t is U8.
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::U8;  ///< the element type
};
/// The `DType` of a C++ element type.
template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

/// Order of elements in memory. The logical shape is the same in both.
///
/// Nchw     row-major, or any strided view of it.
/// Nchw16n  the first dimension is cut into blocks of 16, and the position inside a block becomes
/// the
///          innermost one: logical (N, d1, .., dk) is stored as contiguous
///          [ceil(N/16)][d1]..[dk][16]. The name is oneDNN's; it serves any rank >= 1. When N is
///          not a multiple of 16 the lanes beyond N exist in memory and are ZERO: every op keeps
///          that invariant, so that sums over whole vectors need no mask.
enum class Layout : uint8_t { Nchw, Nchw16n };

/// `Nchw` or `Nchw16n`.
std::string_view name(Layout layout);

/// Samples that ride together in `Layout::Nchw16n`, on every machine.
inline constexpr int64_t kLanes = 16;

/// The highest number of dimensions of a tensor.
inline constexpr int kMaxRank = 8;

/// Sizes of the dimensions of a tensor, outermost first; also used for strides (in elements).
class Shape {
 public:
  Shape() = default;
  /// Throws ShapeError for more than `kMaxRank` dimensions.
  Shape(std::initializer_list<int64_t> sizes);
  /// Throws ShapeError for more than `kMaxRank` dimensions.
  explicit Shape(std::span<const int64_t> sizes);

  /// Number of dimensions.
  int rank() const { return rank_; }
  /// True for a scalar's shape, which has no dimension.
  bool empty() const { return rank_ == 0; }
  /// Size of dimension d, unchecked.
  int64_t operator[](int d) const { return sizes_[static_cast<size_t>(d)]; }
  /// Size of dimension d, unchecked.
  int64_t& operator[](int d) { return sizes_[static_cast<size_t>(d)]; }
  /// Product of the sizes; 1 for a scalar.
  int64_t numel() const;
  /// Size of dimension `d`, counted from the end when negative. Throws ShapeError out of range.
  int64_t size(int d) const;
  /// `d` in 0..rank-1 for `d` in -rank..rank-1; throws ShapeError naming `op` otherwise.
  int wrap(int d, std::string_view op) const;

  /// This shape with dimension `d` replaced / removed / inserted before `d`.
  Shape with(int d, int64_t size) const;
  /// This shape without dimension `d`.
  Shape without(int d) const;
  /// This shape with a dimension of `size` before dimension `d`.
  Shape inserted(int d, int64_t size) const;
  /// Appends an innermost dimension.
  void push_back(int64_t size);

  /// The first size.
  const int64_t* begin() const { return sizes_.data(); }
  /// Behind the last size.
  const int64_t* end() const { return sizes_.data() + rank_; }
  bool operator==(const Shape& other) const;  ///< Same rank and sizes.

  /// `(8,3,32,32)`.
  std::string str() const;

 private:
  std::array<int64_t, kMaxRank> sizes_{};
  int rank_ = 0;
};

/// Row-major strides of a shape, in elements.
Shape contiguous_strides(const Shape& shape);

/// The shape that `a` and `b` broadcast to (numpy rules). Throws ShapeError naming `op`.
Shape broadcast_shapes(const Shape& a, const Shape& b, std::string_view op);

}  // namespace espalier
