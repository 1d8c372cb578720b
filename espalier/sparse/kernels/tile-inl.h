// SPDX-License-Identifier: Apache-2.0
/// Tile: the vectors of a few neighbouring output positions, held in registers; what the innermost
/// loops of all sparse convolutions share. Included once for every SIMD target. Not a public
/// interface.
#if defined(ESPALIER_SPARSE_KERNELS_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_SPARSE_KERNELS_TILE_INL_H_
#undef ESPALIER_SPARSE_KERNELS_TILE_INL_H_
#else
#define ESPALIER_SPARSE_KERNELS_TILE_INL_H_
#endif

#include <type_traits>

#include <espalier/sparse/kernels/tile.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::sparse::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// 16 lanes are one vector of AVX-512, two of AVX2, four of SSE: a tile runs once for each of them.
using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;
constexpr int64_t kVector = hn::MaxLanes(D());

/// How many of a tile's vectors pass through the registers at once. Without vectors all of them,
/// for nothing would stay there anyway, and each pass is compiled for itself.
constexpr int pass_width(int with_avx512, int with_others) {
  return kVector == 16 ? with_avx512 : kVector > 1 ? with_others : 16 * 16;
}

// Channels between a prefetch and its use.
constexpr int64_t kAhead = 1;

/// Whether results that may pass the caches by do so: half a line would cost reading it.
template <bool kStream>
constexpr bool kPassesCaches = kStream&& kVector == 16;

/// Stores a vector, or writes it past the caches, without reading its line first.
template <bool kStream>
HWY_INLINE void put(V v, float* at) {
  if constexpr (kPassesCaches<kStream>) {
    hn::Stream(v, D(), at);
  } else {
    hn::Store(v, D(), at);
  }
}

/// To be called after writing past the caches, whose order no other store keeps: threads that are
/// told of the end of this work must see it.
HWY_INLINE void finish_streaming() {
  hwy::FlushStream();
}

/// Spreads the lines of an Ahead evenly over the channels of a job.
class Fetcher {
 public:
  Fetcher(const Ahead& ahead, int64_t channels)
      : ahead_(ahead),
        at_(ahead.from),
        left_(ahead.run_lines),
        runs_(ahead.run_lines > 0 ? ahead.runs : 0),
        per_channel_((ahead.runs * ahead.run_lines + channels - 1) /
                     (channels > 0 ? channels : 1)) {}
  HWY_INLINE void next_channel() {
    for (int64_t i = 0; i < per_channel_ && runs_ > 0; ++i, at_ += 16) {
      __builtin_prefetch(at_, 0, 2);
      if (--left_ > 0) continue;
      --runs_;
      left_ = ahead_.run_lines;
      at_ += ahead_.run_stride - ahead_.run_lines * 16;
    }
  }

 private:
  const Ahead& ahead_;
  const float* at_;
  int64_t left_, runs_, per_channel_;
};

/// The vectors of one tile.
template <TileShape kShape>
struct Tile {
  static constexpr TileSize kSize = tile_size(kShape);
  static constexpr int kVectors = kSize.images * kSize.rows * kSize.cols;
  V v[kVectors];

  static constexpr int image(int i) { return i / (kSize.rows * kSize.cols); }
  static constexpr int row(int i) { return i / kSize.cols % kSize.rows; }
  static constexpr int col(int i) { return i % kSize.cols; }

  static HWY_INLINE int64_t offset(int i, const TileStrides& s) {
    return image(i) * s.image + row(i) * s.row + col(i) * s.col;
  }
  static bool exists(int i, const TileSize& exist) {
    return image(i) < exist.images && row(i) < exist.rows && col(i) < exist.cols;
  }
  static bool full(const TileSize& exist) {
    return exist.images == kSize.images && exist.rows == kSize.rows && exist.cols == kSize.cols;
  }

  /// A position has kParts vectors, so that a tile has kPieces; those of a position follow another,
  /// which finds the second in the line that came for the first.
  static constexpr int kParts = 16 / kVector;
  static constexpr int kPieces = kVectors * kParts;
  static HWY_INLINE int64_t piece_offset(int i, const TileStrides& s) {
    return offset(i / kParts, s) + i % kParts * kVector;
  }
  static bool piece_exists(int i, const TileSize& exist) { return exists(i / kParts, exist); }

  HWY_INLINE void set(V value) {
    HWY_UNROLL(8)
    for (int i = 0; i < kVectors; ++i) v[i] = value;
  }
  HWY_INLINE void load(const float* at, const TileStrides& s) {
    HWY_UNROLL(8)
    for (int i = 0; i < kVectors; ++i) v[i] = hn::Load(D(), at + offset(i, s));
  }
  template <bool kStream = false>
  HWY_INLINE void store(float* at, const TileStrides& s) const {
    HWY_UNROLL(8)
    for (int i = 0; i < kVectors; ++i) put<kStream>(v[i], at + offset(i, s));
  }
  /// Brings the tile at `at` near: its rows lie in other pages than those of the last channel,
  /// where no hardware prefetcher follows.
  static HWY_INLINE void prefetch(const float* at, const TileStrides& s) {
    HWY_UNROLL(8)
    for (int i = 0; i < kVectors; ++i) __builtin_prefetch(at + offset(i, s));
  }
  /// The same for lines that will be written.
  static HWY_INLINE void prefetch_to_write(const float* at, const TileStrides& s) {
    HWY_UNROLL(8)
    for (int i = 0; i < kVectors; ++i) __builtin_prefetch(at + offset(i, s), 1);
  }
  // Zero where nothing exists.
  void load_part(const float* at, const TileStrides& s, const TileSize& exist) {
    alignas(64) float buffer[kVectors * kVector] = {};
    for (int i = 0; i < kVectors; ++i) {
      if (exists(i, exist)) hn::Store(hn::Load(D(), at + offset(i, s)), D(), buffer + i * kVector);
    }
    HWY_UNROLL(8)
    for (int i = 0; i < kVectors; ++i) v[i] = hn::Load(D(), buffer + i * kVector);
  }
  void store_part(float* at, const TileStrides& s, const TileSize& exist) const {
    alignas(64) float buffer[kVectors * kVector];
    HWY_UNROLL(8)
    for (int i = 0; i < kVectors; ++i) hn::Store(v[i], D(), buffer + i * kVector);
    for (int i = 0; i < kVectors; ++i) {
      if (exists(i, exist)) hn::Store(hn::Load(D(), buffer + i * kVector), D(), at + offset(i, s));
    }
  }
};

/// Calls body(first, count) for kTotal pieces, at most kWidth of them at a time; both are
/// constants.
template <int kTotal, int kWidth, int kFirst = 0, class Body>
HWY_INLINE void in_passes(Body body) {
  constexpr int kCount = kTotal - kFirst < kWidth ? kTotal - kFirst : kWidth;
  body(std::integral_constant<int, kFirst>(), std::integral_constant<int, kCount>());
  if constexpr (kFirst + kCount < kTotal) in_passes<kTotal, kWidth, kFirst + kCount>(body);
}

/// The strides of a tile whose columns lie kStep vectors apart, known to the compiler.
template <int kStep>
HWY_INLINE TileStrides with_step(const TileStrides& strides) {
  return {strides.image, strides.row, kStep * 16};
}

}  // namespace espalier::sparse::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // ESPALIER_SPARSE_KERNELS_TILE_INL_H_
