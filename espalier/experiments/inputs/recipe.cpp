// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/inputs/recipe.h>

#include <cmath>

#include <espalier/experiments/inputs/inputs.h>
#include <espalier/experiments/settings/options.h>
#include <espalier/nn/train/adam.h>
#include <espalier/nn/train/sgd.h>

namespace espalier::experiments {
namespace {

// Mirrored digits are other signs; mirrored animals, clothes and cars are what they were.
bool may_mirror(const std::string& name) {
  return name.starts_with("cifar") || name.starts_with("fashion") || name.starts_with("folder");
}

}  // namespace

data::LoaderOptions training_loader(const OptionValues& values, const data::Dataset& dataset) {
  data::LoaderOptions options;
  options.batch_size = values.integer("batch");
  options.shuffle = true;
  options.drop_last = values.flag("drop-last");
  options.seed = static_cast<uint64_t>(values.integer("seed"));
  options.workers = static_cast<int>(values.integer("workers"));
  const std::string& augment = values.text("augment");
  if (augment != "none") {
    const int64_t height = dataset.image_shape().height;
    options.augmentation.crop_padding = height / 8;
    options.augmentation.horizontal_flip = may_mirror(values.text("data"));
    if (augment == "standard+cutout") options.augmentation.cutout = height / 2;
  }
  set_normalization(values, options);
  return options;
}

std::unique_ptr<nn::Optimizer> make_optimizer(const OptionValues& values, nn::Module& model) {
  auto groups = nn::parameter_groups(
      model, values.real("weight-decay"), /*decay_norm_and_bias=*/!values.flag("no-decay-1d"));
  const std::string& kind = values.text("optimizer");
  if (kind == "sgd") {
    return std::make_unique<nn::Sgd>(std::move(groups),
                                     nn::SgdOptions{.lr = values.real("lr"),
                                                    .momentum = values.real("momentum"),
                                                    .nesterov = values.flag("nesterov")});
  }
  return std::make_unique<nn::Adam>(
      std::move(groups),
      nn::AdamOptions{.lr = values.real("lr"), .decoupled_decay = kind == "adamw"});
}

std::shared_ptr<const nn::LrSchedule> make_schedule(const OptionValues& values,
                                                    int64_t steps_per_epoch) {
  const double lr = values.real("lr");
  const double gamma = values.real("gamma");
  const std::string& kind = values.text("schedule");
  std::shared_ptr<const nn::LrSchedule> schedule;
  if (kind == "onecycle") {
    schedule = std::make_shared<nn::OneCycleLr>(nn::OneCycleOptions{.peak = lr});
  } else if (kind == "cosine") {
    schedule = std::make_shared<nn::CosineLr>(lr);
  } else if (kind == "multistep") {
    schedule = std::make_shared<nn::MultiStepLr>(nn::MultiStepLr::at_fractions(
        lr, parse_numbers("milestones", values.text("milestones")), gamma));
  } else if (kind == "step") {
    schedule =
        std::make_shared<nn::StepLr>(lr, values.integer("step-every") * steps_per_epoch, gamma);
  } else {
    schedule = std::make_shared<nn::ConstantLr>(lr);
  }
  const auto warmup = std::llround(values.real("warmup") * static_cast<double>(steps_per_epoch));
  if (warmup == 0) return schedule;
  const int64_t epochs = values.integer("epochs");
  ESPALIER_CHECK(epochs == 0 || values.real("warmup") < static_cast<double>(epochs),
                 ValueError,
                 "--warmup ",
                 values.real("warmup"),
                 ": the rate would still rise at the end of ",
                 epochs,
                 epochs == 1 ? " epoch" : " epochs");
  return std::make_shared<nn::WarmupLr>(schedule, warmup);
}

}  // namespace espalier::experiments
