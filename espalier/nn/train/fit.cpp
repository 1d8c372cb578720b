// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <utility>

#include <espalier/autograd/ops.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/predict.h>
#include <espalier/nn/train/batch_check.h>
#include <espalier/nn/train/detail/member_check.h>
#include <espalier/nn/train/detail/text_tensor.h>
#include <espalier/nn/train/fit.h>
#include <espalier/nn/train/metrics.h>
#include <espalier/nn/train/objective.h>

namespace espalier::nn {

namespace {

using Hooks = std::vector<TrainHook*>;

void call(const Hooks& hooks, void (TrainHook::*moment)(TrainState&), TrainState& state) {
  for (TrainHook* hook : hooks) (hook->*moment)(state);
}

// Brings what hooks see up to date with `state.progress`.
void publish_progress(TrainState& state) {
  const TrainProgress& p = state.progress;
  const double seen = static_cast<double>(p.seen);
  state.epoch = p.epoch;
  state.step = p.step;
  state.loss = p.seen == 0 ? 0.0 : p.loss_sum / seen;
  state.accuracy = p.seen == 0 ? 0.0 : static_cast<double>(p.correct) / seen;
}

void begin_epoch(TrainProgress& p, int64_t epoch) {
  p = TrainProgress{
      .epoch = epoch, .step = p.step, .repeated = p.repeated, .stopped_by = p.stopped_by};
}

// Takes the means of an epoch that something was trained in.
void take_means(FitResult& result, const TrainProgress& p) {
  if (p.seen == 0) return;
  result.loss = p.loss_sum / static_cast<double>(p.seen);
  result.accuracy = static_cast<double>(p.correct) / static_cast<double>(p.seen);
}

// Takes training back when a hook asks for it.
bool rewind(TrainState& state, const Hooks& hooks) {
  TrainProgress& p = state.progress;
  for (TrainHook* hook : hooks) {
    const std::optional<int64_t> step = hook->rewind(state);
    if (!step) continue;
    ESPALIER_CHECK(*step >= 0 && *step <= state.total_steps,
                   ValueError,
                   "fit: a hook goes back to step ",
                   *step,
                   "; expected 0 .. ",
                   state.total_steps);
    p = TrainProgress{.epoch = *step / std::max<int64_t>(state.steps_per_epoch, 1),
                      .step = *step,
                      .repeated = p.repeated + state.total_steps - *step};
    return true;
  }
  return false;
}

void check_resumable(const TrainProgress& p, int64_t steps_per_epoch) {
  const int64_t first = p.epoch * steps_per_epoch;
  const int64_t last = first + steps_per_epoch;
  ESPALIER_CHECK(
      p.epoch >= 0 && p.step >= first && p.step <= last && (!p.epoch_ended || p.step == last),
      ValueError,
      "fit: can't resume at step ",
      p.step,
      " of epoch ",
      p.epoch,
      " with ",
      steps_per_epoch,
      " steps per epoch; is it another data set or batch size?");
}

Objective& objective_of_step(TrainState& state, const Hooks& hooks) {
  for (TrainHook* hook : hooks) {
    if (Objective* const own = hook->objective(state)) return *own;
  }
  return *state.objective;
}

// The first forward pass: all that takes part in it must be a member that is named.
StepLoss checked_loss(TrainState& state, Objective& objective, const data::Batch& batch) {
  detail::MemberCheck check(state.model, state.optimizer);
  const CallScope scope(check);
  StepLoss result = objective.loss(state.model, batch);
  check.check_parameters(result.loss);
  return result;
}

void check_loss(double loss, const TrainProgress& p) {
  ESPALIER_CHECK(std::isfinite(loss),
                 ValueError,
                 "fit: the loss of step ",
                 p.step,
                 " (epoch ",
                 p.epoch,
                 ") is ",
                 loss,
                 "; expected a finite number. A lower learning rate, warm-up or a limit of the "
                 "gradient's norm (clip_grad_norm; train: --clip-norm) may help; check that the "
                 "inputs are finite");
}

// The next batches of the epoch, as many as a step takes, and the share that each has of the step's
// samples: all but the epoch's last batch have the same number.
class StepBatches {
 public:
  StepBatches(data::Loader& loader, int64_t first, int64_t most)
      : loader_(loader), first_(first), count_(std::min(most, loader.batches() - first)) {
    for (int64_t b = 0; b < count_; ++b) samples_ += samples(b);
  }
  int64_t count() const { return count_; }
  double share(int64_t b) const {
    return static_cast<double>(samples(b)) / static_cast<double>(samples_);
  }
  data::Batch next() {
    std::optional<data::Batch> batch = loader_.next();
    ESPALIER_CHECK(
        batch, ValueError, "fit: the loader ended before its ", loader_.batches(), " batches");
    return *std::move(batch);
  }

