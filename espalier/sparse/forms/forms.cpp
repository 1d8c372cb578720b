// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include <espalier/core/random.h>
#include <espalier/sparse/forms/form.h>
#include <espalier/sparse/forms/sample.h>

namespace espalier::sparse::detail {
namespace {

// Channels from which F(4x4, 3x3) is as fast as it gets.
constexpr int64_t kWideLayer = 32;

template <class Has>
const KernelForm& first_of(const Support& support, Has has) {
  const auto forms = kernel_forms();
  const auto found = std::ranges::find_if(
      forms, [&](const KernelForm* form) { return has(*form) && form->applies(support); });
  return **found;  // the last applies to all
}

}  // namespace

std::span<const KernelForm* const> kernel_forms() {
  static const std::array list = {
#define ESPALIER_SPARSE_FORM(name) &name##_form(),
#include <espalier/sparse/forms.inc>
#undef ESPALIER_SPARSE_FORM
  };
  return list;
}

const KernelForm& form_for(const Support& support, Pass pass) {
  return first_of(support, [&](const KernelForm& form) { return form.has(pass); });
}

const KernelForm& planes_form_for(const Support& support) {
  return first_of(support, [](const KernelForm& form) { return form.planes != nullptr; });
}

FormCost cost_of(const KernelForm& form,
                 const Conv2dShape& shape,
                 const Support& support,
                 Pass pass) {
  const bool forward = pass == Pass::Forward;
  const FormLimits& limits = forward ? form.forward_limits : form.backward_limits;
  const int tile = winograd_tile(shape, forward ? Conv2dPass::Forward : Conv2dPass::BackwardWeight);
  const bool wide = std::min(shape.c, shape.k) >= kWideLayer;
  return {form.products(support),
          tile == 0           ? limits.direct
          : tile == 4 && wide ? limits.large_tiles
                              : limits.small_tiles};
}

std::unique_ptr<const PreparedForward> prepare_forward(const TapConvolution& conv,
                                                       int64_t blocks,
                                                       const Support& support,
                                                       const Tensor& weight) {
  return form_for(support, Pass::Forward).prepare(conv, blocks, support, weight);
}

Tensor random_mask(const Shape& weight, double density, int64_t channels, uint64_t seed) {
  Tensor mask = Tensor::zeros(weight, DType::U8);
  const int64_t filter = weight.numel() / std::max<int64_t>(1, weight[0]);
  Rng rng(seed, "random mask");
  for (int64_t first = 0; first < weight[0]; first += channels) {
    for (int64_t i = 0; i < filter; ++i) {
      if (rng.uniform64() >= density) continue;
      for (int64_t k = first; k < std::min(weight[0], first + channels); ++k) {
        mask.data<uint8_t>()[k * filter + i] = 1;
      }
    }
  }
  return mask;
}

}  // namespace espalier::sparse::detail
