// SPDX-License-Identifier: Apache-2.0
// Steps of plans that run an op by its plain form.
#include <functional>

#include <nlohmann/json.hpp>

#include <espalier/autograd/ops.h>
#include <espalier/core/mac_counter.h>
#include <espalier/core/parallel.h>
#include <espalier/core/safetensors.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/layers.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/tests/plan_support.h>

namespace espalier::nn {
namespace {

using espalier::testing::TemporaryFolder;
using nlohmann::json;

constexpr double kPlainTol = 1e-4;

/// A network of one layer and what a function does with it.
class Net : public Module {
 public:
  using Function = std::function<Variable(Module&, const Variable&)>;
  Net(std::shared_ptr<Module> layer, Function function)
      : layer_(std::move(layer)), function_(std::move(function)) {
    init_parameters(*this, 3);
  }
  Variable forward(const Variable& x) override { return function_(*layer_, x); }
  void visit(MemberVisitor& visitor) override { visitor.part("layer", layer_); }
  std::string describe() const override { return "Net"; }

 protected:
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<Net>(*this); }

 private:
  std::shared_ptr<Module> layer_;
  Function function_;
};

std::shared_ptr<Module> conv() {
  return std::make_shared<Conv2d>(
      Conv2d::Options{.in_channels = 3, .out_channels = 4, .padding = 1});
}
std::shared_ptr<Module> dense(int64_t in, int64_t out) {
  return std::make_shared<Linear>(Linear::Options{.in = in, .out = out});
}

Tensor result(Module& model, const Tensor& x) {
  const EvalScope eval(model);
  const NoGrad no_grad;
  return model(Variable(x)).value().to(Layout::Nchw);
}

/// Plan and module agree on many samples and on one, and so does the plan from its file, bit by
/// bit.
void expect_agrees(Module& model, const Tensor& x, const std::string& name) {
  SCOPED_TRACE(name);
  const InferencePlan plan = compile(model, Variable(x));
  const Tensor y = plan.run(x);
  EXPECT_LT(max_difference(result(model, x), y), kPlainTol);
  const Tensor one = x.slice(0, 1, 2).clone();
  EXPECT_LT(max_difference(result(model, one), plan.run(one)), kPlainTol);
  EXPECT_NE(plan.describe().find("plain"), std::string::npos) << plan.describe();
  const TemporaryFolder folder;
  plan.save(folder.path() / "plan");
  const InferencePlan loaded = InferencePlan::load(folder.path() / "plan");
  EXPECT_EQ(loaded.run(x).to_vector<float>(), y.to_vector<float>());
  EXPECT_EQ(loaded.describe(), plan.describe());
  EXPECT_EQ(loaded.takes_tokens(), plan.takes_tokens());
}

Tensor tokens(int64_t samples, int64_t length, int64_t vocabulary) {
  Tensor x = Tensor::empty({samples, length}, DType::I64);
  for (int64_t i = 0; i < x.numel(); ++i) x.data<int64_t>()[i] = (i * 37 + 11) % vocabulary;
  return x;
}

TEST(PlainPlan, RunsElementwiseOpsBetweenLayers) {
  using Op = std::function<Variable(const Variable&)>;
  const std::vector<std::pair<std::string, Op>> ops = {
      {"sigmoid", [](const Variable& x) { return sigmoid(x); }},
      {"silu", [](const Variable& x) { return silu(x); }},
      {"gelu", [](const Variable& x) { return gelu(x); }},
      {"gelu_tanh", [](const Variable& x) { return gelu_tanh(x); }},
      {"tanh", [](const Variable& x) { return tanh(x); }},
      {"softplus", [](const Variable& x) { return softplus(x); }},
      {"leaky_relu", [](const Variable& x) { return leaky_relu(x, 0.1); }},
      {"pow", [](const Variable& x) { return pow(x, 2.0); }},
      {"plus one", [](const Variable& x) { return x + 1.0; }},
      {"times itself", [](const Variable& x) { return x * sigmoid(x); }},
      {"times channels",
       [](const Variable& x) {
         return x * Variable(Tensor::from<float>({4, 1, 1}, {1, -2, 3, 0.5}));
       }},
      {"softmax", [](const Variable& x) { return softmax(x, 1); }},
      {"log_softmax", [](const Variable& x) { return log_softmax(x, 3); }},
      {"less the mean",
       [](const Variable& x) {
         return x - mean(x, {2, 3}, true);
       }},
      {"over the norm", [](const Variable& x) { return x / (sqrt(sum(x * x, {1}, true)) + 1.0); }},
      {"the larger", [](const Variable& x) { return maximum(x, minimum(neg(x), exp(x))); }},
      {"cumsum", [](const Variable& x) { return cumsum(x, 2); }},
      {"concat with a constant",
       [](const Variable& x) {
         return concat({x, Variable(Tensor::ones({x.size(0), 1, 5, 4}))}, 1);
       }},
      {"group norm", [](const Variable& x) {
         return group_norm(x,
                           2,
                           Variable(Tensor::from<float>({4}, {1, 2, 3, 4})),
                           Variable(Tensor::from<float>({4}, {0, 1, 0, -1})));
       }}};
  for (const auto& [name, op] : ops) {
    Net net(conv(), [op = op](Module& layer, const Variable& x) { return op(layer(x)); });
    expect_agrees(net, random_tensor({3, 3, 5, 4}, 5), name);
  }
}

TEST(PlainPlan, RunsSqueezeAndExcite) {
  Net net(dense(3, 3), [](Module& layer, const Variable& x) {
    const Variable gate = sigmoid(layer(flatten(adaptive_avg_pool2d(x, 1, 1))));
    return x * reshape(gate, {x.size(0), 3, 1, 1});
  });
  expect_agrees(net, random_tensor({5, 3, 6, 6}, 5), "squeeze-excite");
}

TEST(PlainPlan, RunsLayersOfSequences) {
  const Tensor x = random_tensor({3, 7, 8}, 5);
  const std::vector<std::shared_ptr<Module>> layers = {
      dense(8, 5),
      std::make_shared<LayerNorm>(LayerNorm::Options{.shape = {8}}),
      std::make_shared<MultiheadAttention>(MultiheadAttention::Options{.dim = 8, .heads = 2}),
      std::make_shared<Conv1d>(Conv1d::Options{.in_channels = 7, .out_channels = 4})};
  for (const auto& layer : layers) {
    Net net(layer, [](Module& l, const Variable& in) { return l(tanh(in)); });
    expect_agrees(net, x, layer->describe());
  }
}

TEST(PlainPlan, RunsATransposedConvolution) {
  Net net(std::make_shared<ConvTranspose2d>(
              ConvTranspose2d::Options{.in_channels = 3, .out_channels = 2, .stride = 2}),
          [](Module& layer, const Variable& x) { return relu(layer(x)); });
  expect_agrees(net, random_tensor({3, 3, 4, 5}, 5), "transposed");
}

TEST(PlainPlan, RunsTheLanguageModelOnTokens) {
  const auto model = make_model("gpt", {.num_classes = 50, .context = 16});
  const Tensor x = tokens(3, 12, 50);
  expect_agrees(*model, x, "gpt");
  const InferencePlan plan = compile(*model, Variable(x));
  EXPECT_TRUE(plan.takes_tokens());
  EXPECT_EQ(plan.input_shape(), (Shape{12}));
  // In plain memory ids are float32.
  const std::vector<float> ids = x.to_vector<float>();
  std::vector<float> y(static_cast<size_t>(3 * plan.output_shape().numel()));
  plan.run(ids.data(), 3, y.data());
  EXPECT_EQ(y, plan.run(x).to_vector<float>());
  EXPECT_THROW(plan.run(x.to(DType::F32)), TypeError);
  for (const float wrong : {-1.0f, 1e9f, 0.5f, NAN}) {
    std::vector<float> bad = ids;
    bad[7] = wrong;
    EXPECT_THROW(plan.run(bad.data(), 3, y.data()), ValueError) << wrong;
  }
}

TEST(PlainPlan, ReportsTheMacsOfTheModule) {
  const auto model = make_model("vit");
  const Tensor x = random_tensor({5, 3, 32, 32}, 5);
  const InferencePlan plan = compile(*model, Variable(x));
  int64_t of_module = 0;
  {
    const MacCounter counter;
    result(*model, x);
    of_module = counter.macs();
  }
  const MacCounter counter;
  plan.run(x);
  EXPECT_EQ(counter.macs(), of_module);
  EXPECT_EQ(5 * plan.macs(), of_module);
}

TEST(PlainPlan, SkipsZerosOfMaskedLinearLayers) {
  const auto model = make_model("vit");
  mask_randomly(*model, 0.95);
  const Tensor x = random_tensor({2, 3, 32, 32}, 5);
  const InferencePlan dense = compile(*model, Variable(x), {.format = PlanFormat::Dense});
  const InferencePlan plan = compile(*model, Variable(x));
  EXPECT_LT(plan.macs(), dense.macs());
  EXPECT_LT(max_difference(dense.run(x), plan.run(x)), kPlainTol);
  const TemporaryFolder folder;
  plan.save(folder.path() / "plan");
  EXPECT_EQ(InferencePlan::load(folder.path() / "plan").macs(), plan.macs());
}

TEST(PlainPlan, BitsDoNotDependOnThreadsOrTheBatch) {
  const auto model = make_model("vit");
  const Tensor x = random_tensor({5, 3, 32, 32}, 5);
  const InferencePlan plan = compile(*model, Variable(x));
  const int threads = num_threads();
  std::vector<float> expected;
  for (const int n : {1, 2, 7}) {
    set_num_threads(n);
    const std::vector<float> y = plan.run(x).to_vector<float>();
    if (expected.empty()) expected = y;
    EXPECT_EQ(y, expected) << n;
    const std::vector<float> last = plan.run(x.slice(0, 4, 5).clone()).to_vector<float>();
    EXPECT_EQ(last, std::vector<float>(expected.end() - 10, expected.end())) << n;
  }
  set_num_threads(threads);
}

TEST(PlainPlan, RefusesWhatMixesSamples) {
  const std::vector<std::function<Variable(const Variable&)>> functions = {
      [](const Variable& x) { return softmax(x, 0); },
      [](const Variable& x) { return x - mean(x, {0}, true); },
      [](const Variable& x) { return cumsum(x, 0); },
      [](const Variable& x) { return matmul(x, transpose(x, 0, 1)); },
      [](const Variable& x) { return x * transpose(x, 0, 1); },
      [](const Variable& x) {
        return x + Variable(Tensor::from<float>({3, 1}, {1, 2, 3}));
      }};
  for (const auto& function : functions) {
    Net net(dense(3, 3), [&](Module& layer, const Variable& x) { return function(layer(x)); });
    EXPECT_THROW(compile(net, Variable(random_tensor({3, 3}, 5))), NotImplemented);
  }
}

TEST(PlainPlan, NamesIdsThatNoEmbeddingReads) {
  Net net(dense(3, 3), [](Module&, const Variable& x) {
    return embedding(Variable(Tensor::ones({4, 2})), x.value());
  });
  EXPECT_THROW(compile(net, Variable(tokens(2, 3, 4))), NotImplemented);
}

/// Loads the plan of softmax(linear(x)) over (N,2,3) after `change` of its description.
void load_changed(const std::function<void(json&)>& change) {
  Net net(dense(3, 3), [](Module& layer, const Variable& x) { return softmax(layer(x), 2); });
  const TemporaryFolder folder;
  const auto path = folder.path() / "plan";
  compile(net, Variable(random_tensor({2, 2, 3}, 5))).save(path);
  SafetensorsFile file = load_safetensors(path);
  json description = json::parse(file.metadata.at("espalier_plan"));
  change(description);
  file.metadata["espalier_plan"] = description.dump();
  save_safetensors(path, file);
  InferencePlan::load(path);
}

TEST(PlainPlan, RefusesDamagedDescriptions) {
  EXPECT_NO_THROW(load_changed([](json&) {}));
  const std::vector<std::function<void(json&)>> changes = {
      [](json& d) { d["steps"].back()["op"] = "conv9d"; },
      [](json& d) { d["steps"].back()["op"] = "linear"; },
      [](json& d) { d["steps"].back()["attributes"] = json::object(); },
      [](json& d) { d["steps"].back()["attributes"]["dim"] = 9; },
      [](json& d) { d["steps"].back()["attributes"]["dim"] = "2"; },
      [](json& d) { d["steps"].back()["attributes"]["dim"] = 1.5; },
      [](json& d) { d["steps"].back()["operands"] = json::array(); },
      [](json& d) {
        d["steps"].back()["operands"][0] = {1, 2, 4};
      },
      [](json& d) {
        d["steps"].back()["operands"][0] = {1 << 20, 1 << 20};
      },
      [](json& d) {
        d["steps"].back()["result"] = {1, 3, 2};
      },
      [](json& d) { d["steps"].back()["sparse"] = true; },
      [](json& d) { d["tokens"] = true; },
      [](json& d) {
        d["steps"].front()["operands"][1] = {4, 3};
      }};
  for (size_t i = 0; i < changes.size(); ++i) {
    EXPECT_THROW(load_changed(changes[i]), IoError) << i;
  }
}

}  // namespace
}  // namespace espalier::nn
