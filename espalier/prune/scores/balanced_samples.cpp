// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/scores/balanced_samples.h>

#include <algorithm>
#include <limits>

#include <espalier/autograd/ops.h>
#include <espalier/prune/curvature/sample_gradients.h>
#include <espalier/prune/scores/gradients.h>

namespace espalier::prune {
namespace {

/// Samples without news, for every class, after which a rare class is given up.
constexpr int64_t kPatience = 50;

/// Samples by class.
class Shelves {
 public:
  Shelves(int64_t classes, int64_t per_class)
      : shelves_(static_cast<size_t>(classes)), per_class_(static_cast<size_t>(per_class)) {}

  /// Takes those that are still wanted; returns how many.
  int64_t take_from(const data::Batch& batch) {
    const Tensor plain = batch.images.to(Layout::Nchw);
    const std::vector<int64_t> labels = batch.labels.to_vector<int64_t>();
    int64_t taken = 0;
    for (size_t i = 0; i < labels.size(); ++i) {
      ESPALIER_CHECK(labels[i] >= 0 && labels[i] < static_cast<int64_t>(shelves_.size()),
                     ValueError,
                     "score: a sample has the label ",
                     labels[i],
                     ", but the network has ",
                     shelves_.size(),
                     " outputs");
      std::vector<Variable>& shelf = shelves_[static_cast<size_t>(labels[i])];
      if (shelf.size() == per_class_) continue;
      const auto at = static_cast<int64_t>(i);
      shelf.emplace_back(plain.slice(0, at, at + 1));
      ++taken;
    }
    return taken;
  }

  bool full() const {
    return std::all_of(shelves_.begin(), shelves_.end(), [&](const std::vector<Variable>& shelf) {
      return shelf.size() == per_class_;
    });
  }

  data::Batch all() const {
    std::vector<Variable> images;
    std::vector<int64_t> labels;
    for (size_t label = 0; label < shelves_.size(); ++label) {
      images.insert(images.end(), shelves_[label].begin(), shelves_[label].end());
      labels.insert(labels.end(), shelves_[label].size(), static_cast<int64_t>(label));
    }
    ESPALIER_CHECK(!images.empty(), ValueError, "score: the training data has no samples");
    const NoGrad no_grad;
    return {concat(images, 0).value(), Tensor::from({static_cast<int64_t>(labels.size())}, labels)};
  }

 private:
  std::vector<std::vector<Variable>> shelves_;
  size_t per_class_;
};

}  // namespace

data::Batch balanced_samples(const ScoreContext& context,
                             int64_t classes,
                             int64_t per_class,
                             int64_t first_batch) {
  data::Batch batch = scoring_batch(context, first_batch);
  if (context.inputs.single_batch) {
    Shelves shelves(classes, batch.size());
    shelves.take_from(batch);
    return shelves.all();
  }
  Shelves shelves(classes, per_class);
  const int64_t end = context.inputs.batches == 0 ? std::numeric_limits<int64_t>::max()
                                                  : first_batch + context.inputs.batches;
  int64_t without_news = 0;
  for (int64_t index = first_batch;;) {
    without_news = shelves.take_from(batch) > 0 ? 0 : without_news + batch.size();
    if (shelves.full() || without_news > kPatience * classes || ++index == end) break;
    batch = scoring_batch(context, index);
    ESPALIER_CHECK(batch.size() > 0, ValueError, "score: batch ", index, " is empty");
  }
  data::Batch all = shelves.all();
  if (!shelves.full() && context.notes != nullptr) {
    context.notes->push_back(cat("asked for ",
                                 per_class,
                                 " samples of each of ",
                                 classes,
                                 " classes to score with; the training data gave ",
                                 all.size(),
                                 " in all"));
  }
  return all;
}

std::vector<data::Batch> halves_of(const data::Batch& batch) {
  const int64_t n = batch.size();
  std::vector<data::Batch> halves;
  for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, n / 2}, {n / 2, n}}) {
    if (begin == end) continue;
    halves.push_back(samples_of(batch, begin, end));
  }
  return halves;
}

}  // namespace espalier::prune
