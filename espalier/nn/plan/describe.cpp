// SPDX-License-Identifier: Apache-2.0
// What a plan tells of itself.
#include <espalier/nn/plan/program.h>
#include <espalier/sparse/support.h>

#include <fmt/format.h>

namespace espalier::nn {
namespace {

using plan::Step;
using plan::StepKind;

std::string what(const Step& step) {
  std::string out(step.kind == StepKind::Plain ? step.plain.op : plan::name(step.kind));
  if (step.kind == StepKind::Product) {
    out = step.weight.size(2) * step.weight.size(3) == 1
              ? "1x1"
              : cat(step.weight.size(2), "x", step.weight.size(3));
    if (step.conv.stride != Pair(1)) out += cat(" /", step.conv.stride.h);
    if (step.conv.groups != 1) out += cat(" groups ", step.conv.groups);
    if (step.inputs.size() > 1) out += " +residual";
  }
  if (step.limits.low == 0.0f) {
    out += step.limits.high == 6.0f ? " relu6" : " relu";
  } else if (step.limits.any()) {
    out += " limits";
  }
  return out;
}

/// The name of the decision that may leave a step out; empty: none does.
std::string gate_of(const plan::Graph& graph, const Step& step) {
  const int decision = step.guard >= 0 ? step.guard : step.join;
  for (const Step& one : graph.steps) {
    if (decision >= 0 && one.output == decision) return one.name;
  }
  return {};
}

std::string grouped(int64_t number) {
  std::string digits = std::to_string(number);
  for (auto at = static_cast<int64_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<size_t>(at), 1, ',');
  }
  return digits;
}

}  // namespace

std::vector<PlanStep> InferencePlan::steps() const {
  std::vector<PlanStep> out;
  const plan::Graph& graph = program_->graph;
  for (size_t s = 0; s < graph.steps.size(); ++s) {
    const Step& step = graph.steps[s];
    const plan::PlanesKernel& planes = *program_->planes_kernels[s];
    const plan::Kernel* lanes = program_->in_planes ? nullptr : program_->kernels[s].get();
    PlanStep line{.name = step.name,
                  .what = what(step),
                  .input = graph.value(step.inputs[0]).shape,
                  .output = graph.value(step.output).shape,
                  .format = std::string(lanes ? lanes->format() : planes.format()),
                  .planes = std::string(planes.format()),
                  .gate = gate_of(graph, step),
                  .macs = lanes ? lanes->macs() : planes.macs(),
                  .nbytes = lanes ? lanes->nbytes() : planes.nbytes()};
    if (step.kind == StepKind::Product)
      line.density = sparse::nonzero_support(step.weight).density();
    if (step.kind == StepKind::Plain && step.plain.has_weight())
      line.density = sparse::nonzero_support(step.plain.weight()).density();
    out.push_back(std::move(line));
  }
  return out;
}

std::string InferencePlan::describe() const {
  std::vector<std::vector<std::string>> rows = {
      {"step", "what", "input", "output", "format", "planes", "density", "MACs", "bytes"}};
  for (const PlanStep& step : steps()) {
    rows.push_back({step.name,
                    step.gate.empty() ? step.what : cat(step.what, " if ", step.gate),
                    step.input.str(),
                    step.output.str(),
                    step.format,
                    step.planes,
                    step.format == "-" || (step.format == "plain" && step.macs == 0)
                        ? "-"
                        : fmt::format("{:.4f}", step.density),
                    grouped(step.macs),
                    grouped(step.nbytes)});
  }
  std::vector<size_t> width(rows[0].size());
  for (const auto& row : rows) {
    for (size_t c = 0; c < row.size(); ++c) width[c] = std::max(width[c], row[c].size());
  }
  constexpr size_t kFirstNumber = 6;
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      line += c < kFirstNumber ? fmt::format("{:<{}}  ", row[c], width[c])
                               : fmt::format("{:>{}}  ", row[c], width[c]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  const bool gated = is_gated(program_->graph);
  const bool in_planes = program_->in_planes;
  const std::string memory =
      fmt::format("{}{} MACs a sample, {} bytes of weights{}, {} bytes of memory for {} samples",
                  gated ? "at most " : "",
                  grouped(macs()),
                  grouped(weight_bytes()),
                  weights() == PlanWeights::BFloat16 ? " (rounded to bfloat16)" : "",
                  grouped(workspace_bytes()),
                  !in_planes ? program_->blocks * kLanes
                  : gated    ? program_->group
                             : program_->arenas(num_threads()));
  if (gated && in_planes) {
    return out + memory + " side by side; each chooses for itself, in planes\n";
  }
  const std::string times =
      gated ? std::string()
            : fmt::format(
                  "by products and bytes a sample takes a thread {:.2f} ms in planes, {:.2f} "
                  "ms among sixteen in the lanes\n",
                  program_->seconds_in_planes * 1e3,
                  program_->seconds_in_lanes * 1e3);
  out += memory;
  if (has_plain(program_->graph)) {
    const auto plain = std::ranges::count_if(
        program_->graph.steps, [](const Step& step) { return step.kind == StepKind::Plain; });
    return out +
           fmt::format(
               " at once, in planes, each thread with its own; {} steps run by the plain form "
               "of their op and take memory of their own\n",
               plain);
  }
  if (in_planes) return out + " at once, in planes, each thread with its own; " + times;
  out += fmt::format(" at once{}; up to {} samples run one at a time, in planes\n",
                     gated ? ", each with what others beside it chose" : "",
                     kPlanesSamples);
  out += times;
  const size_t kept = program_->kept;
  if (kept == 0) return out;
  if (kept == program_->kernels.size()) {
    return out + "each thread takes sixteen samples at a time through all steps\n";
  }
  return out + fmt::format(
                   "each thread takes sixteen samples at a time through the steps before {}, which "
                   "reads more weights than activations: from there on all run together\n",
                   program_->graph.steps[kept].name);
}

}  // namespace espalier::nn
