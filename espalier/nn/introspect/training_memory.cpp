// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/introspect/training_memory.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <espalier/autograd/ops.h>
#include <espalier/core/allocation_log.h>
#include <espalier/core/detail/memory_pool.h>
#include <espalier/core/parallel.h>
#include <espalier/core/storage.h>
#include <espalier/nn/graph/tracer.h>
#include <espalier/nn/introspect/samples.h>
#include <espalier/nn/train/objective.h>

namespace espalier::nn {
namespace {

constexpr int64_t kLanes = 16;
// With so many groups of lanes kernels have taken their workspaces: sums of a group's own in the
// gradient of a weight begin with the third.
constexpr int64_t kLaneGroups = 4;

/// What a step made and freed.
struct Trial {
  std::vector<AllocationEvent> events = {};
  size_t forward = 0;  ///< events of the forward pass
};

Trial try_step(const Module& model, const Shape& sample, int64_t samples) {
  const std::unique_ptr<Module> copy = model.clone();
  copy->train();
  copy->zero_grad();
  Trial out;
  const AllocationLog log;
  Tensor input = zero_samples(*copy, sample, samples);
  if (sample.rank() == 3) input = input.to(Layout::Nchw16n);
  const Variable x(std::move(input));
  const Variable rows = class_rows((*copy)(x));
  const Variable loss = cross_entropy(rows, Tensor::zeros({rows.size(0)}, DType::I64));
  out.forward = log.events().size();
  loss.backward();
  out.events = log.events();
  return out;
}

/// The pool as blocks come and go.
class Pool {
 public:
  void make(int64_t block, int64_t nbytes) {
    const int64_t bytes = block_bytes(nbytes);
    const bool is_large = bytes >= detail::kLargeBlock;
    blocks_[block] = {bytes, is_large ? range_.take(bytes) : -1};
    in_use_ += bytes;
    peak_ = std::max(peak_, in_use_);
    if (is_large) return;
    Count& count = small_[bytes];
    count.most = std::max(count.most, ++count.now);
  }
  void free(int64_t block) {
    const Place& place = blocks_.at(block);
    in_use_ -= place.bytes;
    if (place.offset < 0) {
      --small_.at(place.bytes).now;
    } else {
      range_.give_back(place.offset, place.bytes);
    }
  }

  void reset_peak() { peak_ = in_use_; }
  int64_t in_use() const { return in_use_; }
  int64_t peak() const { return peak_; }
  int64_t pooled() const {
    int64_t sum = range_.end();
    for (const auto& [bytes, count] : small_) sum += bytes * count.most;
    return sum;
  }

