// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/forms/projection.h>

#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/nn/forms/kinds.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn {
namespace {

constexpr int64_t kWidest = 4096;

}  // namespace

Projection::Projection(const Shape& weight, int64_t width) {
  ESPALIER_CHECK(weight.rank() == 2,
                 ShapeError,
                 "Projection: expects a linear layer's weight (O,I), got ",
                 weight);
  ESPALIER_CHECK(width >= 1 && width <= kWidest,
                 ValueError,
                 "Projection: expects a width of 1 .. ",
                 kWidest,
                 ", got ",
                 width);
  hidden = Parameter(Tensor::empty({weight[1], weight[1]}));
  hidden_bias = Parameter(Tensor::empty({weight[1]}));
  out = Parameter(Tensor::empty({width, weight[1]}));
  out_bias = Parameter(Tensor::empty({width}));
  Projection::reset_parameters(default_init_rng);
}

void Projection::visit(MemberVisitor& visitor) {
  visitor.parameter("hidden", hidden);
  visitor.parameter("hidden_bias", hidden_bias);
  visitor.parameter("out", out);
  visitor.parameter("out_bias", out_bias);
}

std::string Projection::describe() const {
  return cat("Projection(", out.shape()[1], ", ", out.shape()[0], ")");
}

std::map<std::string, double> Projection::settings() const {
  return {{"width", static_cast<double>(out.shape()[0])}};
}

void Projection::reset_parameters(const InitRng& rng) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(out.shape()[1]));
  init::uniform(hidden, rng("hidden"), -bound, bound);
  init::uniform(hidden_bias, rng("hidden_bias"), -bound, bound);
  init::uniform(out, rng("out"), -bound, bound);
  init::uniform(out_bias, rng("out_bias"), -bound, bound);
}

Variable Projection::product(const Variable& x, const LayerProduct& layer) {
  if (!training()) return Form::product(x, layer);
  return linear(relu(linear(x, hidden.value, hidden_bias.value)), out.value, out_bias.value);
}

PartKind projection_part() {
  return {.name = "projection",
          .make = [](const PartPlace& place, const PartDescription& description) {
            ESPALIER_CHECK(place.site && place.site->slot.whole,
                           ValueError,
                           "forms: projection: ",
                           place.name,
                           " is no single product");
            return std::make_shared<Projection>(place.site->slot.parameter->shape(),
                                                description.whole("width", 1, kWidest));
          }};
}

}  // namespace espalier::nn
