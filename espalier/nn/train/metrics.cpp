// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/metrics.h>

#include <cmath>

namespace espalier::nn {
namespace {

void check_rows(const char* op, const Tensor& logits, const Tensor& labels) {
  ESPALIER_CHECK(logits.rank() == 2 && labels.rank() == 1 && labels.size(0) == logits.size(0) &&
                     logits.size(1) > 0,
                 ShapeError,
                 op,
                 ": expects logits (N,C) and labels (N), got ",
                 logits,
                 " and ",
                 labels);
  ESPALIER_CHECK(labels.dtype() == DType::I64,
                 TypeError,
                 op,
                 ": expects labels of type int64, got ",
                 name(labels.dtype()));
}

// Calls f(row, label) for each sample.
template <class F>
void for_rows(const char* op, const Tensor& logits, const Tensor& labels, F f) {
  check_rows(op, logits, labels);
  const Tensor plain = logits.to(Layout::Nchw).contiguous();
  const Tensor wanted = labels.contiguous();
  const int64_t* label = wanted.data<int64_t>();
  dispatch_floating(plain.dtype(), op, [&](auto zero) {
    const auto* row = plain.data<decltype(zero)>();
    for (int64_t n = 0; n < plain.size(0); ++n, row += plain.size(1)) f(row, label[n]);
  });
}

// The first of the largest.
template <class T>
int64_t best_class(const T* row, int64_t classes) {
  int64_t best = 0;
  for (int64_t c = 1; c < classes; ++c) {
    if (row[c] > row[best]) best = c;
  }
  return best;
}

void check_label(const char* op, int64_t label, int64_t classes) {
  ESPALIER_CHECK(label >= 0 && label < classes,
                 ValueError,
                 op,
                 ": label ",
                 label,
                 " is outside of 0..",
                 classes - 1);
}

}  // namespace

int64_t count_correct(const Tensor& logits, const Tensor& labels) {
  int64_t correct = 0;
  for_rows("count_correct", logits, labels, [&](const auto* row, int64_t label) {
    if (best_class(row, logits.size(1)) == label) ++correct;
  });
  return correct;
}

int64_t count_in_top(const Tensor& logits, const Tensor& labels, int64_t k) {
  check_rows("count_in_top", logits, labels);
  const int64_t classes = logits.size(1);
  ESPALIER_CHECK(
      k >= 1 && k <= classes, ValueError, "count_in_top: expects k in 1..", classes, ", got ", k);
  int64_t found = 0;
  for_rows("count_in_top", logits, labels, [&](const auto* row, int64_t label) {
    check_label("count_in_top", label, classes);
    int64_t before = 0;
    for (int64_t c = 0; c < classes; ++c) {
      if (row[c] > row[label] || (c < label && row[c] == row[label])) ++before;
    }
    if (before < k && !std::isnan(row[label])) ++found;
  });
  return found;
}

double top_k_accuracy(const Tensor& logits, const Tensor& labels, int64_t k) {
  const int64_t found = count_in_top(logits, labels, k);
  return labels.size(0) == 0 ? 0.0
                             : static_cast<double>(found) / static_cast<double>(labels.size(0));
}

Tensor confusion_matrix(const Tensor& logits, const Tensor& labels) {
  check_rows("confusion_matrix", logits, labels);
  const int64_t classes = logits.size(1);
  Tensor counts = Tensor::zeros({classes, classes}, DType::I64);
  int64_t* count = counts.data<int64_t>();
  for_rows("confusion_matrix", logits, labels, [&](const auto* row, int64_t label) {
    check_label("confusion_matrix", label, classes);
    ++count[label * classes + best_class(row, classes)];
  });
  return counts;
}

std::vector<double> per_class_accuracy(const Tensor& confusion) {
  ESPALIER_CHECK(confusion.rank() == 2 && confusion.size(0) == confusion.size(1),
                 ShapeError,
                 "per_class_accuracy: expects a confusion matrix (C,C), got ",
                 confusion);
  ESPALIER_CHECK(confusion.dtype() == DType::I64,
                 TypeError,
                 "per_class_accuracy: expects counts of type int64, got ",
                 name(confusion.dtype()));
  const int64_t classes = confusion.size(0);
  std::vector<double> out;
  for (int64_t c = 0; c < classes; ++c) {
    int64_t samples = 0;
    for (int64_t d = 0; d < classes; ++d) samples += static_cast<int64_t>(confusion.at({c, d}));
    out.push_back(samples == 0 ? NAN : confusion.at({c, c}) / static_cast<double>(samples));
  }
  return out;
}

}  // namespace espalier::nn
