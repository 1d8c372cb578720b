// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/verbs/next_commands.h>

#include <algorithm>
#include <filesystem>

#include <espalier/core/error.h>
#include <espalier/experiments/inputs/networks.h>
#include <espalier/experiments/report/reproduce.h>
#include <espalier/experiments/run/run_files.h>
#include <espalier/nn/introspect/counting.h>

namespace espalier::experiments::verbs {
namespace {

// Whether some output channel of a layer has no weight left.
bool has_empty_channels(nn::Module& model) {
  for (const nn::NamedParameter& weight : nn::prunable_parameters(model)) {
    if (!weight.parameter->masked()) continue;
    const Tensor values = weight.parameter->value.value().to(Layout::Nchw).contiguous();
    const int64_t rows = values.size(0);
    const int64_t length = rows == 0 ? 0 : values.numel() / rows;
    for (int64_t row = 0; row < rows; ++row) {
      const float* at = values.data<float>() + row * length;
      if (std::all_of(at, at + length, [](float w) { return w == 0.0f; })) return true;
    }
  }
  return false;
}

}  // namespace

std::vector<std::string> commands_after_training(const std::string& program,
                                                 const TrainSettings& settings,
                                                 const std::string& folder) {
  const std::string call = report::shell_word(program) + " ";
  const std::filesystem::path path = folder;
  const std::string model = report::shell_word((path / kModelFile).string());
  const DataSettings& data = settings.data;
  std::string of_data = " --data " + report::shell_word(data.data);
  if (data.data_root != default_data_root()) {
    of_data += " --data-root " + report::shell_word(data.data_root);
  }
  if (data.data_seed != 0) of_data += cat(" --data-seed ", data.data_seed);
  if (data.image_size != 0) of_data += cat(" --image-size ", data.image_size);
  if (data.context != DataSettings().context) of_data += cat(" --context ", data.context);
  if (settings.test_size != 0) of_data += cat(" --test-size ", settings.test_size);
  std::vector<std::string> out = {cat(call, "eval --weights ", model, of_data),
                                  cat(call, "bench infer --weights ", model)};
  if (has_empty_channels(*load_network(path / kModelFile).module)) {
    out.push_back(cat(call,
                      "shrink --weights ",
                      model,
                      " --out ",
                      report::shell_word((path / "shrunk.safetensors").string())));
  }
  out.push_back(cat(call, "report ", report::shell_word(folder)));
  return out;
}

std::string commands_text(const std::vector<std::string>& commands) {
  std::string out = "next:\n";
  for (const std::string& command : commands) out += "  " + command + "\n";
  return out;
}

}  // namespace espalier::experiments::verbs
