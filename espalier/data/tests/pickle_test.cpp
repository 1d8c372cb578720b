// SPDX-License-Identifier: Apache-2.0
// Pickles: each opcode, what is refused, and CIFAR's Python version as oracles/cifar_pickles.py
// wrote it with Python and NumPy themselves.
#include <gtest/gtest.h>

#include <espalier/data/cifar.h>
#include <espalier/data/detail/pickled_array.h>

#include "reading.h"

namespace espalier::data::testing {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;
using detail::Pickle;
using detail::PickleLimits;
using detail::PickleNode;
using Kind = PickleNode::Kind;

std::unique_ptr<Pickle> parsed(const std::string& text, const PickleLimits& limits = {}) {
  return std::make_unique<Pickle>(Bytes(text.begin(), text.end()), "test", limits);
}

void expect_refused(const std::string& text, const std::string& said, PickleLimits limits = {}) {
  expect_io_error([&] { parsed(text, limits); }, said);
}

TEST(Pickle, ReadsWholeNumbersOfEachOpcode) {
  const auto whole = [](const std::string& text) {
    const auto pickle = parsed(text + ".");
    EXPECT_EQ(pickle->root().kind, Kind::Int) << text;
    return pickle->root().whole;
  };
  EXPECT_EQ(whole("K\xff"), 255);
  EXPECT_EQ(whole("M\x34\x12"), 0x1234);
  EXPECT_EQ(whole("J\xfe\xff\xff\xff"), -2);
  EXPECT_EQ(whole("I-17\n"), -17);
  EXPECT_EQ(whole("L123456789012L\n"), 123456789012);
  EXPECT_EQ(whole("\x8a\x00"s), 0);
  EXPECT_EQ(whole("\x8a\x01\xff"), -1);
  EXPECT_EQ(whole("\x8a\x02\xff\x00"s), 255);
  EXPECT_EQ(whole("\x8b\x02\x00\x00\x00\x00\x80"s), -32768);
}

TEST(Pickle, ReadsTruthAndFractions) {
  EXPECT_EQ(parsed("I01\n.")->root().kind, Kind::Bool);
  EXPECT_EQ(parsed("I01\n.")->root().whole, 1);
  EXPECT_EQ(parsed("\x89.")->root().whole, 0);
  EXPECT_EQ(parsed("N.")->root().kind, Kind::None);
  EXPECT_DOUBLE_EQ(parsed("F-1.5\n.")->root().real, -1.5);
  EXPECT_DOUBLE_EQ(parsed("G\x3f\xf8\x00\x00\x00\x00\x00\x00."s)->root().real, 1.5);
}

TEST(Pickle, ReadsTextsOfEachProtocol) {
  const auto text = [](const std::string& of) {
    return std::string(parsed(of + ".")->root().text);
  };
  EXPECT_EQ(text("S'a\\n\\x41\\'b'\n"), "a\nA'b");
  EXPECT_EQ(text("V\xe9\\u0416\\U0001f600\n"), "\u00e9\u0416\U0001f600");
  EXPECT_EQ(text("U\x03"
                 "abc"),
            "abc");
  EXPECT_EQ(text("X\x02\x00\x00\x00hi"s), "hi");
  EXPECT_EQ(text("\x8c\x02hi"), "hi");
  EXPECT_EQ(text("\x8d\x02\x00\x00\x00\x00\x00\x00\x00hi"s), "hi");
  EXPECT_EQ(parsed("C\x02\xff\x00."s)->root().kind, Kind::Bytes);
  EXPECT_EQ(parsed("\x96\x01\x00\x00\x00\x00\x00\x00\x00\xff."s)->root().text, "\xff");
}

TEST(Pickle, ContainersNestAndTheLastValueOfAKeyCounts) {
  const auto pickle = parsed(
      "}(U\x01"
      "aK\x01U\x01"
      "b](K\x02K\x03\x86"
      "eU\x01"
      "aK\x09u.");
  const PickleNode& root = pickle->root();
  EXPECT_EQ(root.kind, Kind::Dict);
  EXPECT_EQ(pickle->at(root, "a", Kind::Int).whole, 9);
  const PickleNode& list = pickle->at(root, "b", Kind::List);
  ASSERT_EQ(list.items.size(), 1U);
  ASSERT_EQ(list.items[0]->items.size(), 2U);
  EXPECT_EQ(list.items[0]->items[1]->whole, 3);
  EXPECT_EQ(root.find("c"), nullptr);
  expect_io_error([&] { pickle->at(root, "c", Kind::Int); }, "expected a whole number under 'c'");
  expect_io_error([&] { pickle->at(root, "b", Kind::Int); }, "got a list");
}

TEST(Pickle, AMemoRecallsTheSameValue) {
  const auto pickle = parsed(
      "]q\x05(h\x05K\x01"
      "e.");  // a list that holds itself
  const PickleNode& list = pickle->root();
  ASSERT_EQ(list.items.size(), 2U);
  EXPECT_EQ(list.items[0], &list);
  expect_refused("h\x01.", "recalls value 1");
}

TEST(Pickle, WhatIsNamedMustBeOnTheListAndIsNotRun) {
  expect_refused("cos\nsystem\n(S'true'\ntR.", "names os.system");
  expect_refused(
      "\x8c\x08"
      "builtins\x8c\x04"
      "eval\x93.",
      "names builtins.eval");
  constexpr std::string_view kAllowed[] = {"collections.OrderedDict"};
  const auto pickle = parsed(
      "ccollections\nOrderedDict\n)RU\x01"
      "aK\x07s.",
      {.globals = kAllowed});
  EXPECT_EQ(pickle->root().kind, Kind::Call);
  EXPECT_EQ(pickle->root().text, "collections.OrderedDict");
  EXPECT_EQ(pickle->at(pickle->root(), "a", Kind::Int).whole, 7);
}

TEST(Pickle, ReferencesAreKeptWhereTheyAreAllowed) {
  expect_refused("K\x01Q.", "outside");
  const auto pickle = parsed("K\x05Q.", {.persistent = true});
  EXPECT_EQ(pickle->root().kind, Kind::Persistent);
  EXPECT_EQ(pickle->root().args->whole, 5);
}

TEST(Pickle, BrokenOnesAreRefused) {
  expect_refused("", "cut");
  expect_refused("K", "cut");
  expect_refused("K\x01", "cut");
  expect_refused("I12", "cut within a line");
  expect_refused(".", "takes a value where none is");
  expect_refused("K\x01K\x02.", "more than one value");
  expect_refused("K\x01.K", "behind its end");
  expect_refused("(.", "takes a value where none is");
  expect_refused("e.", "no mark");
  expect_refused("K\x01(e.", "appends to a whole number");
  expect_refused(
      "K\x01(K\x02"
      "e.",
      "appends to a whole number");
  expect_refused("}(K\x01u.", "a key without a value");
  expect_refused("K\x01K\x02R.", "calls a whole number");
  expect_refused("\x80\x06.", "protocol 6");
  expect_refused("\x97.", "opcode 151");
  expect_refused("Ione\n.", "'one'");
  expect_refused("I99999999999999999999\n.", "64 bits");
  expect_refused(
      "\x8a\x09"
      "123456789.",
      "9 bytes");
  expect_refused("S'a\n.", "quotes");
  expect_refused("S'\\x4'\n.", "digits");
  expect_refused("V\\U00110000\n.", "Unicode");
  expect_refused(
      "X\xff\xff\xff\xff"
      "a.",
      "cut");
  expect_refused(
      "\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
      "a.",
      "cut");
}

TEST(Pickle, ValuesAreLimited) {
  const PickleLimits few{.nodes = 10};
  expect_refused(std::string(11, 'N'), "more than 10 values", few);
  expect_refused(std::string(20, '('), "too many marks", few);
  expect_refused("N" + std::string(20, '2'), "more than 10 values at once", few);
}

// dtype of the array, its state, then shape and bytes.
std::string array(const std::string& type, const std::string& shape, const std::string& bytes) {
  return "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01"
         "b\x87R(K\x01"s +
         shape + "cnumpy\ndtype\nU\x02"s + type + "K\x00K\x01\x87R\x89U"s +
         static_cast<char>(bytes.size()) + bytes + "tb."s;
}

TEST(Pickle, ArraysFillTheirShape) {
  const auto values = [](const std::string& text) {
    const auto pickle = parsed(text, {.globals = detail::numpy_globals()});
    return detail::pickled_bytes(*pickle, pickle->root());
  };
  const auto good = values(array("u1", "K\x02K\x03\x86", "abcdef"));
  EXPECT_EQ(good.rows, 2);
  EXPECT_EQ(good.columns, 3);
  EXPECT_EQ(good.values, (Bytes{'a', 'b', 'c', 'd', 'e', 'f'}));
  expect_io_error([&] { values(array("f4", "K\x01K\x01\x86", "abcd")); }, "uint8");
  expect_io_error([&] { values(array("u1", "K\x06\x85", "abcdef")); }, "two dimensions");
  expect_io_error([&] { values(array("u1", "K\x02K\x04\x86", "abcdef")); }, "2x4 has 6 bytes");
  // 2^63 / 3 rows of 3: the product is too large for 64 bits.
  expect_io_error(
      [&] { values(array("u1", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\x03\x86", "abc")); },
      "has 3 bytes");
  expect_io_error([&] { values(array("u1", "J\xff\xff\xff\xffJ\xff\xff\xff\xff\x86", "a")); },
                  "two dimensions");
  expect_io_error([&] { values("N."); }, "got None");
}

fs::path written(const char* folder) {
  return fs::path(ESPALIER_ORACLES) / folder;
}

Bytes picture(int label) {
  Bytes out(3072);
  for (size_t p = 0; p < out.size(); ++p) {
    out[p] = static_cast<uint8_t>((3 * p + static_cast<size_t>(label)) % 251 / 16 * 16);
  }
  return out;
}

// data_batch_N is of protocol N - 1, test_batch of protocol 5 and column by column.
TEST(CifarPickles, OfEveryProtocolAreRead) {
  const auto train = open_cifar10_pickles(written("cifar-10-batches-py"), Split::Train);
  ASSERT_EQ(train->size(), 5);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(train->label(i), i + 1);
    EXPECT_EQ(image(*train, i), picture(i + 1)) << i;
  }
  EXPECT_EQ(train->class_names()[9], "truck");
  const auto test = open_cifar10_pickles(written("cifar-10-batches-py"), Split::Test);
  ASSERT_EQ(test->size(), 3);
  const int labels[] = {9, 0, 4};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(test->label(i), labels[i]);
    EXPECT_EQ(image(*test, i), picture(labels[i])) << i;
  }
}

TEST(CifarPickles, OfCifar100HaveFineLabels) {
  const auto train = open_cifar100_pickles(written("cifar-100-python"), Split::Train);
  ASSERT_EQ(train->size(), 2);
  EXPECT_EQ(train->label(0), 98);
  EXPECT_EQ(image(*train, 1), picture(7));
  EXPECT_EQ(train->class_names()[98], "fine_98");
  EXPECT_EQ(open_cifar100_pickles(written("cifar-100-python"), Split::Test)->label(0), 99);
}

TEST(CifarPickles, AreFoundWhereTorchvisionLeavesThem) {
  const std::string root = ESPALIER_ORACLES;
  EXPECT_EQ(open_dataset("cifar10", Split::Train, root)->size(), 5);
  EXPECT_EQ(open_dataset("cifar100", Split::Test, root)->size(), 1);
}

TEST(CifarPickles, OfAnythingElseAreRefused) {
  const TempFolder root;
  fs::copy(written("cifar-10-batches-py"), root.path() / "cifar10");
  const std::string program = "cos\nsystem\n(S'true'\ntR.";
  store(root.path() / "cifar10/data_batch_3", {program.begin(), program.end()});
  expect_io_error([&] { open_dataset("cifar10", Split::Train, root.path().string()); },
                  "names os.system");
  const std::string empty = "}.";
  store(root.path() / "cifar10/data_batch_3", {empty.begin(), empty.end()});
  expect_io_error([&] { open_dataset("cifar10", Split::Train, root.path().string()); },
                  "under 'data'");
  fs::remove(root.path() / "cifar10/data_batch_3");
  expect_io_error([&] { open_dataset("cifar10", Split::Train, root.path().string()); },
                  "data_batch_3");
}

}  // namespace
}  // namespace espalier::data::testing
