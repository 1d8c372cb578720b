// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/csv.h>

#include <espalier/core/error.h>

namespace espalier::experiments {

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

std::vector<std::vector<std::string>> parse_csv(const std::string& text, const std::string& where) {
  std::vector<std::vector<std::string>> out;
  std::vector<std::string> record;
  std::string field;
  bool quoted = false;
  const auto end_record = [&] {
    record.push_back(std::move(field));
    field.clear();
    ESPALIER_CHECK(out.empty() || record.size() == out.front().size(),
                   IoError,
                   "csv: ",
                   where,
                   ": record ",
                   out.size() + 1,
                   " has ",
                   record.size(),
                   " fields, the first has ",
                   out.front().size());
    out.push_back(std::move(record));
    record.clear();
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c != '"') {
        field += c;
      } else if (i + 1 < text.size() && text[i + 1] == '"') {
        field += text[++i];
      } else {
        quoted = false;
      }
    } else if (c == '"' && field.empty()) {
      quoted = true;
    } else if (c == ',') {
      record.push_back(std::move(field));
      field.clear();
    } else if (c == '\n') {
      end_record();
    } else if (c != '\r' || i + 1 == text.size() || text[i + 1] != '\n') {
      field += c;
    }
  }
  ESPALIER_CHECK(!quoted, IoError, "csv: ", where, ": a quote is not closed");
  if (!field.empty() || !record.empty()) end_record();
  return out;
}

}  // namespace espalier::experiments
