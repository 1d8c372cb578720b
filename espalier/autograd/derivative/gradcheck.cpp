// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/derivative/gradcheck.h>

#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/core/random.h>

namespace espalier {
namespace {

std::vector<Variable> leaves(const std::vector<Tensor>& inputs, std::string_view op) {
  std::vector<Variable> result;
  for (const Tensor& input : inputs) {
    ESPALIER_CHECK(
        input.dtype() == DType::F64, TypeError, op, ": expects float64 inputs, got ", input);
    result.emplace_back(input.clone(), true);
  }
  return result;
}

// A fixed random weighting turns an output of any shape into a scalar that sees all of it.
Tensor weighting(const Variable& output) {
  Tensor weights = Tensor::empty(output.shape(), DType::F64);
  Rng rng(20230813, "gradcheck weighting");
  fill_uniform_(weights, rng, 0.5, 1.5);
  return weights;
}

double weighted(const VariableFn& fn, const std::vector<Variable>& inputs, const Tensor& weights) {
  const NoGrad no_grad;
  return sum(mul(to_layout(fn(inputs), Layout::Nchw), Variable(weights))).item();
}

std::string compare(double analytic,
                    double numeric,
                    size_t input,
                    int64_t element,
                    const GradcheckOptions& options) {
  const double error = std::abs(analytic - numeric);
  if (error <= options.atol + options.rtol * std::abs(numeric)) return {};
  return cat("input ",
             input,
             ", element ",
             element,
             ": analytic ",
             analytic,
             ", numeric ",
             numeric,
             ", difference ",
             error);
}

}  // namespace

std::string gradcheck(const VariableFn& fn,
                      const std::vector<Tensor>& inputs,
                      const GradcheckOptions& options) {
  std::vector<Variable> variables = leaves(inputs, "gradcheck");
  const Variable output = fn(variables);
  if (output.numel() == 0) return {};
  const Tensor weights = weighting(output);
  std::vector<Variable> gradients =
      grad({sum(mul(to_layout(output, Layout::Nchw), Variable(weights)))},
           variables,
           {.allow_unused = true});

  for (size_t i = 0; i < variables.size(); ++i) {
    const std::vector<double> analytic =
        gradients[i].defined()
            ? gradients[i].value().to_vector<double>()
            : std::vector<double>(static_cast<size_t>(variables[i].numel()), 0.0);
    double* x = variables[i].value().data<double>();
    for (int64_t e = 0; e < variables[i].numel(); ++e) {
      const double saved = x[e];
      x[e] = saved + options.step;
      const double above = weighted(fn, variables, weights);
      x[e] = saved - options.step;
      const double below = weighted(fn, variables, weights);
      x[e] = saved;
      const double numeric = (above - below) / (2.0 * options.step);
      std::string mismatch = compare(analytic[static_cast<size_t>(e)], numeric, i, e, options);
      if (!mismatch.empty()) return mismatch;
    }
  }
  return {};
}

std::string gradgradcheck(const VariableFn& fn,
                          const std::vector<Tensor>& inputs,
                          const GradcheckOptions& options) {
  // The function whose gradient is checked: all first derivatives, joined, as a function of the
  // inputs and of the incoming gradient.
  Shape output_shape;
  {
    const NoGrad no_grad;
    output_shape = fn(leaves(inputs, "gradgradcheck")).shape();
  }
  if (output_shape.numel() == 0) return {};
  std::vector<Tensor> all = inputs;
  Tensor incoming = Tensor::empty(output_shape, DType::F64);
  Rng rng(1512, "gradgradcheck incoming");
  fill_uniform_(incoming, rng, 0.5, 1.5);
  all.push_back(incoming);

  const auto first_derivatives = [&](const std::vector<Variable>& given) {
    // Differentiating needs recording even where the caller only wants values.
    const RecordingScope recording(true);
    std::vector<Variable> own(given.begin(), given.end() - 1);
    for (Variable& variable : own) {
      if (!variable.requires_grad()) variable = Variable(variable.value(), true);
    }
    const Variable output = fn(own);
    const Variable loss = sum(mul(to_layout(output, Layout::Nchw), given.back()));
    std::vector<Variable> parts;
    for (const Variable& gradient :
         grad({loss}, own, {.create_graph = true, .allow_unused = true})) {
      if (gradient.defined()) parts.push_back(reshape(to_layout(gradient, Layout::Nchw), {-1}));
    }
    return parts.empty() ? sum(mul(given.back(), 0.0)) : concat(parts, 0);
  };
  return gradcheck(first_derivatives, all, options);
}

}  // namespace espalier
