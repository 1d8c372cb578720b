// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <string_view>

#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/module/own_parameters.h>
#include <espalier/prune/sites/site.h>

namespace espalier::prune {
namespace {

/// The units of a parameter whose index along `dim` tells the channel.
Units slice_units(const Shape& shape, const GroupSlice& slice, int64_t channels) {
  ESPALIER_CHECK(
      slice.dim < shape.rank() && static_cast<int64_t>(slice.channel_of.size()) == shape[slice.dim],
      ShapeError,
      "channel group: slice of ",
      slice.name,
      " maps ",
      slice.channel_of.size(),
      " indices of dimension ",
      slice.dim,
      " but the parameter is ",
      shape);
  int64_t inner = 1;
  for (int d = slice.dim + 1; d < shape.rank(); ++d) inner *= shape[d];
  Units units;
  units.count = channels;
  units.of_weight.resize(static_cast<size_t>(shape.numel()));
  for (int64_t i = 0; i < shape.numel(); ++i) {
    units.of_weight[static_cast<size_t>(i)] =
        slice.channel_of[static_cast<size_t>(i / inner % shape[slice.dim])];
  }
  return units;
}

}  // namespace

std::vector<int64_t> Site::unit_weights() const {
  std::vector<int64_t> weights(static_cast<size_t>(units), 0);
  for (const SitePart& part : parts) {
    if (part.parameter->shape().rank() < 2) continue;
    for (int64_t i = 0; i < part.parameter->numel(); ++i) {
      const int64_t unit = part.units.unit(i);
      if (unit >= 0) ++weights[static_cast<size_t>(unit)];
    }
  }
  return weights;
}

std::vector<uint8_t> Site::alive() const {
  std::vector<uint8_t> alive(static_cast<size_t>(units), 0);
  for (const SitePart& part : parts) {
    if (!part.scored) continue;
    const Tensor mask = part.parameter->mask();
    if (!mask.defined()) return std::vector<uint8_t>(static_cast<size_t>(units), 1);
    const uint8_t* kept = mask.data<uint8_t>();
    for (int64_t i = 0; i < mask.numel(); ++i) {
      const int64_t unit = part.units.unit(i);
      if (kept[i] != 0 && unit >= 0) alive[static_cast<size_t>(unit)] = 1;
    }
  }
  return alive;
}

std::string Site::kind() const {
  constexpr std::string_view kRoles = "PFC";  // in the order of SliceRole
  std::string kind;
  for (const SitePart& part : parts) {
    kind += cat(kRoles.at(static_cast<size_t>(part.role)), part.parameter->shape().rank(), " ");
  }
  return kind;
}

std::vector<nn::NamedParameter> prunable_weights(nn::Module& model,
                                                 const std::vector<std::string>& exclude) {
  std::vector<nn::NamedParameter> weights;
  std::set<const nn::Parameter*> seen;
  std::set<std::string> used;
  for (const nn::NamedModule& layer : model.named_modules()) {
    nn::OwnParameters own;
    layer.module->visit(own);
    for (const auto& [name, parameter] : own.found) {
      if (!nn::is_prunable_weight(*layer.module, name, *parameter)) continue;
      if (!seen.insert(parameter).second) continue;  // a weight that two layers share is one weight
      const std::string full = layer.name.empty() ? name : layer.name + "." + name;
      bool excluded = false;
      for (const std::string& pattern : exclude) {
        if (!names_layer(pattern, full)) continue;
        excluded = true;
        used.insert(pattern);
      }
      if (!excluded) weights.push_back({full, parameter});
    }
  }
  for (const std::string& pattern : exclude) {
    ESPALIER_CHECK(
        used.contains(pattern),
        ValueError,
        "prune: exclude '",
        pattern,
        "' fits no convolution or linear weight. Names are like layer1.0.conv1.weight; a "
        "prefix up to a dot excludes all below it.");
  }
  ESPALIER_CHECK(!weights.empty(), ValueError, "prune: the model has no prunable weight left");
  return weights;
}

std::vector<nn::NamedParameter> fitting_weights(const std::vector<nn::NamedParameter>& weights,
                                                const LayerPatterns& patterns,
                                                std::vector<std::string>& notes) {
  std::vector<nn::NamedParameter> fitting;
  for (const nn::NamedParameter& weight : weights) {
    const Pattern& pattern = patterns.of(weight.name);
    const std::string refusal = pattern.refusal(weight.parameter->shape());
    if (refusal.empty()) {
      fitting.push_back(weight);
    } else {
      notes.push_back(
          cat(weight.name, " stays as it is: ", pattern.name(), " impossible, ", refusal));
    }
  }
  ESPALIER_CHECK(!fitting.empty(),
                 ValueError,
                 "prune: no layer of the model can have the pattern ",
                 patterns.name());
  return fitting;
}

std::vector<Site> weight_sites(const std::vector<nn::NamedParameter>& weights,
                               const LayerPatterns& patterns,
                               std::vector<std::string>& notes) {
  std::vector<Site> sites;
  for (const nn::NamedParameter& weight : fitting_weights(weights, patterns, notes)) {
    const Pattern& pattern = patterns.of(weight.name);
    const Shape& shape = weight.parameter->shape();
    Site site{weight.name, shape, 0, pattern.cell(), {}};
    site.parts.push_back({weight.name, weight.parameter, pattern.units(shape), true});
    site.units = site.parts.front().units.count;
    site.structured = pattern.speedup() != Speedup::Unstructured && site.cell.size == 0;
    sites.push_back(std::move(site));
  }
  return sites;
}

std::vector<Site> channel_sites(nn::Module& model,
                                const std::vector<ChannelGroup>& groups,
                                const std::vector<nn::NamedParameter>& weights,
                                bool single_producer_only,
                                std::vector<std::string>& notes) {
  std::map<std::string, nn::Parameter*> parameters;
  for (const nn::NamedParameter& one : model.named_parameters()) {
    parameters[one.name] = one.parameter;
  }
  std::set<const nn::Parameter*> prunable;
  for (const nn::NamedParameter& weight : weights) prunable.insert(weight.parameter);

  std::vector<Site> sites;
  for (const ChannelGroup& group : groups) {
    if (!group.frozen_because.empty()) {
      notes.push_back(cat(group.name, " keeps its channels: ", group.frozen_because));
      continue;
    }
    Site site{"", {}, group.channels, {}, {}};
    int producers = 0;
    bool excluded = false;
    for (const GroupSlice& slice : group.slices) {
      if (slice.buffer) continue;
      const auto found = parameters.find(slice.name);
      ESPALIER_CHECK(found != parameters.end(),
                     ValueError,
                     "channel group ",
                     group.name,
                     ": the model has no parameter ",
                     slice.name);
      nn::Parameter* parameter = found->second;
      const bool scored = slice.role == SliceRole::Producer && parameter->shape().rank() >= 2;
      if (scored) {
        ++producers;
        excluded = excluded || !prunable.contains(parameter);
        if (site.name.empty()) {
          site.name = slice.name;
          site.shape = parameter->shape();
        }
      }
      site.parts.push_back({slice.name,
                            parameter,
                            slice_units(parameter->shape(), slice, group.channels),
                            scored,
                            slice.role,
                            slice.dim});
    }
    if (excluded || producers == 0) {
      notes.push_back(cat(group.name, " keeps its channels: its producer is excluded"));
    } else if (single_producer_only && producers > 1) {
      notes.push_back(cat(group.name, " keeps its channels: a sum of ", producers, " layers"));
    } else {
      sites.push_back(std::move(site));
    }
  }
  ESPALIER_CHECK(!sites.empty(), ValueError, "prune: no channel of the model may go");
  return sites;
}

std::vector<double> unit_scores(const Site& site,
                                std::span<const Tensor> part_scores,
                                Reduce reduce) {
  const double start = reduce == Reduce::Max ? -std::numeric_limits<double>::infinity() : 0.0;
  std::vector<double> scores(static_cast<size_t>(site.units), start);
  std::vector<int64_t> counts(static_cast<size_t>(site.units), 0);
  size_t next = 0;
  for (const SitePart& part : site.parts) {
    if (!part.scored) continue;
    const double* weight_scores = part_scores[next++].data<double>();
    for (int64_t i = 0; i < part.parameter->numel(); ++i) {
      const int64_t unit = part.units.unit(i);
      if (unit < 0) continue;
      double& score = scores[static_cast<size_t>(unit)];
      score = reduce == Reduce::Max ? std::max(score, weight_scores[i]) : score + weight_scores[i];
      ++counts[static_cast<size_t>(unit)];
    }
  }
  if (reduce == Reduce::Mean) {
    for (size_t u = 0; u < scores.size(); ++u) {
      if (counts[u] > 0) scores[u] /= static_cast<double>(counts[u]);
    }
  }
  if (reduce == Reduce::Sum) {
    // The last block of a weight may be smaller, and would go first for that alone: with blocks of
    // eight rows, the last two of ten classes.
    const int64_t whole = counts.empty() ? 0 : *std::max_element(counts.begin(), counts.end());
    for (size_t u = 0; u < scores.size(); ++u) {
      if (counts[u] == 0 || counts[u] == whole) continue;
      scores[u] *= static_cast<double>(whole) / static_cast<double>(counts[u]);
    }
  }
  return scores;
}

std::vector<std::vector<double>> unit_scores(std::span<const Site> sites,
                                             std::span<const nn::NamedParameter> weights,
                                             std::span<const Tensor> weight_scores,
                                             Reduce reduce) {
  std::map<const nn::Parameter*, Tensor> of;
  for (size_t w = 0; w < weights.size(); ++w) of[weights[w].parameter] = weight_scores[w];
  std::vector<std::vector<double>> result;
  for (const Site& site : sites) {
    std::vector<Tensor> parts;
    for (const SitePart& part : site.parts) {
      if (part.scored) parts.push_back(of.at(part.parameter));
    }
    result.push_back(unit_scores(site, parts, reduce));
  }
  return result;
}

}  // namespace espalier::prune
