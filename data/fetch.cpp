// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/fetch.h>

#include <algorithm>
#include <system_error>

#include <espalier/core/error.h>

namespace espalier::data {
namespace {

namespace fs = std::filesystem;

RemoteFile archive_at(std::string url,
                      std::string file_name,
                      std::string md5,
                      std::vector<std::string> unpacked) {
  return {.url = std::move(url),
          .file_name = std::move(file_name),
          .checksum = std::move(md5),
          .digest = Digest::Md5,
          .is_archive = true,
          .unpacked = std::move(unpacked)};
}

RemoteFile file_at(const std::string& base, const std::string& file_name, std::string md5) {
  return {.url = base + file_name,
          .file_name = file_name,
          .checksum = std::move(md5),
          .digest = Digest::Md5,
          .is_archive = false,
          .unpacked = {}};
}

std::vector<RemoteDataset> make_catalogue() {
  const std::string toronto = "https://www.cs.toronto.edu/~kriz/";
  const std::string stanford = "http://ufldl.stanford.edu/housenumbers/";
  // The authors' own page refuses downloads at times; this mirror has the same bytes.
  const std::string mnist = "https://ossci-datasets.s3.amazonaws.com/mnist/";
  const std::string fashion = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/";
  const RemoteFile svhn_train =
      file_at(stanford, "train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373");
  const RemoteFile svhn_test =
      file_at(stanford, "test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3");
  const RemoteFile svhn_extra =
      file_at(stanford, "extra_32x32.mat", "a93ce644f1a588dc4d68dda5feec44a7");
  return {
      {"cifar10",
       "cifar10",
       "no licence stated; please cite Krizhevsky 2009",
       {archive_at(toronto + "cifar-10-binary.tar.gz",
                   "cifar-10-binary.tar.gz",
                   "c32a1d4ab5d03f1284b67883e8d87530",
                   {"data_batch_1.bin",
                    "data_batch_2.bin",
                    "data_batch_3.bin",
                    "data_batch_4.bin",
                    "data_batch_5.bin",
                    "test_batch.bin"})}},
      {"cifar100",
       "cifar100",
       "no licence stated; please cite Krizhevsky 2009",
       {archive_at(toronto + "cifar-100-binary.tar.gz",
                   "cifar-100-binary.tar.gz",
                   "03b5dce01913d631647c71ecec9e9cb8",
                   {"train.bin", "test.bin"})}},
      {"svhn", "svhn", "non-commercial use only", {svhn_train, svhn_test}},
      {"svhn+extra", "svhn", "non-commercial use only", {svhn_train, svhn_test, svhn_extra}},
      {"mnist",
       "mnist",
       "CC BY-SA 3.0",
       {file_at(mnist, "train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        file_at(mnist, "train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        file_at(mnist, "t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        file_at(mnist, "t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c")}},
      {"fashion",
       "fashion",
       "MIT",
       {file_at(fashion, "train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        file_at(fashion, "train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        file_at(fashion, "t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        file_at(fashion, "t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310")}},
  };
}

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

}  // namespace

const std::vector<RemoteDataset>& remote_datasets() {
  static const std::vector<RemoteDataset> list = make_catalogue();
  return list;
}

void fetch_dataset(std::string_view name,
                   const std::filesystem::path& root,
                   const FetchOptions& options) {
  std::string names;
  for (const RemoteDataset& dataset : remote_datasets()) {
    if (dataset.name == name) return fetch_dataset(dataset, root, options);
    names += (names.empty() ? "" : ", ") + dataset.name;
  }
  throw ValueError(cat("fetch: no source is known for '", name, "'; known are ", names));
}

void fetch_dataset(const RemoteDataset& dataset,
                   const std::filesystem::path& root,
                   const FetchOptions& options) {
  const fs::path folder = root / dataset.folder;
  for (const RemoteFile& file : dataset.files) {
    const fs::path path = folder / file.file_name;
    const bool unpacked =
        file.is_archive && !file.unpacked.empty() &&
        std::all_of(file.unpacked.begin(), file.unpacked.end(), [&](const std::string& name) {
          return is_there(folder / name);
        });
    if (unpacked) continue;
    if (!is_there(path)) download(file.url, path, file.checksum, file.digest, options);
    if (!file.is_archive) continue;
    extract_archive(path, folder, 1);
    for (const std::string& name : file.unpacked) {
      ESPALIER_CHECK(is_there(folder / name),
                     IoError,
                     "fetch: ",
                     path.string(),
                     " does not hold the file ",
                     name);
    }
    std::error_code error;
    fs::remove(path, error);  // it only costs space when it stays
  }
}

}  // namespace espalier::data
