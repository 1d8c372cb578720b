// SPDX-License-Identifier: Apache-2.0
#include "support.h"

namespace espalier::nn {
namespace {

TEST(StateDict, HoldsValuesMasksAndBuffers) {
  auto net = tiny_net();
  net->parameter("fc.weight").set_mask(two_thirds_mask({3, 80}));
  std::vector<std::string> names;
  for (const auto& [name, tensor] : net->state_dict()) names.push_back(name);
  EXPECT_EQ(names,
            (std::vector<std::string>{"bn.bias",
                                      "bn.running_mean",
                                      "bn.running_var",
                                      "bn.weight",
                                      "conv.weight",
                                      "fc.bias",
                                      "fc.weight",
                                      "fc.weight.mask"}));
}

TEST(StateDict, LoadsIntoAnotherModel) {
  auto from = tiny_net(1);
  auto to = tiny_net(2);
  from->parameter("fc.weight").set_mask(two_thirds_mask({3, 80}));
  to->parameter("conv.weight").set_mask(two_thirds_mask({5, 1, 3, 3}));
  to->load_state_dict(from->state_dict());
  EXPECT_EQ(snapshot(to->state_dict()), snapshot(from->state_dict()));
  EXPECT_FALSE(to->parameter("conv.weight").masked());
  to->parameter("fc.weight").value.value().fill_(1.0);
  EXPECT_NE(from->parameter("fc.weight").value.value().at({0, 1}), 1.0);
}

TEST(StateDict, AMaskedPositionIsZeroWhateverTheFileSays) {
  auto net = tiny_net();
  auto state = deep_copy(net->state_dict());
  state["fc.weight"].fill_(1.0);
  state["fc.weight.mask"] = two_thirds_mask({3, 80});
  net->load_state_dict(state);
  EXPECT_EQ(net->parameter("fc.weight").value.value().at({0, 0}), 0.0);
  EXPECT_EQ(net->parameter("fc.weight").value.value().at({0, 1}), 1.0);
}

TEST(StateDict, PyTorchsBatchCounterIsIgnored) {
  auto net = tiny_net();
  auto state = net->state_dict();
  state["bn.num_batches_tracked"] = Tensor::scalar(7, DType::I64);
  EXPECT_NO_THROW(net->load_state_dict(state));
}

TEST(StateDict, AnErrorNamesEverythingAndChangesNothing) {
  auto net = tiny_net();
  const auto before = snapshot(net->state_dict());
  auto state = deep_copy(net->state_dict());
  for (auto& [name, tensor] : state) tensor.fill_(3.0);
  state.erase("bn.weight");
  state.erase("conv.weight");
  state["conv2.weight"] = Tensor::ones({1});
  state["head.mask"] = Tensor::ones({1});
  state["fc.weight"] = Tensor::ones({3, 79});
  state["fc.bias"] = Tensor::ones({3}, DType::I64);
  state["fc.weight.mask"] = Tensor::full({3, 80}, 2, DType::U8);
  state["fc.bias.mask"] = Tensor::full({4}, 1, DType::U8);
  const std::string text = message_of<ValueError>([&] { net->load_state_dict(state); });
  for (const char* part : {"missing: conv.weight, bn.weight;",
                           "unexpected: conv2.weight, head.mask;",
                           "fc.weight (expected (3,80), got (3,79))",
                           "fc.bias (expected a floating type, got int64)",
                           "fc.weight.mask (",
                           "fc.bias.mask (expected (3), got (4))"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in: " << text;
  }
  EXPECT_EQ(snapshot(net->state_dict()), before);
}

// A number of a wider type becomes infinity, a negative variance NaN.
TEST(StateDict, ValuesThatNoMemberCanHoldAreNamed) {
  auto net = tiny_net();
  const auto before = snapshot(net->state_dict());
  auto state = deep_copy(net->state_dict());
  state["conv.weight"] = state["conv.weight"].to(DType::F64);
  state["conv.weight"].data<double>()[4] = -1e300;
  state["bn.running_var"].data<float>()[1] = -5;
  const std::string text = message_of<ValueError>([&] { net->load_state_dict(state); });
  for (const char* part : {"conv.weight (-1e+300 at flat index 4 is beyond float32)",
                           "bn.running_var (expected variances, got -5 at flat index 1)"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in: " << text;
  }
  EXPECT_EQ(snapshot(net->state_dict()), before);
  // What float32 can hold may come in float64.
  state["conv.weight"].data<double>()[4] = 3e38;
  state["bn.running_var"].data<float>()[1] = 0;
  EXPECT_NO_THROW(net->load_state_dict(state));
}

TEST(StateDict, NamesOfWrappersAreTold) {
  auto net = tiny_net();
  const auto error_with = [&](const std::string& front) {
    std::map<std::string, Tensor> state;
    for (const auto& [name, tensor] : net->state_dict()) state[front + name] = tensor;
    state[front + "bn.num_batches_tracked"] = Tensor::scalar(7, DType::I64);
    return message_of<ValueError>([&] { net->load_state_dict(state); });
  };
  for (const auto& [front, who] : {std::pair{"module.", "torch.nn.DataParallel puts there"},
                                   std::pair{"_orig_mod.", "torch.compile puts there"},
                                   std::pair{"module._orig_mod.", "torch.compile and torch.nn"},
                                   std::pair{"model.", "Names begin with 'model.'"}}) {
    const std::string text = error_with(front);
    EXPECT_NE(text.find(std::string("removeprefix('") + front + "')"), std::string::npos) << text;
    EXPECT_NE(text.find(who), std::string::npos) << text;
  }
  // Another model's names are no matter of what stands before them.
  std::map<std::string, Tensor> state = {{"a.bn.weight", Tensor::ones({1})},
                                         {"b.other", Tensor::ones({1})}};
  EXPECT_EQ(message_of<ValueError>([&] { net->load_state_dict(state); }).find("removeprefix"),
            std::string::npos);
}

TEST(StateDict, NamesOfTorchsPruningAreTold) {
  auto net = tiny_net();
  auto state = net->state_dict();
  state["fc.weight_orig"] = state["fc.weight"];
  state["fc.weight_mask"] = state["fc.weight"];
  state.erase("fc.weight");
  EXPECT_NE(message_of<ValueError>([&] { net->load_state_dict(state); }).find("prune.remove"),
            std::string::npos);
}

TEST(StateDict, GeneratorsContinueWhereTheyStood) {
  auto net = tiny_net();
  auto& rng = dynamic_cast<Dropout&>((*net)[4]).rng;
  rng.next_u32();
  const auto state = deep_copy(net->rng_state());
  const uint32_t expected = rng.next_u32();
  rng.next_u32();
  net->load_rng_state(state);
  EXPECT_EQ(rng.next_u32(), expected);
}

TEST(StateDict, BadGeneratorStatesChangeNothing) {
  auto net = tiny_net();
  const auto before = snapshot(net->rng_state());
  EXPECT_THROW(net->load_rng_state({}), ValueError);
  EXPECT_THROW(net->load_rng_state({{"drop.rng", Tensor::ones({2}, DType::I64)}}), ValueError);
  EXPECT_THROW(net->load_rng_state({{"drop.rng", Tensor::ones({3}, DType::I64)},
                                    {"x.rng", Tensor::ones({3}, DType::I64)}}),
               ValueError);
  EXPECT_EQ(snapshot(net->rng_state()), before);
}

}  // namespace
}  // namespace espalier::nn
