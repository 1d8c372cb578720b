// SPDX-License-Identifier: Apache-2.0
/// What somebody who wants to prune says of hardware, target, training, labels and network: the
/// questions that the survey's recommendations (arXiv 2308.06767, section 9.1) turn on. Every one
/// may stay open.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <espalier/core/options/table.h>
#include <espalier/prune/budgets/budget.h>

namespace espalier::experiments::advise {

/// What will run the pruned network.
enum class Runtime : uint8_t {
  Any,       ///< not said
  Dense,     ///< an engine that knows dense layers only
  Espalier,  ///< this library: sparse kernels, and gates that skip
  NM         ///< hardware for two of every four weights
};
/// What can be paid for besides the training of a network that is there.
enum class Training : uint8_t {
  Any,   ///< not said
  None,  ///< nothing
  Some,  ///< epochs of fine-tuning
  Full,  ///< one whole training
  Many   ///< several
};
/// Of the samples at hand.
enum class Labels : uint8_t { Any, All, Few, None };
/// Whether a trained network is there.
enum class Trained : uint8_t { Any, Yes, No };
/// Whether one input may cost more than another.
enum class Inputs : uint8_t { Any, Alike, Differ };
/// When weights are chosen, where somebody insists on it.
enum class Moment : uint8_t { Any, Before, During, After, Runtime };

/// Points of accuracy.
class Points {
 public:
  explicit Points(double value) : value_(value) {}
  double value() const { return value_; }

 private:
  double value_ = 0.0;
};

/// The answers.
struct Answers {
  Runtime runtime = Runtime::Any;
  std::string target = {};  ///< `0.9`, `sparsity=0.9`, `macs=0.5`, `size=0.2`, ..; empty: not said
  Training training = Training::Any;
  Labels labels = Labels::Any;
  std::optional<Points> may_lose = {};  ///< of accuracy on the test split
  Trained trained = Trained::Any;
  Inputs inputs = Inputs::Any;
  Moment when = Moment::Any;
  std::string model = {};        ///< a name of the zoo; empty: not said
  std::string data = "cifar10";  ///< for the commands
  std::string weights = {};      ///< file of the trained network, for the commands
};
/// A line for each of them.
const OptionTable<Answers>& answers_table();

/// What is known of a network by its name.
struct NetworkFacts {
  bool known = false;   ///< the others say something
  bool blocks = false;  ///< it has residual blocks
  bool norms = false;   ///< it has batch norm
};

/// Answers that were checked.
struct Question {
  Answers answers = {};
  NetworkFacts network = {};
  std::optional<prune::Target> target = {};  ///< `size` is Bytes, a number alone Sparsity
};
/// Checks answers. Throws ValueError for an unknown network, one that is not fed with images, a
/// target of no kind or outside of 0 .. 1, and for answers that contradict each other: neither a
/// trained network nor a training that could make one.
Question asked(const Answers& answers);

}  // namespace espalier::experiments::advise
