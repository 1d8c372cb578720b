// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/forms/spread.h>

#include <espalier/autograd/ops.h>

namespace espalier::nn {
namespace {

using Grain = Spread::Grain;

bool goes_along(Grain grain, int dim) {
  switch (grain) {
    case Grain::Weights:
      return true;
    case Grain::Outputs:
      return dim == 0;
    case Grain::Inputs:
      return dim == 1;
    case Grain::Stripes:
      return dim != 1;
  }
  return true;
}

Shape spread_of(const Shape& weight, Grain grain) {
  ESPALIER_CHECK(weight.rank() >= 2,
                 ShapeError,
                 "forms: expects a weight of at least two dimensions, got ",
                 weight);
  Shape out = weight;
  for (int d = 0; d < weight.rank(); ++d) {
    if (!goes_along(grain, d)) out[d] = 1;
  }
  return out;
}

/// `number_of`, one more.
Tensor places(const Spread::Options& options, const Shape& spread) {
  const auto size = static_cast<int64_t>(options.number_of.size());
  const bool by_index = options.grain == Grain::Outputs || options.grain == Grain::Inputs;
  ESPALIER_CHECK(by_index && size == spread.numel() && options.count > 0,
                 ValueError,
                 "forms: the gates of ",
                 size,
                 " indices do not fit a weight with ",
                 spread.numel());
  Tensor out = Tensor::empty({size}, DType::I64);
  for (int64_t i = 0; i < size; ++i) {
    const int64_t number = options.number_of[static_cast<size_t>(i)];
    ESPALIER_CHECK(number >= -1 && number < options.count,
                   ValueError,
                   "forms: there is no gate ",
                   number,
                   " among ",
                   options.count);
    out.data<int64_t>()[i] = number + 1;
  }
  return out;
}

}  // namespace

Spread::Spread(const Shape& weight, const Options& options)
    : options_(options), spread_(spread_of(weight, options.grain)) {
  if (!options.number_of.empty()) place_ = places(options, spread_);
  numbers_ = place_.defined() ? Shape{options.count} : spread_;
}

Variable Spread::operator()(const Variable& numbers, double where_none) const {
  if (!place_.defined()) return numbers;
  const Variable none(Tensor::full({1}, where_none, numbers.dtype()));
  return reshape(index_select(concat({none, numbers}, 0), 0, place_), spread_);
}

Tensor Spread::over(const Shape& weight, const Tensor& numbers, double where_none) const {
  const NoGrad no_grad;
  return (*this)(Variable(numbers), where_none).value().expand(weight).contiguous();
}

Tensor Spread::open_mask(const Tensor& spread, const Parameter& weight) {
  const Tensor numbers = spread.expand(weight.shape()).contiguous();
  Tensor mask = weight.masked() ? weight.mask().clone() : Tensor::ones(weight.shape(), DType::U8);
  dispatch_floating(numbers.dtype(), "forms", [&](auto zero) {
    const auto* g = numbers.data<decltype(zero)>();
    uint8_t* m = mask.data<uint8_t>();
    for (int64_t i = 0; i < mask.numel(); ++i) m[i] = g[i] == decltype(zero){0} ? 0 : m[i];
  });
  return mask;
}

void Spread::visit(MemberVisitor& visitor) {
  if (place_.defined()) visitor.buffer("place", place_);
}

std::map<std::string, double> Spread::settings() const {
  return {{"grain", static_cast<double>(options_.grain)},
          {"gates", static_cast<double>(options_.count)}};
}

Spread::Options Spread::described(const PartPlace& place, const PartDescription& description) {
  ESPALIER_CHECK(
      place.site, ValueError, "forms: ", description.kind, ": ", place.name, " is a block");
  constexpr int64_t kMost = 1 << 20;
  const auto last = static_cast<double>(Grain::Stripes);
  Options options{.grain = static_cast<Grain>(description.whole("grain", 0, last)),
                  .count = description.whole("gates", 0, kMost)};
  if (options.count > 0) {  // which number is whose comes with the values
    const int dim = options.grain == Grain::Outputs ? 0 : 1;
    options.number_of.assign(static_cast<size_t>(place.site->slot.parameter->shape()[dim]), -1);
  }
  return options;
}

}  // namespace espalier::nn
