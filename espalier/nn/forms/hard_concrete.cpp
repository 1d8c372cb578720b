// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/forms/hard_concrete.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <espalier/autograd/ops.h>
#include <espalier/core/parallel.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn {

namespace hard_concrete {
namespace {

double sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

double logit(double x) {
  return std::log(x) - std::log1p(-x);
}

/// P(stretched gate <= x).
double distribution(double x, double log_alpha) {
  return sigmoid(kBeta * logit((x - kGamma) / (kZeta - kGamma)) - log_alpha);
}

}  // namespace

Sample sample(double log_alpha, double u) {
  const double s = sigmoid((logit(u) + log_alpha) / kBeta);
  const double stretched = s * (kZeta - kGamma) + kGamma;
  if (stretched <= 0.0) return {.z = 0.0, .dz = 0.0};
  if (stretched >= 1.0) return {.z = 1.0, .dz = 0.0};
  return {.z = stretched, .dz = (kZeta - kGamma) * s * (1.0 - s) / kBeta};
}

double probability_open(double log_alpha) {
  return 1.0 - distribution(0.0, log_alpha);
}

double probability_open_slope(double log_alpha) {
  const double p = probability_open(log_alpha);
  return p * (1.0 - p);
}

double probability_one(double log_alpha) {
  return 1.0 - distribution(1.0, log_alpha);
}

double expected_gate(double log_alpha) {
  return std::clamp(sigmoid(log_alpha) * (kZeta - kGamma) + kGamma, 0.0, 1.0);
}

Sample expected(double log_alpha) {
  const double s = sigmoid(log_alpha);
  const double z = expected_gate(log_alpha);
  return {.z = z, .dz = z <= 0.0 || z >= 1.0 ? 0.0 : (kZeta - kGamma) * s * (1.0 - s)};
}

double initial_log_alpha(double drop_rate) {
  return std::log(1.0 - drop_rate) - std::log(drop_rate);
}

}  // namespace hard_concrete

namespace {

constexpr int64_t kGrain = 4096;
constexpr double kStartDeviation = 0.01;

}  // namespace

HardConcrete::HardConcrete(const Shape& weight, const Options& options)
    : options_(options),
      spread_(weight,
              {.grain = options.grain, .number_of = options.gate_of, .count = options.gates}),
      noise_(options.seed, "l0 gates") {
  ESPALIER_CHECK(options.drop_rate > 0.0 && options.drop_rate < 1.0,
                 ValueError,
                 "HardConcrete: expects a drop rate between 0 and 1, got ",
                 options.drop_rate);
  log_alpha = Parameter(Tensor::empty(spread_.numbers()));
  log_alpha.decays = false;
  const auto start = [&](std::string_view) {
    return Rng(options.seed, "l0 start").fork(static_cast<uint64_t>(options.number));
  };
  HardConcrete::reset_parameters(start);
}

void HardConcrete::visit(MemberVisitor& visitor) {
  visitor.parameter("log_alpha", log_alpha);
  spread_.visit(visitor);
  visitor.rng("noise", noise_);
}

std::string HardConcrete::describe() const {
  return cat("HardConcrete(", log_alpha.numel(), " gates)");
}

void HardConcrete::reset_parameters(const InitRng& rng) {
  init::normal(log_alpha,
               rng("log_alpha"),
               hard_concrete::initial_log_alpha(options_.drop_rate),
               kStartDeviation);
}

std::map<std::string, double> HardConcrete::settings() const {
  std::map<std::string, double> out = spread_.settings();
  out["drop-rate"] = options_.drop_rate;
  out["number"] = static_cast<double>(options_.number);
  return out;
}

void HardConcrete::share(Attached& first) {
  auto* other = dynamic_cast<HardConcrete*>(&first);
  ESPALIER_CHECK(other != nullptr && other->log_alpha.numel() == log_alpha.numel(),
                 ValueError,
                 "HardConcrete: ",
                 log_alpha.numel(),
                 " gates can't be those of ",
                 first.describe());
  ESPALIER_CHECK(other->log_alpha.shape() == log_alpha.shape(),
                 ShapeError,
                 "HardConcrete: gates ",
                 log_alpha.shape(),
                 " can't be gates ",
                 other->log_alpha.shape());
  log_alpha = other->log_alpha;
  noise_ = other->noise_;
  options_.number = other->options_.number;
}

