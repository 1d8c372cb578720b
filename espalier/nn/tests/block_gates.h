// SPDX-License-Identifier: Apache-2.0
/// What the tests of gated blocks in plans share: networks whose blocks are open for some images
/// and closed for others.
#pragma once

#include <espalier/nn/graph/tracer.h>
#include <espalier/nn/tests/gates_support.h>

namespace espalier::nn {

/// Images that differ in the means of their channels, so that heads decide differently.
inline Tensor varied_images(int64_t count) {
  Tensor x = images(count).value().to(Layout::Nchw).clone();
  Rng rng(21, "offsets");
  Tensor offsets = Tensor::empty({count * 3});
  fill_normal_(offsets, rng, 0.0, 1.5);
  const int64_t plane = x.numel() / offsets.numel();
  for (int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] += offsets.data<float>()[i / plane];
  return x;
}

/// A head of either kind with random numbers, or with one decision for all images.
enum class Opens : uint8_t { Some, All, None };
inline std::shared_ptr<Decision> random_head(const std::string& kind,
                                             int64_t inputs,
                                             const std::string& name,
                                             Opens opens) {
  Rng rng(4, name);
  const double spread = opens == Opens::Some ? 1.0 : 0.0;
  const double last = opens == Opens::All ? 10.0 : -10.0;
  if (kind == "head") {
    auto head = std::make_shared<Head>(Head::Options{.inputs = inputs});
    fill_normal_(head->weight.value.value(), rng, 0.0, spread);
    fill_normal_(head->bias.value.value(), rng, 0.0, 0.3 * spread);
    if (opens != Opens::Some) head->bias.value.value().fill_(last);
    return head;
  }
  auto head = std::make_shared<GumbelHead>(GumbelHead::Options{.inputs = inputs, .hidden = 7});
  fill_normal_(head->scale.value.value(), rng, 1.0, 0.3);
  fill_normal_(head->shift.value.value(), rng, 0.0, 0.3);
  fill_normal_(head->running_mean, rng, 0.0, 0.5);
  fill_uniform_(head->running_var, rng, 0.5, 1.5);
  fill_normal_(head->weight.value.value(), rng, 0.0, spread);
  fill_normal_(head->bias.value.value(), rng, 0.0, 0.3 * spread);
  if (opens != Opens::Some) head->bias.value.value().data<float>()[1] = static_cast<float>(last);
  return head;
}

/// Moves the bias of every gate so that it is open for half of these images.
inline void open_for_half(Module& model, const Tensor& x) {
  const EvalScope eval(model);
  const NoGrad no_grad;
  for (const PlacedGate& one : placed_gates(model)) {
    const TracedRun run = trace_run(model, Variable(x));
    const auto call = std::ranges::find(run.graph.calls, one.part, &GraphCall::module);
    const auto rule = one.decision->block_rule();
    if (!rule.has_value()) continue;  // no gate of blocks
    std::vector<double> l =
        block_logits(*rule, run.values[static_cast<size_t>(call->input)].value());
    std::ranges::sort(l);
    const double middle = 0.5 * (l[l.size() / 2 - 1] + l[l.size() / 2]);
    for (const NamedParameter& p : one.decision->named_parameters()) {
      Tensor& bias = p.parameter->value.value();
      if (p.name == "bias") bias.data<float>()[bias.numel() - 1] -= static_cast<float>(middle);
    }
  }
}

/// `network(name)` with heads of a kind before all blocks but the first.
inline SavedModel with_heads(const std::string& name, const std::string& kind, Opens opens) {
  SavedModel out = network(name);
  for (const BlockGateSite& site : block_gate_sites(*out.module, images(1))) {
    add_block_gate(site, random_head(kind, site.inputs, site.name, opens));
  }
  if (opens == Opens::Some) open_for_half(*out.module, varied_images(20));
  return out;
}

inline Tensor sample_of(const Tensor& x, int64_t n) {
  return x.slice(0, n, n + 1).clone();
}

}  // namespace espalier::nn
