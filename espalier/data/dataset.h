// SPDX-License-Identifier: Apache-2.0
/// Dataset: images and labels by index, or windows of a text. Reading a sample is a pure function
/// of the index.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace espalier::data {

/// The size of every image of a data set.
struct ImageShape {
  int64_t channels = 3;  ///< 1 grey, 3 colour
  int64_t height = 32;   ///< rows
  int64_t width = 32;    ///< columns
  /// Values of an image.
  int64_t numel() const { return channels * height * width; }
  bool operator==(const ImageShape&) const = default;
};

/// Images (uint8, planes first: C,H,W) and labels, or tokens of a text. Thread-safe to read.
class Dataset {
 public:
  virtual ~Dataset() = default;
  /// For errors and reports.
  virtual std::string name() const = 0;
  /// Number of samples.
  virtual int64_t size() const = 0;
  /// The same for every image; of a text (1, 1, `context()` + 1).
  virtual ImageShape image_shape() const = 0;
  /// Tokens that a sample of a text gives a model: `read` writes one more, and each but the first
  /// is what is to be foretold from those before it. 0: images.
  virtual int64_t context() const { return 0; }
  /// Texts for people, by label.
  virtual const std::vector<std::string>& class_names() const = 0;
  /// Writes the pixels of sample `index` to `pixels` (C*H*W values). ValueError when out of range.
  virtual void read(int64_t index, std::span<uint8_t> pixels) const = 0;
  /// The class of sample `index`, 0 .. class_names().size()-1.
  virtual int64_t label(int64_t index) const = 0;
  /// Per-channel mean and standard deviation of pixels / 255 that are customary for this data set.
  virtual std::vector<float> mean() const = 0;
  /// Per-channel standard deviation of pixels / 255 that is customary for this data set.
  virtual std::vector<float> stddev() const = 0;
  /// What a person should know of how it was read, with counts: files that were left out, folders
  /// that were not looked into. Empty where all that is there is read.
  virtual std::vector<std::string> notes() const { return {}; }
  /// The file that sample `index` alone lies in, empty where it shares one with others: tells
  /// whether a picture was replaced without decoding it.
  virtual std::filesystem::path file_of(int64_t) const { return {}; }
};

/// Which part of a data set.
enum class Split : uint8_t { Train, Test };

/// What `open_dataset` knows about a name.
struct DatasetInfo {
  std::string name;                        ///< as given to open_dataset
  std::string title;                       ///< one line for people
  std::string folder;                      ///< below the data root; empty when none is needed
  std::vector<std::string> other_folders;  ///< where other programs leave the same files
  std::string first_file;  ///< one of its files, under the official name; empty when none is needed
};

/// All names, in a fixed order, then those that programs registered, which leave references to the
/// others valid.
const std::deque<DatasetInfo>& known_datasets();

/// Opens a split of a data set. `folder` is the one in which one of its files was found; empty when
/// it has none.
using DatasetOpener = std::function<std::shared_ptr<const Dataset>(
    const std::filesystem::path& folder, Split split, uint64_t seed)>;

/// Adds a data set of a program's own, before threads are started: from then on `open_dataset` and
/// the command know it. With a `first_file` it is looked for below the data root, else it needs no
/// files. Throws ValueError for a name that is empty or taken, or holds a colon.
void register_dataset(DatasetInfo info, DatasetOpener open);

/// The folder below `root` in which the files of `info` are: `folder`, or the first of
/// `other_folders` that has one of them; nothing when none has, or when no files are needed.
std::optional<std::filesystem::path> find_dataset(const DatasetInfo& info,
                                                  const std::filesystem::path& root);

/// What `open_dataset` asks for besides name and place.
struct OpenOptions {
  uint64_t seed = 0;                 ///< of synth: which pictures are drawn
  bool allow_empty_classes = false;  ///< of folder: a class without pictures is no error
  int64_t context = 128;             ///< of text: tokens of a sample
  /// Side of the square to which every image is cut around its centre and scaled (resized.h; a
  /// folder's pictures from their own sizes); 0: as the data set has them.
  int64_t image_size = 0;
};

/// Opens a data set by name: `synth`, `cifar10`, `cifar100`, `svhn`, `svhn+extra`, `mnist`,
/// `fashion`, `folder:PATH`, `text:PATH`. Files are looked for in `root`/<name> and where other
/// programs leave them (DatasetInfo::other_folders; root unused for synth, folder and text;
/// svhn+extra lives with svhn and differs in the training split only). Throws ValueError for an
/// unknown name (listing the known ones) and for the image size of a text, IoError for missing or
/// bad files.
std::shared_ptr<const Dataset> open_dataset(const std::string& name,
                                            Split split,
                                            const std::string& root,
                                            const OpenOptions& options);
/// The same, told of the options the seed only.
std::shared_ptr<const Dataset> open_dataset(const std::string& name,
                                            Split split,
                                            const std::string& root,
                                            uint64_t seed = 0);

/// A fixed subset of `size` samples, chosen by `seed`: every class in proportion, up to rounding
/// (largest remainders first, ties to the lower class). Samples keep their order. The same for the
/// same arguments, always. Throws ValueError when size is negative or exceeds the data set.
std::shared_ptr<const Dataset> subset(std::shared_ptr<const Dataset> dataset,
                                      int64_t size,
                                      uint64_t seed);

/// A data set in two.
struct HeldOut {
  std::shared_ptr<const Dataset> rest;      ///< what is left
  std::shared_ptr<const Dataset> held_out;  ///< as `subset` chooses it
};
/// Sets `size` samples apart: those of `subset`, and all others. Throws as `subset`.
HeldOut hold_out(std::shared_ptr<const Dataset> dataset, int64_t size, uint64_t seed);
/// Sets the last `size` samples apart, as befits a text. Throws as `subset`.
HeldOut hold_out_end(std::shared_ptr<const Dataset> dataset, int64_t size);

}  // namespace espalier::data
