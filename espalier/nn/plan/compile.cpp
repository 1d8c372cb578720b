// SPDX-License-Identifier: Apache-2.0
// compile: trace, fuse, choose formats, make the program.
#include <espalier/core/kernels/bfloat16.h>
#include <espalier/nn/forms/slots.h>
#include <espalier/nn/gates/block_gate.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/plan/program.h>
#include <espalier/nn/quantize/quantize.h>
#include <espalier/sparse/choice/chooser.h>

namespace espalier::nn {
namespace {

plan::Format dense_format(const Conv2dShape& shape) {
  return winograd_tile(shape, Conv2dPass::Forward) != 0 ? plan::Format::Winograd
                                                        : plan::Format::Dense;
}

/// How a weight that is final is multiplied, and why.
sparse::KernelChoice choose(const Conv2dShape& shape,
                            const plan::Step& step,
                            const sparse::Support& nonzero,
                            PlanFormat wanted) {
  if (step.gate.kind != plan::GateKind::None) {
    return {.reason = "the kernels of a gated layer skip what its gate closes, not single weights"};
  }
  if (nonzero.nnz() == nonzero.numel()) return {.reason = "no weight is zero"};
  if (wanted == PlanFormat::Sparse && sparse::has_sparse_conv2d(shape))
    return {.sparse = true, .reason = {}};
  return sparse::choose_conv2d(shape, DType::F32, Layout::Nchw16n, nonzero, sparse::Pass::Forward);
}

plan::Format format_of(const plan::Graph& graph,
                       const plan::Step& step,
                       int64_t batch,
                       PlanFormat wanted) {
  const Conv2dShape shape = product_shape(graph, step, batch);
  const bool positions = step.gate.kind == plan::GateKind::Positions;
  const plan::Format dense = positions ? step.format : dense_format(shape);
  if (wanted == PlanFormat::Dense) return dense;
  const sparse::Support nonzero = sparse::nonzero_support(step.weight);
  const sparse::KernelChoice choice = choose(shape, step, nonzero, wanted);
  if (step.masked) check_fallback(choice, nonzero, cat("compile: layer '", step.name, "'"));
  return choice.sparse ? plan::Format::Sparse : dense;
}

Tensor rounded_to_bfloat16(const Tensor& weight) {
  const Tensor plain = weight.contiguous();
  std::vector<uint16_t> bits(static_cast<size_t>(plain.numel()));
  to_bfloat16(plain.data<float>(), plain.numel(), bits.data());
  Tensor out = Tensor::empty(plain.shape());
  from_bfloat16(bits.data(), plain.numel(), out.data<float>());
  return out;
}

/// Throws NotImplemented for layers and blocks whose form a plan does not know.
void check_forms(Module& model) {
  ESPALIER_CHECK(!is_quantized(model),
                 NotImplemented,
                 "compile: a network with int8 quantizers can't be compiled: a plan multiplies in "
                 "float32. Run it as it is, which uses the integer kernels");
  for (const FormSite& site : form_sites(model)) {
    ESPALIER_CHECK(site.form() == nullptr || site.form()->has_factors() ||
                       dynamic_cast<nn::Gate*>(site.form()) != nullptr,
                   NotImplemented,
                   "compile: ",
                   site.weight,
                   " has a form; a plan multiplies with plain weights: fold_forms() first");
  }
  for (const BlockSite& site : block_sites(model)) {
    BlockForm* form = site.block->form.get();
    ESPALIER_CHECK(form == nullptr || dynamic_cast<BlockGate*>(form) != nullptr,
                   NotImplemented,
                   "compile: ",
                   site.name,
                   " adds its branch in a way that a plan does not know: ",
                   form == nullptr ? std::string() : form->describe());
  }
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
  check_forms(model);
  plan::Graph graph = plan::trace_graph(model, example);
  plan::fuse(graph);
  plan::guard_branches(graph);
  graph.weights = options.weights;
  for (plan::Step& step : graph.steps) {
    if (step.kind == plan::StepKind::Plain && step.plain.has_weight()) {
      if (graph.weights == PlanWeights::BFloat16) {
        step.plain.weight() = rounded_to_bfloat16(step.plain.weight());
      }
      if (step.plain.masked && options.format != PlanFormat::Dense) {
        step.plain.support =
            std::make_shared<const sparse::Support>(sparse::nonzero_support(step.plain.weight()));
      }
    }
    if (step.kind != plan::StepKind::Product) continue;
    if (graph.weights == PlanWeights::BFloat16) step.weight = rounded_to_bfloat16(step.weight);
    step.format = format_of(graph, step, batch, options.format);
  }
  return InferencePlan(std::make_shared<InferencePlan::Program>(std::move(graph), batch));
}

}  // namespace espalier::nn
