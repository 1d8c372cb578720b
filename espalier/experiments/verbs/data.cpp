// SPDX-License-Identifier: Apache-2.0
/// `espalier data list | info | fetch | verify | synth`: the data sets.
#include <filesystem>
#include <memory>
#include <ostream>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <espalier/core/file_set.h>
#include <espalier/core/io.h>
#include <espalier/data/cifar.h>
#include <espalier/data/fetch.h>
#include <espalier/data/identity.h>
#include <espalier/data/synth.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/figures.h>
#include <espalier/experiments/inputs/inputs.h>
#include <espalier/experiments/settings/parts.h>
#include <espalier/experiments/verbs/verbs.h>

namespace espalier::experiments::verbs {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct DataFlags {
  std::string name;
  std::vector<std::string> names;
  std::string root = default_data_root();
  std::string out;
  uint64_t seed = 0;
  int64_t train_size = data::kSynthTrainSize;
  int64_t test_size = data::kSynthTestSize;
  bool json = false;
  bool allow_empty_classes = false;
};

void list(const DataFlags& flags, Console& console) {
  Json json = Json::array();
  std::vector<std::vector<std::string>> rows = {{"name", "what", "found", "fetch"}};
  for (const data::DatasetInfo& info : data::known_datasets()) {
    const bool found = is_found(info, flags.root);
    const bool fetchable = is_fetchable(info.name);
    json.push_back(
        {{"name", info.name}, {"title", info.title}, {"found", found}, {"fetchable", fetchable}});
    rows.push_back({info.name, info.title, found ? "yes" : "no", fetchable ? "yes" : "-"});
  }
  console.out << (flags.json ? json.dump(2) + "\n" : text_table(rows));
}

Json split_json(const data::Dataset& dataset) {
  if (dataset.context() > 0) return {{"samples", dataset.size()}};
  std::vector<int64_t> counts(dataset.class_names().size());
  for (int64_t i = 0; i < dataset.size(); ++i) ++counts.at(static_cast<size_t>(dataset.label(i)));
  return {{"samples", dataset.size()}, {"per_class", counts}};
}

void info(const DataFlags& flags, Console& console) {
  const auto open = [&](data::Split split) {
    return open_data(flags.name,
                     split,
                     flags.root,
                     {.seed = flags.seed, .allow_empty_classes = flags.allow_empty_classes});
  };
  const auto train = open(data::Split::Train);
  const auto test = open(data::Split::Test);
  const data::ImageShape shape = train->image_shape();
  tell_notes({train.get(), test.get()}, console);
  const auto identity = [](const data::Dataset& dataset) {
    Json json = split_json(dataset);
    json["fingerprint"] = data::identify(dataset).fingerprint;
    json["notes"] = dataset.notes();
    return json;
  };
  if (train->context() > 0) {
    const Json json = {{"name", flags.name},
                       {"context", train->context()},
                       {"vocabulary", train->class_names()},
                       {"train", identity(*train)},
                       {"test", identity(*test)}};
    console.out << (flags.json ? json.dump(2) + "\n"
                               : fmt::format("{}: {} training and {} test windows of {} tokens, of "
                                             "a vocabulary of {}: {}\n",
                                             flags.name,
                                             grouped(train->size()),
                                             grouped(test->size()),
                                             train->context(),
                                             train->class_names().size(),
                                             fmt::join(train->class_names(), " ")));
    return;
  }
  const Json json = {{"name", flags.name},
                     {"image", {shape.channels, shape.height, shape.width}},
                     {"classes", train->class_names()},
                     {"mean", train->mean()},
                     {"std", train->stddev()},
                     {"train", identity(*train)},
                     {"test", identity(*test)}};
  if (flags.json) {
    console.out << json.dump(2) << '\n';
    return;
  }
  std::vector<std::vector<std::string>> rows = {{"class", "name", "train", "test"}};
  for (size_t c = 0; c < train->class_names().size(); ++c) {
    rows.push_back({std::to_string(c),
                    train->class_names()[c],
                    json.at("train").at("per_class").at(c).dump(),
                    json.at("test").at("per_class").at(c).dump()});
  }
  console.out << fmt::format("{}: {} training and {} test images of {}x{}x{}\n\n",
                             flags.name,
                             grouped(train->size()),
                             grouped(test->size()),
                             shape.channels,
                             shape.height,
                             shape.width)
              << text_table(rows)
              << fmt::format(
                     "\nnormalization of pixels / 255, by channel: mean {:.4f}, std {:.4f}\n",
                     fmt::join(train->mean(), " "),
                     fmt::join(train->stddev(), " "));
}

void fetch(const DataFlags& flags, Console& console) {
  std::string shown_file;
  std::unique_ptr<Progress> progress;
  data::FetchOptions options;
  options.on_damaged = [&](const fs::path& path) {
    console.err << "note: " << path.string() << " is not as published; it is fetched again\n";
  };
  options.progress = [&](const std::string& file, int64_t received, int64_t total) {
    if (file != shown_file) {
      shown_file = file;
      progress = std::make_unique<Progress>(console, total);
      const std::string size = total > 0 ? fmt::format(" ({} bytes)", grouped(total)) : "";
      progress->line(fmt::format("fetching {}{}", file, size));
    }
    progress->update(received, {{file}});
    return true;
  };
  bool known = false;
  for (const data::RemoteDataset& remote : data::remote_datasets()) {
    known = known || remote.name == flags.name;
    if (remote.name == flags.name) console.err << "licence: " << remote.licence << '\n';
  }
  ESPALIER_CHECK(known,
                 ValueError,
                 "data fetch: no published source of '",
                 flags.name,
                 "' is known; `espalier data list` tells which can be fetched");
  try {
    data::fetch_dataset(flags.name, flags.root, options);
  } catch (const ValueError&) {
    throw;  // what lies there is not ours to replace
  } catch (const Error& error) {
    throw RunFailure(error.what());
  }
  progress.reset();
  console.out << flags.name << " is in " << flags.root << '\n';
}

// Of one data set: its files, and what is wrong.
Json verify_one(const std::string& name, const std::string& root, int64_t& bad) {
  Json files = Json::array();
  int64_t wrong = 0;
  for (const data::FileCheck& check : data::verify_dataset(name, root)) {
    files.push_back({{"path", check.path.string()}, {"state", data::name(check.state)}});
    if (!check.detail.empty()) files.back()["detail"] = check.detail;
    wrong += check.state == data::FileState::Damaged || check.state == data::FileState::Missing;
  }
  bad += wrong;
  return {{"name", name}, {"right", wrong == 0}, {"files", files}};
}

void verify(const DataFlags& flags, Console& console) {
  std::vector<std::string> names = flags.names;
  if (names.empty()) {  // all that are there
    for (const data::DatasetInfo& info : data::known_datasets()) {
      if (is_fetchable(info.name) && is_found(info, flags.root)) names.push_back(info.name);
    }
  }
  ESPALIER_CHECK(!names.empty(),
                 ValueError,
                 "data verify: no data set with published checksums is in ",
                 flags.root,
                 "; name one, or tell where they are with --data-root");
  int64_t bad = 0;
  Json json = Json::array();
  for (const std::string& name : names) json.push_back(verify_one(name, flags.root, bad));
  if (flags.json) {
    console.out << json.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
  } else {
    std::vector<std::vector<std::string>> rows = {{"data", "file", "state", ""}};
    for (const Json& set : json) {
      for (const Json& file : set.at("files")) {
        rows.push_back(
            {set.at("name"), file.at("path"), file.at("state"), file.value("detail", "")});
      }
    }
    console.out << text_table(rows);
  }
  ESPALIER_CHECK(bad == 0,
                 IoError,
                 "data verify: ",
                 bad,
                 bad == 1 ? " file is" : " files are",
                 " damaged or missing; `espalier data fetch NAME` gets them again");
}

constexpr int64_t kMostBytesOfNames = 1 << 20;

bool holds_classes_of(const fs::path& folder, const data::Dataset& dataset) {
  const fs::path path = folder / "batches.meta.txt";
  if (path_kind(path) != PathKind::File) return false;
  const std::vector<uint8_t> bytes = read_file(path, "data synth", kMostBytesOfNames);
  std::istringstream file(std::string(bytes.begin(), bytes.end()));
  std::vector<std::string> names;
  for (std::string name; std::getline(file, name);) names.push_back(name);
  return names == dataset.class_names();
}

// Replaces what it made, which the names of the classes tell, and nothing else.
void check_replaceable(const fs::path& folder, const data::Dataset& digits) {
  ESPALIER_CHECK(!fs::exists(folder) || fs::is_directory(folder),
                 ValueError,
                 "data synth: ",
                 folder.string(),
                 " is a file; name a folder");
  ESPALIER_CHECK(
      holds_nothing(folder) || holds_classes_of(folder, digits),
      ValueError,
      "data synth: ",
      folder.string(),
      " holds files that this command did not write; they are not replaced. Name another "
      "folder");
}

void synth(const DataFlags& flags, Console& console) {
  const auto train = data::make_synth(data::Split::Train, flags.seed, flags.train_size);
  const auto test = data::make_synth(data::Split::Test, flags.seed, flags.test_size);
  ESPALIER_CHECK(flags.train_size >= 5 && flags.test_size >= 1,
                 ValueError,
                 "data synth: needs at least 5 training images and 1 test image");
  ESPALIER_CHECK(!flags.out.empty(), ValueError, "data synth: --out is empty; name a folder");
  // What an earlier command was stopped at comes first, for it tells whose files these are.
  while_writing([&] { finish_file_set(flags.out); });
  check_replaceable(flags.out, *test);
  while_writing([&] { data::write_cifar10(flags.out, *train, *test); });
  console.out << fmt::format("{} training and {} test images in CIFAR-10's layout: {}\n",
                             grouped(flags.train_size),
                             grouped(flags.test_size),
                             flags.out);
}

}  // namespace

