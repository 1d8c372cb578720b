// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/surface/surface.h>

namespace espalier::experiments {
namespace {

// What roff would read as its own.
std::string roff(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (c == '\n') {
      out += "\n.br\n";
    } else {
      out += c;
    }
  }
  const bool begins_a_request = out.starts_with('.') || out.starts_with('\'');
  return begins_a_request ? "\\&" + out : out;
}

std::string option_text(const SurfaceOption& option) {
  std::string out = ".TP\n.B " + roff(option.names);
  if (!option.value.empty()) out += " \\fI" + roff(option.value) + "\\fR";
  return out + "\n" + roff(option.help) + "\n";
}

void write_options(const SurfaceVerb& verb, std::string& out) {
  for (const SurfaceOption& option : verb.options) {
    const bool is_help = option.names.find("--help") != std::string::npos;
    if (!option.group.empty() && !is_help) out += option_text(option);
  }
}

void write_verbs(const std::vector<SurfaceVerb>& verbs, std::string& out) {
  for (const SurfaceVerb& verb : verbs) {
    out += ".SS espalier " + roff(verb.name) + "\n" + roff(verb.help) + "\n";
    write_options(verb, out);
    write_verbs(verb.verbs, out);
  }
}

}  // namespace

std::string man_page(const SurfaceVerb& command, const std::string& version) {
  std::string out = ".TH ESPALIER 1 \"\" \"espalier " + roff(version) +
                    "\" \"User Commands\"\n.SH NAME\nespalier \\- train neural networks, prune "
                    "them, and measure what it gains\n.SH SYNOPSIS\n.B espalier\n\\fIVERB\\fR "
                    "[\\fIOPTION\\fR ...]\n.SH DESCRIPTION\n" +
                    roff(command.help) +
                    "\n.PP\n\\fBespalier VERB \\-\\-help\\fR tells of one verb; those that print "
                    "figures print them as JSON with \\fB\\-\\-json\\fR. Options of a pruning "
                    "method are told by \\fBespalier train \\-\\-prune METHOD \\-\\-help\\fR.\n"
                    ".SH OPTIONS\n";
  write_options(command, out);
  out += ".SH VERBS\n";
  write_verbs(command.verbs, out);
  out +=
      ".SH EXIT STATUS\n"
      ".TP\n.B 0\nDone.\n"
      ".TP\n.B 1\nSomething failed on the way: a loss that is not finite, a disk that is full.\n"
      ".TP\n.B 2\nBad use, or a bad input file.\n"
      ".TP\n.B 130\nStopped by SIGINT or SIGTERM; what was done is saved, and the same command "
      "goes on.\n"
      ".SH ENVIRONMENT\n"
      ".TP\n.B ESPALIER_DATA\nThe folder of the data sets where \\-\\-data\\-root names none.\n"
      ".TP\n.B ESPALIER_SIMD\nThe vector instructions to use, of those that the machine has.\n"
      ".TP\n.B NO_COLOR\nWhere it is set, nothing is coloured.\n"
      ".TP\n.B COLUMNS\nThe width of progress where the terminal does not tell its own.\n";
  return out;
}

}  // namespace espalier::experiments
