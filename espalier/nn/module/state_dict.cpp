// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <optional>
#include <set>

#include <espalier/core/detail/nearest_name.h>
#include <espalier/core/detail/printable.h>
#include <espalier/nn/module/detail/name_hints.h>
#include <espalier/nn/module/detail/walker.h>
#include <espalier/nn/module/module.h>

namespace espalier::nn {

namespace {

constexpr std::string_view kMaskSuffix = ".mask";

// What PyTorch saves beside a batch norm's statistics and nothing needs.
bool is_ignored(std::string_view name) {
  return name.ends_with("num_batches_tracked");
}

// The first value of `tensor` that can't stand in the member `name` of the type `kept_as`, in
// words.
std::optional<std::string> misfit(const std::string& name, const Tensor& tensor, DType kept_as) {
  const bool variance = name.ends_with("running_var");
  if (!is_floating(tensor.dtype())) return std::nullopt;
  if (tensor.dtype() == kept_as && !variance) return std::nullopt;  // no copy of whole networks
  const Tensor plain = tensor.to(Layout::Nchw).contiguous();
  const Tensor kept = plain.to(kept_as);
  std::optional<std::string> found;
  dispatch_floating(plain.dtype(), "load_state_dict", [&](auto zero) {
    const auto* given = plain.data<decltype(zero)>();
    dispatch_floating(kept_as, "load_state_dict", [&](auto kept_zero) {
      const auto* values = kept.data<decltype(kept_zero)>();
      for (int64_t i = 0; i < plain.numel() && !found; ++i) {
        if (std::isfinite(given[i]) && !std::isfinite(values[i])) {
          found = cat(given[i], " at flat index ", i, " is beyond ", espalier::name(kept_as));
        } else if (variance && given[i] < 0) {
          found = cat("expected variances, got ", given[i], " at flat index ", i);
        }
      }
    });
  });
  return found;
}

// Collects everything that is wrong, to name it in one error: how much, and the first of each kind.
class Complaints {
 public:
  explicit Complaints(std::string_view op) : op_(op) {}
  void missing(const std::string& name) { missing_.push_back(name); }
  void unexpected(const std::string& name) { unexpected_.push_back(name); }
  template <class... Args>
  void wrong(const std::string& name, const Args&... what) {
    wrong_.push_back(cat(name, " (", what..., ")"));
  }
  void check_shape(const std::string& name, const Tensor& got, const Shape& expected) {
    if (got.shape() != expected) {
      wrong(name, "expected ", expected, ", got ", got.shape());
    }
  }
  void hint(std::string text) { hint_ = std::move(text); }
  void throw_if_any() const {
    if (missing_.empty() && unexpected_.empty() && wrong_.empty()) return;
    std::string text = cat(op_, ": the names or shapes are not the model's");
    if (!missing_.empty()) text += "; missing: " + espalier::detail::some_of(missing_, kMost);
    if (!unexpected_.empty())
      text += "; unexpected: " + espalier::detail::some_of(unexpected_, kMost);
    if (!wrong_.empty()) text += "; wrong: " + espalier::detail::some_of(wrong_, kMost);
    if (!missing_.empty()) text += meant();
    throw ValueError(text + ". Nothing was changed; is it another model or another width?" + hint_);
  }

 private:
  static constexpr size_t kMost = 4;

  // Of names that nothing was expected under, those that the first missing one may stand under.
  std::string meant() const {
    const auto near = espalier::detail::nearest_names(missing_.front(), unexpected_, 3);
    return near.empty()
               ? ""
               : cat("; nearest to ", missing_.front(), " are ", espalier::detail::some_of(near));
  }

