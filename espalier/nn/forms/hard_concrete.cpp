// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/forms/hard_concrete.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <espalier/autograd/ops.h>
#include <espalier/core/parallel.h>
#include <espalier/nn/forms/kinds.h>
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

Shape gates_of(const Shape& weight, HardConcrete::Grain grain) {
  Shape out = weight;
  for (int d = 0; d < weight.rank(); ++d) {
    const bool kept = grain == HardConcrete::Grain::Weights ||
                      d == (grain == HardConcrete::Grain::Outputs ? 0 : 1);
    if (!kept) out[d] = 1;
  }
  return out;
}

/// `gate_of`, one more.
Tensor places(const HardConcrete::Options& options, const Shape& spread) {
  const auto size = static_cast<int64_t>(options.gate_of.size());
  ESPALIER_CHECK(
      options.grain != HardConcrete::Grain::Weights && size == spread.numel() && options.gates > 0,
      ValueError,
      "HardConcrete: the gates of ",
      size,
      " indices do not fit a weight with ",
      spread.numel());
  Tensor out = Tensor::empty({size}, DType::I64);
  for (int64_t i = 0; i < size; ++i) {
    const int64_t gate = options.gate_of[static_cast<size_t>(i)];
    ESPALIER_CHECK(gate >= -1 && gate < options.gates,
                   ValueError,
                   "HardConcrete: there is no gate ",
                   gate,
                   " among ",
                   options.gates);
    out.data<int64_t>()[i] = gate + 1;
  }
  return out;
}

/// 1 where a gate and the weight's own mask are open, in the weight's shape.
Tensor open_mask(const Tensor& z, const Parameter& weight) {
  const Tensor gates = z.expand(weight.shape()).contiguous();
  Tensor mask = weight.masked() ? weight.mask().clone() : Tensor::ones(weight.shape(), DType::U8);
  dispatch_floating(gates.dtype(), "HardConcrete", [&](auto zero) {
    const auto* g = gates.data<decltype(zero)>();
    uint8_t* m = mask.data<uint8_t>();
    for (int64_t i = 0; i < mask.numel(); ++i) m[i] = g[i] == decltype(zero){0} ? 0 : m[i];
  });
  return mask;
}

}  // namespace

HardConcrete::HardConcrete(const Shape& weight, const Options& options)
    : options_(options), noise_(options.seed, "l0 gates") {
  ESPALIER_CHECK(options.drop_rate > 0.0 && options.drop_rate < 1.0,
                 ValueError,
                 "HardConcrete: expects a drop rate between 0 and 1, got ",
                 options.drop_rate);
  ESPALIER_CHECK(weight.rank() >= 2,
                 ShapeError,
                 "HardConcrete: expects a weight of at least two dimensions, got ",
                 weight);
  spread_ = gates_of(weight, options.grain);
  if (!options.gate_of.empty()) place_ = places(options, spread_);
  log_alpha = Parameter(Tensor::empty(place_.defined() ? Shape{options.gates} : spread_));
  log_alpha.decays = false;
  const auto start = [&](std::string_view) {
    return Rng(options.seed, "l0 start").fork(static_cast<uint64_t>(options.number));
  };
  HardConcrete::reset_parameters(start);
}

void HardConcrete::visit(MemberVisitor& visitor) {
  visitor.parameter("log_alpha", log_alpha);
  if (place_.defined()) visitor.buffer("place", place_);
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
  return {{"grain", static_cast<double>(options_.grain)},
          {"gates", static_cast<double>(options_.gates)},
          {"drop-rate", options_.drop_rate},
          {"number", static_cast<double>(options_.number)}};
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

Variable HardConcrete::spread(const Variable& of_gates, double where_none) const {
  if (!place_.defined()) return of_gates;
  const Variable none(Tensor::full({1}, where_none, of_gates.dtype()));
  return reshape(index_select(concat({none, of_gates}, 0), 0, place_), spread_);
}

Tensor HardConcrete::log_alpha_of_entries(const Shape& weight) const {
  const NoGrad no_grad;
  const Variable of_entries = spread(log_alpha.value, std::numeric_limits<double>::infinity());
  return of_entries.value().expand(weight).contiguous();
}

Effective HardConcrete::effective(const Parameter& weight) {
  const Drawn gates = draw();
  // Exactly z, with dz as its derivative.
  const Variable moved = log_alpha.value * Variable(gates.dz);
  const Variable z = spread(moved - moved.detach() + Variable(gates.z), 1.0);
  // A closed gate has neither a value nor a derivative: nothing asks for the gradient there.
  return {weight.value * z, {pattern_(open_mask(z.value(), weight)), sparse::GradRequest::Masked}};
}

Variable HardConcrete::probability_open() const {
  using namespace hard_concrete;
  return sigmoid(log_alpha.value + -kBeta * std::log(-kGamma / kZeta));
}

Variable HardConcrete::penalty(const Parameter& weight, double price, double decay) const {
  Variable cost = pow(weight.value, 2.0) * (0.5 * decay);
  cost = weight.masked() ? cost + Variable(weight.mask().to(weight.value.dtype())) * price
                         : cost + price;
  return sum(spread(probability_open(), 0.0) * cost);
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
            ESPALIER_CHECK(
                place.site, ValueError, "forms: hard-concrete: ", place.name, " is a block");
            constexpr int64_t kMost = 1 << 20;
            const Shape& weight = place.site->slot.parameter->shape();
            HardConcrete::Options options{
                .grain = static_cast<HardConcrete::Grain>(description.whole("grain", 0, 2)),
                .gates = description.whole("gates", 0, kMost),
                .drop_rate = description.number("drop-rate", 0.0, 1.0),
                .number = description.whole("number", 0, kMost)};
            if (options.gates > 0) {  // which gate is whose comes with the values
              const int dim = options.grain == HardConcrete::Grain::Outputs ? 0 : 1;
              options.gate_of.assign(static_cast<size_t>(weight[dim]), -1);
            }
            return std::make_shared<HardConcrete>(weight, options);
          }};
}

}  // namespace espalier::nn
