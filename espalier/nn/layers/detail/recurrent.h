// SPDX-License-Identifier: Apache-2.0
/// What the recurrent layers share: their parameters, states and coupling. Not a public interface.
#pragma once

#include <cmath>
#include <initializer_list>
#include <string>
#include <vector>

#include <espalier/autograd/ops.h>
#include <espalier/nn/forms/slots.h>
#include <espalier/nn/layers/detail/layer.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn::detail {

/// Fills `layers` with parameters of `gates * hidden` rows. Throws ValueError naming `kind`.
template <class Layer, class Options>
void make_recurrent_layers(std::vector<Layer>& layers,
                           const Options& options,
                           int64_t gates,
                           std::string_view kind) {
  check_positive(options.in, kind, "in");
  check_positive(options.hidden, kind, "hidden");
  check_positive(options.layers, kind, "layers");
  const int64_t rows = gates * options.hidden;
  for (int64_t k = 0; k < options.layers; ++k) {
    Layer layer;
    layer.weight_ih = new_parameter({rows, k == 0 ? options.in : options.hidden});
    layer.weight_hh = new_parameter({rows, options.hidden});
    if (options.bias) {
      layer.bias_ih = new_parameter({rows});
      layer.bias_hh = new_parameter({rows});
    }
    layers.push_back(std::move(layer));
  }
}

/// Names the parameters as PyTorch does.
template <class Layer>
void visit_recurrent_layers(std::vector<Layer>& layers, MemberVisitor& visitor) {
  for (size_t k = 0; k < layers.size(); ++k) {
    const std::string suffix = cat("_l", k);
    visitor.parameter("weight_ih" + suffix, layers[k].weight_ih);
    visitor.parameter("weight_hh" + suffix, layers[k].weight_hh);
    visitor.parameter("bias_ih" + suffix, layers[k].bias_ih);
    visitor.parameter("bias_hh" + suffix, layers[k].bias_hh);
    const auto form = [&](std::shared_ptr<Form>& of, const char* product) {
      if (of) visitor.part(cat(of->member(), product, suffix), of);
    };
    form(layers[k].form_ih, "_ih");
    form(layers[k].form_hh, "_hh");
  }
}

/// Both products of every layer.
template <class Layer>
std::vector<FormSlot> recurrent_slots(std::vector<Layer>& layers) {
  std::vector<FormSlot> out;
  for (size_t k = 0; k < layers.size(); ++k) {
    Layer& one = layers[k];
    out.push_back({cat("weight_ih_l", k), &one.weight_ih, &one.form_ih});
    out.push_back({cat("weight_hh_l", k), &one.weight_hh, &one.form_hh});
  }
  return out;
}

/// `Lstm(3, 5, 2 layers)`.
template <class Options>
std::string describe_recurrent(std::string_view kind, const Options& options) {
  return cat(kind,
             "(",
             options.in,
             ", ",
             options.hidden,
             options.layers == 1 ? "" : cat(", ", options.layers, " layers"),
             ")");
}

/// Throws ShapeError unless x is (N,T,in) with T > 0 and all defined states are (layers,N,hidden).
template <class Options>
void check_sequence(const Variable& x,
                    std::initializer_list<const Variable*> states,
                    const Options& options,
                    std::string_view kind) {
  ESPALIER_CHECK(x.rank() == 3 && x.size(2) == options.in && x.size(1) > 0,
                 ShapeError,
                 kind,
                 ": expects x (N,T,",
                 options.in,
                 ") with T > 0, got ",
                 x.shape());
  const Shape shape{options.layers, x.size(0), options.hidden};
  for (const Variable* state : states) {
    ESPALIER_CHECK(!state->defined() || state->shape() == shape,
                   ShapeError,
                   kind,
                   ": expects states ",
                   shape,
                   ", got ",
                   state->defined() ? state->shape() : Shape());
  }
}

/// Row `k` of (layers,N,H) as (N,H), or zeros.
inline Variable state_of_layer(const Variable& states, int64_t k, const Shape& shape, DType dtype) {
  if (!states.defined()) return Variable(Tensor::zeros(shape, dtype));
  return reshape(slice(states, 0, k, k + 1), shape);
}

/// Single weights of all products may go, channels not.
inline ChannelCoupling recurrent_coupling(size_t layers) {
  ChannelCoupling coupling{.in = {{"weight_ih_l0", 1}},
                           .frozen_because = "a recurrent layer's hidden units feed themselves"};
  for (size_t k = 0; k < layers; ++k) {
    if (k > 0) coupling.inner.push_back({cat("weight_ih_l", k), 1});
    coupling.inner.push_back({cat("weight_hh_l", k), 1});
  }
  return coupling;
}

/// All parameters uniform in +-1/sqrt(hidden).
inline void reset_recurrent(Module& layer, int64_t hidden, const InitRng& rng) {
  class Uniform : public MemberVisitor {
   public:
    Uniform(const InitRng& rng, double bound) : rng_(rng), bound_(bound) {}
    void parameter(std::string_view name, Parameter& p) override {
      if (p.defined()) init::uniform(p, rng_(name), -bound_, bound_);
    }
    void buffer(std::string_view, Tensor&) override {}
    void rng(std::string_view, Rng&) override {}
    void module(std::string_view, Module&) override {}

   private:
    const InitRng& rng_;
    double bound_;
  };
  Uniform visitor(rng, 1.0 / std::sqrt(static_cast<double>(hidden)));
  layer.visit(visitor);
}

}  // namespace espalier::nn::detail
