// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/formats/bsr.h>

#include <algorithm>
#include <limits>
#include <utility>

#include <espalier/sparse/kept_values.h>

namespace espalier::sparse {
namespace {

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

void check_block(BlockShape block, std::string_view what) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  ESPALIER_CHECK(block.rows > 0 && block.cols > 0 && block.rows <= kMost && block.cols <= kMost,
                 ValueError,
                 what,
                 ": expects blocks of 1 x 1 or more, got ",
                 block.rows,
                 " x ",
                 block.cols);
}

/// Calls body(block, its first row, its first column) in order.
template <class F>
void for_each_block(const BsrIndices& indices, F body) {
  int64_t b = 0;
  for (int64_t i = 0; i < indices.blocks.rows; ++i) {
    for (const int32_t column : indices.blocks.row(i)) {
      body(b++, i * indices.block.rows, column * indices.block.cols);
    }
  }
}

}  // namespace

int64_t BsrIndices::positions() const {
  int64_t sum = 0;
  for_each_block(*this, [&](int64_t, int64_t row, int64_t col) {
    sum += std::min(block.rows, rows - row) * std::min(block.cols, cols - col);
  });
  return sum;
}

void BsrIndices::check(std::string_view what) const {
  check_block(block, what);
  ESPALIER_CHECK(rows >= 0 && cols >= 0 && blocks.rows == ceil_div(rows, block.rows) &&
                     blocks.cols == ceil_div(cols, block.cols),
                 ValueError,
                 what,
                 ": expects ",
                 ceil_div(rows, block.rows),
                 " x ",
                 ceil_div(cols, block.cols),
                 " blocks of ",
                 block.rows,
                 " x ",
                 block.cols,
                 " for a matrix of ",
                 rows,
                 " x ",
                 cols,
                 ", got ",
                 blocks.rows,
                 " x ",
                 blocks.cols);
  blocks.check(what);
  ESPALIER_CHECK(count() <= std::numeric_limits<int32_t>::max() / block.rows / block.cols,
                 ValueError,
                 what,
                 ": expects fewer than 2^31 values, got ",
                 count(),
                 " blocks of ",
                 block.rows,
                 " x ",
                 block.cols);
}

BlockedEntries blocked(const CsrIndices& csr, BlockShape block) {
  check_block(block, "bsr");
  BlockedEntries out;
  out.indices = {csr.rows, csr.cols, block, {}};
  CsrIndices& blocks = out.indices.blocks;
  blocks.rows = ceil_div(csr.rows, block.rows);
  blocks.cols = ceil_div(csr.cols, block.cols);
  constexpr int32_t kNone = -1;
  std::vector<int32_t> found(static_cast<size_t>(blocks.cols), kNone);  // of a row of blocks
  int32_t entry = 0;
  for (int64_t first = 0; first < csr.rows; first += block.rows) {
    const int64_t last = std::min(csr.rows, first + block.rows);
    for (int64_t i = first; i < last; ++i) {
      for (const int32_t column : csr.row(i)) found[static_cast<size_t>(column / block.cols)] = 0;
    }
    for (size_t c = 0; c < found.size(); ++c) {
      if (found[c] == kNone) continue;
      found[c] = static_cast<int32_t>(blocks.columns.size());
      blocks.columns.push_back(static_cast<int32_t>(c));
    }
    blocks.row_offsets.push_back(static_cast<int32_t>(blocks.columns.size()));
    out.entries.resize(blocks.columns.size() * static_cast<size_t>(block.size()), kNone);
    for (int64_t i = first; i < last; ++i) {
      for (const int32_t column : csr.row(i)) {
        const int64_t b = found[static_cast<size_t>(column / block.cols)];
        const int64_t at = (b * block.rows + i - first) * block.cols + column % block.cols;
        out.entries[static_cast<size_t>(at)] = entry++;
      }
    }
    std::ranges::fill(found, kNone);
  }
  return out;
}

