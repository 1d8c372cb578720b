// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/inputs/recipe.h>

#include <cmath>

#include <espalier/data/augment/list.h>
#include <espalier/experiments/inputs/inputs.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/train/adagrad.h>
#include <espalier/nn/train/lookahead.h>
#include <espalier/nn/train/muon.h>
#include <espalier/nn/train/rmsprop.h>

namespace espalier::experiments {
namespace {

// Mirrored digits are other signs; mirrored animals, clothes and cars are what they were.
bool may_mirror(const std::string& name) {
  return name.starts_with("cifar") || name.starts_with("fashion") || name.starts_with("folder");
}

std::shared_ptr<const nn::LrSchedule> without_warmup(const TrainingSettings& settings,
                                                     int64_t steps_per_epoch) {
  const double lr = settings.lr;
  switch (settings.schedule) {
    case ScheduleKind::OneCycle:
      return std::make_shared<nn::OneCycleLr>(nn::OneCycleOptions{.peak = lr});
    case ScheduleKind::Cosine:
      return std::make_shared<nn::CosineLr>(lr);
    case ScheduleKind::MultiStep:
      return std::make_shared<nn::MultiStepLr>(nn::MultiStepLr::at_fractions(
          lr, parse_numbers("milestones", settings.milestones), settings.gamma));
    case ScheduleKind::Step:
      return std::make_shared<nn::StepLr>(
          lr, settings.step_every * steps_per_epoch, settings.gamma);
    case ScheduleKind::Constant:
      return std::make_shared<nn::ConstantLr>(lr);
  }
  throw ValueError("unknown schedule");
}

// The last weight, that of the classifier, is usually left to the rule of the rest.
std::vector<std::string> names_beside_muon(nn::Module& model) {
  const std::vector<nn::NamedParameter> weights = nn::prunable_parameters(model);
  if (weights.size() < 2) return {};
  return {weights.back().name};
}

std::unique_ptr<nn::Optimizer> without_lookahead(const TrainingSettings& settings,
                                                 nn::Module& model) {
  auto groups = nn::parameter_groups(
      model, settings.weight_decay, /*decay_norm_and_bias=*/!settings.no_decay_1d);
  const double lr = settings.lr;
  switch (settings.optimizer) {
    case OptimizerKind::Sgd:
      return std::make_unique<nn::Sgd>(
          std::move(groups),
          nn::SgdOptions{.lr = lr, .momentum = settings.momentum, .nesterov = settings.nesterov});
    case OptimizerKind::Adam:
    case OptimizerKind::AdamW:
      return std::make_unique<nn::Adam>(
          std::move(groups),
          nn::AdamOptions{.lr = lr, .decoupled_decay = settings.optimizer == OptimizerKind::AdamW});
    case OptimizerKind::Muon: {
      nn::MuonOptions options{.momentum = settings.momentum,
                              .rest_names = names_beside_muon(model)};
      nn::AdamOptions& rest = std::get<nn::AdamOptions>(options.rest);
      rest.lr *= lr / options.lr;
      options.lr = lr;
      return std::make_unique<nn::Muon>(std::move(groups), options);
    }
    case OptimizerKind::RmsProp:
      return std::make_unique<nn::RmsProp>(std::move(groups), nn::RmsPropOptions{.lr = lr});
    case OptimizerKind::Adagrad:
      return std::make_unique<nn::Adagrad>(std::move(groups), nn::AdagradOptions{.lr = lr});
  }
  throw ValueError("unknown optimizer");
}

}  // namespace

data::LoaderOptions training_loader(const TrainSettings& settings, const data::Dataset& dataset) {
  const TrainingSettings& training = settings.training;
  data::LoaderOptions options;
  options.batch_size = training.batch;
  options.shuffle = true;
  options.drop_last = training.drop_last;
  options.seed = static_cast<uint64_t>(training.seed);
  options.workers = static_cast<int>(settings.machine.workers);
  if (dataset.context() == 0) {
    const bool mirror = may_mirror(settings.data.data);
    const data::Augments changes =
        data::read_augments(training.augment, dataset.image_shape(), mirror);
    options.augmentation = changes.placement;
    options.transforms = changes.transforms;
  }
  set_normalization(settings.normalization, options);
  return options;
}

std::unique_ptr<nn::Optimizer> make_optimizer(const TrainingSettings& settings, nn::Module& model) {
  auto rule = without_lookahead(settings, model);
  if (settings.lookahead == 0) return rule;
  return std::make_unique<nn::Lookahead>(std::move(rule),
                                         nn::LookaheadOptions{.every = settings.lookahead});
}

std::shared_ptr<const nn::LrSchedule> make_schedule(const TrainingSettings& settings,
                                                    int64_t steps_per_epoch) {
  const auto schedule = without_warmup(settings, steps_per_epoch);
  const auto warmup = std::llround(settings.warmup * static_cast<double>(steps_per_epoch));
  if (warmup == 0) return schedule;
  const int64_t epochs = settings.epochs;
  ESPALIER_CHECK(epochs == 0 || settings.warmup < static_cast<double>(epochs),
                 ValueError,
                 "--warmup ",
                 settings.warmup,
                 ": the rate would still rise at the end of ",
                 epochs,
                 epochs == 1 ? " epoch" : " epochs");
  return std::make_shared<nn::WarmupLr>(schedule, warmup);
}

}  // namespace espalier::experiments
