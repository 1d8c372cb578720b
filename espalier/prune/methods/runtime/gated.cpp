// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/methods/runtime/gated.h>

#include <algorithm>

namespace espalier::prune {
namespace {

/// As for parameters: the name, or a prefix of it up to a dot; a layer also by its weight.
bool is_excluded(const std::string& layer, const PruneSettings& settings) {
  return std::any_of(settings.exclude.begin(), settings.exclude.end(), [&](const std::string& one) {
    return one == layer || layer.starts_with(one + ".") || one == layer + ".weight";
  });
}

}  // namespace

std::vector<std::string> add_gates(
    const std::string& method,
    const std::string& kind,
    const Subject& subject,
    const std::function<std::string(const nn::GateSite&, int64_t number)>& add) {
  nn::Module& model = subject.model;
  const std::vector<nn::GatedLayer> present = nn::gated_layers(model);
  for (const nn::GatedLayer& one : present) {
    ESPALIER_CHECK(one.gate->kind() == kind,
                   ValueError,
                   "prune ",
                   method,
                   ": ",
                   one.name,
                   " has a gate of another method");
  }
  if (!present.empty()) return {cat(method, ": goes on with the gates that the network has")};
  ESPALIER_CHECK(subject.inputs.input_shape.rank() == 3,
                 ValueError,
                 "prune ",
                 method,
                 ": needs the input's shape");
  const Tensor example = Tensor::zeros(subject.inputs.input_shape.inserted(0, 1));
  std::vector<std::string> notes;
  int64_t number = 0;
  for (const nn::GateSite& site : nn::gate_sites(model, Variable(example))) {
    if (is_excluded(site.name, subject.settings)) continue;
    const std::string refusal = site.layer->options().groups == 1
                                    ? add(site, number)
                                    : std::string("its channels are in groups");
    if (refusal.empty()) {
      ++number;
    } else {
      notes.push_back(cat(method, ": ", site.name, " has no gate: ", refusal));
    }
  }
  ESPALIER_CHECK(number > 0,
                 ValueError,
                 "prune ",
                 method,
                 ": no layer can have a gate",
                 notes.empty() ? "; expected convolutions behind the first" : ". ",
                 notes.empty() ? "" : notes.front());
  return notes;
}

}  // namespace espalier::prune
