// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/forms/top_kast.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include <espalier/autograd/ops.h>
#include <espalier/nn/forms/kinds.h>
#include <espalier/nn/forms/select.h>

namespace espalier::nn {
namespace {

Tensor first_ones(const Shape& shape, int64_t count) {
  Tensor mask = Tensor::zeros(shape, DType::U8);
  std::fill_n(mask.data<uint8_t>(), count, uint8_t{1});
  return mask;
}

int64_t largest(const Parameter& weight, int64_t count) {
  return std::min(count, weight.nnz());
}

}  // namespace

TopKast::TopKast(const Shape& weight, const Counts& counts) : counts_(counts) {
  ESPALIER_CHECK(
      counts.forward >= 0 && counts.forward <= counts.backward && counts.backward <= weight.numel(),
      ValueError,
      "TopKast: expects 0 <= forward <= backward <= ",
      weight.numel(),
      " weights, got ",
      counts.forward,
      " and ",
      counts.backward);
  forward_ = first_ones(weight, counts.forward);
  backward_ = first_ones(weight, counts.backward);
  changes_ = Tensor::zeros({}, DType::I64);
}

void TopKast::visit(MemberVisitor& visitor) {
  visitor.buffer("forward", forward_);
  visitor.buffer("backward", backward_);
  visitor.buffer("changes", changes_);
}

std::string TopKast::describe() const {
  return cat("TopKast(", counts_.forward, " and ", counts_.backward, " of ", forward_.numel(), ")");
}

std::map<std::string, double> TopKast::settings() const {
  return {{"forward", static_cast<double>(counts_.forward)},
          {"backward", static_cast<double>(counts_.backward)}};
}

bool TopKast::choose(const Parameter& weight) {
  const Tensor& w = weight.value.value();
  const Tensor used = largest_mask(w, largest(weight, counts_.forward), weight.mask());
  for (int64_t i = 0; i < used.numel(); ++i) {
    changes_.data<int64_t>()[0] += used.data<uint8_t>()[i] != forward_.data<uint8_t>()[i] ? 1 : 0;
  }
  forward_.copy_(used);
  const Tensor wider = largest_mask(w, largest(weight, counts_.backward), weight.mask());
  const bool changed =
      std::memcmp(wider.raw(), backward_.raw(), static_cast<size_t>(wider.nbytes())) != 0;
  backward_.copy_(wider);
  return changed;
}

Variable TopKast::exploration(const Parameter& weight) const {
  Tensor factors = Tensor::zeros(weight.shape(), DType::F64);
  const double of_rest = static_cast<double>(weight.numel()) /
                         static_cast<double>(std::max<int64_t>(counts_.forward, 1));
  for (int64_t i = 0; i < factors.numel(); ++i) {
    if (backward_.data<uint8_t>()[i] == 0) continue;
    factors.data<double>()[i] = 0.5 * (forward_.data<uint8_t>()[i] != 0 ? 1.0 : of_rest);
  }
  return sum(weight.value * weight.value * Variable(factors.to(weight.value.dtype())));
}

int64_t TopKast::take_changes() {
  return std::exchange(changes_.data<int64_t>()[0], 0);
}

Effective TopKast::effective(const Parameter& weight) {
  return {mask_ste(weight.value, forward_),
          {.support = multiplied_(forward_), .gradient = trained_(backward_)}};
}

PartKind top_kast_part() {
  return {.name = "top-kast",
          .make = [](const PartPlace& place, const PartDescription& description) {
            ESPALIER_CHECK(place.site, ValueError, "forms: top-kast: ", place.name, " is a block");
            const Shape& shape = place.site->slot.parameter->shape();
            return std::make_shared<TopKast>(
                shape,
                TopKast::Counts{.forward = description.whole("forward", 0, shape.numel()),
                                .backward = description.whole("backward", 0, shape.numel())});
          }};
}

}  // namespace espalier::nn
