// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>
#include <vector>

#include <espalier/core/kernels/gemm.h>
#include <espalier/core/parallel.h>
#include <espalier/prune/curvature/linalg/cholesky.h>
#include <espalier/prune/curvature/surgery.h>
#include <espalier/prune/ground/select.h>

namespace espalier::prune {
namespace {

/// The work on one matrix.
class Operation {
 public:
  Operation(const Tensor& weight,
            const Tensor& hessian,
            const SurgeryOptions& options,
            const Tensor& alive,
            const Tensor& given)
      : options_(options),
        rows_(weight.size(0)),
        columns_(weight.size(1)),
        weight_(weight.clone()),
        mask_(Tensor::ones(weight.shape(), DType::U8)),
        alive_(alive.defined() ? alive.contiguous() : mask_.clone()),
        given_(given.defined() ? given.contiguous() : Tensor()),
        u_(inverse_cholesky(damped_hessian(hessian, options.damping, weight_))),
        losses_(static_cast<size_t>(rows_), 0.0) {}

  Surgery run() {
    int64_t block = options_.block;
    if (options_.cell.size > 0) {
      block = std::max<int64_t>(1, block / options_.cell.size) * options_.cell.size;
    }
    for (int64_t begin = 0; begin < columns_; begin += block) {
      const int64_t end = std::min(begin + block, columns_);
      if (given_.defined()) {
        copy_given(begin, end);
      } else if (options_.cell.size == 0) {
        choose(begin, end);
      }
      const Tensor errors = operate(begin, end);
      if (end < columns_) update_rest(errors, begin, end);
    }
    return {weight_, mask_, std::accumulate(losses_.begin(), losses_.end(), 0.0)};
  }

 private:
  double pivot(int64_t column) const { return u_.data<double>()[column * columns_ + column]; }

  /// Higher stays; what is gone already goes first.
  double score(int64_t row, int64_t column) const {
    if (alive_.data<uint8_t>()[row * columns_ + column] == 0) return -1.0;
    const double w = weight_.data<double>()[row * columns_ + column] / pivot(column);
    return w * w;
  }

  void copy_given(int64_t begin, int64_t end) {
    const uint8_t* from = given_.data<uint8_t>();
    uint8_t* to = mask_.data<uint8_t>();
    for (int64_t row = 0; row < rows_; ++row) {
      std::copy(
          from + row * columns_ + begin, from + row * columns_ + end, to + row * columns_ + begin);
    }
  }

  /// The mask of a block of columns, over all rows.
  void choose(int64_t begin, int64_t end) {
    const int64_t width = end - begin;
    std::vector<double> scores(static_cast<size_t>(rows_ * width));
    int64_t there = 0;
    for (int64_t i = 0; i < rows_ * width; ++i) {
      scores[static_cast<size_t>(i)] = score(i / width, begin + i % width);
      there += scores[static_cast<size_t>(i)] >= 0.0;
    }
    const int64_t most = rows_ * columns_ - options_.at_least;
    const int64_t wanted = std::min(removed_count(rows_ * end, options_.sparsity), most) - removed_;
    const int64_t kept = std::clamp<int64_t>(rows_ * width - wanted, 0, there);
    removed_ += rows_ * width - kept;
    const std::vector<uint8_t> stays = top_k(scores, {}, kept);
    uint8_t* mask = mask_.data<uint8_t>();
    for (int64_t i = 0; i < rows_ * width; ++i) {
      mask[i / width * columns_ + begin + i % width] = stays[static_cast<size_t>(i)];
    }
  }

  /// The mask of one cell of one row.
  void choose_cell(int64_t row, int64_t begin) {
    const int64_t size = options_.cell.size;
    std::vector<double> scores(static_cast<size_t>(size));
    std::vector<uint8_t> candidates(static_cast<size_t>(size));
    for (int64_t i = 0; i < size; ++i) {
      scores[static_cast<size_t>(i)] = score(row, begin + i);
      candidates[static_cast<size_t>(i)] = scores[static_cast<size_t>(i)] >= 0.0 ? 1 : 0;
    }
    const auto there = std::count(candidates.begin(), candidates.end(), uint8_t{1});
    const auto stays = top_k(scores, candidates, std::min<int64_t>(there, options_.cell.keep));
    std::copy(stays.begin(), stays.end(), mask_.data<uint8_t>() + row * columns_ + begin);
  }

