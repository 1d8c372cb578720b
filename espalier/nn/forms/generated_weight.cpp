// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/forms/generated_weight.h>

#include <algorithm>
#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/nn/forms/kinds.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn {
namespace {

constexpr int64_t kMostHidden = 1 << 16;

/// Both where both are defined.
Tensor meet(const Tensor& a, const Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() ? a : b;
  Tensor both = a.clone();
  for (int64_t i = 0; i < both.numel(); ++i) both.data<uint8_t>()[i] &= b.data<uint8_t>()[i];
  return both;
}

}  // namespace

GeneratedWeight::GeneratedWeight(const Shape& weight, int64_t hidden) {
  ESPALIER_CHECK(weight.rank() >= 2,
                 ShapeError,
                 "GeneratedWeight: expects a weight with outputs and inputs, got ",
                 weight);
  ESPALIER_CHECK(hidden >= 1 && hidden <= kMostHidden,
                 ValueError,
                 "GeneratedWeight: expects 1 .. ",
                 kMostHidden,
                 " hidden units, got ",
                 hidden);
  encode = Parameter(Tensor::empty({hidden, 2}));
  encode_bias = Parameter(Tensor::empty({hidden}));
  generate = Parameter(Tensor::empty({weight.numel(), hidden}));
  generate_bias = Parameter(Tensor::empty(weight));
  GeneratedWeight::reset_parameters(default_init_rng);
}

void GeneratedWeight::visit(MemberVisitor& visitor) {
  visitor.parameter("encode", encode);
  visitor.parameter("encode_bias", encode_bias);
  visitor.parameter("generate", generate);
  visitor.parameter("generate_bias", generate_bias);
}

std::string GeneratedWeight::describe() const {
  return cat("GeneratedWeight(", generate_bias.shape(), ", hidden ", encode.shape()[0], ")");
}

void GeneratedWeight::reset_parameters(const InitRng& rng) {
  const double of_two = 1.0 / std::sqrt(2.0);
  const auto inputs = static_cast<double>(init::fans(generate_bias.shape()).in);
  const auto hidden = static_cast<double>(encode.shape()[0]);
  init::uniform(encode, rng("encode"), -of_two, of_two);
  init::uniform(encode_bias, rng("encode_bias"), -of_two, of_two);
  // Of the size of a layer's weights, whatever `hidden` is.
  const double bound = 1.0 / std::sqrt(inputs);
  init::uniform(generate, rng("generate"), -bound / std::sqrt(hidden), bound / std::sqrt(hidden));
  init::uniform(generate_bias, rng("generate_bias"), -bound, bound);
}

std::map<std::string, double> GeneratedWeight::settings() const {
  return {{"hidden", static_cast<double>(encode.shape()[0])}};
}

void GeneratedWeight::set_crop(const Tensor& crop) {
  ESPALIER_CHECK(!crop.defined() || (crop.shape() == generate_bias.shape() &&
                                     crop.dtype() == DType::U8 && crop.is_contiguous()),
                 ShapeError,
                 "GeneratedWeight: expects a contiguous uint8 crop of shape ",
                 generate_bias.shape());
  crop_ = crop;
}

Variable GeneratedWeight::generated(const Tensor& crop) const {
  const DType dtype = generate_bias.value.dtype();
  const auto [inputs, outputs] =
      crop.defined() ? widths_of(crop) : std::pair<double, double>(1.0, 1.0);
  const Variable widths(Tensor::from<double>({1, 2}, {inputs, outputs}).to(dtype));
  const Variable hidden = relu(linear(widths, encode.value, encode_bias.value));
  const Variable whole =
      reshape(linear(hidden, generate.value), generate_bias.shape()) + generate_bias.value;
  return crop.defined() ? whole * Variable(crop.to(dtype)) : whole;
}

Effective GeneratedWeight::effective(const Parameter& weight) {
  const Tensor crop = meet(training() ? crop_ : Tensor(), weight.mask());
  if (!crop.defined()) return {generated({}), {}};
  return {generated(crop), {pattern_(crop), sparse::GradRequest::Masked}};
}

std::pair<double, double> widths_of(const Tensor& crop) {
  const int64_t rows = crop.size(0);
  const int64_t columns = crop.size(1);
  const int64_t rest = crop.numel() / std::max<int64_t>(rows * columns, 1);
  std::vector<uint8_t> row(static_cast<size_t>(rows), 0);
  std::vector<uint8_t> column(static_cast<size_t>(columns), 0);
  const uint8_t* used = crop.data<uint8_t>();
  for (int64_t i = 0; i < crop.numel(); ++i) {
    row[static_cast<size_t>(i / (rest * columns))] |= used[i];
    column[static_cast<size_t>(i / rest % columns)] |= used[i];
  }
  const auto share = [](const std::vector<uint8_t>& of) {
    return static_cast<double>(std::ranges::count(of, uint8_t{1})) / static_cast<double>(of.size());
  };
  return {share(column), share(row)};
}

PartKind generated_weight_part() {
  return {.name = "generated-weight",
          .make = [](const PartPlace& place, const PartDescription& description) {
            ESPALIER_CHECK(
                place.site, ValueError, "forms: generated-weight: ", place.name, " is a block");
            return std::make_shared<GeneratedWeight>(place.site->slot.parameter->shape(),
                                                     description.whole("hidden", 1, kMostHidden));
          }};
}

}  // namespace espalier::nn
