// SPDX-License-Identifier: Apache-2.0
/// Deep deterministic policy gradient; agent.h has the rules.
#include <cmath>
#include <deque>
#include <optional>

#include <espalier/autograd/ops.h>
#include <espalier/core/error.h>
#include <espalier/nn/layers.h>
#include <espalier/nn/layers/sequential.h>
#include <espalier/nn/module/init.h>
#include <espalier/nn/train/adam.h>
#include <espalier/prune/search/agent.h>

namespace espalier::prune {
namespace {

std::unique_ptr<nn::Module> perceptron(int64_t in, int64_t hidden, uint64_t seed) {
  auto net = std::make_unique<nn::Sequential>();
  net->add(nn::Linear({.in = in, .out = hidden}));
  net->add(nn::ReLU());
  net->add(nn::Linear({.in = hidden, .out = hidden}));
  net->add(nn::ReLU());
  net->add(nn::Linear({.in = hidden, .out = 1}));
  nn::init_parameters(*net, seed);
  return net;
}

/// A network, the one that follows it slowly, and its optimizer.
struct Learner {
  Learner(std::unique_ptr<nn::Module> made, double lr)
      : net(std::move(made)), target(net->clone()), optimizer(*net, {.lr = lr}) {}

  void follow(double share) {
    const auto own = net->named_parameters();
    const auto behind = target->named_parameters();
    for (size_t p = 0; p < own.size(); ++p) {
      const Variable mixed =
          behind[p].parameter->value * (1.0 - share) + own[p].parameter->value * share;
      behind[p].parameter->value.value().copy_(mixed.value());
    }
  }

  void save(const std::string& name, SearchState& state) const {
    for (const auto& [key, tensor] : net->state_dict()) {
      state[name + "." + key] = tensor.clone();
    }
    for (const auto& [key, tensor] : target->state_dict()) {
      state[name + "-target." + key] = tensor.clone();
    }
    for (const auto& [key, tensor] : optimizer.state_dict()) {
      state[name + "-optimizer." + key] = tensor.clone();
    }
  }

  void load(const std::string& name, const SearchState& state) {
    const auto part = [&](const std::string& prefix) {
      SearchState own;
      for (const auto& [key, tensor] : state) {
        if (key.starts_with(prefix)) own[key.substr(prefix.size())] = tensor;
      }
      return own;
    };
    net->load_state_dict(part(name + "."));
    target->load_state_dict(part(name + "-target."));
    optimizer.load_state_dict(part(name + "-optimizer."));
  }

  std::unique_ptr<nn::Module> net;
  std::unique_ptr<nn::Module> target;
  nn::Adam optimizer;
};

/// A remembered step.
struct Step {
  std::vector<double> state;
  double action = 0.0;
  double reward = 0.0;
  std::vector<double> next = {};
  bool last = false;
};

/// A normal number within 0 .. 1; `mean` is, so that few are drawn in vain.
double truncated_normal(double mean, double stddev, Rng& rng) {
  if (stddev == 0.0) return mean;
  constexpr int kMostDraws = 1000;
  for (int i = 0; i < kMostDraws; ++i) {
    const double drawn = mean + stddev * rng.normal();
    if (drawn >= 0.0 && drawn <= 1.0) return drawn;
  }
  return mean;
}

class Ddpg : public Agent {
 public:
  Ddpg(int64_t features, int64_t places, const DdpgOptions& options, uint64_t seed)
      : features_(features),
        places_(places),
        options_(options),
        seed_(seed),
        actor_(perceptron(features, options.hidden, seed), options.actor_lr),
        critic_(perceptron(features + 1, options.hidden, seed + 1), options.critic_lr) {}

  double act(std::span<const double> state) override {
    ESPALIER_CHECK(static_cast<int64_t>(state.size()) == features_,
                   ShapeError,
                   "ddpg: a state has ",
                   state.size(),
                   " numbers, expected ",
                   features_);
    Rng rng = Rng(seed_, "ddpg act").fork(static_cast<uint64_t>(episode_ * places_ + steps()));
    Step step{.state = {state.begin(), state.end()}};
    if (episode_ < options_.warmup) {
      step.action = rng.uniform64();
    } else {
      const NoGrad no_grad;
      const double mean = mu(*actor_.net, matrix({&step}, &Step::state)).item();
      step.action = truncated_normal(mean, exploration(options_, episode_), rng);
    }
    running_.push_back(step);
    return step.action;
  }

  void finish(const Candidate&, double reward) override {
    for (size_t s = 0; s < running_.size(); ++s) {
      Step step = running_[s];
      step.reward = reward;  // of the whole, for each of its steps
      step.last = s + 1 == running_.size();
      step.next = step.last ? step.state : running_[s + 1].state;
      replay_.push_back(std::move(step));
      if (static_cast<int64_t>(replay_.size()) > options_.replay * places_) replay_.pop_front();
      if (episode_ < options_.warmup) continue;
      Rng rng = Rng(seed_, "ddpg learn")
                    .fork(static_cast<uint64_t>(episode_ * places_) + static_cast<uint64_t>(s));
      learn(rng);
    }
    running_.clear();
    ++episode_;
  }