 private:
  struct Place {
    int64_t bytes = 0;
    int64_t offset = 0;  // -1: kept by size
  };
  struct Count {
    int64_t now = 0;
    int64_t most = 0;
  };
  std::map<int64_t, Place> blocks_;  // by number
  std::map<int64_t, Count> small_;   // by bytes
  detail::RangeAllocator range_;
  int64_t in_use_ = 0;
  int64_t peak_ = 0;
};

/// What lasts longer than a kernel's call, in the order in which it was made and freed: the number
/// of the block among these, and its bytes or -1. Workspaces differ by who runs which task.
std::vector<AllocationEvent> lasting(const Trial& trial) {
  std::map<int64_t, int64_t> numbers;
  std::vector<AllocationEvent> out;
  for (const AllocationEvent& event : trial.events) {
    if (event.nbytes >= 0 && !event.workspace) {
      numbers.emplace(event.block, static_cast<int64_t>(numbers.size()));
    }
    const auto found = numbers.find(event.block);
    if (found != numbers.end()) out.push_back({found->second, event.nbytes});
  }
  return out;
}

bool are_alike(const std::vector<AllocationEvent>& a, const std::vector<AllocationEvent>& b) {
  return std::ranges::equal(a, b, [](const auto& one, const auto& other) {
    return one.block == other.block && (one.nbytes < 0) == (other.nbytes < 0);
  });
}

/// Outputs of the layers with weights for `samples`: the least that forward leaves.
int64_t least_activations(Module& model, const Shape& sample, int64_t samples) {
  const NetworkGraph graph = trace_network(model, Variable(zero_samples(model, sample)));
  int64_t numel = 0;
  for (const GraphCall* call : graph.layer_calls()) {
    const Shape& input = graph.value(call->input).shape;
    if (call->module->weight_product(input, Layout::Nchw)) {
      numel += graph.value(call->output).shape.numel();
    }
  }
  return samples * numel * item_size(DType::F32);
}

/// What all threads have of it at that time.
int64_t bytes_of_threads(const AllocationEvent& event) {
  return event.nbytes * (event.of_each_thread ? num_threads() : 1);
}

/// Tensors that stay between steps, by their bytes.
struct Staying {
  std::vector<int64_t> parameters;
  std::vector<int64_t> optimizer;
};

/// The pool over two steps whose i-th lasting block has `bytes(i)`; workspaces stay what they are.
/// The optimizer makes its tensors in the first, while gradients live: where they come to lie
/// decides which gaps the second finds.
template <class Bytes>
void replay(const Trial& trial, const Bytes& bytes, const Staying& staying, TrainingMemory& out) {
  Pool pool;
  int64_t stays = -1;  // numbers of blocks that no trial has
  for (const int64_t nbytes : staying.parameters) pool.make(stays--, nbytes);
  for (const bool first : {true, false}) {
    const int64_t before = pool.in_use();
    pool.reset_peak();
    size_t made = 0;
    std::set<int64_t> left;
    for (size_t i = 0; i < trial.events.size(); ++i) {
      if (i == trial.forward) out.activations = pool.in_use() - before;
      const AllocationEvent& event = trial.events[i];
      if (event.nbytes < 0) {
        pool.free(event.block);
        left.erase(event.block);
      } else {
        pool.make(event.block, event.workspace ? bytes_of_threads(event) : bytes(made++));
        left.insert(event.block);
      }
    }
    out.step = pool.peak() - before;
    if (first) {
      for (const int64_t nbytes : staying.optimizer) pool.make(stays--, nbytes);
    }
    for (const int64_t block : left) pool.free(block);
  }
  out.pooled = pool.pooled() - pool.in_use();
}

/// Bytes of what was made, in its order.
std::vector<int64_t> sizes_of(const std::vector<AllocationEvent>& events) {
  std::vector<int64_t> out;
  for (const AllocationEvent& event : events) {
    if (event.nbytes >= 0) out.push_back(event.nbytes);
  }
  return out;
}

}  // namespace

TrainingMemory training_memory(
    Module& model, const Optimizer& optimizer, const Shape& sample, int64_t batch, int64_t room) {
  ESPALIER_CHECK(batch >= 1, ValueError, "training_memory: expects a batch of 1, got ", batch);
  TrainingMemory out;
  Staying staying;
  for (const auto& [name, tensor] : model.state_dict()) {
    staying.parameters.push_back(tensor.nbytes());
    out.parameters += block_bytes(tensor.nbytes());
  }
  for (const ParameterGroup& group : optimizer.groups()) {
    for (const NamedParameter& p : group.parameters) {
      const int64_t size = item_size(p.parameter->value.dtype());
      out.optimizer += optimizer.state_tensors(p) * block_bytes(p.parameter->nnz() * size);
    }
  }
  // Images lie in lanes, sixteen together: a batch takes no less than they do.
  const int64_t unit = sample.rank() == 3 ? kLanes : 1;
  const int64_t units = (batch + unit - 1) / unit;
  if (const int64_t least = least_activations(model, sample, unit); least > room) {
    out.activations = out.step = out.pooled = least * units;
    return out;
  }
  const Trial one = try_step(model, sample, unit);
  const std::vector<AllocationEvent> lasting_of_one = lasting(one);
  const std::vector<int64_t> of_one = sizes_of(lasting_of_one);
  replay(
      one, [&](size_t i) { return of_one[i] * units; }, staying, out);
  const int64_t more = std::min(units, kLaneGroups);
  if (units == 1 || out.pooled / units * more > room) return out;
  const Trial two = try_step(model, sample, more * unit);
  const std::vector<AllocationEvent> lasting_of_two = lasting(two);
  // Steps that differ in more than sizes: it stays with all of one going by the batch.
  if (!are_alike(lasting_of_one, lasting_of_two)) return out;
  const std::vector<int64_t> of_two = sizes_of(lasting_of_two);
  const auto by_difference = [&](size_t i) {
    const int64_t each = (of_two[i] - of_one[i]) / (more - 1);
    return std::max(of_two[i], of_two[i] + each * (units - more));
  };
  replay(two, by_difference, staying, out);
  return out;
}

}  // namespace espalier::nn
