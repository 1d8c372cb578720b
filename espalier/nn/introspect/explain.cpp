// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/introspect/explain.h>

#include <espalier/nn/forms/slots.h>
#include <espalier/nn/graph/tracer.h>

namespace espalier::nn {
namespace {

LayerExplanation::PassChoice explain_pass(const WeightProduct& product,
                                          const std::shared_ptr<const sparse::Support>& support,
                                          DType dtype,
                                          sparse::Pass pass) {
  LayerExplanation::PassChoice out;
  if (support) {
    out.choice = sparse::choose_conv2d(product.shape, dtype, product.layout, *support, pass);
  } else {
    out.choice.reason = "no mask";
  }
  out.times = sparse::measure_conv2d(product.shape, support.get(), pass);
  return out;
}

}  // namespace

std::vector<LayerExplanation> explain(Module& model, const Variable& input) {
  std::vector<LayerExplanation> out;
  const auto under_forms = supports_under_forms(model);
  const NetworkGraph graph = trace_network(model, input);
  check_calls(model, graph);
  for (const GraphCall* call : graph.layer_calls()) {
    const Shape& shape = graph.value(call->input).shape;
    const std::optional<WeightProduct> product =
        call->module->weight_product(shape, input.layout());
    if (!product) continue;
    const auto of_form = under_forms.find(product->weight);
    const auto& support = of_form == under_forms.end() ? product->weight->support : of_form->second;
    out.push_back(
        {.name = call->name,
         .kind = call->module->describe(),
         .input = shape,
         .density = support ? support->density() : 1.0,
         .forward = explain_pass(*product, support, input.dtype(), sparse::Pass::Forward),
         .backward = explain_pass(*product, support, input.dtype(), sparse::Pass::Backward)});
  }
  return out;
}

}  // namespace espalier::nn
