// SPDX-License-Identifier: Apache-2.0
// compile: trace, fuse, choose formats, make the program.
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/plan/program.h>
#include <espalier/nn/plan/weights.h>
#include <espalier/sparse/chooser.h>

namespace espalier::nn {
namespace {

plan::Format dense_format(const Conv2dShape& shape) {
  return winograd_tile(shape, Conv2dPass::Forward) != 0 ? plan::Format::Winograd
                                                        : plan::Format::Dense;
}

/// For a product whose weight is final.
plan::Format choose(const plan::Graph& graph,
                    const plan::Step& step,
                    int64_t batch,
                    PlanFormat wanted) {
  const Conv2dShape shape = product_shape(graph, step, batch);
  const sparse::Pattern pattern = plan::nonzero_pattern(step.weight);
  if (wanted == PlanFormat::Dense || pattern.nnz() == pattern.numel()) return dense_format(shape);
  const bool sparse =
      wanted == PlanFormat::Sparse
          ? sparse::has_sparse_conv2d(shape)
          : sparse::takes_sparse_conv2d(
                shape, DType::F32, Layout::Nchw16n, pattern, sparse::Pass::Forward, "compile");
  return sparse ? plan::Format::Sparse : dense_format(shape);
}

}  // namespace

InferencePlan compile(Module& model, const Variable& example, const CompileOptions& options) {
  ESPALIER_CHECK(example.defined() && example.rank() >= 2 && example.size(0) >= 1,
                 ShapeError,
                 "compile: expects an example of at least one sample (N,..)");
  ESPALIER_CHECK(options.batch >= 0,
                 ValueError,
                 "compile: expects a batch of at least 1, or 0 for the example's, got ",
                 options.batch);
  const int64_t batch = options.batch > 0 ? options.batch : example.size(0);
  plan::Graph graph = plan::trace_graph(model, example);
  plan::fuse(graph);
  for (plan::Step& step : graph.steps) {
    if (step.kind != plan::StepKind::Product) continue;
    if (step.gate.kind == plan::GateKind::None) {
      step.format = choose(graph, step, batch, options.format);
    } else if (step.gate.kind == plan::GateKind::Channels) {
      step.format = dense_format(product_shape(graph, step, batch));
    }
  }
  return InferencePlan(std::make_shared<InferencePlan::Program>(std::move(graph), batch));
}

}  // namespace espalier::nn
