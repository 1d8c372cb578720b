// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/budgets/budget.h>

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include <espalier/core/error.h>
#include <espalier/core/options/option.h>
#include <espalier/nn/forms/slots.h>
#include <espalier/nn/gates/attach.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/introspect/samples.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/prune/budgets/latency.h>
#include <espalier/prune/structure/shrink.h>

namespace espalier::prune {
namespace {

constexpr std::array kKinds = {BudgetKind::Sparsity,
                               BudgetKind::Macs,
                               BudgetKind::Params,
                               BudgetKind::Bytes,
                               BudgetKind::Latency};

class Macs : public Budget {
 public:
  explicit Macs(Shape sample) : sample_(std::move(sample)) {}
  double cost(nn::Module& model) override {
    return static_cast<double>(nn::count_model(model, sample_).total.macs_effective);
  }
  bool adds_up() const override { return true; }

 private:
  Shape sample_;
};

class Params : public Budget {
 public:
  explicit Params(Shape sample) : sample_(std::move(sample)) {}
  double cost(nn::Module& model) override {
    cut_channels(model, sample_);
    return static_cast<double>(nn::count_model(model, sample_).total.params_nonzero);
  }

 private:
  Shape sample_;
};

class Bytes : public Budget {
 public:
  explicit Bytes(Shape sample) : sample_(std::move(sample)) {}
  double cost(nn::Module& model) override {
    cut_channels(model, sample_);
    const Variable example(nn::zero_samples(model, sample_));
    return static_cast<double>(nn::compile(model, example).weight_bytes());
  }

 private:
  Shape sample_;
};

}  // namespace

std::string name(BudgetKind kind) {
  switch (kind) {
    case BudgetKind::Sparsity:
      return "sparsity";
    case BudgetKind::Macs:
      return "macs";
    case BudgetKind::Params:
      return "params";
    case BudgetKind::Bytes:
      return "bytes";
    case BudgetKind::Latency:
      return "latency";
  }
  throw ValueError("name: unknown budget");
}

Target parse_target(const std::string& text, double most) {
  const size_t equals = std::min(text.find('='), text.size());
  const std::string kind = text.substr(0, equals);
  std::string known;
  for (const BudgetKind one : kKinds) {
    known += (known.empty() ? "" : ", ") + name(one);
    if (name(one) != kind || equals == text.size()) continue;
    Option share{.name = "target", .kind = OptionKind::Real, .min = 0.0, .max = most};
    const std::string number = text.substr(equals + 1);
    share.check("prune", number);
    return {one, espalier::detail::real_of_text(number)};
  }
  throw ValueError(cat("prune: option target expects KIND=SHARE, such as macs=0.5, with a kind of ",
                       known,
                       "; got '",
                       text,
                       "'"));
}

std::string text_of(const Target& target) {
  return fmt::format("{}={}", name(target.kind), target.share);
}

void cut_channels(nn::Module& model, const Shape& sample) {
  if (!nn::weight_factors(model).empty()) return;  // factors stay, and layers run by them
  try {
    nn::fold_forms(model);  // what they make of the weights counts, not what they make it from
    shrink(model, Variable(nn::zero_samples(model, sample)));
  } catch (const NotImplemented&) {
    // A layer without other sizes stays as it is.
  } catch (const ValueError&) {
    // The network is cut, and counts as it is under its masks.
  }
}

std::unique_ptr<nn::Module> dense_copy(nn::Module& model) {
  std::unique_ptr<nn::Module> copy = model.clone();
  for (const nn::NamedParameter& one : copy->named_parameters()) {
    one.parameter->set_support(nullptr);
    one.parameter->value.value().fill_(1.0);  // a zero would count as removed
  }
  return copy;
}

std::unique_ptr<nn::Module> without_forms(nn::Module& model) {
  std::unique_ptr<nn::Module> copy = model.clone();
  for (const nn::FormSite& site : nn::form_sites(*copy)) *site.slot.form = nullptr;
  nn::remove_gates(*copy);
  return copy;
}

std::unique_ptr<Budget> make_budget(BudgetKind kind,
                                    const nn::Module& dense,
                                    const PruneInputs& inputs,
                                    int64_t batch) {
  ESPALIER_CHECK(
      inputs.input_shape.rank() > 0,
      ValueError,
      "prune: a target of ",
      name(kind),
      " needs the shape of a sample; set PruneInputs::input_shape, or prune inside of fit()");
  switch (kind) {
    case BudgetKind::Macs:
      return std::make_unique<Macs>(inputs.input_shape);
    case BudgetKind::Params:
      return std::make_unique<Params>(inputs.input_shape);
    case BudgetKind::Bytes:
      return std::make_unique<Bytes>(inputs.input_shape);
    case BudgetKind::Latency:
      return latency_budget(dense, inputs, batch);
    case BudgetKind::Sparsity:
      break;
  }
  throw ValueError("prune: a sparsity is no budget to measure");
}

}  // namespace espalier::prune
