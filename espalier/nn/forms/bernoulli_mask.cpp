// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/forms/bernoulli_mask.h>

#include <algorithm>
#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/core/parallel.h>
#include <espalier/nn/forms/kinds.h>
#include <espalier/nn/forms/select.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn {
namespace {

constexpr int64_t kDrawn = 4096;  // by one stream

}  // namespace

BernoulliMask::BernoulliMask(const Shape& weight, const Options& options)
    : logits(Tensor::empty(weight)), options_(options), draws_(options.seed, "bernoulli mask") {
  ESPALIER_CHECK(options.probability > 0.0 && options.probability < 1.0,
                 ValueError,
                 "BernoulliMask: expects a probability between 0 and 1, got ",
                 options.probability);
  ESPALIER_CHECK(options.kept >= 0 && options.kept <= weight.numel(),
                 ValueError,
                 "BernoulliMask: expects to keep 0 .. ",
                 weight.numel(),
                 " weights, got ",
                 options.kept);
  logits.decays = false;
  BernoulliMask::reset_parameters(default_init_rng);
}

void BernoulliMask::visit(MemberVisitor& visitor) {
  visitor.parameter("logits", logits);
  visitor.rng("draws", draws_);
}

std::string BernoulliMask::describe() const {
  return cat("BernoulliMask(", logits.numel(), " weights)");
}

void BernoulliMask::reset_parameters(const InitRng&) {
  init::constant(logits, std::log(options_.probability) - std::log1p(-options_.probability));
}

std::map<std::string, double> BernoulliMask::settings() const {
  return {{"probability", options_.probability},
          {"rescaled", options_.rescaled ? 1.0 : 0.0},
          {"kept", static_cast<double>(options_.kept)},
          {"number", static_cast<double>(options_.number)}};
}

Tensor BernoulliMask::draw(const Tensor& probabilities) const {
  const Rng::State now = draws_.state();
  const Rng of_pass =
      Rng(now.seed, now.stream).fork(now.position).fork(static_cast<uint64_t>(options_.number));
  Tensor mask = Tensor::empty(probabilities.shape(), DType::U8);
  dispatch_floating(probabilities.dtype(), "BernoulliMask", [&](auto zero) {
    const auto* p = probabilities.data<decltype(zero)>();
    uint8_t* m = mask.data<uint8_t>();
    parallel_for(mask.numel(), kDrawn, [&](int64_t begin, int64_t end) {
      Rng own = of_pass.fork(static_cast<uint64_t>(begin));
      for (int64_t i = begin; i < end; ++i) {
        m[i] = own.uniform() < static_cast<double>(p[i]) ? 1 : 0;
      }
    });
  });
  return mask;
}

Effective BernoulliMask::effective(const Parameter& weight) {
  const Variable p = sigmoid(logits.value);
  const bool draws = training() || options_.kept == 0;
  Tensor mask = draws ? draw(p.value()) : largest_mask(p.value(), options_.kept, weight.mask());
  if (draws && weight.masked()) {
    const Tensor there = weight.mask();
    for (int64_t i = 0; i < mask.numel(); ++i) {
      mask.data<uint8_t>()[i] &= there.data<uint8_t>()[i];
    }
  }
  if (training()) {
    const Rng::State now = draws_.state();
    draws_ = Rng(Rng::State{now.seed, now.stream, now.position + 1});
  }
  // Exactly 0 or 1, with the gradient of the probability.
  Variable open = p - p.detach() + Variable(mask.to(p.dtype()));
  const int64_t drawn =
      std::count(mask.data<uint8_t>(), mask.data<uint8_t>() + mask.numel(), uint8_t{1});
  if (options_.rescaled && drawn > 0) {
    open = open * (static_cast<double>(weight.nnz()) / sum(open));
  }
  return {weight.value.detach() * open, {pattern_(mask), sparse::GradRequest::Dense}};
}

PartKind bernoulli_mask_part() {
  return {.name = "bernoulli-mask",
          .make = [](const PartPlace& place, const PartDescription& description) {
            ESPALIER_CHECK(
                place.site, ValueError, "forms: bernoulli-mask: ", place.name, " is a block");
            constexpr int64_t kMost = 1 << 20;
            const Parameter& weight = *place.site->slot.parameter;
            return std::make_shared<BernoulliMask>(
                weight.shape(),
                BernoulliMask::Options{.probability = description.number("probability", 0.0, 1.0),
                                       .rescaled = description.whole("rescaled", 0, 1) == 1,
                                       .kept = description.whole("kept", 0, weight.numel()),
                                       .number = description.whole("number", 0, kMost)});
          }};
}

}  // namespace espalier::nn
