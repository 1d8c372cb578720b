// SPDX-License-Identifier: Apache-2.0
// What methods score from: of the command what training sees, as the library gives it to pruners.
#include <gtest/gtest.h>

#include <espalier/experiments/inputs/inputs.h>
#include <espalier/experiments/inputs/recipe.h>
#include <espalier/experiments/inputs/scoring_batches.h>
#include <espalier/experiments/settings/train_settings.h>
#include <espalier/prune/scores/gradients.h>

namespace espalier::experiments {
namespace {

TrainSettings settings(std::map<std::string, std::string> given) {
  for (const auto& [name, text] : std::map<std::string, std::string>{
           {"data", "synth"}, {"batch", "64"}, {"seed", "3"}, {"threads", "1"}}) {
    given.emplace(name, text);
  }
  return train_table().read("train", given);
}

std::vector<float> pixels(const data::Batch& batch) {
  return batch.images.to(Layout::Nchw).contiguous().to_vector<float>();
}

TEST(ScoringBatches, AreTheBatchesThatTrainingSeesAndThatAPrunerOfTheLibraryGets) {
  const auto values = settings({});
  const auto dataset = data::subset(open_split(values.data, data::Split::Train), 160, 1);
  const ScoringBatches batches(dataset, values);
  data::Loader training(dataset, training_loader(values, *dataset));
  EXPECT_GT(training.options().augmentation.crop_padding, 0);
  const auto library = prune::batches_like(training);
  EXPECT_EQ(batches.batches(), training.batches());
  ASSERT_EQ(training.batches(), 3);
  for (int64_t index = 0; index < 5; ++index) {  // into the second epoch
    SCOPED_TRACE(index);
    if (index % 3 == 0) training.start_epoch(index / 3);
    const data::Batch trained_on = training.next().value();
    const data::Batch scored = batches(index);
    EXPECT_EQ(pixels(scored), pixels(trained_on));
    EXPECT_EQ(scored.labels.to_vector<int64_t>(), trained_on.labels.to_vector<int64_t>());
    EXPECT_EQ(pixels(library(index)), pixels(scored));
  }
}

TEST(ScoringBatches, AreNotAugmentedWhereTrainingIsNot) {
  const auto augmented = settings({});
  const auto plain = settings({{"augment", "none"}});
  const auto dataset = open_split(plain.data, data::Split::Train);
  const ScoringBatches batches(dataset, plain);
  data::Loader training(dataset, training_loader(plain, *dataset));
  training.start_epoch(0);
  EXPECT_EQ(pixels(batches(0)), pixels(training.next().value()));
  EXPECT_NE(pixels(batches(0)), pixels(ScoringBatches(dataset, augmented)(0)));
}

}  // namespace
}  // namespace espalier::experiments
