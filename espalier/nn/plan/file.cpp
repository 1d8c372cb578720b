// SPDX-License-Identifier: Apache-2.0
// A plan as a file: safetensors with the graph as JSON in the metadata (README.md has the format).
// What is read is checked like a graph that was just traced, before anything is made of it.
#include <new>

#include <espalier/core/finite.h>
#include <espalier/core/safetensors.h>
#include <espalier/nn/plan/detail/step_file.h>
#include <espalier/nn/plan/program.h>

namespace espalier::nn {
namespace {

using espalier::detail::json_excerpt;
using nlohmann::json;
using plan::Graph;

constexpr const char* kKey = "espalier_plan";
constexpr const char* kBFloat16 = "bfloat16";
constexpr int kVersion = 1;
constexpr int64_t kMaxBatch = 1 << 20;
constexpr size_t kMaxSteps = 1 << 20;

std::shared_ptr<const InferencePlan::Program> read_program(SafetensorsFile file,
                                                           const std::string& text) {
  const auto in = espalier::detail::parse_json<json>(text, "its description");
  ESPALIER_CHECK(in.at("version") == kVersion,
                 ValueError,
                 "version ",
                 json_excerpt(in.at("version")),
                 ", known is ",
                 kVersion);
  const int64_t batch = plan::read_whole(in.at("batch"), 1, kMaxBatch);
  Graph graph;
  const json& values = in.at("values");
  const json& steps = in.at("steps");
  ESPALIER_CHECK(values.is_array() && steps.is_array() && values.size() <= kMaxSteps &&
                     steps.size() <= kMaxSteps,
                 ValueError,
                 "expects lists of values and steps");
  for (const json& value : values) {
    graph.values.push_back(
        {plan::read_shape(value.at("shape")), plan::read_id(value.at("storage"))});
  }
  graph.output = plan::read_id(in.at("output"));
  if (const auto weights = in.find("weights"); weights != in.end()) {
    ESPALIER_CHECK(*weights == kBFloat16,
                   ValueError,
                   "weights as ",
                   json_excerpt(*weights),
                   ", known is ",
                   kBFloat16);
    graph.weights = PlanWeights::BFloat16;
  }
  graph.tokens = in.value("tokens", false);
  plan::TensorBox tensors(std::move(file.tensors));
  for (size_t s = 0; s < steps.size(); ++s) {
    graph.steps.push_back(plan::read_step(steps[s], s, tensors));
  }
  tensors.check_empty();
  return std::make_shared<InferencePlan::Program>(std::move(graph), batch);
}

}  // namespace

void InferencePlan::save(const std::filesystem::path& path) const {
  const Graph& graph = program_->graph;
  SafetensorsFile file;
  json values = json::array();
  for (const plan::Value& value : graph.values) {
    values.push_back({{"shape", plan::write_shape(value.shape)}, {"storage", value.storage}});
  }
  json steps = json::array();
  for (size_t s = 0; s < graph.steps.size(); ++s) {
    steps.push_back(plan::write_step(graph.steps[s], s, file.tensors));
  }
  json description = {{"version", kVersion},
                      {"batch", program_->batch},
                      {"values", values},
                      {"output", graph.output},
                      {"steps", steps}};
  if (graph.tokens) description["tokens"] = true;
  if (graph.weights == PlanWeights::BFloat16) {
    description["weights"] = kBFloat16;
    for (size_t s = 0; s < graph.steps.size(); ++s) {
      const plan::Step& step = graph.steps[s];
      const bool plain = step.kind == plan::StepKind::Plain && step.plain.has_weight();
      if (step.kind != plan::StepKind::Product && !plain) continue;
      file.bfloat16.insert(plan::weight_name(file.tensors, s));
    }
  }
  file.metadata[kKey] = description.dump();
  check_can_be_read(file.tensors, cat("plan: ", path.string()));
  save_safetensors(path, file);
}

InferencePlan InferencePlan::load(const std::filesystem::path& path) {
  SafetensorsFile file = load_safetensors(path);
  const auto entry = file.metadata.find(kKey);
  ESPALIER_CHECK(entry != file.metadata.end(),
                 IoError,
                 "plan: ",
                 path.string(),
                 " is not a compiled plan. Weights are compiled first (nn::compile)");
  const std::string text = entry->second;
  check_finite(file.tensors, cat("plan: ", path.string()));
  try {
    return InferencePlan(read_program(std::move(file), text));
  } catch (const json::exception& e) {
    throw IoError(
        cat("plan: ", path.string(), ": bad description: ", espalier::detail::json_words(e)));
  } catch (const Error& e) {
    throw IoError(cat("plan: ", path.string(), ": ", e.what()));
  } catch (const std::bad_alloc&) {
    throw IoError(cat("plan: ", path.string(), ": needs more memory than there is"));
  }
}

}  // namespace espalier::nn
