// SPDX-License-Identifier: Apache-2.0
/// KernelForm: one way to hold and multiply the kept weights of a convolution, described so that
/// choice, dispatch, tests and benchmarks need no other word about it; and the list of all
/// (sparse/forms.inc). Not a public interface.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <espalier/sparse/forms/pass.h>
#include <espalier/sparse/forms/prepared_forward.h>
#include <espalier/sparse/kernels/backward.h>
#include <espalier/sparse/kernels/conv2d_planes.h>

namespace espalier::sparse::detail {

/// Up to which part of all products a form is faster than the dense layer, by what that runs by.
struct FormLimits {
  double direct;       ///< direct convolution, and linear layers
  double small_tiles;  ///< Winograd's algorithm: F(2x2, 3x3), or few channels
  double large_tiles;  ///< F(4x4, 3x3) on 32 channels or more
};

/// Of kernels that do the products of kept weights and no others, one by one. On planes of 2x2 to
/// 32x32 (Zen 4, AVX-512) they are 1.15 to 1.6 times as fast as direct dense at 0.5; F(2x2, 3x3)
/// gains 1.4 to 1.9 over that, F(4x4, 3x3) 2 to 3 on wide layers.
inline constexpr FormLimits kSingleLimits{.direct = 0.5, .small_tiles = 0.35, .large_tiles = 0.22};

/// And the part of all products that they do.
inline double kept_products(const Support& support) {
  return support.density();
}

/// What a form costs for a layer, beside the dense kernel.
struct FormCost {
  double products;  ///< the part of all products that it does
  double limit;     ///< up to which it is faster than dense
  /// Whether it is.
  bool pays() const { return products <= limit; }
};

/// A form: facts and functions. Passes that it has no kernel for are null, and other forms run
/// them. Every function is right for every support, whether it applies or not.
struct KernelForm {
  std::string_view name;     ///< one word, as plans and tables name it
  std::string_view weights;  ///< whose weights these are, for the README's table
  /// Whether the form is the best of all for a support that those before it in the list left.
  /// Cheap: called at every step; what it takes to know is kept with the support.
  bool (*applies)(const Support& support);
  /// What decided that, whether it applies or not: "blocks of 4x1 filled to 0.93".
  std::string (*facts)(const Support& support);
  /// The part of all products that it does, explicit zeros included: from 0 to 1.
  double (*products)(const Support& support) = kept_products;
  /// Of the passes that it has kernels for.
  FormLimits forward_limits = kSingleLimits, backward_limits = kSingleLimits;
  /// The forward pass made ready; `weight` dense or as kept values. Null: no kernel.
  std::unique_ptr<const PreparedForward> (*prepare)(const TapConvolution& conv,
                                                    int64_t blocks,
                                                    const Support& support,
                                                    const Tensor& weight) = nullptr;
  /// Both gradients, or either. Null: no kernel.
  void (*backward)(const Conv2dShape& shape,
                   const Support& support,
                   const BackwardOperands& of) = nullptr;
  /// One sample with pixels in the lanes. Null: no kernel.
  const PlanesLayout* planes = nullptr;
  /// A random mask (uint8) of this form for a weight (K,C,R,S), of which about `density` is kept:
  /// for tests and benchmarks.
  Tensor (*sample)(const Shape& weight, double density, uint64_t seed);

  /// Whether it has a kernel for a pass.
  bool has(Pass pass) const {
    return pass == Pass::Forward ? prepare != nullptr : backward != nullptr;
  }
};

/// How numbers stand in `facts`: 0.934 as 0.93.
inline double two_digits(double value) {
  return std::round(value * 100.0) / 100.0;
}

/// All forms, in the order of the list.
std::span<const KernelForm* const> kernel_forms();
/// The one that runs a pass of a support: the first with a kernel that applies.
const KernelForm& form_for(const Support& support, Pass pass);
/// The one that runs one sample with pixels in the lanes.
const KernelForm& planes_form_for(const Support& support);
/// For a pass of a layer that the form has a kernel for.
FormCost cost_of(const KernelForm& form,
                 const Conv2dShape& shape,
                 const Support& support,
                 Pass pass);

/// The forward pass of `form_for(support, Pass::Forward)`.
std::unique_ptr<const PreparedForward> prepare_forward(const TapConvolution& conv,
                                                       int64_t blocks,
                                                       const Support& support,
                                                       const Tensor& weight);

#define ESPALIER_SPARSE_FORM(name) const KernelForm& name##_form();
#include <espalier/sparse/forms.inc>
#undef ESPALIER_SPARSE_FORM

}  // namespace espalier::sparse::detail
