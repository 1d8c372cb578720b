// SPDX-License-Identifier: Apache-2.0
/// Counts over predictions. All take logits (N,C; float32 or float64, any layout) and labels
/// (int64, N), and throw ShapeError or TypeError for others.
#pragma once

#include <cstdint>
#include <vector>

#include <espalier/core/tensor.h>

namespace espalier::nn {

/// How many rows of `logits` have their largest value (the first of equals) at their label.
int64_t count_correct(const Tensor& logits, const Tensor& labels);

/// How many rows have their label among their `k` largest values; of equal ones the first count as
/// larger. Throws ValueError unless 1 <= k <= C, and for a label outside of 0..C-1.
int64_t count_in_top(const Tensor& logits, const Tensor& labels, int64_t k);

/// The fraction of these rows; 0 without rows. Throws as `count_in_top`.
double top_k_accuracy(const Tensor& logits, const Tensor& labels, int64_t k);

/// (C,C) int64: entry (i,j) counts the samples of class i that were taken for class j. Add those of
/// several batches. Throws ValueError for a label outside of 0..C-1.
Tensor confusion_matrix(const Tensor& logits, const Tensor& labels);

/// For each class of a confusion matrix the fraction of its samples that was recognized (its
/// recall); NaN for a class without samples. Throws ShapeError unless it is square, TypeError
/// unless int64.
std::vector<double> per_class_accuracy(const Tensor& confusion);

}  // namespace espalier::nn