void add_data(const Verb& app, Console& console, Action& action) {
  const Verb verb = app.add_verb("data", "The data sets: list, info, fetch, verify, synth.");
  verb.require_verb();
  const auto flags = std::make_shared<DataFlags>();
  const auto add =
      [&](const char* name, const char* help, void (*run)(const DataFlags&, Console&)) {
        const Verb sub = verb.add_verb(name, help);
        sub.callback([&action, &console, flags, run] {
          action = [&console, flags, run] { run(*flags, console); };
        });
        return sub;
      };
  const auto root = [&](const Verb& sub) {
    sub.add_option("--data-root",
                   flags->root,
                   "folder of the data sets; also the environment variable ESPALIER_DATA")
        .type_name("DIR")
        .show_default();
  };
  const Verb list_verb = add("list", "What is known, and what is there.", list);
  root(list_verb);
  list_verb.add_flag("--json", flags->json, "print as JSON");

  const Verb info_verb = add("info", "Sizes, classes and normalization of one.", info);
  info_verb.add_option("name", flags->name, "the data set").required();
  root(info_verb);
  constexpr int64_t kMostSeed = 1'000'000'000;
  info_verb.add_option("--data-seed", flags->seed, "which pictures synth draws")
      .between(0, kMostSeed)
      .show_default();
  info_verb.add_flag("--allow-empty-classes",
                     flags->allow_empty_classes,
                     "of folder:PATH: a class without pictures is no error");
  info_verb.add_flag("--json", flags->json, "print as JSON");

  const Verb fetch_verb = add("fetch", "Download one from its authors, checked, resumable.", fetch);
  fetch_verb.add_option("name", flags->name, "the data set").required();
  root(fetch_verb);

  const Verb verify_verb =
      add("verify", "Compare files that are there with the published checksums.", verify);
  verify_verb.add_option("names", flags->names, "the data sets; without, all that are there");
  root(verify_verb);
  verify_verb.add_flag("--json", flags->json, "print as JSON");

  const Verb synth_verb =
      add("synth", "Write the embedded set to disk, in CIFAR-10's binary layout.", synth);
  synth_verb.add_option("--out", flags->out, "the folder").type_name("DIR").required();
  synth_verb.add_option("--seed", flags->seed, "which pictures are drawn")
      .between(0, kMostSeed)
      .show_default();
  synth_verb.add_option("--train-size", flags->train_size, "training images").show_default();
  synth_verb.add_option("--test-size", flags->test_size, "test images").show_default();
}

}  // namespace espalier::experiments::verbs
