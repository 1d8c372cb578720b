// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/structure/widen.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>

#include <espalier/nn/module/init.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/structure/rebuild.h>

namespace espalier::prune {
namespace {

/// Along one dimension of a tensor, by new index.
struct Growth {
  int dim = 0;
  SliceRole role = SliceRole::Producer;
  std::vector<uint8_t> is_copy;
  std::vector<double> share;  // of the weight with which a channel is read
};
using Growths = std::map<std::string, std::vector<Growth>>;

Growth growth_of(const nn::ChannelSlice& member,
                 SliceRole role,
                 const std::vector<int32_t>& channels,
                 const Times& times) {
  const NewList list = entries_of(listed_anew(channels, times), member.repeat);
  Growth growth{member.dim, role, list.is_copy, {}};
  for (const int64_t old : list.old) {
    const int32_t channel = channels[static_cast<size_t>(old / member.repeat)];
    growth.share.push_back(1.0 / static_cast<double>(times[static_cast<size_t>(channel)]));
  }
  return growth;
}

/// How all parameters and buffers of layers with channels grow, by dotted name.
Growths growths_of(const ChannelGraph& graph, const Times& times) {
  Growths growths;
  for (const LayerChannels& layer : graph.layers) {
    const nn::ChannelCoupling coupling = layer.module->channel_coupling();
    const auto add = [&](const nn::ChannelSlice& member,
                         SliceRole role,
                         const std::vector<int32_t>& channels) {
      const std::string name = layer.name.empty() ? member.name : layer.name + "." + member.name;
      growths[name].push_back(growth_of(member, role, channels, times));
    };
    for (const nn::ChannelSlice& member : coupling.out) {
      add(member, coupling.passes_through ? SliceRole::Follower : SliceRole::Producer, layer.out);
    }
    if (coupling.passes_through) continue;
    for (const nn::ChannelSlice& member : coupling.in) add(member, SliceRole::Consumer, layer.in);
  }
  return growths;
}

/// value[i] = rule(i, value[i]) for every entry, in float64.
template <class Rule>
void rewrite(Tensor& tensor, const Rule& rule) {
  dispatch_floating(tensor.dtype(), "widen", [&](auto zero) {
    using T = decltype(zero);
    T* values = tensor.data<T>();
    for (int64_t i = 0; i < tensor.numel(); ++i) {
      values[i] = static_cast<T>(rule(i, static_cast<double>(values[i])));
    }
  });
}

/// The index along the growth's dimension of the entry at a flat position.
size_t index_along(const Growth& growth, const Shape& shape, int64_t entry) {
  int64_t inner = 1;
  for (int d = growth.dim + 1; d < shape.rank(); ++d) inner *= shape[d];
  return static_cast<size_t>(entry / inner % shape[growth.dim]);
}

void divide_readers(nn::Parameter& parameter, const std::vector<Growth>& growths) {
  for (const Growth& growth : growths) {
    if (growth.role != SliceRole::Consumer) continue;
    rewrite(parameter.value.value(), [&](int64_t i, double w) {
      return w * growth.share[index_along(growth, parameter.shape(), i)];
    });
  }
}

double deviation(const Tensor& tensor) {
  const std::vector<double> values = tensor.to_vector<double>();
  double sum = 0.0;
  double squares = 0.0;
  for (const double value : values) {
    sum += value;
    squares += value * value;
  }
  const auto count = static_cast<double>(values.size());
  return std::sqrt(std::max(0.0, squares / count - sum / count * (sum / count)));
}

void add_noise(nn::Parameter& parameter,
               const std::vector<Growth>& growths,
               double noise,
               Rng rng) {
  if (parameter.shape().rank() < 2) return;
  const double stddev = noise * deviation(parameter.value.value());
  for (const Growth& growth : growths) {
    if (growth.role != SliceRole::Producer) continue;
    Tensor drawn = Tensor::empty(parameter.shape(), DType::F64);
    fill_normal_(drawn, rng, 0.0, stddev);
    rewrite(parameter.value.value(), [&](int64_t i, double w) {
      const bool copied = growth.is_copy[index_along(growth, parameter.shape(), i)] != 0;
      return copied ? w + drawn.data<double>()[i] : w;
    });
  }
  parameter.apply_mask();
}

bool is_grown(const std::vector<Growth>& growths, const Shape& shape, int64_t entry) {
  return std::ranges::any_of(growths, [&](const Growth& growth) {
    return growth.is_copy[index_along(growth, shape, entry)] != 0;
  });
}

void take_grown(Tensor& tensor, const Tensor& fresh, const std::vector<Growth>& growths) {
  const std::vector<double> drawn = fresh.to_vector<double>();
  rewrite(tensor, [&](int64_t i, double value) {
    return is_grown(growths, tensor.shape(), i) ? drawn[static_cast<size_t>(i)] : value;
  });
}

/// Grown channels get the initial values of the widened network, and no mask.
void draw_grown(nn::Module& model, const Growths& growths, uint64_t seed) {
  const std::unique_ptr<nn::Module> fresh = model.clone();
  for (const nn::NamedParameter& one : fresh->named_parameters()) {
    one.parameter->set_support(nullptr);
  }
  nn::init_parameters(*fresh, seed);
  for (const nn::NamedParameter& one : model.named_parameters()) {
    const auto found = growths.find(one.name);
    if (found == growths.end()) continue;
    nn::Parameter& parameter = *one.parameter;
    if (parameter.masked()) {
      Tensor mask = parameter.mask().clone();
      for (int64_t i = 0; i < mask.numel(); ++i) {
        if (is_grown(found->second, mask.shape(), i)) mask.data<uint8_t>()[i] = 1;
      }
      parameter.set_mask(mask);
    }
    take_grown(parameter.value.value(), fresh->parameter(one.name).value.value(), found->second);
  }
  std::map<std::string, Tensor> buffers;
  for (const nn::NamedBuffer& one : fresh->named_buffers()) buffers[one.name] = *one.buffer;
  for (const nn::NamedBuffer& one : model.named_buffers()) {
    const auto found = growths.find(one.name);
    if (found != growths.end()) take_grown(*one.buffer, buffers.at(one.name), found->second);
  }
}

/// How many times each of a group's channels is there afterwards.
std::vector<int64_t> times_of(const ChannelGroup& group, int64_t width, uint64_t seed) {
  ESPALIER_CHECK(
      width >= group.channels && (width == group.channels || group.frozen_because.empty()),
      ValueError,
      "widen: ",
      group.name,
      " has ",
      group.channels,
      " channels and can't have ",
      width,
      group.frozen_because.empty() ? "" : ": " + group.frozen_because);
  std::vector<int64_t> times(static_cast<size_t>(group.channels), width / group.channels);
  const std::vector<int64_t> order =
      Rng(seed, "widen").fork(stream_id(group.name)).permutation(group.channels);
  for (int64_t i = 0; i < width % group.channels; ++i) {
    ++times[static_cast<size_t>(order[static_cast<size_t>(i)])];
  }
  return times;
}

}  // namespace

std::vector<int64_t> widths_times(const std::vector<ChannelGroup>& groups, double factor) {
  ESPALIER_CHECK(factor >= 1.0, ValueError, "widen: expects a factor of at least 1, got ", factor);
  std::vector<int64_t> widths;
  for (const ChannelGroup& group : groups) {
    widths.push_back(group.frozen_because.empty()
                         ? guarded_floor(factor * static_cast<double>(group.channels))
                         : group.channels);
  }
  return widths;
}

ResizeReport widen(nn::Module& model,
                   const Variable& input,
                   const std::vector<int64_t>& widths,
                   const WidenOptions& options) {
  ESPALIER_CHECK(options.noise == 0.0 || (options.noise > 0.0 && options.fresh == Fresh::None),
                 ValueError,
                 "widen: expects noise of at least 0, and none without copies, got ",
                 options.noise);
  const ChannelGraph graph = trace_channels(model, input);
  const std::vector<ChannelGroup> groups = graph.groups(model);
  ESPALIER_CHECK(widths.size() == groups.size(),
                 ValueError,
                 "widen: expects a width for each of ",
                 groups.size(),
                 " groups, got ",
                 widths.size());
  Times times(static_cast<size_t>(graph.channels()), 1);
  for (size_t g = 0; g < groups.size(); ++g) {
    const std::vector<int64_t> of_group = times_of(groups[g], widths[g], options.seed);
    for (size_t c = 0; c < of_group.size(); ++c) {
      times[static_cast<size_t>(groups[g].numbers[c])] = of_group[c];
    }
  }
  // Layers tell their slices before they have other sizes.
  const Growths growths = growths_of(graph, times);
  const ResizeReport report = Rebuild(model, graph, times, nullptr).apply();
  if (options.fresh == Fresh::All) nn::init_parameters(model, options.seed);
  if (options.fresh == Fresh::Grown) draw_grown(model, growths, options.seed);
  if (options.fresh != Fresh::None) return report;
  const Rng rng(options.seed, "widen noise");
  for (const nn::NamedParameter& one : model.named_parameters()) {
    const auto found = growths.find(one.name);
    if (found == growths.end()) continue;
    divide_readers(*one.parameter, found->second);
    if (options.noise == 0.0) continue;
    add_noise(*one.parameter, found->second, options.noise, rng.fork(stream_id(one.name)));
  }
  return report;
}

}  // namespace espalier::prune