  SearchState state() const override {
    SearchState state;
    actor_.save("actor", state);
    critic_.save("critic", state);
    state["progress"] = Tensor::from<double>(
        {3}, {static_cast<double>(episode_), baseline_.value_or(0.0), baseline_ ? 1.0 : 0.0});
    std::vector<double> rows;
    for (const Step& step : replay_) {
      rows.insert(rows.end(), step.state.begin(), step.state.end());
      rows.insert(rows.end(), {step.action, step.reward});
      rows.insert(rows.end(), step.next.begin(), step.next.end());
      rows.push_back(step.last ? 1.0 : 0.0);
    }
    if (!rows.empty()) {
      state["replay"] =
          Tensor::from<double>({static_cast<int64_t>(replay_.size()), 2 * features_ + 3}, rows);
    }
    return state;
  }

  void load_state(const SearchState& state) override {
    actor_.load("actor", state);
    critic_.load("critic", state);
    const auto progress = state.at("progress").to_vector<double>();
    episode_ = static_cast<int64_t>(progress[0]);
    baseline_ = progress[2] != 0.0 ? std::optional(progress[1]) : std::nullopt;
    replay_.clear();
    running_.clear();
    if (!state.contains("replay")) return;
    const auto rows = state.at("replay").to_vector<double>();
    for (auto row = rows.begin(); row != rows.end(); row += 2 * features_ + 3) {
      replay_.push_back({.state = {row, row + features_},
                         .action = row[features_],
                         .reward = row[features_ + 1],
                         .next = {row + features_ + 2, row + 2 * features_ + 2},
                         .last = row[2 * features_ + 2] != 0.0});
    }
  }

 private:
  using Batch = std::vector<const Step*>;

  int64_t steps() const { return static_cast<int64_t>(running_.size()); }

  static Variable mu(nn::Module& actor, const Variable& states) { return sigmoid(actor(states)); }
  static Variable q(nn::Module& critic, const Variable& states, const Variable& actions) {
    return critic(concat({states, actions}, 1));
  }

  static Variable matrix(const Batch& batch, std::vector<double> Step::*member) {
    std::vector<float> values;
    for (const Step* step : batch) {
      for (const double value : step->*member) values.push_back(static_cast<float>(value));
    }
    const auto rows = static_cast<int64_t>(batch.size());
    return Variable(
        Tensor::from<float>({rows, static_cast<int64_t>(values.size()) / rows}, values));
  }
  template <class Value>
  static Variable column(const Batch& batch, Value value) {
    std::vector<float> values;
    for (const Step* step : batch) values.push_back(static_cast<float>(value(*step)));
    return Variable(Tensor::from<float>({static_cast<int64_t>(batch.size()), 1}, values));
  }

  void learn(Rng& rng) {
    Batch batch;
    const std::vector<int64_t> order = rng.permutation(static_cast<int64_t>(replay_.size()));
    for (const int64_t index : order) {
      if (static_cast<int64_t>(batch.size()) == options_.batch) break;
      batch.push_back(&replay_[static_cast<size_t>(index)]);
    }
    double mean_reward = 0.0;
    for (const Step* step : batch) mean_reward += step->reward / static_cast<double>(batch.size());
    baseline_ =
        baseline_ ? *baseline_ + options_.baseline * (mean_reward - *baseline_) : mean_reward;
    const RecordingScope recording(true);
    const Variable states = matrix(batch, &Step::state);
    const Variable actions = column(batch, [](const Step& step) { return step.action; });
    const Variable wanted = targets(batch);
    critic_.optimizer.zero_grad();
    mse_loss(q(*critic_.net, states, actions), wanted).backward();
    critic_.optimizer.step();
    actor_.optimizer.zero_grad();
    (mean(q(*critic_.net, states, mu(*actor_.net, states))) * -1.0).backward();
    actor_.optimizer.step();
    critic_.optimizer.zero_grad();
    actor_.optimizer.zero_grad();
    const NoGrad no_grad;
    actor_.follow(options_.follow);
    critic_.follow(options_.follow);
  }

  Variable targets(const Batch& batch) const {
    const NoGrad no_grad;
    const Variable next = matrix(batch, &Step::next);
    const Variable value = q(*critic_.target, next, mu(*actor_.target, next));
    const Variable goes_on =
        column(batch, [&](const Step& step) { return step.last ? 0.0 : options_.discount; });
    const Variable rewards =
        column(batch, [&](const Step& step) { return step.reward - *baseline_; });
    return rewards + goes_on * value;
  }

  int64_t features_;
  int64_t places_;
  DdpgOptions options_;
  uint64_t seed_;
  Learner actor_;
  Learner critic_;
  std::deque<Step> replay_;
  std::vector<Step> running_;  // of the candidate that is being decided
  int64_t episode_ = 0;
  std::optional<double> baseline_;
};

}  // namespace

double exploration(const DdpgOptions& options, int64_t episode) {
  if (episode < options.warmup) return 0.0;
  return options.noise *
         std::pow(options.noise_decay, static_cast<double>(episode - options.warmup));
}

std::unique_ptr<Agent> ddpg_agent(int64_t features,
                                  int64_t places,
                                  const DdpgOptions& options,
                                  uint64_t seed) {
  return std::make_unique<Ddpg>(features, places, options, seed);
}

}  // namespace espalier::prune
