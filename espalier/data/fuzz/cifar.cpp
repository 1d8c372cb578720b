// SPDX-License-Identifier: Apache-2.0
// Fuzz target: CIFAR-100 records (two labels each) as the first byte says, else CIFAR-10 ones.
#include <espalier/core/error.h>
#include <espalier/core/fuzz/target.h>
#include <espalier/data/cifar.h>

namespace espalier::fuzz {

void read(const Bytes& input) {
  if (input.empty()) throw IoError("empty");
  const Bytes body(input.begin() + 1, input.end());
  const bool hundred = input[0] != 0;
  put(hundred ? "test.bin" : "test_batch.bin", body);
  const auto dataset = hundred ? data::open_cifar100(folder(), data::Split::Test)
                               : data::open_cifar10(folder(), data::Split::Test);
  Bytes pixels(3072);
  dataset->read(dataset->size() - 1, pixels);
  saw(pixels);
}

std::vector<Bytes> seeds() {
  Bytes ten(1 + 2 * 3073, 0);
  Bytes hundred(1 + 3074, 1);
  return {ten, hundred};
}

}  // namespace espalier::fuzz
