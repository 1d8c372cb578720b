// SPDX-License-Identifier: Apache-2.0
// Where data sets are published, and what their files are.
#include <utility>

#include <espalier/data/fetch.h>

namespace espalier::data {
namespace {

RemoteFile archive_at(const std::string& base,
                      const std::string& file_name,
                      std::string md5,
                      int64_t bytes,
                      std::vector<UnpackedFile> unpacked) {
  return {.url = base + file_name,
          .file_name = file_name,
          .checksum = std::move(md5),
          .digest = Digest::Md5,
          .bytes = bytes,
          .is_archive = true,
          .unpacked = std::move(unpacked)};
}

RemoteFile file_at(const std::string& base,
                   const std::string& file_name,
                   std::string md5,
                   int64_t bytes) {
  return {.url = base + file_name,
          .file_name = file_name,
          .checksum = std::move(md5),
          .digest = Digest::Md5,
          .bytes = bytes,
          .is_archive = false,
          .unpacked = {}};
}

// An idx file, which is read packed or not.
RemoteFile idx_at(const std::string& base, std::string md5, int64_t bytes, UnpackedFile unpacked) {
  RemoteFile out = file_at(base, unpacked.name + ".gz", std::move(md5), bytes);
  out.unpacked = {std::move(unpacked)};
  return out;
}

std::vector<RemoteDataset> make_catalogue() {
  const std::string toronto = "https://www.cs.toronto.edu/~kriz/";
  const std::string stanford = "http://ufldl.stanford.edu/housenumbers/";
  // The authors' own page refuses downloads at times; this mirror has the same bytes.
  const std::string mnist = "https://ossci-datasets.s3.amazonaws.com/mnist/";
  const std::string fashion = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/";
  const RemoteFile svhn_train =
      file_at(stanford, "train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373", 182040794);
  const RemoteFile svhn_test =
      file_at(stanford, "test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3", 64275384);
  const RemoteFile svhn_extra =
      file_at(stanford, "extra_32x32.mat", "a93ce644f1a588dc4d68dda5feec44a7", 1329278602);
  // Checksums of unpacked files were taken from archives and packed files with the published ones;
  // sizes are those of the formats.
  return {
      {"cifar10",
       "cifar10",
       "no licence stated; please cite Krizhevsky 2009",
       {archive_at(toronto,
                   "cifar-10-binary.tar.gz",
                   "c32a1d4ab5d03f1284b67883e8d87530",
                   170052171,
                   {{"data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25", 30730000},
                    {"data_batch_2.bin", "5ea93a67294ea407fff1d09f752e9692", 30730000},
                    {"data_batch_3.bin", "942cd6a4bcdd0dd3c604fbe906cb4421", 30730000},
                    {"data_batch_4.bin", "ae636b3ba5c66a11e91e8cb52e771fcb", 30730000},
                    {"data_batch_5.bin", "53f37980c15c3d472c316c40844f3f0d", 30730000},
                    {"test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d", 30730000}})}},
      {"cifar100",
       "cifar100",
       "no licence stated; please cite Krizhevsky 2009",
       {archive_at(toronto,
                   "cifar-100-binary.tar.gz",
                   "03b5dce01913d631647c71ecec9e9cb8",
                   168513733,
                   {{"train.bin", "", 153700000}, {"test.bin", "", 30740000}})}},
      {"svhn", "svhn", "non-commercial use only", {svhn_train, svhn_test}},
      {"svhn+extra", "svhn", "non-commercial use only", {svhn_train, svhn_test, svhn_extra}},
      {"mnist",
       "mnist",
       "CC BY-SA 3.0",
       {idx_at(mnist,
               "f68b3c2dcbeaaa9fbdd348bbdeb94873",
               9912422,
               {"train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb", 47040016}),
        idx_at(mnist,
               "d53e105ee54ea40749a09fcbcd1e9432",
               28881,
               {"train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624", 60008}),
        idx_at(mnist,
               "9fb629c4189551a2d022fa330f9573f3",
               1648877,
               {"t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea", 7840016}),
        idx_at(mnist,
               "ec29112dd5afa0611ce80d1b7f02629c",
               4542,
               {"t10k-labels-idx1-ubyte", "27ae3e4e09519cfbb04c329615203637", 10008})}},
      {"fashion",
       "fashion",
       "MIT",
       {idx_at(fashion,
               "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
               26421880,
               {"train-images-idx3-ubyte", "", 47040016}),
        idx_at(fashion,
               "25c81989df183df01b3e8a0aad5dffbe",
               29515,
               {"train-labels-idx1-ubyte", "", 60008}),
        idx_at(fashion,
               "bef4ecab320f06d8554ea6380940ec79",
               4422102,
               {"t10k-images-idx3-ubyte", "", 7840016}),
        idx_at(fashion,
               "bb300cfdad3c16e7a12a480ee83cd310",
               5148,
               {"t10k-labels-idx1-ubyte", "", 10008})}},
  };
}

}  // namespace

const std::vector<RemoteDataset>& remote_datasets() {
  static const std::vector<RemoteDataset> list = make_catalogue();
  return list;
}

}  // namespace espalier::data
