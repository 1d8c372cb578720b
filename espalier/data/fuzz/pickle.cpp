// SPDX-License-Identifier: Apache-2.0
// Fuzz target: pickles as CIFAR's Python version has them, and all that the reader's nodes hold.
#include <espalier/core/error.h>
#include <espalier/core/fuzz/target.h>
#include <espalier/data/detail/pickled_array.h>

namespace espalier::fuzz {
namespace {

Bytes bytes_of(std::string_view text) {
  return {text.begin(), text.end()};
}

}  // namespace

void read(const Bytes& input) {
  const data::detail::Pickle pickle(
      input,
      "fuzz",
      {.globals = data::detail::numpy_globals(), .persistent = true, .nodes = 1 << 16});
  const data::detail::PickleNode& root = pickle.root();
  const int64_t kind = static_cast<int64_t>(root.kind);
  saw(&kind, sizeof kind);
  saw(&root.whole, sizeof root.whole);
  saw(root.text);
  for (const data::detail::PickleNode* item : root.items) saw(item->text);
  if (const auto* array = root.find("data"))
    saw(data::detail::pickled_bytes(pickle, *array).values);
}

std::vector<Bytes> seeds() {
  using namespace std::string_literals;
  // {'data': numpy.array([[1, 2]], 'uint8'), 'labels': [3, -1]} by protocol 2.
  const std::string array =
      "\x80\x02}(U\x04"
      "datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01"
      "b\x87R"
      "(K\x01K\x01K\x02\x86"s
      "cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|"
      "NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
      "\x89U\x02\x01\x02tbU\x06labels](K\x03J\xff\xff\xff\xffeu."s;
  return {bytes_of(array),
          bytes_of("(dp0\nS'a\\x41'\np1\nI01\nsV\\u00e9\n(lp2\nF1.5\naL12L\nasg1\n(I1\nI2\nts."),
          bytes_of("\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x01x\x94]\x94(h\x00\x88"
                   "Ne\x86."s),
          bytes_of("(K\x07Q\x8a\x01\xff"
                   "G?\xf8\x00\x00\x00\x00\x00\x00tN0."s)};
}

std::vector<Bytes> refused() {
  return {bytes_of("cos\nsystem\n(S'true'\ntR."),
          bytes_of("cnumpy\nfromfile\n."),
          Bytes(100000, '('),
          Bytes(200000, ']'),
          Bytes(200000, 'N')};
}

}  // namespace espalier::fuzz
