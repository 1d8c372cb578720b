// SPDX-License-Identifier: Apache-2.0
/// Embedding: a table of vectors, looked up by integer.
#pragma once

#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// Rows of `weight` (count, dim) for int64 ids of any shape: ids.shape + (dim).
/// Initial values: standard normal.
class Embedding : public Module {
 public:
  /// Sizes of the table.
  struct Options {
    int64_t count = 0;  ///< rows of the table
    int64_t dim = 0;    ///< length of a row
  };

  /// Throws ValueError when a size is not positive.
  explicit Embedding(const Options& options);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  ChannelCoupling channel_coupling() const override;
  LayerSizes sizes() const override;
  LayerSizes sizes_keeping(const KeptChannels& kept) const override;
  void set_sizes(const LayerSizes& sizes) override;
  void reset_parameters(const InitRng& rng) override;

  /// The sizes and choices that it was built with.
  const Options& options() const { return options_; }

  Parameter weight;  ///< (count, dim)

 protected:
  /// `ids` is an int64 Variable (a constant). Throws ValueError for an id outside of the table.
  Variable forward(const Variable& ids) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<Embedding>(*this);
  }

 private:
  Options options_;
};

}  // namespace espalier::nn