  std::string_view op_;
  std::vector<std::string> missing_;
  std::vector<std::string> unexpected_;
  std::vector<std::string> wrong_;
  std::string hint_;
};

std::string hint_for(const std::map<std::string, Tensor>& state,
                     const std::set<std::string>& known) {
  std::set<std::string> given;
  for (const auto& [name, tensor] : state) {
    if (!is_ignored(name)) given.insert(name);
  }
  return detail::hint_of_names(given, known);
}

struct Loaded {
  const Tensor* value = nullptr;
  std::shared_ptr<const sparse::Support> support = nullptr;
};

std::shared_ptr<const sparse::Support> read_mask(const std::string& name,
                                                 const Tensor& mask,
                                                 const Shape& expected,
                                                 Complaints& complaints) {
  if (mask.shape() != expected) {
    complaints.check_shape(name, mask, expected);
    return nullptr;
  }
  try {
    return std::make_shared<sparse::Support>(mask);
  } catch (const Error& error) {
    complaints.wrong(name, error.what());
    return nullptr;
  }
}

class RngList : public detail::Walker {
 public:
  void on_rng(const std::string& name, Rng& rng) override { found.emplace(name, &rng); }
  std::map<std::string, Rng*> found;
};

}  // namespace

std::map<std::string, Tensor> Module::state_dict() {
  std::map<std::string, Tensor> state;
  for (const NamedParameter& p : named_parameters()) {
    state.emplace(p.name, p.parameter->value.value());
    if (p.parameter->masked()) {
      state.emplace(p.name + std::string(kMaskSuffix), p.parameter->mask());
    }
  }
  for (const NamedBuffer& b : named_buffers()) state.emplace(b.name, *b.buffer);
  return state;
}

void Module::load_state_dict(const std::map<std::string, Tensor>& state) {
  const std::vector<NamedParameter> parameters = named_parameters();
  const std::vector<NamedBuffer> buffers = named_buffers();
  Complaints complaints("load_state_dict");
  std::set<std::string> known;
  const auto find = [&](const std::string& name, const Tensor& mine) -> const Tensor* {
    known.insert(name);
    const auto found = state.find(name);
    if (found == state.end() || !found->second.defined()) {
      complaints.missing(name);
      return nullptr;
    }
    complaints.check_shape(name, found->second, mine.shape());
    if (is_floating(mine.dtype()) && !is_floating(found->second.dtype())) {
      complaints.wrong(
          name, "expected a floating type, got ", espalier::name(found->second.dtype()));
    } else if (is_floating(mine.dtype())) {
      const auto text = misfit(name, found->second, mine.dtype());
      if (text) complaints.wrong(name, *text);
    }
    return &found->second;
  };

  std::vector<Loaded> loaded;
  for (const NamedParameter& p : parameters) {
    Loaded item{.value = find(p.name, p.parameter->value.value())};
    const std::string mask_name = p.name + std::string(kMaskSuffix);
    known.insert(mask_name);
    const auto mask = state.find(mask_name);
    if (mask != state.end() && mask->second.defined()) {
      item.support = read_mask(mask_name, mask->second, p.parameter->shape(), complaints);
    }
    loaded.push_back(std::move(item));
  }
  std::vector<const Tensor*> loaded_buffers;
  for (const NamedBuffer& b : buffers) loaded_buffers.push_back(find(b.name, *b.buffer));
  for (const auto& [name, tensor] : state) {
    if (!known.contains(name) && !is_ignored(name)) complaints.unexpected(name);
  }
  complaints.hint(hint_for(state, known));
  complaints.throw_if_any();

  for (size_t i = 0; i < parameters.size(); ++i) {
    Parameter& parameter = *parameters[i].parameter;
    parameter.value.value().copy_(*loaded[i].value);
    parameter.set_support(std::move(loaded[i].support));
  }
  for (size_t i = 0; i < buffers.size(); ++i) buffers[i].buffer->copy_(*loaded_buffers[i]);
}

std::map<std::string, Tensor> Module::rng_state() {
  RngList list;
  list.walk(*this);
  std::map<std::string, Tensor> state;
  for (const auto& [name, rng] : list.found) {
    const Rng::State& s = rng->state();
    // The same 64 bits, as files know signed integers only.
    state.emplace(name,
                  Tensor::from<int64_t>({3},
                                        {static_cast<int64_t>(s.seed),
                                         static_cast<int64_t>(s.stream),
                                         static_cast<int64_t>(s.position)}));
  }
  return state;
}

void Module::load_rng_state(const std::map<std::string, Tensor>& state) {
  RngList list;
  list.walk(*this);
  Complaints complaints("load_rng_state");
  for (const auto& [name, rng] : list.found) {
    const auto found = state.find(name);
    if (found == state.end()) {
      complaints.missing(name);
    } else if (found->second.shape() != Shape{3} || found->second.dtype() != DType::I64) {
      complaints.wrong(name, "expected int64 (3), got ", found->second);
    }
  }
  for (const auto& [name, tensor] : state) {
    if (!list.found.contains(name)) complaints.unexpected(name);
  }
  complaints.throw_if_any();
  for (const auto& [name, rng] : list.found) {
    const std::vector<int64_t> words = state.at(name).to_vector<int64_t>();
    *rng = Rng(Rng::State{static_cast<uint64_t>(words[0]),
                          static_cast<uint64_t>(words[1]),
                          static_cast<uint64_t>(words[2])});
  }
}

}  // namespace espalier::nn
