// SPDX-License-Identifier: Apache-2.0
/// `espalier inspect`: what is in a file.
#include <memory>
#include <ostream>

#include <nlohmann/json.hpp>

#include <espalier/experiments/inspect/inspect.h>
#include <espalier/experiments/verbs/verbs.h>

namespace espalier::experiments::verbs {
namespace {

struct InspectFlags {
  std::string file;
  bool json = false;
};

}  // namespace

void add_inspect(const Verb& app, Console& console, Action& action) {
  const Verb verb = app.add_verb(
      "inspect",
      "What is in a file: layers with their sparsity, tensors, what it tells of itself.");
  const auto flags = std::make_shared<InspectFlags>();
  verb.add_option("file",
                  flags->file,
                  "a network, a checkpoint, a compiled plan (safetensors), .edc, .npz or .npy")
      .option_text("FILE")
      .required();
  verb.add_flag("--json", flags->json, "print as JSON, nothing shortened");
  verb.callback([&action, &console, flags] {
    action = [&console, flags] {
      const nlohmann::ordered_json found = inspect(flags->file);
      console.out << (flags->json
                          ? found.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) +
                                "\n"
                          : inspect_text(found));
    };
  });
}

}  // namespace espalier::experiments::verbs
