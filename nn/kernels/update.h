// SPDX-License-Identifier: Apache-2.0
/// The inner loops of optimizers: one pass over value, gradient and state, in parallel, at the
/// speed of memory. Not a public interface; see nn/sgd.h and nn/adam.h for the formulas.
#pragma once

#include <cstdint>

namespace espalier::nn::kernels {

/// The tensors of one parameter, `count` contiguous elements each. Entries with `mask` 0 become
/// zero in value and state; null means all exist.
template <class T>
struct UpdateArrays {
  int64_t count = 0;
  T* value = nullptr;
  const T* gradient = nullptr;
  const uint8_t* mask = nullptr;
  T* first = nullptr;   ///< momentum, or the mean of gradients; null without
  T* second = nullptr;  ///< the mean of squared gradients; Adam only
};

/// One step of SGD.
struct SgdStep {
  double lr = 0.0;
  double momentum = 0.0;
  double weight_decay = 0.0;
  bool nesterov = false;
};

/// One step of Adam or AdamW.
struct AdamStep {
  double lr = 0.0;
  double beta1 = 0.0;
  double beta2 = 0.0;
  double eps = 0.0;
  double weight_decay = 0.0;
  bool decoupled_decay = false;
  int64_t step = 1;  ///< counts from 1
};

/// See nn/sgd.h. T float or double.
template <class T>
void sgd_update(const UpdateArrays<T>& arrays, const SgdStep& step);
/// See nn/adam.h. T float or double.
template <class T>
void adam_update(const UpdateArrays<T>& arrays, const AdamStep& step);

}  // namespace espalier::nn::kernels