Bsr::Bsr(BsrIndices indices, const Tensor& values) : indices_(std::move(indices)) {
  indices_.check("bsr");
  values_ = detail::checked_values(values, {count(), block().rows, block().cols}, "bsr");
  dispatch_floating(dtype(), "bsr", [&](auto zero) {
    using T = decltype(zero);
    const T* from = values_.data<T>();
    for_each_block(indices_, [&](int64_t b, int64_t row, int64_t col) {
      for (int64_t r = 0; r < block().rows; ++r) {
        for (int64_t c = 0; c < block().cols; ++c) {
          const bool within = row + r < rows() && col + c < cols();
          ESPALIER_CHECK(within || from[(b * block().rows + r) * block().cols + c] == T{0},
                         ValueError,
                         "bsr: block ",
                         b,
                         " has a value at row ",
                         row + r,
                         ", column ",
                         col + c,
                         ", outside of the matrix of ",
                         rows(),
                         " x ",
                         cols());
        }
      }
    });
  });
}

Bsr Bsr::from_csr(const Csr& csr, BlockShape block) {
  BlockedEntries found = blocked(csr.indices(), block);
  const Tensor values = gather_values(csr.values(), found.entries);
  const Shape shape = {found.indices.count(), block.rows, block.cols};
  return Bsr(std::move(found.indices), values.reshape(shape));
}

Bsr Bsr::from_dense(const Tensor& dense, BlockShape block) {
  return from_csr(Csr::from_dense(dense), block);
}

Bsr Bsr::from_dense(const Tensor& dense, const Support& support, BlockShape block) {
  return from_csr(Csr::from_dense(dense, support), block);
}

int64_t Bsr::nbytes() const {
  const size_t numbers = indices_.blocks.row_offsets.size() + indices_.blocks.columns.size();
  return values_.nbytes() + static_cast<int64_t>(numbers * sizeof(int32_t));
}

double Bsr::fill() const {
  const int64_t positions = indices_.positions();
  if (positions == 0) return 1.0;
  const int64_t nonzero = nonzero_support(values_).nnz();
  return static_cast<double>(nonzero) / static_cast<double>(positions);
}

Tensor Bsr::to_dense() const {
  Tensor dense = Tensor::zeros({rows(), cols()}, dtype());
  dispatch_floating(dtype(), "bsr", [&](auto zero) {
    using T = decltype(zero);
    const T* from = values_.data<T>();
    T* to = dense.data<T>();
    for_each_block(indices_, [&](int64_t b, int64_t row, int64_t col) {
      const int64_t width = std::min(block().cols, cols() - col);
      for (int64_t r = 0; r < std::min(block().rows, rows() - row); ++r) {
        std::copy_n(
            from + (b * block().rows + r) * block().cols, width, to + (row + r) * cols() + col);
      }
    });
  });
  return dense;
}

Csr Bsr::to_csr() const {
  CsrIndices csr{rows(), cols(), {0}, {}};
  std::vector<int32_t> places;  // among the values
  dispatch_floating(dtype(), "bsr", [&](auto zero) {
    using T = decltype(zero);
    const T* from = values_.data<T>();
    for (int64_t i = 0; i < rows(); ++i) {
      const int64_t block_row = i / block().rows;
      int64_t b = indices_.blocks.row_offsets[static_cast<size_t>(block_row)];
      for (const int32_t column : indices_.blocks.row(block_row)) {
        const int64_t first = (b++ * block().rows + i % block().rows) * block().cols;
        for (int64_t c = 0; c < block().cols; ++c) {
          if (from[first + c] == T{0}) continue;
          csr.columns.push_back(static_cast<int32_t>(column * block().cols + c));
          places.push_back(static_cast<int32_t>(first + c));
        }
      }
      csr.row_offsets.push_back(static_cast<int32_t>(csr.columns.size()));
    }
  });
  return Csr(std::move(csr), gather_values(values_.reshape({values_.numel()}), places));
}

Bsr Bsr::transpose() const {
  std::vector<int32_t> order;
  BsrIndices indices{
      cols(), rows(), {block().cols, block().rows}, indices_.blocks.transpose(&order)};
  // Within a block row by row of the transposed one.
  std::vector<int32_t> places;
  places.reserve(static_cast<size_t>(values_.numel()));
  for (const int32_t b : order) {
    for (int64_t c = 0; c < block().cols; ++c) {
      for (int64_t r = 0; r < block().rows; ++r) {
        places.push_back(static_cast<int32_t>((b * block().rows + r) * block().cols + c));
      }
    }
  }
  const Tensor values = gather_values(values_.reshape({values_.numel()}), places);
  return Bsr(std::move(indices), values.reshape({count(), block().cols, block().rows}));
}

}  // namespace espalier::sparse
