// SPDX-License-Identifier: Apache-2.0
// One script a shell. What is known when it is written is in it: a shell does not wait for a
// program at every key.
#include <espalier/core/error.h>
#include <espalier/experiments/surface/surface.h>

namespace espalier::experiments {
namespace {

// In single quotes of any of the three shells.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

std::vector<std::string> words_of(const SurfaceVerb& verb) {
  std::vector<std::string> out;
  for (const SurfaceVerb& below : verb.verbs) {
    out.push_back(below.name.substr(below.name.rfind(' ') + 1));
  }
  for (const SurfaceOption& option : verb.options) {
    if (option.place) out.insert(out.end(), option.choices.begin(), option.choices.end());
    out.insert(out.end(), option.words.begin(), option.words.end());
  }
  return out;
}

// `do_this(verb)` for a verb and all below it.
template <class Work>
void for_each(const SurfaceVerb& verb, const Work& do_this) {
  do_this(verb);
  for (const SurfaceVerb& below : verb.verbs) for_each(below, do_this);
}

std::string bash(const SurfaceVerb& command) {
  std::string words, values;
  for_each(command, [&](const SurfaceVerb& verb) {
    const bool top = &verb == &command;
    const std::string name = top ? "" : verb.name;
    words += "    " + quoted(name) + ") words=" + quoted(joined(words_of(verb))) + " ;;\n";
    for (const SurfaceOption& option : verb.options) {
      if (option.value.empty() || option.place) continue;
      for (const std::string& word : option.words) {
        values +=
            "    " + quoted(name + " " + word) + ") " +
            (option.choices.empty() ? "COMPREPLY=($(compgen -f -- \"$word\"))"
                                    : "COMPREPLY=($(compgen -W " + quoted(joined(option.choices)) +
                                          " -- \"$word\"))") +
            "; return ;;\n";
      }
    }
  });
  std::string two;  // verbs that have verbs below them
  for (const SurfaceVerb& verb : command.verbs) {
    if (!verb.verbs.empty()) two += (two.empty() ? "" : "|") + verb.name;
  }
  return "# espalier's completions for bash: source <(espalier completion bash)\n"
         "_espalier() {\n"
         "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} verb= words=\n"
         "  COMPREPLY=()\n"
         "  [ \"$COMP_CWORD\" -gt 1 ] && verb=${COMP_WORDS[1]}\n"
         "  case $verb in\n    " +
         two +
         ") [ \"$COMP_CWORD\" -gt 2 ] && verb=\"$verb ${COMP_WORDS[2]}\" ;;\n"
         "  esac\n"
         "  case \"$verb $before\" in\n" +
         values + "  esac\n  case $verb in\n" + words +
         "  esac\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
         "}\n"
         "complete -o default -F _espalier espalier\n";
}

std::string zsh(const SurfaceVerb& command) {
  return "#compdef espalier\n"
         "# espalier's completions for zsh: source <(espalier completion zsh)\n"
         "autoload -U +X bashcompinit && bashcompinit\n" +
         bash(command);
}

std::string fish(const SurfaceVerb& command) {
  std::string out = "# espalier's completions for fish: espalier completion fish | source\n";
  std::string verbs;
  for (const SurfaceVerb& verb : command.verbs) verbs += (verbs.empty() ? "" : " ") + verb.name;
  const auto one = [&](const std::string& condition, const std::string& rest) {
    out += "complete -c espalier -n " + quoted(condition) + " " + rest + "\n";
  };
  for_each(command, [&](const SurfaceVerb& verb) {
    const bool top = &verb == &command;
    std::string here = top ? "not __fish_seen_subcommand_from " + verbs : "";
    for (size_t begin = 0; !top && begin < verb.name.size();) {
      const size_t end = std::min(verb.name.find(' ', begin), verb.name.size());
      here += (here.empty() ? "" : "; and ") + std::string("__fish_seen_subcommand_from ") +
              verb.name.substr(begin, end - begin);
      begin = end + 1;
    }
    for (const SurfaceVerb& below : verb.verbs) {
      const std::string name = below.name.substr(below.name.rfind(' ') + 1);
      one(here, "-f -a " + name + " -d " + quoted(below.help));
    }
    for (const SurfaceOption& option : verb.options) {
      if (option.place) {
        if (!option.choices.empty()) one(here, "-a " + quoted(joined(option.choices)));
        continue;
      }
      for (const std::string& word : option.words) {
        std::string rest = word.starts_with("--") ? "-l " + word.substr(2) : "-s " + word.substr(1);
        if (!option.value.empty()) rest += " -r";
        if (!option.choices.empty()) rest += " -f -a " + quoted(joined(option.choices));
        one(here, rest + " -d " + quoted(option.help));
      }
    }
  });
  return out;
}

}  // namespace

std::string completion_script(const SurfaceVerb& command, const std::string& shell) {
  if (shell == "bash") return bash(command);
  if (shell == "zsh") return zsh(command);
  if (shell == "fish") return fish(command);
  throw ValueError(cat("completion: expects bash, zsh or fish, got '", shell, "'"));
}

}  // namespace espalier::experiments