void HardConcrete::set_position(int64_t position) {
  const Rng::State& now = noise_.state();
  noise_ = Rng(Rng::State{now.seed, now.stream, static_cast<uint64_t>(position)});
}

HardConcrete::Drawn HardConcrete::draw() {
  const Tensor& a = log_alpha.value.value();
  Drawn out{Tensor::empty_like(a), Tensor::empty_like(a)};
  const Rng::State now = noise_.state();
  const Rng of_pass =
      Rng(now.seed, now.stream).fork(now.position).fork(static_cast<uint64_t>(options_.number));
  const bool samples = training();
  dispatch_floating(a.dtype(), "HardConcrete", [&](auto zero) {
    using T = decltype(zero);
    parallel_for(a.numel(), kGrain, [&](int64_t begin, int64_t end) {
      Rng own = of_pass.fork(static_cast<uint64_t>(begin));
      for (int64_t u = begin; u < end; ++u) {
        const auto log_a = static_cast<double>(a.data<T>()[u]);
        const double noise =
            samples ? own.uniform(hard_concrete::kEpsilon, 1.0 - hard_concrete::kEpsilon) : 0.0;
        const hard_concrete::Sample gate =
            samples ? hard_concrete::sample(log_a, noise) : hard_concrete::expected(log_a);
        out.z.data<T>()[u] = static_cast<T>(gate.z);
        out.dz.data<T>()[u] = static_cast<T>(gate.dz);
      }
    });
  });
  if (samples) set_position(static_cast<int64_t>(now.position) + 1);
  return out;
}

Tensor HardConcrete::log_alpha_of_entries(const Shape& weight) const {
  return spread_.over(weight, log_alpha.value.value(), std::numeric_limits<double>::infinity());
}

Effective HardConcrete::effective(const Parameter& weight) {
  const Drawn gates = draw();
  // Exactly z, with dz as its derivative.
  const Variable moved = log_alpha.value * Variable(gates.dz);
  const Variable z = spread_(moved - moved.detach() + Variable(gates.z), 1.0);
  // A closed gate has neither a value nor a derivative: nothing asks for the gradient there.
  return {weight.value * z,
          {pattern_(Spread::open_mask(z.value(), weight)), sparse::GradRequest::Masked}};
}

Variable HardConcrete::probability_open() const {
  using namespace hard_concrete;
  return sigmoid(log_alpha.value + -kBeta * std::log(-kGamma / kZeta));
}

Variable HardConcrete::penalty(const Parameter& weight, double price, double decay) const {
  Variable cost = pow(weight.value, 2.0) * (0.5 * decay);
  cost = weight.masked() ? cost + Variable(weight.mask().to(weight.value.dtype())) * price
                         : cost + price;
  return sum(spread_(probability_open(), 0.0) * cost);
}

void HardConcrete::clamp() {
  const double most = hard_concrete::kMostLogAlpha;
  Tensor& a = log_alpha.value.value();
  dispatch_floating(a.dtype(), "HardConcrete", [&](auto zero) {
    using T = decltype(zero);
    T* p = a.data<T>();
    for (int64_t u = 0; u < a.numel(); ++u) {
      p[u] = std::clamp(p[u], static_cast<T>(-most), static_cast<T>(most));
    }
  });
}

PartKind hard_concrete_part() {
  return {.name = "hard-concrete",
          .make = [](const PartPlace& place, const PartDescription& description) {
            constexpr int64_t kMost = 1 << 20;
            const Spread::Options spread = Spread::described(place, description);
            const HardConcrete::Options options{
                .grain = spread.grain,
                .gate_of = spread.number_of,
                .gates = spread.count,
                .drop_rate = description.number("drop-rate", 0.0, 1.0),
                .number = description.whole("number", 0, kMost)};
            const Shape& weight = place.site->slot.parameter->shape();
            return std::make_shared<HardConcrete>(weight, options);
          }};
}

}  // namespace espalier::nn