 private:
  int64_t samples(int64_t b) const {
    const int64_t size = loader_.options().batch_size;
    return std::min(size, loader_.dataset().size() - (first_ + b) * size);
  }
  data::Loader& loader_;
  int64_t first_, count_;
  int64_t samples_ = 0;
};

// What the batches of a step add to the epoch's sums.
struct StepSums {
  double loss = 0.0;  // of a sample
  double loss_sum = 0.0;
  int64_t correct = 0;
  int64_t seen = 0;
};

// Forward and backward of one batch, which has `share` of the step.
void train_batch(TrainState& state,
                 const data::Batch& batch,
                 double share,
                 Objective& objective,
                 const Hooks& hooks,
                 bool first,
                 StepSums& sums) {
  const auto [loss, logits] =
      first ? checked_loss(state, objective, batch) : objective.loss(state.model, batch);
  const double value = loss.item();
  check_loss(value, state.progress);
  sums.loss += share == 1.0 ? value : share * value;
  sums.loss_sum += value * static_cast<double>(batch.size());
  if (logits.defined()) sums.correct += count_correct(logits.value(), batch.labels);
  sums.seen += batch.size();
  state.step_loss = value;
  Variable total = loss;
  state.logits = logits;
  state.labels = batch.labels;
  for (TrainHook* hook : hooks) {
    if (const Variable penalty = hook->penalty(state); penalty.defined()) total = total + penalty;
  }
  state.logits = {};
  state.labels = {};
  (share == 1.0 ? total : total * share).backward();
}

// One update: forward and backward of its batches. Hooks act between.
void train_step(TrainState& state,
                StepBatches batches,
                const Hooks& hooks,
                const FitOptions& options,
                bool first) {
  call(hooks, &TrainHook::before_step, state);
  state.model.zero_grad();
  Objective& objective = objective_of_step(state, hooks);
  StepSums sums;
  const SavedAsScope keeps(options.saved_as);
  for (int64_t b = 0; b < batches.count(); ++b) {
    train_batch(state, batches.next(), batches.share(b), objective, hooks, first && b == 0, sums);
  }
  state.step_loss = sums.loss;
  call(hooks, &TrainHook::after_backward, state);
  if (options.clip_grad_norm > 0.0) {
    const double norm = clip_grad_norm(state.model.named_parameters(), options.clip_grad_norm);
    ESPALIER_CHECK(std::isfinite(norm),
                   ValueError,
                   "fit: the gradient norm of step ",
                   state.progress.step,
                   " is ",
                   norm,
                   "; expected a finite number. A lower learning rate may help");
  }
  state.optimizer.step();
  TrainProgress& p = state.progress;
  p.loss_sum += sums.loss_sum;
  p.correct += sums.correct;
  p.seen += sums.seen;
  ++p.step;
  publish_progress(state);
  call(hooks, &TrainHook::after_step, state);
}

}  // namespace

void TrainState::stop(std::string_view who) {
  ESPALIER_CHECK(!who.empty(), ValueError, "TrainState::stop: say who ends the training and why");
  if (!progress.stopped()) progress.stopped_by = who;
}

std::map<std::string, Tensor> TrainProgress::to_tensors() const {
  std::map<std::string, Tensor> tensors = {
      {"loss_sum", Tensor::scalar(loss_sum, DType::F64)},
      {"counters",
       Tensor::from<int64_t>({6}, {epoch, step, epoch_ended ? 1 : 0, correct, seen, repeated})}};
  if (stopped()) tensors.emplace("stopped_by", detail::text_tensor(stopped_by));
  return tensors;
}

TrainProgress TrainProgress::from_tensors(const std::map<std::string, Tensor>& tensors) {
  const auto loss = tensors.find("loss_sum");
  const auto counters = tensors.find("counters");
  ESPALIER_CHECK(loss != tensors.end() && counters != tensors.end() &&
                     loss->second.shape() == Shape{} && counters->second.shape() == Shape{6} &&
                     counters->second.dtype() == DType::I64,
                 ValueError,
                 "TrainProgress: expects a scalar 'loss_sum' and int64 (6) 'counters'");
  const std::vector<int64_t> c = counters->second.to_vector<int64_t>();
  const auto stopped = tensors.find("stopped_by");
  return {
      .epoch = c[0],
      .step = c[1],
      .epoch_ended = c[2] != 0,
      .loss_sum = loss->second.item(),
      .correct = c[3],
      .seen = c[4],
      .repeated = c[5],
      .stopped_by = stopped == tensors.end() ? std::string() : detail::text_of(stopped->second)};
}

FitResult fit(Module& model,
              Optimizer& optimizer,
              const LrSchedule& schedule,
              data::Loader& loader,
              const std::vector<TrainHook*>& hooks,
              const FitOptions& options) {
  const int64_t accumulate = options.accumulate;
  ESPALIER_CHECK(
      accumulate >= 1, ValueError, "fit: expects accumulate >= 1 batches a step, got ", accumulate);
  const int64_t steps_per_epoch = (loader.batches() + accumulate - 1) / accumulate;
  ESPALIER_CHECK(options.epochs == 0 || steps_per_epoch > 0,
                 ValueError,
                 "fit: the loader has no batches; with drop_last the data set must hold a batch");
  if (options.epochs > 0) check_batches(model, loader);
  CrossEntropy by_labels(options.label_smoothing);
  TrainState state{.model = model,
                   .optimizer = optimizer,
                   .total_steps = options.epochs * steps_per_epoch,
                   .steps_per_epoch = steps_per_epoch,
                   .progress = options.resume.value_or(TrainProgress{}),
                   .loader = &loader,
                   .objective = options.objective ? options.objective.get() : &by_labels,
                   .hooks = &hooks};
  TrainProgress& progress = state.progress;
  FitResult result;
  model.train();
  if (options.resume) {
    check_resumable(progress, steps_per_epoch);
    take_means(result, progress);
  } else {
    call(hooks, &TrainHook::before_training, state);
  }
  publish_progress(state);

  bool first = true;
  if (progress.epoch_ended) begin_epoch(progress, progress.epoch + 1);
  do {
    while (progress.epoch < options.epochs) {
      const int64_t begin = progress.epoch * steps_per_epoch;
      const int64_t end = begin + steps_per_epoch;
      if (progress.stopped() && progress.step == begin) break;
      publish_progress(state);
      if (!progress.stopped() && progress.step < end) {
        loader.start_epoch(progress.epoch, (progress.step - begin) * accumulate);
      }
      while (!progress.stopped() && progress.step < end) {
        optimizer.set_lr(schedule.lr(progress.step, state.total_steps));
        train_step(state,
                   StepBatches(loader, (progress.step - begin) * accumulate, accumulate),
                   hooks,
                   options,
                   std::exchange(first, false));
      }
      take_means(result, progress);
      if (progress.step < end) break;
      progress.epoch_ended = true;
      call(hooks, &TrainHook::end_of_epoch, state);
      begin_epoch(progress, progress.epoch + 1);
    }
    model.zero_grad();
  } while (!progress.stopped() && rewind(state, hooks));
  call(hooks, &TrainHook::end_of_training, state);
  static_cast<TrainProgress&>(result) = progress;
  return result;
}

Evaluation evaluate(const std::function<Tensor(const Tensor&)>& logits_of, data::Loader& loader) {
  const NoGrad no_grad;
  Evaluation result;
  double loss_sum = 0.0;
  loader.start_epoch(0);
  while (const std::optional<data::Batch> batch = loader.next()) {
    const Tensor logits = class_rows(Variable(logits_of(batch->images))).value();
    loss_sum += cross_entropy(Variable(logits), batch->labels, 0.0, Reduction::Sum).item();
    result.correct += count_correct(logits, batch->labels);
    result.total += batch->size();
  }
  if (result.total > 0) result.loss = loss_sum / static_cast<double>(result.total);
  return result;
}

Evaluation evaluate(Module& model, data::Loader& loader) {
  const EvalScope eval(model);
  const NoGrad no_grad;
  const bool planes = batch_layout(model) == Layout::Nchw;
  const auto logits_of = [&](const Tensor& images) {
    return model(Variable(planes ? images.to(Layout::Nchw) : images)).value();
  };
  return evaluate(logits_of, loader);
}

}  // namespace espalier::nn
