// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <espalier/core/kernels/clones.h>
#include <espalier/core/parallel.h>
#include <espalier/nn/train/kernels/update.h>

// Without fused multiply-adds the numbers are the same on every machine; the loops wait for memory
// anyway.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

namespace espalier::nn::kernels {

namespace {

// 16 k elements of 5 arrays are 320 KB: enough work to hide the hand-over, small enough to balance.
constexpr int64_t kGrain = 16384;

template <class T, bool kMomentum, bool kNesterov>
ESPALIER_INLINE void sgd_loop(const UpdateArrays<T>& a,
                              const SgdStep& step,
                              int64_t begin,
                              int64_t end) {
  const T lr = static_cast<T>(step.lr);
  const T momentum = static_cast<T>(step.momentum);
  const T decay = static_cast<T>(step.weight_decay);
  T* __restrict w = a.value;
  const T* __restrict g = a.gradient;
  [[maybe_unused]] T* __restrict b = a.first;
  for (int64_t i = begin; i < end; ++i) {
    T direction = g[i] + decay * w[i];
    if constexpr (kMomentum) {
      const T buffer = momentum * b[i] + direction;
      b[i] = buffer;
      direction = kNesterov ? direction + momentum * buffer : buffer;
    }
    w[i] -= lr * direction;
  }
}

AdamCorrection correction_of(double beta1, double beta2, int64_t step) {
  const auto t = static_cast<double>(step);
  return {1.0 - std::pow(beta1, t), std::sqrt(1.0 - std::pow(beta2, t))};
}

/// The loop; kAged: with corrections by the age of each entry, kLargest: AMSGrad.
template <class T, bool kAged, bool kLargest>
ESPALIER_INLINE void adam_loop(const UpdateArrays<T>& a,
                               const AdamStep& step,
                               int64_t begin,
                               int64_t end) {
  const AdamCorrection all = correction_of(step.beta1, step.beta2, step.step);
  T step_size = static_cast<T>(step.lr / all.mean);
  T root_correction = static_cast<T>(all.root_square);
  [[maybe_unused]] const auto oldest = static_cast<T>(step.corrections.size()) - 1;
  const T eps = static_cast<T>(step.eps);
  const T beta1 = static_cast<T>(step.beta1);
  const T beta2 = static_cast<T>(step.beta2);
  const T rest1 = static_cast<T>(1.0 - step.beta1);
  const T rest2 = static_cast<T>(1.0 - step.beta2);
  const T coupled = static_cast<T>(step.decoupled_decay ? 0.0 : step.weight_decay);
  const T shrink = static_cast<T>(step.decoupled_decay ? 1.0 - step.lr * step.weight_decay : 1.0);
  T* __restrict w = a.value;
  const T* __restrict g = a.gradient;
  T* __restrict mean = a.first;
  T* __restrict square = a.second;
  [[maybe_unused]] T* __restrict largest = a.third;
  [[maybe_unused]] T* __restrict age = a.age;
  for (int64_t i = begin; i < end; ++i) {
    if constexpr (kAged) {
      age[i] += 1;
      const AdamCorrection& own = step.corrections[static_cast<size_t>(std::min(age[i], oldest))];
      step_size = static_cast<T>(step.lr / own.mean);
      root_correction = static_cast<T>(own.root_square);
    }
    const T direction = g[i] + coupled * w[i];
    const T first = beta1 * mean[i] + rest1 * direction;
    const T second = beta2 * square[i] + rest2 * direction * direction;
    T divisor = second;
    if constexpr (kLargest) {
      divisor = std::max(largest[i], second);
      largest[i] = divisor;
    }
    w[i] = shrink * w[i] - step_size * first / (std::sqrt(divisor) / root_correction + eps);
    mean[i] = first;
    square[i] = second;
  }
}

template <class T>
ESPALIER_INLINE void sgd_any(const UpdateArrays<T>& a,
                             const SgdStep& s,
                             int64_t begin,
                             int64_t end) {
  if (a.first == nullptr) {
    sgd_loop<T, false, false>(a, s, begin, end);
  } else if (s.nesterov) {
    sgd_loop<T, true, true>(a, s, begin, end);
  } else {
    sgd_loop<T, true, false>(a, s, begin, end);
  }
}

template <class T>
ESPALIER_INLINE void adam_any(const UpdateArrays<T>& a,
                              const AdamStep& s,
                              int64_t begin,
                              int64_t end) {
  if (a.third != nullptr) {
    a.age != nullptr ? adam_loop<T, true, true>(a, s, begin, end)
                     : adam_loop<T, false, true>(a, s, begin, end);
  } else {
    a.age != nullptr ? adam_loop<T, true, false>(a, s, begin, end)
                     : adam_loop<T, false, false>(a, s, begin, end);
  }
}

template <class T, bool kMomentum, bool kCentered>
ESPALIER_INLINE void rmsprop_loop(const UpdateArrays<T>& a,
                                  const RmsPropStep& step,
                                  int64_t begin,
                                  int64_t end) {
  const T lr = static_cast<T>(step.lr);
  const T alpha = static_cast<T>(step.alpha);
  const T rest = static_cast<T>(1.0 - step.alpha);
  const T eps = static_cast<T>(step.eps);
  const T momentum = static_cast<T>(step.momentum);
  const T decay = static_cast<T>(step.weight_decay);
  T* __restrict w = a.value;
  const T* __restrict g = a.gradient;
  T* __restrict square = a.first;
  [[maybe_unused]] T* __restrict b = a.second;
  [[maybe_unused]] T* __restrict mean = kMomentum ? a.third : a.second;
  for (int64_t i = begin; i < end; ++i) {
    T direction = g[i] + decay * w[i];
    square[i] = alpha * square[i] + rest * direction * direction;
    T variance = square[i];
    if constexpr (kCentered) {
      mean[i] = alpha * mean[i] + rest * direction;
      // Rounding must not make it negative.
      variance = std::max(variance - mean[i] * mean[i], T{0});
    }
    direction /= std::sqrt(variance) + eps;
    if constexpr (kMomentum) {
      b[i] = momentum * b[i] + direction;
      direction = b[i];
    }
    w[i] -= lr * direction;
  }
}

template <class T>
ESPALIER_INLINE void adagrad_loop(const UpdateArrays<T>& a,
                                  const AdagradStep& step,
                                  int64_t begin,
                                  int64_t end) {
  const T lr = static_cast<T>(step.lr);
  const T initial = static_cast<T>(step.initial_square);
  const T eps = static_cast<T>(step.eps);
  const T decay = static_cast<T>(step.weight_decay);
  T* __restrict w = a.value;
  const T* __restrict g = a.gradient;
  T* __restrict sum = a.first;
  for (int64_t i = begin; i < end; ++i) {
    const T direction = g[i] + decay * w[i];
    sum[i] += direction * direction;
    w[i] -= lr * direction / (std::sqrt(sum[i] + initial) + eps);
  }
}

template <class T>
ESPALIER_INLINE void rmsprop_any(const UpdateArrays<T>& a,
                                 const RmsPropStep& s,
                                 int64_t begin,
                                 int64_t end) {
  if (s.momentum > 0.0) {
    s.centered ? rmsprop_loop<T, true, true>(a, s, begin, end)
               : rmsprop_loop<T, true, false>(a, s, begin, end);
  } else {
    s.centered ? rmsprop_loop<T, false, true>(a, s, begin, end)
               : rmsprop_loop<T, false, false>(a, s, begin, end);
  }
}

ESPALIER_CLONES void update_range(const UpdateArrays<float>& a,
                                  const SgdStep& s,
                                  int64_t begin,
                                  int64_t end) {
  sgd_any(a, s, begin, end);
}
void update_range(const UpdateArrays<double>& a, const SgdStep& s, int64_t begin, int64_t end) {
  sgd_any(a, s, begin, end);
}
ESPALIER_CLONES void update_range(const UpdateArrays<float>& a,
                                  const AdamStep& s,
                                  int64_t begin,
                                  int64_t end) {
  adam_any(a, s, begin, end);
}
void update_range(const UpdateArrays<double>& a, const AdamStep& s, int64_t begin, int64_t end) {
  adam_any(a, s, begin, end);
}

ESPALIER_CLONES void update_range(const UpdateArrays<float>& a,
                                  const RmsPropStep& s,
                                  int64_t begin,
                                  int64_t end) {
  rmsprop_any(a, s, begin, end);
}
void update_range(const UpdateArrays<double>& a, const RmsPropStep& s, int64_t begin, int64_t end) {
  rmsprop_any(a, s, begin, end);
}
ESPALIER_CLONES void update_range(const UpdateArrays<float>& a,
                                  const AdagradStep& s,
                                  int64_t begin,
                                  int64_t end) {
  adagrad_loop(a, s, begin, end);
}
void update_range(const UpdateArrays<double>& a, const AdagradStep& s, int64_t begin, int64_t end) {
  adagrad_loop(a, s, begin, end);
}

/// The arrays from `begin` on, with other memory for the values.
template <class T>
UpdateArrays<T> from(const UpdateArrays<T>& a, int64_t begin, T* value) {
  UpdateArrays<T> rest = a;
  const auto advance = [begin](auto*& p) {
    if (p != nullptr) p += begin;
  };
  rest.value = value;
  advance(rest.gradient);
  advance(rest.first);
  advance(rest.second);
  advance(rest.third);
  advance(rest.age);
  return rest;
}

/// Values of a masked parameter lie apart: they are brought together a few at a time, so that one
/// loop serves both.
template <class T, class Step>
void update(const UpdateArrays<T>& a, const Step& step) {
  constexpr int64_t kTogether = 512;
  parallel_for(a.count, kGrain, [&](int64_t begin, int64_t end) {
    if (a.kept == nullptr) return update_range(a, step, begin, end);
    T values[kTogether];
    for (; begin < end; begin += kTogether) {
      const int64_t count = std::min(kTogether, end - begin);
      const int32_t* kept = a.kept + begin;
      for (int64_t i = 0; i < count; ++i) values[i] = a.value[kept[i]];
      update_range(from(a, begin, values), step, 0, count);
      for (int64_t i = 0; i < count; ++i) a.value[kept[i]] = values[i];
    }
  });
}

}  // namespace

void extend_corrections(std::vector<AdamCorrection>& table,
                        double beta1,
                        double beta2,
                        int64_t step) {
  if (table.empty()) table.emplace_back();
  for (auto t = static_cast<int64_t>(table.size()); t <= step; ++t) {
    if (t > 1 && table.back().mean == 1.0 && table.back().root_square == 1.0) return;
    table.push_back(correction_of(beta1, beta2, t));
  }
}

template <class T>
void sgd_update(const UpdateArrays<T>& arrays, const SgdStep& step) {
  update(arrays, step);
}

template <class T>
void adam_update(const UpdateArrays<T>& arrays, const AdamStep& step) {
  update(arrays, step);
}

template <class T>
void rmsprop_update(const UpdateArrays<T>& arrays, const RmsPropStep& step) {
  update(arrays, step);
}

template <class T>
void adagrad_update(const UpdateArrays<T>& arrays, const AdagradStep& step) {
  update(arrays, step);
}

template void sgd_update<float>(const UpdateArrays<float>&, const SgdStep&);
template void sgd_update<double>(const UpdateArrays<double>&, const SgdStep&);
template void adam_update<float>(const UpdateArrays<float>&, const AdamStep&);
template void adam_update<double>(const UpdateArrays<double>&, const AdamStep&);
template void rmsprop_update<float>(const UpdateArrays<float>&, const RmsPropStep&);
template void rmsprop_update<double>(const UpdateArrays<double>&, const RmsPropStep&);
template void adagrad_update<float>(const UpdateArrays<float>&, const AdagradStep&);
template void adagrad_update<double>(const UpdateArrays<double>&, const AdagradStep&);

}  // namespace espalier::nn::kernels
