// SPDX-License-Identifier: Apache-2.0
/// `espalier verify`: whether files and run folders are whole.
#include <memory>
#include <ostream>

#include <nlohmann/json.hpp>

#include <espalier/core/error.h>
#include <espalier/experiments/run/verify.h>
#include <espalier/experiments/verbs/verbs.h>

namespace espalier::experiments::verbs {
namespace {

struct VerifyFlags {
  std::vector<std::string> paths;
  bool json = false;
};

void verify_all(const VerifyFlags& flags, Console& console) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  int64_t damaged = 0;
  for (const std::string& path : flags.paths) {
    for (const Verified& found : verify(path)) {
      damaged += found.state == Verified::State::Damaged ? 1 : 0;
      const std::string state = name(found.state);
      if (flags.json) {
        list.push_back({{"path", found.path.string()},
                        {"kind", found.kind},
                        {"state", state},
                        {"text", found.text}});
        continue;
      }
      console.out << state << std::string(11 - state.size(), ' ') << found.path.string() << ": "
                  << (found.kind.empty() ? "" : found.kind + ", ") << found.text << '\n';
    }
  }
  if (flags.json) {
    console.out << nlohmann::ordered_json({{"damaged", damaged}, {"files", list}})
                       .dump(2, ' ', false, nlohmann::json::error_handler_t::replace)
                << '\n';
  }
  ESPALIER_CHECK(damaged == 0, IoError, "verify: ", damaged, " damaged, see above");
}

}  // namespace

void add_verify(const Verb& app, Console& console, Action& action) {
  const Verb verb = app.add_verb(
      "verify",
      "Whether files and run folders are whole: each is read as its users read it, checksums are "
      "compared, and the files of a run with each other. Exit code 2 when one is damaged.");
  const auto flags = std::make_shared<VerifyFlags>();
  verb.add_option("paths",
                  flags->paths,
                  "networks, checkpoints, plans (safetensors), .edc, .npz, .npy; run folders, or "
                  "folders in which such lie")
      .option_text("PATH ...")
      .required();
  verb.add_flag("--json", flags->json, "print what was found as JSON");
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { verify_all(*flags, console); }; });
}

}  // namespace espalier::experiments::verbs