  /// Removes what the mask says in columns begin..end and lets the rest of the block make up for
  /// it. Returns the errors, (rows, end - begin).
  Tensor operate(int64_t begin, int64_t end) {
    const int64_t width = end - begin;
    Tensor errors = Tensor::zeros({rows_, width}, DType::F64);
    const double* u = u_.data<double>();
    parallel_for(rows_, 8, [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        double* w = weight_.data<double>() + row * columns_;
        double* error = errors.data<double>() + row * width;
        const bool cells = options_.cell.size > 0 && !given_.defined();
        for (int64_t i = begin; i < end; ++i) {
          if (cells && i % options_.cell.size == 0) choose_cell(row, i);
          if (mask_.data<uint8_t>()[row * columns_ + i] != 0) continue;
          const double e = w[i] / pivot(i);
          error[i - begin] = e;
          losses_[static_cast<size_t>(row)] += 0.5 * e * e;
          w[i] = 0.0;
          for (int64_t j = i + 1; j < end; ++j) w[j] -= e * u[i * columns_ + j];
        }
      }
    });
    return errors;
  }

  /// W[:, end:] -= errors U[begin:end, end:].
  void update_rest(const Tensor& errors, int64_t begin, int64_t end) {
    const int64_t rest = columns_ - end;
    Tensor change = Tensor::empty({rows_, rest}, DType::F64);
    gemm(errors, u_.slice(0, begin, end).slice(1, end, columns_), change);
    const double* c = change.data<double>();
    double* w = weight_.data<double>();
    for (int64_t row = 0; row < rows_; ++row) {
      for (int64_t j = 0; j < rest; ++j) w[row * columns_ + end + j] -= c[row * rest + j];
    }
  }

  SurgeryOptions options_;
  int64_t rows_;
  int64_t columns_;
  Tensor weight_;
  Tensor mask_;
  Tensor alive_;
  Tensor given_;
  Tensor u_;
  std::vector<double> losses_;  // per row, so that the sum has one order
  int64_t removed_ = 0;
};

}  // namespace

void check_surgery(std::string_view operation,
                   const Tensor& weight,
                   const Tensor& hessian,
                   const SurgeryOptions& options,
                   std::initializer_list<const Tensor*> masks) {
  ESPALIER_CHECK(weight.rank() == 2 && hessian.shape() == Shape({weight.size(1), weight.size(1)}),
                 ShapeError,
                 operation,
                 ": expects a weight (rows,columns) and a hessian (columns,columns), "
                 "got ",
                 weight.shape(),
                 " and ",
                 hessian.shape());
  for (const Tensor* mask : masks) {
    ESPALIER_CHECK(
        !mask->defined() || (mask->shape() == weight.shape() && mask->dtype() == DType::U8),
        ShapeError,
        operation,
        ": expects masks uint8 ",
        weight.shape(),
        ", got ",
        *mask);
  }
  ESPALIER_CHECK(options.block >= 1 && options.damping >= 0.0,
                 ValueError,
                 operation,
                 ": expects a block >= 1 and a damping >= 0, got ",
                 options.block,
                 " and ",
                 options.damping);
  ESPALIER_CHECK(options.cell.size == 0 || weight.size(1) % options.cell.size == 0,
                 ValueError,
                 operation,
                 ": cells of ",
                 options.cell.size,
                 " don't divide ",
                 weight.size(1),
                 " columns");
}

Tensor damped_hessian(const Tensor& hessian, double damping, Tensor& weight) {
  const int64_t columns = hessian.size(0);
  Tensor damped = hessian.clone();
  double* h = damped.data<double>();
  double* w = weight.data<double>();
  double mean = 0.0;
  for (int64_t i = 0; i < columns; ++i) {
    double& diagonal = h[i * columns + i];
    if (diagonal == 0.0) {
      diagonal = 1.0;
      for (int64_t row = 0; row < weight.size(0); ++row) w[row * columns + i] = 0.0;
    }
    mean += diagonal / static_cast<double>(columns);
  }
  for (int64_t i = 0; i < columns; ++i) h[i * columns + i] += damping * mean;
  return damped;
}

Surgery prune_columns(const Tensor& weight,
                      const Tensor& hessian,
                      const SurgeryOptions& options,
                      const Tensor& alive,
                      const Tensor& given) {
  check_surgery("prune_columns", weight, hessian, options, {&alive, &given});
  return Operation(weight, hessian, options, alive, given).run();
}

}  // namespace espalier::prune
