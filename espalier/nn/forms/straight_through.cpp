// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/forms/straight_through.h>

#include <cstring>
#include <utility>

#include <espalier/autograd/ops.h>
#include <espalier/autograd/saved.h>
#include <espalier/nn/forms/kinds.h>

namespace espalier::nn {
namespace {

bool same_values(const Tensor& a, const Tensor& b) {
  return a.defined() && a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.nbytes())) == 0;
}

/// gradient + decay * w where the mask is 0.
Tensor refined(const Tensor& gradient, const Tensor& weight, const Tensor& mask, double decay) {
  // Into fresh memory: a gradient may share its tensor with another's.
  Tensor out = gradient.to(Layout::Nchw).contiguous().clone();
  dispatch_floating(out.dtype(), "StraightThrough", [&](auto zero) {
    using T = decltype(zero);
    const uint8_t* m = mask.data<uint8_t>();
    const T* w = weight.data<T>();
    T* g = out.data<T>();
    for (int64_t i = 0; i < out.numel(); ++i) {
      if (m[i] == 0) g[i] += static_cast<T>(decay) * w[i];
    }
  });
  return out;
}

}  // namespace

StraightThrough::StraightThrough(const Shape& weight, const Options& options)
    : StraightThrough(weight, options, {}) {
  const NOfM& n = options.pattern;
  ESPALIER_CHECK(n.keep >= 1 && n.keep <= n.of && n.group >= 1,
                 ValueError,
                 "StraightThrough: expects 1 <= N <= M and a group of at least 1, got ",
                 n.keep,
                 ":",
                 n.of,
                 "g",
                 n.group);
  ESPALIER_CHECK(weight.rank() >= 2 && weight[1] % n.of == 0,
                 ShapeError,
                 "StraightThrough: ",
                 n.of,
                 " does not divide the inputs of a weight ",
                 weight);
}

StraightThrough::StraightThrough(const Shape& weight, const Options& options, Choice choice)
    : options_(options),
      choice_(std::move(choice)),
      mask_(Tensor::ones(weight, DType::U8)),
      flips_(Tensor::zeros({}, DType::I64)) {
  if (!choice_) {
    choice_ = [n = options.pattern](const Tensor& dense) { return n_of_m_mask(dense, n); };
  }
}

void StraightThrough::visit(MemberVisitor& visitor) {
  visitor.buffer("mask", mask_);
  visitor.buffer("flips", flips_);
}

std::string StraightThrough::describe() const {
  return cat("StraightThrough(", options_.pattern.keep, ":", options_.pattern.of, ")");
}

std::map<std::string, double> StraightThrough::settings() const {
  return {{"keep", static_cast<double>(options_.pattern.keep)},
          {"of", static_cast<double>(options_.pattern.of)},
          {"group", static_cast<double>(options_.pattern.group)},
          {"decay", options_.decay}};
}

const std::shared_ptr<const sparse::Support>& StraightThrough::chosen(const Parameter& weight) {
  const Tensor& dense = weight.value.value();
  if (!same_values(source_, dense)) {  // comparing costs far less than choosing
    Tensor mask = choice_(dense);
    if (weight.masked()) {
      const Tensor there = weight.mask();
      for (int64_t i = 0; i < mask.numel(); ++i) {
        mask.data<uint8_t>()[i] &= there.data<uint8_t>()[i];
      }
    }
    int64_t flips = 0;
    for (int64_t i = 0; i < mask.numel(); ++i) {
      flips += mask.data<uint8_t>()[i] != mask_.data<uint8_t>()[i];
    }
    flips_.data<int64_t>()[0] += flips;
    mask_.copy_(mask);
    source_ = dense.clone();
  }
  return pattern_(mask_);
}

int64_t StraightThrough::take_flips(const Parameter& weight) {
  chosen(weight);
  return std::exchange(flips_.data<int64_t>()[0], 0);
}

Effective StraightThrough::effective(const Parameter& weight) {
  const std::shared_ptr<const sparse::Support> support = chosen(weight);
  Variable value = mask_ste(weight.value, support->mask());
  if (training() && value.requires_grad() && options_.decay != 0.0) {
    value.register_hook(
        [support, w = Saved(weight.value), decay = options_.decay](const Variable& gradient) {
          const Variable dense = w;
          if (!is_recording()) {
            return Variable(refined(gradient.value(), dense.value(), support->mask(), decay));
          }
          const Variable out(Tensor::full(dense.shape(), 1.0, dense.dtype()));
          return gradient + dense * (out - Variable(support->mask().to(dense.dtype()))) * decay;
        });
  }
  return {value, {support, sparse::GradRequest::Dense}};
}

PartKind straight_through_part() {
  return {.name = "straight-through",
          .make = [](const PartPlace& place, const PartDescription& description) {
            ESPALIER_CHECK(
                place.site, ValueError, "forms: straight-through: ", place.name, " is a block");
            constexpr int64_t kMost = 1 << 20;
            return std::make_shared<StraightThrough>(
                place.site->slot.parameter->shape(),
                StraightThrough::Options{.pattern = {.keep = description.whole("keep", 1, kMost),
                                                     .of = description.whole("of", 1, kMost),
                                                     .group = description.whole("group", 1, kMost)},
                                         .decay = description.number("decay", 0.0, 1e6)});
          }};
}

}  // namespace espalier::nn
