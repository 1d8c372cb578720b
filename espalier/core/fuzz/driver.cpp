// SPDX-License-Identifier: Apache-2.0
// A target under libFuzzer. The corpus folder (the first argument that is no flag) gets the seeds.
#include <fstream>
#include <string>

#include <espalier/core/error.h>
#include <espalier/core/fuzz/target.h>

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  using namespace espalier::fuzz;
  refuse_all();
  for (int a = 1; a < *argc; ++a) {
    const std::filesystem::path corpus = (*argv)[a];
    if (!std::filesystem::is_directory(corpus)) continue;
    int number = 0;
    for (const Bytes& seed : seeds()) {
      std::ofstream(corpus / ("seed-" + std::to_string(number++)), std::ios::binary)
          .write(reinterpret_cast<const char*>(seed.data()),
                 static_cast<std::streamsize>(seed.size()));
    }
    break;
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    espalier::fuzz::read_twice({data, data + size});
  } catch (const espalier::Error&) {
    // A bad file: what readers are to say.
  }
  return 0;
}
