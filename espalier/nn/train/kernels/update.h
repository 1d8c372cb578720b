// SPDX-License-Identifier: Apache-2.0
/// The inner loops of optimizers: one pass over value, gradient and state, in parallel, at the
/// speed of memory. Not a public interface; see nn/train/sgd.h, adam.h, rmsprop.h and adagrad.h for
/// the formulas.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace espalier::nn::kernels {

/// The tensors of one parameter, `count` contiguous elements each. Of a masked parameter only
/// entries that exist: then entry i is at `kept[i]` in `value`; null means all exist.
template <class T>
struct UpdateArrays {
  int64_t count = 0;
  T* value = nullptr;
  const T* gradient = nullptr;
  const int32_t* kept = nullptr;
  T* first = nullptr;   ///< the optimizer's first tensor of state (its slot_kinds); null without
  T* second = nullptr;  ///< its second
  T* third = nullptr;   ///< its third
  T* age = nullptr;     ///< updates done of each entry; Adam only, null: AdamStep::step counts
};

/// One step of SGD.
struct SgdStep {
  double lr = 0.0;
  double momentum = 0.0;
  double weight_decay = 0.0;
  bool nesterov = false;
};

/// What the moments are divided by after some number t of updates.
struct AdamCorrection {
  double mean = 1.0;         ///< 1 - beta1^t
  double root_square = 1.0;  ///< sqrt(1 - beta2^t)
};
/// Makes entry t of the table that of t updates, up to `step` or until both are 1 in float64. Entry
/// 0 is of entries that don't exist.
void extend_corrections(std::vector<AdamCorrection>& table,
                        double beta1,
                        double beta2,
                        int64_t step);

/// One step of Adam or AdamW.
struct AdamStep {
  double lr = 0.0;
  double beta1 = 0.0;
  double beta2 = 0.0;
  double eps = 0.0;
  double weight_decay = 0.0;
  bool decoupled_decay = false;
  int64_t step = 1;  ///< counts from 1
  /// By age, for arrays that have ages; the last is that of all higher ages.
  std::span<const AdamCorrection> corrections = {};
};

/// One step of RMSprop.
struct RmsPropStep {
  double lr = 0.0;
  double alpha = 0.0;
  double eps = 0.0;
  double momentum = 0.0;
  double weight_decay = 0.0;
  bool centered = false;
};

/// One step of Adagrad; the rate is that of this step.
struct AdagradStep {
  double lr = 0.0;
  double initial_square = 0.0;
  double eps = 0.0;
  double weight_decay = 0.0;
};

/// See nn/train/sgd.h. T float or double.
template <class T>
void sgd_update(const UpdateArrays<T>& arrays, const SgdStep& step);
/// See nn/train/adam.h. T float or double.
template <class T>
void adam_update(const UpdateArrays<T>& arrays, const AdamStep& step);
/// See nn/train/rmsprop.h. T float or double.
template <class T>
void rmsprop_update(const UpdateArrays<T>& arrays, const RmsPropStep& step);
/// See nn/train/adagrad.h. T float or double.
template <class T>
void adagrad_update(const UpdateArrays<T>& arrays, const AdagradStep& step);

}  // namespace espalier::nn::kernels
