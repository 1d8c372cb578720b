// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/scores/reader_gates.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/graph/tracer.h>
#include <espalier/nn/train/objective.h>

namespace espalier::prune {
namespace {

/// A site's share in a layer that reads its channels.
struct Reader {
  size_t site = 0;
  const SitePart* part = nullptr;

  /// The unit of every input channel, or -1.
  std::vector<int64_t> units() const {
    const Shape& shape = part->parameter->shape();
    int64_t inner = 1;
    for (int d = part->dim + 1; d < shape.rank(); ++d) inner *= shape[d];
    std::vector<int64_t> units;
    for (int64_t c = 0; c < shape[part->dim]; ++c) units.push_back(part->units.unit(c * inner));
    return units;
  }
};

std::string module_of(const std::string& parameter) {
  const size_t dot = parameter.rfind('.');
  return dot == std::string::npos ? "" : parameter.substr(0, dot);
}

/// By the name of the layer, who reads what.
std::map<std::string, std::vector<Reader>> readers_of(std::span<const Site> sites) {
  std::map<std::string, std::vector<Reader>> readers;
  for (size_t s = 0; s < sites.size(); ++s) {
    for (const SitePart& part : sites[s].parts) {
      const bool reads = part.role != SliceRole::Producer && part.parameter->shape().rank() >= 2;
      if (reads) readers[module_of(part.name)].push_back({s, &part});
    }
  }
  return readers;
}

/// a * g, (N,C,..) or (N,..,C), summed up for each unit and added to (N,units) after scaling.
void add_gates(
    Tensor& gates, const Tensor& a, const Tensor& g, const Reader& reader, double scale) {
  const std::vector<int64_t> units = reader.units();
  const int axis = a.rank() == 4 ? 1 : a.rank() - 1;
  ESPALIER_CHECK(a.size(axis) == static_cast<int64_t>(units.size()),
                 NotImplemented,
                 "reader gates: the columns of ",
                 reader.part->name,
                 " (",
                 units.size(),
                 ") are not the channels of its layer's input ",
                 a.shape(),
                 "; exclude it");
  const std::vector<double> av = a.to_vector<double>();
  const std::vector<double> gv = g.to_vector<double>();
  int64_t inner = 1;
  for (int d = axis + 1; d < a.rank(); ++d) inner *= a.size(d);
  const auto channels = static_cast<int64_t>(units.size());
  const int64_t of_sample = a.numel() / std::max<int64_t>(a.size(0), 1);
  double* out = gates.data<double>();
  for (int64_t i = 0; i < a.numel(); ++i) {
    const int64_t unit = units[static_cast<size_t>(i / inner % channels)];
    if (unit < 0) continue;
    const auto at = static_cast<size_t>(i);
    out[i / of_sample * gates.size(1) + unit] += scale * av[at] * gv[at];
  }
}

}  // namespace

std::vector<Tensor> reader_gates(const ScoreContext& context,
                                 const data::Batch& batch,
                                 ScoringMode mode,
                                 std::span<const Site> sites) {
  const RecordingScope recording(true);
  const std::unique_ptr<nn::Module> copy = context.model.clone();
  copy->train(mode == ScoringMode::Train);
  const auto readers = readers_of(sites);
  const nn::TracedRun run = nn::trace_run(*copy, Variable(batch.images));
  const Variable logits = nn::class_rows(run.output);
  const Variable loss = context.inputs.loss ? context.inputs.loss(logits, batch.labels)
                                            : cross_entropy(logits, batch.labels);
  std::vector<const nn::GraphCall*> calls;
  std::vector<Variable> outputs;
  for (const nn::GraphCall& call : run.graph.calls) {
    if (call.output < 0 || !readers.contains(call.name)) continue;
    calls.push_back(&call);
    outputs.push_back(run.values[static_cast<size_t>(call.output)]);
  }
  const std::vector<Variable> gradients = grad({loss}, outputs, {.allow_unused = true});

  const int64_t samples = batch.images.size(0);
  std::vector<Tensor> gates;
  for (const Site& site : sites) {
    gates.push_back(Tensor::zeros({samples, site.units}, DType::F64));
  }
  for (size_t i = 0; i < calls.size(); ++i) {
    if (!gradients[i].defined()) continue;
    // The layer once more, for itself: what others do with the same input does not count here.
    const Variable input(run.values[static_cast<size_t>(calls[i]->input)].value(), true);
    const Variable again = (*calls[i]->module)(input);
    const Variable own = grad({sum(again * Variable(gradients[i].value()))}, {input}).front();
    for (const Reader& reader : readers.at(calls[i]->name)) {
      add_gates(gates[reader.site],
                input.value().to(Layout::Nchw).contiguous(),
                own.value().to(Layout::Nchw).contiguous(),
                reader,
                static_cast<double>(samples));
    }
  }
  return gates;
}

}  // namespace espalier::prune
