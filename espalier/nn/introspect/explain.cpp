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

LayerExplanation explain_factors(const GraphCall& call,
                                 const Shape& input,
                                 const WeightProduct& product,
                                 const WeightFactors& factors) {
  const std::vector<Conv2dShape> products = factors.form->factor_products(product.shape);
  LayerExplanation out{.name = call.name,
                       .kind = cat(call.module->describe(), " as ", factors.form->describe()),
                       .input = input,
                       .density = static_cast<double>(factors.numbers) /
                                  static_cast<double>(product.weight->numel()),
                       .forward = {},
                       .backward = {}};
  int64_t macs = 0;
  for (const Conv2dShape& one : products) {
    macs += one.macs();
    out.forward.times.dense += sparse::measure_conv2d(one, nullptr, sparse::Pass::Forward).dense;
    out.backward.times.dense += sparse::measure_conv2d(one, nullptr, sparse::Pass::Backward).dense;
  }
  out.forward.choice.reason = out.backward.choice.reason = cat("runs as its factors, ",
                                                               products.size(),
                                                               " dense products with ",
                                                               macs,
                                                               " multiply-accumulates instead of ",
                                                               product.shape.macs());
  return out;
}

}  // namespace

std::vector<LayerExplanation> explain(Module& model, const Variable& input) {
  std::vector<LayerExplanation> out;
  const auto under_forms = supports_under_forms(model);
  const auto factors = weight_factors(model);
  const NetworkGraph graph = trace_network(model, input);
  check_calls(model, graph);
  for (const GraphCall* call : graph.layer_calls()) {
    const Shape& shape = graph.value(call->input).shape;
    const std::optional<WeightProduct> product =
        call->module->weight_product(shape, input.layout());
    if (!product) continue;
    if (const auto cut = factors.find(product->weight); cut != factors.end()) {
      out.push_back(explain_factors(*call, shape, *product, cut->second));
      continue;
    }
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
