// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/svhn.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <matio.h>

#include <espalier/core/error.h>
#include <espalier/core/file_set.h>
#include <espalier/data/detail/file_checks.h>
#include <espalier/data/detail/mat_structure.h>
#include <espalier/data/memory_dataset.h>

namespace espalier::data {
namespace {

constexpr int64_t kSide = 32;
constexpr int64_t kPlane = kSide * kSide;
constexpr int64_t kImage = 3 * kPlane;
constexpr int64_t kMaxDeflateRatio = 1032;

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& text) {
  throw IoError(cat("svhn: ", path.string(), " ", text));
}

struct MatClose {
  void operator()(mat_t* file) const { Mat_Close(file); }
  void operator()(matvar_t* variable) const { Mat_VarFree(variable); }
};
using MatFile = std::unique_ptr<mat_t, MatClose>;
using MatVariable = std::unique_ptr<matvar_t, MatClose>;

// The header of a variable; its data is not read yet.
MatVariable find(const MatFile& file, const std::filesystem::path& path, const char* name) {
  MatVariable variable(Mat_VarReadInfo(file.get(), name));
  if (!variable) fail(path, cat("has no variable '", name, "'"));
  if (variable->isComplex != 0 || variable->rank < 1 || variable->dims == nullptr) {
    fail(path, cat("has a variable '", name, "' that is not a plain array"));
  }
  return variable;
}

// Reads the data of a variable of `count` elements.
void load(const MatFile& file,
          const std::filesystem::path& path,
          MatVariable& variable,
          int64_t count) {
  if (Mat_VarReadDataAll(file.get(), variable.get()) != 0 || variable->data == nullptr ||
      variable->nbytes != static_cast<size_t>(count * variable->data_size)) {
    fail(path, cat("has broken data in variable '", variable->name, "'"));
  }
}

// The label numbers, whatever numeric class they were stored in.
double number_at(const matvar_t& variable, size_t i) {
  switch (variable.class_type) {
    case MAT_C_DOUBLE:
      return static_cast<const double*>(variable.data)[i];
    case MAT_C_SINGLE:
      return static_cast<double>(static_cast<const float*>(variable.data)[i]);
    case MAT_C_UINT8:
      return static_cast<const uint8_t*>(variable.data)[i];
    case MAT_C_INT32:
      return static_cast<const int32_t*>(variable.data)[i];
    case MAT_C_INT64:
      return static_cast<double>(static_cast<const int64_t*>(variable.data)[i]);
    default:
      return std::nan("");
  }
}

void append_images(const matvar_t& x, int64_t count, std::vector<uint8_t>& pixels) {
  const auto* in = static_cast<const uint8_t*>(x.data);
  const size_t start = pixels.size();
  pixels.resize(start + static_cast<size_t>(count * kImage));
  uint8_t* out = pixels.data() + start;
  for (int64_t plane = 0; plane < 3 * count; ++plane) {  // columns first: transposed
    for (int64_t col = 0; col < kSide; ++col) {
      for (int64_t row = 0; row < kSide; ++row) out[row * kSide + col] = in[col * kSide + row];
    }
    in += kPlane;
    out += kPlane;
  }
}

void append_file(const std::filesystem::path& path, MemoryContent& content) {
  const int64_t size = detail::check_readable(path, "svhn");
  detail::check_mat_structure(path, size, "svhn");
  const MatFile file(Mat_Open(path.string().c_str(), MAT_ACC_RDONLY));
  if (!file) fail(path, "can't be opened as a MATLAB file");

  MatVariable x = find(file, path, "X");
  const size_t* dims = x->dims;
  const bool fits = x->class_type == MAT_C_UINT8 && x->rank == 4 && dims[0] == kSide &&
                    dims[1] == kSide && dims[2] == 3 && dims[3] >= 1;
  if (!fits) fail(path, "has a variable 'X' that is not uint8 of 32x32x3xN");
  if (dims[3] > static_cast<size_t>(size * kMaxDeflateRatio / kImage)) {
    fail(path, cat("says it has ", dims[3], " images, which its size does not allow"));
  }
  const auto count = static_cast<int64_t>(dims[3]);
  MatVariable y = find(file, path, "y");
  size_t numbers = 1;
  for (int d = 0; d < y->rank; ++d) {
    const size_t n = y->dims[d];
    if (n == 0 || n > static_cast<size_t>(count) || numbers > static_cast<size_t>(count)) {
      numbers = 0;
      break;
    }
    numbers *= n;
  }
  if (numbers != static_cast<size_t>(count)) {
    fail(path, cat("has not as many labels 'y' as images (", count, ")"));
  }
  load(file, path, x, count * kImage);
  load(file, path, y, count);
  for (size_t i = 0; i < numbers; ++i) {
    const double label = number_at(*y, i);
    if (!(label >= 1.0 && label <= 10.0 && label == std::floor(label))) {
      fail(path, cat("has label ", label, " at ", i, ", expects a whole number 1..10"));
    }
    content.labels.push_back(static_cast<uint8_t>(static_cast<int>(label) % 10));
  }
  append_images(*x, count, content.pixels);
}

}  // namespace

std::shared_ptr<const Dataset> open_svhn(const std::filesystem::path& folder,
                                         Split split,
                                         bool with_extra) {
  MemoryContent content{.name = with_extra ? "svhn+extra" : "svhn",
                        .shape = {},
                        .pixels = {},
                        .labels = {},
                        .class_names = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"},
                        .mean = {0.4377f, 0.4438f, 0.4728f},
                        .stddev = {0.1980f, 0.2010f, 0.1970f}};
  check_file_set(folder);
  append_file(folder / (split == Split::Train ? "train_32x32.mat" : "test_32x32.mat"), content);
  if (with_extra && split == Split::Train) append_file(folder / "extra_32x32.mat", content);
  return std::make_shared<MemoryDataset>(std::move(content));
}

}  // namespace espalier::data
