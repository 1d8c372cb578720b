// SPDX-License-Identifier: Apache-2.0
/// `espalier completion SHELL` and `espalier man`: what was declared of all verbs, for shells and
/// for man.
#include <memory>
#include <ostream>

#include <nlohmann/json.hpp>

#include <espalier/experiments/machine.h>
#include <espalier/experiments/surface/surface.h>
#include <espalier/experiments/verbs/verbs.h>

namespace espalier::experiments::verbs {
namespace {

struct TextFlags {
  std::string shell;
  bool json = false;
};

void print(const TextFlags& flags, const char* key, const std::string& text, Console& console) {
  console.out << (flags.json ? nlohmann::ordered_json({{key, text}}).dump(2) + "\n" : text);
}

}  // namespace

void add_completion(const Verb& app, Console& console, Action& action) {
  const Verb verb = app.add_verb(
      "completion",
      "What a shell completes: verbs, options, names of models, methods and data sets.");
  const auto flags = std::make_shared<TextFlags>();
  verb.add_option("shell", flags->shell, "whose script is printed")
      .option_text("bash|zsh|fish")
      .required();
  verb.add_flag("--json", flags->json, "print the script as JSON");
  verb.footer([] {
    return "In the shell's own start file:\n"
           "  source <(espalier completion bash)      # ~/.bashrc\n"
           "  source <(espalier completion zsh)       # ~/.zshrc, after compinit\n"
           "  espalier completion fish | source       # ~/.config/fish/config.fish\n";
  });
  verb.callback([&action, &console, flags, app] {
    action = [&console, flags, app] {
      print(*flags, "script", completion_script(surface_of(app), flags->shell), console);
    };
  });
}

void add_man(const Verb& app, Console& console, Action& action) {
  const Verb verb =
      app.add_verb("man", "The manual page, for man: espalier man > espalier.1; man ./espalier.1");
  const auto flags = std::make_shared<TextFlags>();
  verb.add_flag("--json", flags->json, "print the page as JSON");
  verb.callback([&action, &console, flags, app] {
    action = [&console, flags, app] {
      print(*flags, "page", man_page(surface_of(app), version()), console);
    };
  });
}

}  // namespace espalier::experiments::verbs
