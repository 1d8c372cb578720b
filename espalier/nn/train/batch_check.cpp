// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/batch_check.h>

#include <unordered_map>

#include <espalier/nn/layers/batch_norm.h>
#include <espalier/nn/module/trace.h>

namespace espalier::nn {
namespace {

std::string plural(int64_t count, const std::string& thing) {
  return cat(count, " ", thing, count == 1 ? "" : "s");
}

// Meets every batch norm before it runs.
class NormWatch : public CallListener {
 public:
  NormWatch(Module& model, const data::Loader& loader) : loader_(loader) {
    for (const NamedModule& part : model.named_modules()) names_.emplace(part.module, part.name);
  }
  void enter(Module& module, const Variable& input) override {
    const bool norm = dynamic_cast<const BatchNorm*>(&module) != nullptr;
    if (!norm || input.size(1) == 0 || input.numel() / input.size(1) > 1) return;
    const int64_t samples = loader_.dataset().size();
    const int64_t batch = loader_.options().batch_size;
    throw ValueError(
        cat("fit: ",
            batch == 1 ? std::string("batches have one sample each")
                       : cat("the last batch of an epoch has one sample (",
                             plural(samples, "sample"),
                             " in batches of ",
                             batch,
                             ")"),
            ", and the batch norm '",
            names_[&module],
            "' sees one value per channel there, which has no variance. ",
            batch == 1 ? "Choose a larger batch"
                       : "Leave that batch out (LoaderOptions::drop_last; train: --drop-last), or "
                         "choose another batch size"));
  }
  void leave(Module&, const Variable&, const Variable&) override {}

 private:
  const data::Loader& loader_;
  std::unordered_map<const Module*, std::string> names_;
};

std::unique_ptr<Module> copy_of(const Module& model) {
  try {
    return model.clone();
  } catch (const NotImplemented&) {  // such a network is found at the batch itself
    return nullptr;
  }
}

}  // namespace

void check_batches(const Module& model, const data::Loader& loader) {
  const int64_t batch = loader.options().batch_size;
  const int64_t last = loader.dataset().size() % batch;
  const bool one =
      loader.batches() > 0 && (batch == 1 || (last == 1 && !loader.options().drop_last));
  if (!one) return;
  const std::unique_ptr<Module> copy = copy_of(model);
  if (copy == nullptr) return;
  copy->train();
  const data::ImageShape image = loader.dataset().image_shape();
  const Tensor sample = Tensor::zeros(
      {1, image.channels, image.height, image.width}, DType::F32, loader.options().layout);
  const NoGrad no_grad;
  NormWatch watch(*copy, loader);
  const TraceScope scope(watch);
  (*copy)(Variable(sample));
}

}  // namespace espalier::nn
