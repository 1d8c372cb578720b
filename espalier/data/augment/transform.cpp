// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/augment/transform.h>

namespace espalier::data {

Rng Moment::stream(std::string_view purpose) const {
  return Rng(seed, purpose).fork(static_cast<uint64_t>(epoch)).fork(static_cast<uint64_t>(index));
}

void Transform::change_image(TrainingImage&, const Moment&) const {}
void Transform::change_batch(Batch&, int64_t, const Moment&) const {}

}  // namespace espalier::data
