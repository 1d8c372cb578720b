// SPDX-License-Identifier: Apache-2.0
/// CLIP-Q: pruning and quantization at once, chosen anew in every step of fine-tuning.
///
/// Source: Tung, Mori, "CLIP-Q: deep network compression learning by in-parallel
/// pruning-quantization", CVPR 2018. The form is nn/forms/clip_q.h: full-precision weights are
/// stored and trained, what is multiplied with is clipped and quantized. The paper finds the
/// fraction p and the bits b of every layer by Bayesian optimization; here an allocation divides
/// the asked sparsity, `--layer-sparsity` sets a p, and b is one for convolutions, one for linear
/// layers. The last step's weights are folded into the network, so that `espalier compress` finds
/// 2^b values and no more.
#include <espalier/nn/forms/clip_q.h>
#include <espalier/prune/actions/train_under_forms.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct ClipQOptions {
  int64_t conv_bits = 4;
  int64_t fc_bits = 4;
  std::string allocation = "uniform";
};

void put_clip_q(const Subject& subject, const ClipQOptions& o) {
  for (const auto& [name, kept] : kept_of_each(subject, make_allocation(o.allocation))) {
    const Shape& shape = subject.model.parameter(name).shape();
    const int64_t bits = shape.rank() > 2 ? o.conv_bits : o.fc_bits;
    const nn::ClipQ::Options options{.kept = kept, .bits = bits};
    nn::put_form(subject.model, name, std::make_shared<nn::ClipQ>(shape, options));
  }
}

}  // namespace

Method clip_q() {
  return make_method<ClipQOptions>(
      {.name = "clip-q",
       .title = "CLIP-Q: pruning and quantization at once",
       .paper = "Tung, Mori, CVPR 2018",
       .year = 2018,
       .how = How::Fusion,
       .idea = "Clip the small weights to zero and give the others few values while the network is "
               "fine-tuned, both anew in every step: a choice that was wrong is taken back when "
               "the full-precision weight behind it moves.",
       .formula = "e = 0 for the fraction p of a layer's weights with the smallest |w|, the same "
                  "share of both signs; e = the mean of its interval for the others, 2^b - 1 "
                  "intervals divided between the signs by their ranges; dL/dw = dL/de, everywhere",
       .schedule = "start from trained weights; clipped and quantized in every step from the first "
                   "to the last, whose values stay",
       .differs = "an allocation and two options say what p and b of a layer are (published: "
                  "Bayesian optimization of error and size finds them); defaults of b are ours",
       .use_when = "The file must be small and fine-tuning is affordable: zeros and values are "
                   "chosen together.",
       .not_when = "Only speed decides, or inference is in 8-bit integers: use `--quantize int8`.",
       .patterns = {"unstructured"}},
      {{&ClipQOptions::conv_bits,
        "conv-bits",
        {2, 16},
        "bits",
        "b of convolutions: 2^b values, zero among them"},
       {&ClipQOptions::fc_bits, "fc-bits", {2, 16}, "bits", "b of linear layers"},
       allocation_option(&ClipQOptions::allocation,
                         {"uniform", "uniform-dense-first", "er", "erk"})},
      [](const ClipQOptions& o, const PruneSettings&) -> Timeline {
        const auto follow =
            train_under_forms({.kind = "clip-q",
                               .put_on = [o](const Subject& of) { put_clip_q(of, o); },
                               .divides = true,
                               .take_changes =
                                   [](nn::Form& form, const nn::Parameter& weight) {
                                     return dynamic_cast<nn::ClipQ&>(form).take_changes(weight);
                                   }});
        return {.events = {during(0.0, 1.0, follow),
                           at(epochs_schedule(Epochs::BeforeTheLast), follow),
                           at(epochs_schedule(Epochs::Last), follow)},
                .refused = no_ablation("its mask follows the weights from step to step")};
      });
}

}  // namespace espalier::prune::method_list
